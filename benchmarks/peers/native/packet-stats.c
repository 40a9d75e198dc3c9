/* What the kernel counted for the packet sockets of other processes since they were last asked, which sets it to zero.
 * usage: packet-stats PID...; prints how many packets passed the filters, and how many of them found no room. */
#define _GNU_SOURCE
#include <dirent.h>
#include <linux/if_packet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static unsigned long passed, dropped;

static void ask(int process, int number) {
  int fd = (int)syscall(SYS_pidfd_getfd, process, number, 0);
  if (fd < 0) return;
  struct tpacket_stats_v3 stats;
  socklen_t size = sizeof stats;
  if (getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &size) == 0) {
    passed += stats.tp_packets;
    dropped += stats.tp_drops;
  }
  close(fd);
}

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%s/fd", argv[i]);
    DIR *fds = opendir(path);
    int process = (int)syscall(SYS_pidfd_open, atoi(argv[i]), 0);
    if (fds == NULL || process < 0) { perror(path); return 1; }
    for (struct dirent *entry; (entry = readdir(fds)) != NULL;)
      if (entry->d_name[0] != '.') ask(process, atoi(entry->d_name));
    closedir(fds);
    close(process);
  }
  printf("%lu %lu\n", passed, dropped);
  return 0;
}
