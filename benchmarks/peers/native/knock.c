/* A client with a good clock: sends the packets of a knock back to back, then SYN after SYN, each from a port of its own,
 * until one is answered by SYN and ACK. That handshake is completed, because only that uses up an opening of one
 * connection, and reset. The kernel knows nothing of these SYNs: its own resets have to be dropped by a rule.
 * usage: knock DEVICE GATEWAY_MAC; each line of stdin is one try:
 *   SOURCE TARGET SERVICE_PORT GAP_US PATIENCE_MS PACKET...    a packet: u:PORT:HEX or s:PORT
 * and is answered by one line: nanoseconds from the last packet's departure to that of the SYN that was accepted, or -1;
 * then how many SYNs were sent. IPv4 only. All is sent through AF_PACKET, so that the clock is read right before. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST_PACKETS = 32, MOST_BYTES = 1600, LINE = 65536, FIRST_PORT = 1100, PORTS = 60000 };

struct frame { int length; unsigned char bytes[MOST_BYTES]; };

static int out, in;
static unsigned char ethernet[14];
static uint32_t source, target;
static uint16_t next_port;
static int64_t left_at[65536];
static uint32_t sequence_of[65536];

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void die(const char *what) { perror(what); exit(1); }

static uint32_t add(const void *bytes, int length, uint32_t sum) {
  const unsigned char *b = bytes;
  for (int i = 0; i + 1 < length; i += 2) sum += (uint32_t)(b[i] << 8 | b[i + 1]);
  return length & 1 ? sum + (uint32_t)(b[length - 1] << 8) : sum;
}

static uint16_t fold(uint32_t sum) {
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return htons((uint16_t)~sum);
}

/* Ethernet and IPv4 around `length` bytes of transport, which stand in their place already; returns the transport's sum. */
static uint32_t wrap(struct frame *f, int protocol, int length) {
  memcpy(f->bytes, ethernet, 14);
  struct iphdr ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = (uint8_t)protocol, .saddr = source, .daddr = target};
  ip.tot_len = htons((uint16_t)(20 + length));
  ip.frag_off = htons(0x4000);
  ip.check = fold(add(&ip, 20, 0));
  memcpy(f->bytes + 14, &ip, 20);
  f->length = 34 + length;
  return add(f->bytes + 34, length, add(&ip.saddr, 8, (uint32_t)(protocol + length)));
}

static void segment(struct frame *f, struct tcphdr tcp) {
  tcp.doff = 5;
  tcp.window = htons(64240);
  memcpy(f->bytes + 34, &tcp, 20);
  tcp.check = fold(wrap(f, IPPROTO_TCP, 20));
  memcpy(f->bytes + 34, &tcp, 20);
}

static uint16_t syn(struct frame *f, int port) {
  next_port = (uint16_t)((next_port + 1) % PORTS);
  uint16_t from = (uint16_t)(FIRST_PORT + next_port);
  sequence_of[from] = (uint32_t)now_ns();
  segment(f, (struct tcphdr){.source = htons(from), .dest = htons((uint16_t)port), .seq = htonl(sequence_of[from]), .syn = 1});
  return from;
}

static void datagram(struct frame *f, int port, const char *hex) {
  int length = (int)strlen(hex) / 2;
  if (length > 1400) { fputs("packet is too long\n", stderr); exit(2); }
  for (int i = 0; i < length; i++) {
    unsigned byte;
    if (sscanf(hex + 2 * i, "%2x", &byte) != 1) { fputs("not hexadecimal\n", stderr); exit(2); }
    f->bytes[42 + i] = (unsigned char)byte;
  }
  next_port = (uint16_t)((next_port + 1) % PORTS);
  struct udphdr udp = {.source = htons((uint16_t)(FIRST_PORT + next_port)), .dest = htons((uint16_t)port)};
  udp.len = htons((uint16_t)(8 + length));
  memcpy(f->bytes + 34, &udp, 8);
  udp.check = fold(wrap(f, IPPROTO_UDP, 8 + length));
  memcpy(f->bytes + 34, &udp, 8);
}

static void emit(const struct frame *f) {
  while (send(out, f->bytes, (size_t)f->length, 0) < 0)
    if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR) die("send");
}

static void answer(const struct tcphdr *tcp, int reset) {
  struct frame f;
  struct tcphdr mine = {.source = tcp->dest, .dest = tcp->source, .seq = tcp->ack_seq, .ack = 1, .rst = reset != 0};
  mine.ack_seq = htonl(ntohl(tcp->seq) + 1);
  segment(&f, mine);
  emit(&f);
}

