// Reads one thing of its surroundings and writes what it saw to a file: `probe WHAT ARGUMENT OUT`, or the same words as
// requests of a persistent worker. What cannot be read is an error with the name of the thing.
//
// C, linked statically, so that it runs in a sandbox that holds nothing else.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char message[4096];

static int fail(const char *format, ...) {
  va_list list;
  va_start(list, format);
  vsnprintf(message, sizeof message, format, list);
  va_end(list);
  return 1;
}

static int copy(const char *path, FILE *out) {
  FILE *in = fopen(path, "r");
  if (!in) return fail("probe: cannot open '%s': %s", path, strerror(errno));
  char bytes[65536];
  size_t count;
  errno = 0;
  while ((count = fread(bytes, 1, sizeof bytes, in)) > 0) fwrite(bytes, 1, count, out);
  int bad = ferror(in) ? errno : 0;
  fclose(in);
  return bad ? fail("probe: cannot read '%s': %s", path, strerror(bad)) : 0;
}

// A file with the files that it includes, as a C compiler looks for them: beside the file.
static int include(const char *path, FILE *out) {
  char line[1024], name[512], full[2048];
  FILE *in = fopen(path, "r");
  if (!in) return fail("probe: cannot open '%s': %s", path, strerror(errno));
  int folder = strrchr(path, '/') ? (int)(strrchr(path, '/') - path) + 1 : 0, bad = 0;
  while (!bad && fgets(line, sizeof line, in)) {
    if (sscanf(line, "#include \"%500[^\"]\"", name) != 1) {
      fputs(line, out);
      continue;
    }
    snprintf(full, sizeof full, "%.*s%s", folder, path, name);
    bad = include(full, out);
    // As compilers say it: by the name that was written.
    if (bad) fail("%s:1:10: fatal error: %s: No such file or directory", path, name);
  }
  fclose(in);
  return bad;
}

static int run(const char *program, FILE *out) {
  int ends[2];
  char bytes[4096];
  if (pipe(ends)) return fail("probe: no pipe");
  pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], 1), close(ends[0]), close(ends[1]);
    execlp(program, program, "--version", (char *)0);
    _exit(127);
  }
  close(ends[1]);
  for (ssize_t count; (count = read(ends[0], bytes, sizeof bytes)) > 0;) fwrite(bytes, 1, count, out);
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return status ? fail("probe: %s: not found", program) : 0;
}

static int talk(int socket, const struct sockaddr *address, socklen_t length, const char *name, FILE *out) {
  char bytes[256];
  struct timeval patience = {2, 0};
  setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (connect(socket, address, length)) return fail("probe: cannot connect to %s: %s", name, strerror(errno));
  for (ssize_t count; (count = read(socket, bytes, sizeof bytes)) > 0;) fwrite(bytes, 1, count, out);
  close(socket);
  return 0;
}

static int internet(const char *where, FILE *out) {
  char host[64];
  int port = 0;
  sscanf(where, "%60[^:]:%d", host, &port);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  inet_pton(AF_INET, host, &address.sin_addr);
  return talk(socket(AF_INET, SOCK_STREAM, 0), (void *)&address, sizeof address, where, out);
}

// Sends one packet and waits for one.
static int packet(const char *where, FILE *out) {
  char host[64], bytes[64];
  int port = 0, datagrams = socket(AF_INET, SOCK_DGRAM, 0);
  sscanf(where, "%60[^:]:%d", host, &port);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  struct timeval patience = {1, 0};
  inet_pton(AF_INET, host, &address.sin_addr);
  setsockopt(datagrams, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (connect(datagrams, (void *)&address, sizeof address) || send(datagrams, "?", 1, 0) != 1)
    return fail("probe: cannot connect to %s: %s", where, strerror(errno));
  ssize_t count = recv(datagrams, bytes, sizeof bytes, 0);
  if (count < 0) return fail("probe: cannot connect to %s: %s", where, strerror(errno));
  fwrite(bytes, 1, count, out);
  return close(datagrams);
}

// A socket in the file system, or with `@` in the abstract space.
static int local(const char *name, FILE *out) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, name, sizeof address.sun_path - 1);
  if (name[0] == '@') address.sun_path[0] = 0;
  socklen_t length = offsetof(struct sockaddr_un, sun_path) + strlen(name);
  return talk(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&address, length, name, out);
}

static int variable(const char *name, FILE *out) {
  const char *value = getenv(name);
  return value ? fprintf(out, "%s\n", value) < 0 : fail("probe: the variable %s is not set", name);
}

static int environment(FILE *out) {
  extern char **environ;
  for (char **entry = environ; *entry; entry++) fprintf(out, "%s\n", *entry);
  return 0;
}

static int limits(FILE *out) {
  for (int resource = 0; resource < RLIM_NLIMITS; resource++) {
    struct rlimit limit;
    getrlimit(resource, &limit);
    fprintf(out, "%d %ld %ld\n", resource, (long)limit.rlim_cur, (long)limit.rlim_max);
  }
  return 0;
}

static int identity(FILE *out) {
  gid_t groups[256];
  int count = getgroups(256, groups);
  fprintf(out, "%d %d %d %d:", getuid(), geteuid(), getgid(), getegid());
  for (int index = 0; index < count; index++) fprintf(out, " %d", groups[index]);
  return fputs("\n", out) < 0;
}

