/* Sends frames as fast as asked: round and round through a file of them, at a rate, for a time.
 * usage: flood DEVICE FILE PACKETS_PER_SECOND SECONDS; 0 packets per second: as many as the link takes; 0 seconds: once
 * through the file. FILE: each frame behind its length as two bytes, least significant first.
 * Prints how many were sent and in how many microseconds. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64 };

static volatile sig_atomic_t asked_to_end;

static void end(int signal) { (void)signal; asked_to_end = 1; }

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void die(const char *what) { perror(what); exit(1); }

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  int file = open(argv[2], O_RDONLY | O_CLOEXEC);
  struct stat st;
  if (file < 0 || fstat(file, &st) < 0 || st.st_size < 3) die(argv[2]);
  unsigned char *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
  if (bytes == MAP_FAILED) die("mmap");
  double rate = atof(argv[3]);
  int64_t most_ns = (int64_t)(atof(argv[4]) * 1e9);

  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(argv[1])};
  if (bind(fd, (struct sockaddr *)&to, sizeof to) < 0) die(argv[1]);
  int on = 1;
  setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on);
  prctl(PR_SET_TIMERSLACK, 1);
  signal(SIGTERM, end);

  struct iovec pieces[BATCH];
  struct mmsghdr messages[BATCH];
  memset(messages, 0, sizeof messages);
  for (int i = 0; i < BATCH; i++) {
    messages[i].msg_hdr.msg_iov = &pieces[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  /* Small batches when slow, so that a rate is not a row of bursts. */
  int batch = rate > 0 && rate < 64000 ? (int)(rate / 1000) + 1 : BATCH;
  int64_t sent = 0, start = now_ns();
  off_t at = 0;
  while (!asked_to_end) {
    int64_t passed = now_ns() - start;
    if (most_ns > 0 && passed >= most_ns) break;
    int64_t due = rate > 0 ? (int64_t)((double)passed * rate / 1e9) - sent : batch;
    if (due < batch && rate > 0) {
      int64_t wake = start + (int64_t)((double)(sent + batch) * 1e9 / rate);
      struct timespec until = {wake / 1000000000, wake % 1000000000};
      clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
      continue;
    }
    int count = 0;
    while (count < batch) {
      if (at >= st.st_size) {
        if (most_ns == 0) break;
        at = 0;
      }
      size_t length = bytes[at] | (size_t)bytes[at + 1] << 8;
      pieces[count].iov_base = bytes + at + 2;
      pieces[count].iov_len = length;
      at += 2 + (off_t)length;
      count++;
    }
    if (count == 0) break;
    for (int done = 0; done < count;) {
      int got = sendmmsg(fd, messages + done, (unsigned)(count - done), 0);
      if (got > 0) { done += got; continue; }
      if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR) die("sendmmsg");
    }
    sent += count;
  }
  printf("%lld %lld\n", (long long)sent, (long long)((now_ns() - start) / 1000));
  return 0;
}
