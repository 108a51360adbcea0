// Attacks on what a sandbox guards: `attack NAME name=value...`. Exits with 0 if the attack came through. Bounded, so that
// one that comes through does no harm to a machine that it is not after.
#include "attack.h"

static char **coordinates;

const char *of(const char *name) {
  size_t length = strlen(name);
  for (char **at = coordinates; *at; at++) {
    if (strncmp(*at, name, length) == 0 && (*at)[length] == '=') return *at + length + 1;
  }
  return "";
}

long number(const char *name) { return strtol(of(name), 0, 0); }

int blocked(const char *what) {
  fprintf(stderr, "blocked: %s: %s\n", what, strerror(errno));
  return 0;
}

int worked_if(int done, const char *what) {
  if (!done) return blocked(what);
  printf("came through: %s\n", what);
  return 1;
}

int show_open(int descriptor) {
  char bytes[4096];
  ssize_t count = descriptor < 0 ? -1 : read(descriptor, bytes, sizeof bytes);
  if (count <= 0) return 0;
  fwrite(bytes, 1, count, stdout);
  return 1;
}

int show(const char *path) {
  int descriptor = open(path, O_RDONLY | O_NONBLOCK), shown = show_open(descriptor);
  if (!shown) return blocked(path);
  close(descriptor);
  return 1;
}

int overwrite(const char *path) {
  chmod(path, 0777);
  int descriptor = open(path, O_WRONLY | O_TRUNC);
  if (descriptor < 0 || write(descriptor, "tampered\n", 9) != 9) return blocked(path);
  close(descriptor);
  return 1;
}

int own_namespaces(int flags) {
  char map[64];
  int user = getuid(), group = getgid(), file;
  if (unshare(CLONE_NEWUSER | flags)) return blocked("namespaces of its own");
  file = open("/proc/self/setgroups", O_WRONLY);
  if (file >= 0) write(file, "deny", 4), close(file);
  file = open("/proc/self/uid_map", O_WRONLY);
  snprintf(map, sizeof map, "0 %d 1", user);
  if (file < 0 || write(file, map, strlen(map)) < 0) return blocked("a map of users");
  close(file);
  file = open("/proc/self/gid_map", O_WRONLY);
  snprintf(map, sizeof map, "0 %d 1", group);
  if (file >= 0) write(file, map, strlen(map)), close(file);
  return 1;
}

int main(int count, char **arguments) {
  const struct named *tables[] = {FILES, SYSTEM, NETWORK, RESOURCES};
  if (count < 2) return 2;
  coordinates = arguments + 2;
  setvbuf(stdout, 0, _IONBF, 0);
  for (int table = 0; table < 4; table++) {
    for (const struct named *each = tables[table]; each->name; each++) {
      if (strcmp(each->name, arguments[1]) == 0) return each->run() ? 0 : 1;
    }
  }
  fprintf(stderr, "attack: what is %s?\n", arguments[1]);
  return 2;
}