/* The port of ours whose SYN was accepted, or 0; `completes`: the first one's handshake, and the others are reset. */
static uint16_t accepted(int port, int completes) {
  unsigned char b[256];
  ssize_t length;
  while ((length = recv(in, b, sizeof b, MSG_DONTWAIT)) > 0) {
    if (length < 54 || b[23] != IPPROTO_TCP || memcmp(b + 26, &target, 4) != 0 || memcmp(b + 30, &source, 4) != 0) continue;
    const struct tcphdr *tcp = (const void *)(b + 14 + (b[14] & 15) * 4);
    if (!tcp->syn || !tcp->ack || ntohs(tcp->source) != port) continue;
    uint16_t mine = ntohs(tcp->dest);
    int ours = completes && left_at[mine] != 0 && ntohl(tcp->ack_seq) == sequence_of[mine] + 1;
    if (ours) answer(tcp, 0);
    answer(tcp, 1);
    if (ours) return mine;
  }
  return 0;
}

static void one_try(char *line) {
  static struct frame packets[MOST_PACKETS], attempt;
  char from[64], to[64];
  int port, gap_us, patience_ms, used, count = 0;
  if (sscanf(line, "%63s %63s %d %d %d%n", from, to, &port, &gap_us, &patience_ms, &used) != 5) exit(2);
  if (inet_pton(AF_INET, from, &source) != 1 || inet_pton(AF_INET, to, &target) != 1) exit(2);
  for (char *word = strtok(line + used, " \n"); word != NULL && count < MOST_PACKETS; word = strtok(NULL, " \n")) {
    char *hex = strchr(word + 2, ':');
    if (word[0] == 's') syn(&packets[count++], atoi(word + 2));
    else datagram(&packets[count++], atoi(word + 2), hex == NULL ? "" : hex + 1);
  }
  memset(left_at, 0, sizeof left_at);
  accepted(port, 0);
  int64_t last = now_ns();
  for (int i = 0; i < count; i++) {
    last = now_ns();
    emit(&packets[i]);
  }
  int64_t end = last + (int64_t)patience_ms * 1000000, next = now_ns();
  long sent = 0;
  for (;;) {
    uint16_t mine = syn(&attempt, port);
    left_at[mine] = now_ns();
    emit(&attempt);
    sent++;
    next += (int64_t)gap_us * 1000;
    /* Asleep until then: the daemon may need this processor, and when an answer is read does not matter. */
    struct timespec then = {next / 1000000000, next % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &then, NULL) == EINTR) continue;
    uint16_t won = accepted(port, 1);
    if (won != 0) {
      /* What else was accepted meanwhile must not stay half open. */
      for (int64_t quiet = now_ns() + 2000000; now_ns() < quiet;) accepted(port, 0);
      printf("%lld %ld\n", (long long)(left_at[won] - last), sent);
      return;
    }
    if (now_ns() > end) { printf("-1 %ld\n", sent); return; }
  }
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  int index = (int)if_nametoindex(argv[1]);
  out = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  in = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_IP));
  struct sockaddr_ll here = {.sll_family = AF_PACKET, .sll_ifindex = index};
  if (out < 0 || in < 0 || bind(out, (struct sockaddr *)&here, sizeof here) < 0) die(argv[1]);
  here.sll_protocol = htons(ETH_P_IP);
  if (bind(in, (struct sockaddr *)&here, sizeof here) < 0) die(argv[1]);
  int on = 1, size = 8 << 20;
  setsockopt(out, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on);
  setsockopt(in, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on);
  setsockopt(in, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  struct ifreq device;
  memset(&device, 0, sizeof device);
  strncpy(device.ifr_name, argv[1], IFNAMSIZ - 1);
  if (ioctl(out, SIOCGIFHWADDR, &device) < 0) die("SIOCGIFHWADDR");
  unsigned mac[6];
  if (sscanf(argv[2], "%x:%x:%x:%x:%x:%x", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5) != 6) return 2;
  for (int i = 0; i < 6; i++) ethernet[i] = (unsigned char)mac[i];
  memcpy(ethernet + 6, device.ifr_hwaddr.sa_data, 6);
  ethernet[12] = 8;
  prctl(PR_SET_TIMERSLACK, 1);
  next_port = (uint16_t)(now_ns() % PORTS);
  static char line[LINE];
  while (fgets(line, sizeof line, stdin) != NULL) {
    one_try(line);
    fflush(stdout);
  }
  return 0;
}
