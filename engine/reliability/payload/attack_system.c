// Attacks on other processes, on the kernel, and by what processes share.
#include "attack.h"
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/reboot.h>
#include <mqueue.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/msg.h>
#include <sys/timex.h>
#include <sys/uio.h>

struct letter {
  long kind;
  char text[128];
};

// The victim: holds the secret in its environment, memory, and in all that processes share; says where, and waits.
static int victim(void) {
  static char secret[128];
  int key = number("key");
  snprintf(secret, sizeof secret, "%s", of("secret"));
  int segment = shmget(key, 4096, IPC_CREAT | 0666), queue = msgget(key, IPC_CREAT | 0666);
  if (segment >= 0) strcpy(shmat(segment, 0, 0), secret);
  for (int count = 0; count < 8; count++) {
    struct letter letter = {.kind = 1};
    strcpy(letter.text, secret);
    msgsnd(queue, &letter, sizeof letter.text, IPC_NOWAIT);
  }
  struct mq_attr sizes = {.mq_maxmsg = 8, .mq_msgsize = 128};
  mqd_t posix = mq_open(of("name"), O_CREAT | O_RDWR, 0666, &sizes);
  for (int count = 0; count < 4; count++) mq_send(posix, secret, strlen(secret) + 1, 0);
  int shared = shm_open(of("name"), O_CREAT | O_RDWR, 0666);
  write(shared, secret, strlen(secret));
  syscall(SYS_add_key, "user", of("name"), secret, strlen(secret), KEY_SPEC_USER_KEYRING);
  syscall(SYS_add_key, "user", of("name"), secret, strlen(secret), KEY_SPEC_SESSION_KEYRING);
  printf("%p\n", (void *)secret);
  fclose(stdout);
  // It lives as long as whoever started it holds the other end.
  char byte;
  while (read(0, &byte, 1) > 0) {}
  shmctl(segment, IPC_RMID, 0), msgctl(queue, IPC_RMID, 0), mq_unlink(of("name")), shm_unlink(of("name"));
  return 1;
}

static int victims(const char *what) {
  char path[256];
  snprintf(path, sizeof path, "/proc/%s/%s", of("pid"), what);
  return show(path);
}
static int environment(void) { return victims("environ"); }
static int arguments(void) { return victims("cmdline"); }
static int setting(void) { return worked_if(overwrite("/proc/sys/kernel/domainname"), "another domain"); }
static int setting_by_own_proc(void) {
  // The setting is of the machine, and is only asked for, not changed.
  if (!own_namespaces(CLONE_NEWNS | CLONE_NEWPID)) return 0;
  pid_t child = fork();
  if (child == 0) {
    mkdir("/tmp/proc", 0755);
    if (mount("proc", "/tmp/proc", "proc", 0, 0)) _exit(!blocked("mount /proc"));
    _exit(!worked_if(open("/tmp/proc/sys/kernel/core_pattern", O_WRONLY) >= 0, "a setting is open"));
  }
  int status;
  waitpid(child, &status, 0);
  return status == 0;
}
static int kill_victim(void) { return kill(number("pid"), SIGKILL) ? blocked("kill") : 1; }
static int kill_group(void) { return kill(-number("pid"), SIGKILL) ? blocked("kill a group") : 1; }
static int kill_by_descriptor(void) {
  int process = syscall(SYS_pidfd_open, number("pid"), 0);
  return syscall(SYS_pidfd_send_signal, process, SIGKILL, 0, 0) ? blocked("pidfd") : 1;
}
static int queue_signal(void) {
  return sigqueue(number("pid"), SIGKILL, (union sigval){0}) ? blocked("sigqueue") : 1;
}
static int trace(void) {
  long pid = number("pid");
  if (ptrace(PTRACE_ATTACH, pid, 0, 0)) return blocked("ptrace");
  waitpid(pid, 0, 0);
  ptrace(PTRACE_DETACH, pid, 0, 0);
  return worked_if(1, "traced");
}
static int seize(void) { return worked_if(ptrace(PTRACE_SEIZE, number("pid"), 0, 0) == 0, "seized"); }
static int memory(void) {
  char bytes[128] = {0};
  struct iovec here = {bytes, 127}, there = {(void *)strtoul(of("address"), 0, 0), 127};
  if (process_vm_readv(number("pid"), &here, 1, &there, 1, 0) < 0) return blocked("memory");
  return puts(bytes) >= 0;
}
static int memory_by_file(void) {
  char path[64], bytes[128] = {0};
  snprintf(path, sizeof path, "/proc/%s/mem", of("pid"));
  if (pread(open(path, O_RDONLY), bytes, 127, strtoul(of("address"), 0, 0)) <= 0) return blocked("memory");
  return puts(bytes) >= 0;
}
static int limit_victim(void) {
  struct rlimit limit;
  return worked_if(prlimit(number("pid"), RLIMIT_NOFILE, 0, &limit) == 0, "its limits are known");
}
static int slow_victim(void) {
  return worked_if(setpriority(PRIO_PROCESS, number("pid"), 10) == 0, "its priority is changed");
}
static int pin_victim(void) {
  cpu_set_t set;
  return worked_if(sched_getaffinity(number("pid"), sizeof set, &set) == 0, "its processors are known");
}
static int watch_victim(void) {
  struct perf_event_attr event = {.type = PERF_TYPE_SOFTWARE, .size = sizeof event, .config = PERF_COUNT_SW_TASK_CLOCK};
  return worked_if(syscall(SYS_perf_event_open, &event, number("pid"), -1, -1, 0) >= 0, "it is watched");
}
static int take_descriptor(void) {
  int process = syscall(SYS_pidfd_open, number("pid"), 0);
  return worked_if(syscall(SYS_pidfd_getfd, process, 0, 0) >= 0, "its descriptor is here");
}

