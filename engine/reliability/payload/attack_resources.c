// Attacks that use things up or stay behind.
#include "attack.h"
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>

static int bomb(int count) {
  int made = 0;
  for (; made < count; made++) {
    pid_t child = fork();
    if (child < 0) break;
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      for (;;) pause();
    }
  }
  int came = made == count;
  fprintf(stderr, "%d processes\n", made);
  signal(SIGTERM, SIG_IGN);
  // The group is this program's own wherever it is started for an attack.
  kill(0, SIGTERM);
  while (wait(0) > 0) {}
  return worked_if(came, "a bomb of processes");
}
static int forks(void) { return bomb(5000); }
static void *wait_long(void *unused) {
  pause();
  return unused;
}
static int threads(void) {
  pthread_attr_t small;
  pthread_t thread;
  int made = 0;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 16384);
  while (made < 5000 && pthread_create(&thread, &small, wait_long, 0) == 0) made++;
  fprintf(stderr, "%d threads\n", made);
  return worked_if(made == 5000, "a bomb of threads");
}

// Says that the disk is full, for which there must be some space again.
static int full(int file) {
  int why = errno;
  ftruncate(file, 0);
  errno = why;
  return worked_if(why == ENOSPC, "the disk is full");
}

// Writes until the disk is full, but no more than a gigabyte and a half.
static int fill_into(int file) {
  static char bytes[1 << 20];
  memset(bytes, 'x', sizeof bytes);
  for (int count = 0; count < 1500; count++) {
    if (write(file, bytes, sizeof bytes) != sizeof bytes) return full(file);
    usleep(3000);
  }
  return 0;
}
static int fill(void) { return fill_into(open("big", O_CREAT | O_WRONLY, 0644)); }
static int fill_log(void) { return fill_into(2); }
static int fill_many(void) {
  static char bytes[1 << 20];
  memset(bytes, 'x', sizeof bytes);
  for (int count = 0; count < 1500; count++) {
    char name[64];
    snprintf(name, sizeof name, "big%d", count);
    int file = open(name, O_CREAT | O_WRONLY, 0644);
    if (file < 0 || write(file, bytes, sizeof bytes) != sizeof bytes) {
      unlink("big0");
      return full(file);
    }
    close(file), usleep(3000);
  }
  return 0;
}
static int holes(void) {
  int made = open(of("out"), O_CREAT | O_WRONLY, 0644);
  return worked_if(ftruncate(made, 4ll << 40) == 0, "a file of four terabytes");
}
static int deep(void) {
  int made = 0;
  while (made < 3000 && mkdir("d", 0755) == 0 && chdir("d") == 0) made++;
  return made == 3000;
}
static int no_mode(void) { return mkdir("locked", 0755) == 0 && mkdir("locked/in", 0) == 0 && chmod("locked", 0) == 0; }

// Stays: a child that has left group, session and parent.
static void stay(void) {
  setsid();
  if (fork()) _exit(0);
  signal(SIGTERM, SIG_IGN), signal(SIGHUP, SIG_IGN);
  prctl(PR_SET_PDEATHSIG, 0);
}
static int stays(void) {
  if (fork() == 0) {
    stay();
    for (int descriptor = 0; descriptor < 64; descriptor++) close(descriptor);
    execl("/proc/self/exe", "attack", "linger", of("mark"), (char *)0);
    _exit(1);
  }
  usleep(100000);
  return 1;
}
// The same, holding standard output, for whose end somebody may wait.
static int stays_open(void) {
  if (fork() == 0) {
    stay();
    execl("/proc/self/exe", "attack", "linger", of("mark"), (char *)0);
    _exit(1);
  }
  usleep(100000);
  return 1;
}
static int linger(void) {
  sleep(40);
  return 1;
}
// Writes to an output when it has been taken.
static int late(void) {
  int made = open(of("out"), O_CREAT | O_WRONLY, 0644);
  write(made, "before\n", 7);
  if (fork() == 0) {
    stay();
    for (int count = 0; count < 40; count++) usleep(20000), pwrite(made, "tampered\n", 9, 0);
    _exit(0);
  }
  return 1;
}
static int own_forks(void) {
  for (int count = 0; count < 50; count++) {
    if (fork() == 0) _exit(0);
  }
  while (wait(0) > 0) {}
  return 1;
}
static int own_megabytes(void) {
  static char bytes[8 << 20];
  return write(open("big", O_CREAT | O_WRONLY, 0644), bytes, sizeof bytes) == sizeof bytes;
}

const struct named RESOURCES[] = {
    {"forks", forks}, {"threads", threads}, {"fill", fill}, {"fill-log", fill_log}, {"fill-many", fill_many},
    {"holes", holes}, {"deep", deep}, {"no-mode", no_mode}, {"stays", stays}, {"stays-open", stays_open},
    {"linger", linger}, {"late", late}, {"own-forks", own_forks}, {"own-megabytes", own_megabytes}, {0, 0},
};
