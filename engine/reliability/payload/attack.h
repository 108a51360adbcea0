// What the attacks share: coordinates of what they are after, given as `name=value`, and how they say what came of it.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// An attack: whether it came through. What it read goes to standard output, errors to standard error.
typedef int attack(void);
struct named {
  const char *name;
  attack *run;
};

// A coordinate, and as a number.
const char *of(const char *name);
long number(const char *name);

// Says why not; returns 0.
int blocked(const char *what);
// Says that it came through, if `done`.
int worked_if(int done, const char *what);
// Prints a file.
int show(const char *path);
// Prints what a descriptor gives.
int show_open(int descriptor);
// Writes over a file in place.
int overwrite(const char *path);
// Becomes root of namespaces of its own.
int own_namespaces(int flags);

extern const struct named FILES[], SYSTEM[], NETWORK[], RESOURCES[];