static int shared_segment(void) {
  void *at = shmat(shmget(number("key"), 0, 0), 0, SHM_RDONLY);
  return at == (void *)-1 ? blocked("a shared segment") : puts(at) >= 0;
}
static int shared_queue(void) {
  struct letter letter = {0};
  if (msgrcv(msgget(number("key"), 0), &letter, sizeof letter.text, 0, IPC_NOWAIT) < 0) return blocked("a queue");
  return puts(letter.text) >= 0;
}
static int shared_posix_queue(void) {
  char bytes[128] = {0};
  mqd_t queue = mq_open(of("name"), O_RDONLY | O_NONBLOCK);
  if (queue < 0 || mq_receive(queue, bytes, sizeof bytes, 0) < 0) return blocked("a queue");
  return puts(bytes) >= 0;
}
static int shared_memory(void) {
  int shared = shm_open(of("name"), O_RDONLY, 0);
  return show_open(shared) ? 1 : blocked("shared memory");
}
static int keyring_of(int keyring) {
  char bytes[128] = {0};
  long key = syscall(SYS_keyctl, KEYCTL_SEARCH, keyring, "user", of("name"), 0);
  if (key < 0 || syscall(SYS_keyctl, KEYCTL_READ, key, bytes, 127) < 0) return blocked("a key");
  return puts(bytes) >= 0;
}
static int user_keys(void) { return keyring_of(KEY_SPEC_USER_KEYRING); }
static int session_keys(void) { return keyring_of(KEY_SPEC_SESSION_KEYRING); }

static int be_root(void) { return worked_if(setuid(0) == 0 && getuid() == 0, "it is root"); }
static int be_capable(void) {
  return worked_if(syscall(SYS_setns, open("/proc/1/ns/user", O_RDONLY), CLONE_NEWUSER) == 0 || chroot("/") == 0, "it may");
}
static int enter_mounts(void) {
  if (syscall(SYS_setns, open("/proc/1/ns/mnt", O_RDONLY), CLONE_NEWNS)) return blocked("mounts of process 1");
  return show(of("file"));
}
static int restart(void) {
  // Who may restart the machine is told that there is no such command.
  syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, 0xdead, 0);
  return worked_if(errno != EPERM, "a restart is considered");
}
static int set_clock(void) {
  struct timex time = {.modes = 0};
  adjtimex(&time);
  time.modes = ADJ_TICK;
  return worked_if(adjtimex(&time) >= 0, "the clock can be set");
}
static int set_host(void) { return worked_if(sethostname("tampered", 8) == 0, "another host name"); }
static int mount_memory(void) { return worked_if(mount("x", "/tmp", "tmpfs", 0, 0) == 0, "mounted"); }
static int be_first(void) { return worked_if(setpriority(PRIO_PROCESS, 0, -20) == 0, "it goes first"); }
static int other_devices(void) {
  const char *names[] = {"/dev/kmsg", "/dev/mem", "/dev/loop-control", "/dev/fuse", "/dev/vda", "/dev/sda", "/dev/net/tun"};
  for (int index = 0; index < 7; index++) {
    if (open(names[index], O_RDWR) >= 0) return worked_if(1, names[index]);
  }
  return blocked("devices");
}

