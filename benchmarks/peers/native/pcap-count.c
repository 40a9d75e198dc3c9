/* The least that reading a savefile costs: libpcap's own loop with a callback that counts, with a filter if there is one.
 * usage: pcap-count FILE [FILTER]; prints the packets that passed and the nanoseconds from opening the file to its end. */
#include <pcap.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void count(u_char *packets, const struct pcap_pkthdr *header, const u_char *bytes) {
  (void)header;
  (void)bytes;
  ++*(unsigned long *)packets;
}

int main(int argc, char **argv) {
  char fault[PCAP_ERRBUF_SIZE];
  unsigned long packets = 0;
  if (argc < 2 || argc > 3) return 2;
  int64_t began = now_ns();
  pcap_t *file = pcap_open_offline(argv[1], fault);
  if (file == NULL) { fprintf(stderr, "%s\n", fault); return 1; }
  if (argc == 3) {
    struct bpf_program filter;
    if (pcap_compile(file, &filter, argv[2], 1, PCAP_NETMASK_UNKNOWN) < 0 || pcap_setfilter(file, &filter) < 0) {
      pcap_perror(file, argv[2]);
      return 1;
    }
  }
  if (pcap_loop(file, -1, count, (u_char *)&packets) < 0) { pcap_perror(file, argv[1]); return 1; }
  printf("%lu %lld\n", packets, (long long)(now_ns() - began));
  return 0;
}
