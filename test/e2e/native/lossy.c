/* A bad link between two network namespaces: a TUN device in each, joined here. Of the packets of either direction some
 * are lost, some come twice, and some are held back, so that later ones overtake them. The same seed draws the same lots.
 * usage: lossy PID DEVICE PID DEVICE SEED LOST% DOUBLED% HELD% LEAST_MS MOST_MS; says "ready", ends with its stdin, and
 * then prints how many packets came, were lost, doubled and held back. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { MTU = 2048, HELD = 4096 };

struct packet { int64_t due; int to; ssize_t length; unsigned char bytes[MTU]; };

static struct packet *held[HELD];
static int waiting;
static uint64_t state;
static unsigned long came, lost, doubled, late;

static int64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* splitmix64 */
static uint64_t draw(void) {
  uint64_t z = (state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static int chance(int percent) { return (int)(draw() % 100) < percent; }

static int device(const char *pid, const char *name) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%s/ns/net", pid);
  int space = open(path, O_RDONLY | O_CLOEXEC);
  if (space < 0 || setns(space, CLONE_NEWNET) < 0) { perror(path); exit(1); }
  close(space);
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0) { perror("/dev/net/tun"); exit(1); }
  return fd;
}

/* A device that is down takes nothing; that is one more loss. */
static void hand_over(int to, const void *bytes, ssize_t length) {
  if (write(to, bytes, (size_t)length) < 0 && errno != EIO && errno != EAGAIN) perror("write");
}

static void forward(int to, const unsigned char *bytes, ssize_t length, int64_t delay) {
  if (delay == 0 || waiting == HELD) { hand_over(to, bytes, length); return; }
  struct packet *packet = malloc(sizeof *packet);
  packet->due = now_us() + delay;
  packet->to = to;
  packet->length = length;
  memcpy(packet->bytes, bytes, (size_t)length);
  held[waiting++] = packet;
}

static void release(void) {
  for (;;) {
    int first = -1;
    for (int i = 0; i < waiting; i++) if (first < 0 || held[i]->due < held[first]->due) first = i;
    if (first < 0 || held[first]->due > now_us()) return;
    hand_over(held[first]->to, held[first]->bytes, held[first]->length);
    free(held[first]);
    held[first] = held[--waiting];
  }
}

static int64_t patience_us(void) {
  int64_t next = INT64_MAX, now = now_us();
  for (int i = 0; i < waiting; i++) if (held[i]->due < next) next = held[i]->due;
  return next == INT64_MAX ? 1000000 : next > now ? next - now : 0;
}

int main(int argc, char **argv) {
  if (argc != 11) return 2;
  int fd[2] = {device(argv[1], argv[2]), device(argv[3], argv[4])};
  state = strtoull(argv[5], NULL, 10);
  int lost_percent = atoi(argv[6]), doubled_percent = atoi(argv[7]), held_percent = atoi(argv[8]);
  int64_t least = atoi(argv[9]) * 1000, most = atoi(argv[10]) * 1000;
  puts("ready");
  fflush(stdout);
  for (;;) {
    struct pollfd p[3] = {{fd[0], POLLIN, 0}, {fd[1], POLLIN, 0}, {0, POLLIN, 0}};
    int64_t us = patience_us();
    struct timespec patience = {us / 1000000, us % 1000000 * 1000};
    ppoll(p, 3, &patience, NULL);
    release();
    if (p[2].revents != 0) break;
    for (int from = 0; from < 2; from++) {
      unsigned char bytes[MTU];
      ssize_t length;
      while (p[from].revents != 0 && (length = read(fd[from], bytes, MTU)) > 0) {
        came++;
        if (chance(lost_percent)) { lost++; continue; }
        int copies = chance(doubled_percent) ? 2 : 1;
        doubled += copies == 2;
        for (int i = 0; i < copies; i++) {
          int64_t delay = chance(held_percent) ? least + (int64_t)(draw() % (uint64_t)(most - least + 1)) : 0;
          late += delay > 0;
          forward(fd[1 - from], bytes, length, delay);
        }
      }
    }
  }
  printf("%lu %lu %lu %lu\n", came, lost, doubled, late);
  return 0;
}