static int signals(FILE *out) {
  sigset_t mask;
  sigprocmask(SIG_BLOCK, 0, &mask);
  for (int number = 1; number < 65; number++) {
    struct sigaction action;
    if (sigaction(number, 0, &action)) continue;
    fprintf(out, "%d %d %d\n", number, action.sa_handler == SIG_IGN, sigismember(&mask, number));
  }
  return 0;
}

static int descriptors(FILE *out) {
  for (int number = 0; number < 512; number++) {
    if (number != fileno(out) && fcntl(number, F_GETFD) >= 0) fprintf(out, "%d\n", number);
  }
  return 0;
}

static int names(FILE *out, int domain) {
  struct utsname name;
  uname(&name);
  return fprintf(out, "%s\n", domain ? name.domainname : name.nodename) < 0;
}

static int file(const char *path, FILE *out) {
  struct stat stat;
  if (lstat(path, &stat)) return fail("probe: cannot open '%s': %s", path, strerror(errno));
  return fprintf(out, "%o %d %d %ld\n", stat.st_mode, stat.st_uid, stat.st_gid, (long)stat.st_mtime) < 0;
}

static int list(const char *path, FILE *out) {
  struct dirent **entries;
  int count = scandir(path, &entries, 0, alphasort);
  if (count < 0) return fail("probe: cannot open '%s': %s", path, strerror(errno));
  for (int index = 0; index < count; index++) fprintf(out, "%s\n", entries[index]->d_name);
  return 0;
}

static int folder(FILE *out) {
  char path[4096];
  return fprintf(out, "%s\n", getcwd(path, sizeof path) ?: "?") < 0;
}

static int input(FILE *out) {
  char bytes[4096];
  for (ssize_t count; (count = read(0, bytes, sizeof bytes)) > 0;) fwrite(bytes, 1, count, out);
  return 0;
}

static int mask(FILE *out) {
  mode_t now = umask(0);
  umask(now);
  return fprintf(out, "%o\n", now) < 0;
}

static int attributes(FILE *out) {
  return fprintf(out, "%x %d %d %d\n", personality(0xffffffff), prctl(PR_GET_KEEPCAPS), prctl(PR_GET_SECUREBITS),
                 prctl(PR_GET_PDEATHSIG, &(int){0})) < 0;
}

static int now(FILE *out) {
  struct timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  return fprintf(out, "%ld.%09ld\n", (long)time.tv_sec, time.tv_nsec) < 0;
}

static int look(const char *what, const char *argument, FILE *out) {
#define IS(name) (strcmp(what, name) == 0)
  if (IS("read")) return copy(argument, out);
  if (IS("include")) return include(argument, out);
  if (IS("run")) return run(argument, out);
  if (IS("tcp")) return internet(argument, out);
  if (IS("udp")) return packet(argument, out);
  if (IS("unix")) return local(argument, out);
  if (IS("env")) return variable(argument, out);
  if (IS("environ")) return environment(out);
  if (IS("limits")) return limits(out);
  if (IS("identity")) return identity(out);
  if (IS("signals")) return signals(out);
  if (IS("descriptors")) return descriptors(out);
  if (IS("host")) return names(out, 0);
  if (IS("domain")) return names(out, 1);
  if (IS("stat")) return file(argument, out);
  if (IS("list")) return list(argument, out);
  if (IS("folder")) return folder(out);
  if (IS("stdin")) return input(out);
  if (IS("umask")) return mask(out);
  if (IS("pids")) return fprintf(out, "%d %d %d\n", getpid(), getppid(), getsid(0)) < 0;
  if (IS("attributes")) return attributes(out);
  if (IS("clock")) return now(out);
  return fail("probe: what is %s?", what);
}

static int answer(const char *what, const char *argument, const char *path) {
  FILE *out = strcmp(path, "-") ? fopen(path, "we") : stdout;
  if (!out) return fail("probe: cannot write %s: %s", path, strerror(errno));
  int bad = look(what, argument, out);
  return (out == stdout ? fflush(out) : fclose(out)) || bad;
}

// The strings of the array behind `"arguments":`, unescaped in place.
static int words(char *line, char **found, int most) {
  char *at = strstr(line, "\"arguments\":["), *to;
  int count = 0;
  if (!at) return 0;
  for (at += 13; *at && *at != ']'; at++) {
    if (*at != '"') continue;
    if (count == most) return count;
    found[count++] = to = ++at;
    for (; *at && *at != '"'; at++) {
      if (*at == '\\') at++;
      *to++ = *at;
    }
    *to = 0;
  }
  return count;
}

static void serve(void) {
  static char line[1 << 20];
  while (fgets(line, sizeof line, stdin)) {
    char *arguments[8], *id = strstr(line, "\"requestId\":");
    int number = id ? atoi(id + 12) : 0, bad = 2;
    message[0] = 0;
    if (words(line, arguments, 8) >= 3) bad = answer(arguments[0], arguments[1], arguments[2]);
    // Messages of this program hold no quotes but single ones.
    printf("{\"exitCode\":%d,\"output\":\"%s\",\"requestId\":%d}\n", bad ? 1 : 0, message, number);
    fflush(stdout);
  }
}

int main(int count, char **arguments) {
  if (count > 1 && strcmp(arguments[count - 1], "--persistent_worker") == 0) {
    serve();
    return 0;
  }
  int bad = count > 3 ? answer(arguments[1], arguments[2], arguments[3]) : fail("probe: WHAT ARGUMENT OUT");
  if (bad) fprintf(stderr, "%s\n", message);
  return bad ? 1 : 0;
}