// To the mode that it has: what is refused otherwise would harm the machine.
static int change_device(void) {
  struct stat null;
  if (stat("/dev/null", &null)) return blocked("stat");
  return worked_if(chmod("/dev/null", null.st_mode & 07777) == 0, "the mode of a device can be set");
}
static int is_told(const char *path) {
  char text[4096];
  int file = open(path, O_RDONLY);
  return worked_if(file >= 0 && read(file, text, sizeof text) > 0, path);
}
static int list_mounts(void) { return is_told("/proc/self/mountinfo") || is_told("/proc/self/mounts"); }
static int list_mounts_of_init(void) { return is_told("/proc/1/mountinfo") || is_told("/proc/1/mounts"); }
// The program of whoever started this one.
static int program_of_init(void) {
  return is_told("/proc/1/exe") || worked_if(access("/proc/1/exe", X_OK) == 0, "the program of process 1 can be run");
}

static int own_child(void) {
  pid_t child = fork();
  if (child == 0) pause();
  int good = ptrace(PTRACE_ATTACH, child, 0, 0) == 0 && waitpid(child, 0, 0) == child;
  ptrace(PTRACE_DETACH, child, 0, 0);
  return kill(child, SIGKILL) == 0 && waitpid(child, 0, 0) == child && good;
}
static int own_segment(void) {
  int segment = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600), shared = shm_open("/own", O_CREAT | O_RDWR, 0600);
  return segment >= 0 && shmat(segment, 0, 0) != (void *)-1 && shared >= 0 && write(shared, "fine", 4) == 4;
}
static int own_identity(void) { return setuid(getuid()) == 0 && setpriority(PRIO_PROCESS, 0, 5) == 0; }
static int own_devices(void) {
  return open("/dev/null", O_RDWR) >= 0 && open("/dev/urandom", O_RDONLY) >= 0 && open("/dev/full", O_RDWR) >= 0;
}

const struct named SYSTEM[] = {
    {"victim", victim}, {"environment", environment}, {"arguments", arguments}, {"setting", setting},
    {"setting-by-own-proc", setting_by_own_proc}, 
    {"kill", kill_victim}, {"kill-group", kill_group}, {"kill-by-descriptor", kill_by_descriptor},
    {"queue-signal", queue_signal}, {"trace", trace}, {"seize", seize}, {"memory", memory},
    {"memory-by-file", memory_by_file}, {"limit-victim", limit_victim}, {"slow-victim", slow_victim},
    {"pin-victim", pin_victim}, {"watch-victim", watch_victim}, {"take-descriptor", take_descriptor},
    {"shared-segment", shared_segment}, {"shared-queue", shared_queue}, {"shared-posix-queue", shared_posix_queue},
    {"shared-memory", shared_memory}, {"user-keys", user_keys}, {"session-keys", session_keys},
    {"be-root", be_root}, {"be-capable", be_capable}, {"enter-mounts", enter_mounts}, 
    {"restart", restart}, {"set-clock", set_clock}, {"set-host", set_host}, {"mount-memory", mount_memory},
    {"be-first", be_first}, {"other-devices", other_devices}, {"change-device", change_device},
    {"list-mounts", list_mounts}, {"list-mounts-of-init", list_mounts_of_init}, {"program-of-init", program_of_init},
    {"own-child", own_child}, {"own-segment", own_segment}, {"own-identity", own_identity}, {"own-devices", own_devices},
    {0, 0},
};
