/* What a gateway hears besides knocks: frames written straight to an interface, at a steady rate, from forged sources of
 * many prefixes of both families and of the clients' own: datagrams to the knock port with and without a right hint, to
 * random ports, SYNs that sweep all ports, and headers that lie about their lengths.
 * usage: junk DEVICE PER_SECOND SEED KNOCK_PORT HINT; ends with its stdin, and prints how many were sent. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { ETHERNET = 14, LEAST = 192, MOST = 480, TICK_MS = 5 };

static uint64_t state;

/* splitmix64 */
static uint64_t draw(void) {
  uint64_t z = (state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static uint32_t below(uint32_t limit) { return (uint32_t)(draw() % limit); }

static void put16(unsigned char *at, uint32_t value) {
  at[0] = (unsigned char)(value >> 8);
  at[1] = (unsigned char)value;
}

static void put32(unsigned char *at, uint32_t value) {
  put16(at, value >> 16);
  put16(at + 2, value);
}

static uint32_t get32(const unsigned char *at) {
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint32_t checksum(const unsigned char *at, int bytes) {
  uint32_t sum = 0;
  for (int i = 0; i < bytes; i += 2) sum += (uint32_t)at[i] << 8 | at[i + 1];
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}

/* Ethernet and IP in front of `length` bytes; where those begin. */
static unsigned char *head(unsigned char *frame, int six, int protocol, int length, int own) {
  static const unsigned char addresses[12] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0xff};
  memcpy(frame, addresses, 12);
  put16(frame + 12, six ? 0x86dd : 0x0800);
  unsigned char *ip = frame + ETHERNET;
  if (six) {
    memset(ip, 0, 40);
    ip[0] = 0x60;
    put16(ip + 4, (uint32_t)length);
    ip[6] = (unsigned char)protocol;
    ip[7] = 64;
    put16(ip + 8, 0xfd78);
    put32(ip + 12, below(4096));
    put32(ip + 20, (uint32_t)draw());
    put16(ip + 24, 0xfd77);
    ip[39] = 1;
    return ip + 40;
  }
  memset(ip, 0, 20);
  ip[0] = 0x45;
  put16(ip + 2, (uint32_t)(20 + length));
  ip[8] = 64;
  ip[9] = (unsigned char)protocol;
  put32(ip + 12, own ? 0x0a4d0000u + 10 + below(10) : 0x0a4e0000u + below(65536));
  put32(ip + 16, 0x0a4d0001u);
  put16(ip + 10, checksum(ip, 20));
  return ip + 20;
}

static int datagram(unsigned char *frame, uint32_t port, int length, int own, const uint32_t *hint) {
  int six = !own && below(4) == 0;
  unsigned char *udp = head(frame, six, IPPROTO_UDP, 8 + length, own);
  put16(udp, 1024 + below(60000));
  put16(udp + 2, port);
  put16(udp + 4, (uint32_t)(8 + length));
  put16(udp + 6, 0);
  for (int i = 0; i < length; i++) udp[8 + i] = (unsigned char)draw();
  if (hint != NULL) put32(udp + 12, get32(udp + 8) ^ *hint);
  return (int)(udp - frame) + 8 + length;
}

static int sweep(unsigned char *frame) {
  unsigned char *tcp = head(frame, below(4) == 0, IPPROTO_TCP, 20, 0);
  memset(tcp, 0, 20);
  put16(tcp, 1024 + below(60000));
  put16(tcp + 2, 1 + below(65535));
  put32(tcp + 4, (uint32_t)draw());
  tcp[12] = 0x50;
  tcp[13] = 2;
  put16(tcp + 14, 64240);
  return (int)(tcp - frame) + 20;
}

static int one(unsigned char *frame, uint32_t port, const uint32_t *hint) {
  int length = LEAST + (int)below(MOST - LEAST + 1);
  switch (below(8)) {
    case 0: case 1: return datagram(frame, port, length, 0, NULL);
    case 2: return datagram(frame, port, length, 0, hint);
    case 3: return datagram(frame, port, length, 1, hint);
    case 4: return datagram(frame, 1 + below(65535), (int)below(64), 0, NULL);
    case 5: case 6: return sweep(frame);
    default:
      length = datagram(frame, port, length, 0, hint);
      for (int i = 0; i < 4; i++) frame[ETHERNET + below(28)] = (unsigned char)draw();
      return length - (int)below(300) % (length - ETHERNET);
  }
}

static int64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int main(int argc, char **argv) {
  if (argc != 6) return 2;
  int fd = socket(AF_PACKET, SOCK_RAW, 0);
  struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(argv[1])};
  if (fd < 0 || bind(fd, (struct sockaddr *)&to, sizeof to) < 0) { perror(argv[1]); return 1; }
  int64_t rate = atoi(argv[2]), began = now_us();
  state = strtoull(argv[3], NULL, 10);
  uint32_t port = (uint32_t)atoi(argv[4]), hint = (uint32_t)strtoul(argv[5], NULL, 10);
  unsigned long sent = 0;
  int64_t due = 0;
  for (struct pollfd end = {0, POLLIN, 0}; poll(&end, 1, TICK_MS) == 0;) {
    /* What a suspended machine did not send is not made up for. */
    int64_t missed = (now_us() - began) * rate / 1000000 - due;
    if (missed > rate / 10) due += missed - rate / 10;
    for (; due < (now_us() - began) * rate / 1000000; due++) {
      unsigned char frame[1024];
      int length = one(frame, port, &hint);
      if (send(fd, frame, (size_t)length, 0) == length) sent++;
    }
  }
  printf("%lu\n", sent);
  return 0;
}
