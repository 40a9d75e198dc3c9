/* Eight connections raced from two processors: two pinned threads spin on a barrier, then start four connects each.
 * usage: race ADDRESS PORT; for each line on stdin one round; prints how many were admitted (an echo came back). */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 2, EACH = 4, PATIENCE_MS = 20000 };

static struct addrinfo *target;
static atomic_int waiting, round_number;
static atomic_int admitted, done;

static long now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void one_round(void) {
  int fd[EACH], state[EACH]; /* 0 connecting, 1 asked, 2 ended */
  for (int i = 0; i < EACH; i++) {
    fd[i] = socket(target->ai_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    state[i] = 0;
  }
  atomic_fetch_add(&waiting, 1);
  while (atomic_load(&waiting) < THREADS * atomic_load(&round_number)) ;
  for (int i = 0; i < EACH; i++)
    if (connect(fd[i], target->ai_addr, target->ai_addrlen) < 0 && errno != EINPROGRESS) state[i] = 2;
  long end = now_ms() + PATIENCE_MS;
  for (;;) {
    struct pollfd p[EACH];
    int left = 0;
    for (int i = 0; i < EACH; i++) {
      p[i].fd = state[i] == 2 ? -1 : fd[i];
      p[i].events = state[i] == 0 ? POLLOUT : POLLIN;
      left += state[i] != 2;
    }
    long patience = end - now_ms();
    if (left == 0 || patience <= 0 || poll(p, EACH, (int)patience) <= 0) break;
    for (int i = 0; i < EACH; i++) {
      if (state[i] == 2 || p[i].revents == 0) continue;
      if (state[i] == 0) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(fd[i], SOL_SOCKET, SO_ERROR, &error, &size);
        state[i] = error == 0 && send(fd[i], "x", 1, MSG_NOSIGNAL) == 1 ? 1 : 2;
      } else {
        char byte;
        if (recv(fd[i], &byte, 1, 0) == 1) atomic_fetch_add(&admitted, 1);
        state[i] = 2;
      }
    }
  }
  struct linger reset = {1, 0};
  for (int i = 0; i < EACH; i++) {
    setsockopt(fd[i], SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd[i]);
  }
  atomic_fetch_add(&done, 1);
}

static void *runner(void *number) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET((long)number % sysconf(_SC_NPROCESSORS_ONLN), &set);
  sched_setaffinity(0, sizeof set, &set);
  for (int seen = 0;;) {
    while (atomic_load(&round_number) == seen) usleep(50);
    seen++;
    one_round();
  }
  return NULL;
}

int main(int argc, char **argv) {
  struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
  if (argc != 3 || getaddrinfo(argv[1], argv[2], &hints, &target) != 0) return 2;
  pthread_t thread;
  for (long i = 0; i < THREADS; i++) pthread_create(&thread, NULL, runner, (void *)i);
  char line[16];
  for (int round = 1; fgets(line, sizeof line, stdin) != NULL; round++) {
    atomic_store(&admitted, 0);
    atomic_store(&done, 0);
    atomic_store(&round_number, round);
    while (atomic_load(&done) < THREADS) usleep(100);
    printf("%d\n", atomic_load(&admitted));
    fflush(stdout);
  }
  return 0;
}
