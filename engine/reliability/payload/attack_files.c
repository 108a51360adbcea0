// Attacks by files: paths, links, mounts, and what is left in outputs.
#include "attack.h"
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <linux/capability.h>

// How deep in folders anything may lie.
#define UP "../../../../../../../../../../../../../../../../../../../.."

static int at(const char *prefix, attack *then) {
  static char path[8192];
  snprintf(path, sizeof path, "%s%s", prefix, of("file"));
  (void)then;
  return show(path);
}

static int read_absolute(void) { return at("", 0); }
static int read_upwards(void) { return at(UP, 0); }
static int read_by_init(void) { return at("/proc/1/root", 0); }
static int read_by_root(void) { return at("/proc/self/root/" UP, 0); }
static int read_by_folder(void) { return at("/proc/self/cwd/" UP, 0); }
static int read_by_parent(void) {
  char path[8192];
  snprintf(path, sizeof path, "/proc/%d/root%s", getppid(), of("file"));
  return show(path);
}

// By every descriptor that was inherited: upwards from it, and what it is.
static int read_by_descriptor(void) {
  for (int number = 0; number < 1024; number++) {
    char path[8192];
    snprintf(path, sizeof path, UP "%s", of("file"));
    int found = openat(number, path + 0, O_RDONLY);
    if (show_open(found)) return 1;
    snprintf(path, sizeof path, "/proc/self/fd/%d/" UP "%s", number, of("file"));
    if (show_open(open(path, O_RDONLY))) return 1;
  }
  return blocked("descriptors");
}

// Out of a root by leaving it behind: the oldest trick.
static int leave_root(void) {
  own_namespaces(0);
  int before = open(".", O_RDONLY | O_DIRECTORY);
  mkdir("cell", 0755);
  if (chroot("cell")) return blocked("chroot");
  fchdir(before);
  for (int step = 0; step < 64; step++) chdir("..");
  chroot(".");
  return show(of("file"));
}

// By its handle, which needs no path.
static int by_handle(void) {
  struct {
    struct file_handle head;
    unsigned char bytes[128];
  } handle = {.head = {.handle_bytes = 0}};
  const char *text = of("handle");
  sscanf(text, "%d:", &handle.head.handle_type);
  for (text = strchr(text, ':') + 1; text[0] && text[1]; text += 2) {
    unsigned byte;
    sscanf(text, "%2x", &byte);
    handle.head.f_handle[handle.head.handle_bytes++] = byte;
  }
  int place = open(".", O_RDONLY | O_DIRECTORY);
  int found = open_by_handle_at(place, &handle.head, O_RDONLY);
  if (found < 0 && own_namespaces(CLONE_NEWNS)) found = open_by_handle_at(place, &handle.head, O_RDONLY);
  return show_open(found) ? 1 : blocked("open by handle");
}

// No attack: tells the handle of a file.
static int tell_handle(void) {
  struct {
    struct file_handle head;
    unsigned char bytes[128];
  } handle = {.head = {.handle_bytes = 128}};
  int place;
  if (name_to_handle_at(AT_FDCWD, of("file"), &handle.head, &place, 0)) return blocked("a handle");
  printf("%d:", handle.head.handle_type);
  for (unsigned index = 0; index < handle.head.handle_bytes; index++) printf("%02x", handle.head.f_handle[index]);
  return 1;
}

static int write_absolute(void) { return overwrite(of("writable")); }
static int write_by_init(void) {
  char path[8192];
  snprintf(path, sizeof path, "/proc/1/root%s", of("writable"));
  return overwrite(path);
}
static int remove_absolute(void) { return unlink(of("writable")) ? blocked("remove") : 1; }
static int rename_absolute(void) { return rename(of("writable"), "mine") ? blocked("move") : 1; }
static int write_store(void) { return overwrite(of("stored")); }

// Inputs.
static int write_input(void) { return overwrite("in/data.txt"); }
static int reopen_input(void) {
  char path[64];
  int input = open("in/data.txt", O_RDONLY);
  snprintf(path, sizeof path, "/proc/self/fd/%d", input);
  return overwrite(path);
}
// By the descriptor that standard input is.
static int reopen_stdin(void) {
  if (fchmod(0, 0644)) blocked("change the mode of standard input");
  return overwrite("/proc/self/fd/0");
}
static int unlink_input(void) {
  if (unlink("in/data.txt")) return blocked("unlink");
  int made = open("in/data.txt", O_CREAT | O_WRONLY, 0644);
  return write(made, "tampered\n", 9) == 9;
}
static int exchange_input(void) {
  int made = open("mine", O_CREAT | O_WRONLY, 0644);
  if (write(made, "tampered\n", 9) != 9) return 0;
  return rename("mine", "in/data.txt") ? blocked("rename over an input") : 1;
}
static int link_input(void) { return link("in/data.txt", "mine") ? blocked("link") : overwrite("mine"); }
static int move_folder(void) {
  if (rename("in", "away")) return blocked("move the folder");
  return overwrite("away/data.txt");
}
static int remount_input(void) {
  own_namespaces(CLONE_NEWNS);
  mount(0, "in/data.txt", 0, MS_REMOUNT | MS_BIND, 0);
  return overwrite("in/data.txt");
}
static int unmount_input(void) {
  own_namespaces(CLONE_NEWNS);
  umount2("in/data.txt", MNT_DETACH);
  return overwrite("in/data.txt");
}
static int unmount_root(void) {
  own_namespaces(CLONE_NEWNS);
  umount2("/work", MNT_DETACH), umount2("/", MNT_DETACH), chdir("/");
  return show(of("file"));
}
static int bind_writable(void) {
  own_namespaces(CLONE_NEWNS);
  mkdir("/tmp/copy", 0755);
  if (mount("in", "/tmp/copy", 0, MS_BIND | MS_REC, 0)) return blocked("bind");
  mount(0, "/tmp/copy/data.txt", 0, MS_REMOUNT | MS_BIND, 0);
  return overwrite("/tmp/copy/data.txt");
}
static int map_input(void) { return truncate("in/data.txt", 0) ? blocked("truncate") : 1; }
static int attribute_input(void) {
  struct timespec times[2] = {{1, 0}, {1, 0}};
  chmod("in/data.txt", 0777);
  return utimensat(AT_FDCWD, "in/data.txt", times, 0) ? blocked("times") : overwrite("in/data.txt");
}

// Outputs.
static int evil_link(void) { return symlink(of("file"), of("out")) == 0; }
static int evil_chain(void) {
  char path[4096];
  snprintf(path, sizeof path, "%s", of("out"));
  strcpy(strrchr(path, '/'), "/first");
  return symlink(of("file"), path) == 0 && symlink("first", of("out")) == 0;
}
static int evil_upwards(void) {
  char path[8192];
  snprintf(path, sizeof path, UP "%s", of("file"));
  return symlink(path, of("out")) == 0;
}
static int evil_folder(void) {
  char folder[4096];
  snprintf(folder, sizeof folder, "%s", of("out"));
  *strrchr(folder, '/') = 0;
  unlink(of("out"));
  return rmdir(folder) == 0 && symlink(of("folder"), folder) == 0 ? 1 : blocked("replace the folder");
}
static int evil_tree(void) {
  char path[8192];
  mkdir(of("tree"), 0755);
  snprintf(path, sizeof path, "%s/link", of("tree"));
  symlink(of("folder"), path);
  snprintf(path, sizeof path, "%s/file", of("tree"));
  return symlink(of("file"), path) == 0;
}
// By its words no link in it leads out: one goes down far, by way of another that leads up again, and from there out.
static int evil_way(void) {
  char path[8192], up[8192] = "", way[8192] = "";
  snprintf(path, sizeof path, "%s", of("tree"));
  mkdir(path, 0755);
  for (int level = 0; level < 24; level++) {
    strcat(path, "/a");
    mkdir(path, 0755);
    strcat(way, "a/");
    strcat(up, level ? "/.." : "..");
  }
  strcat(path, "/top");
  symlink(up, path);
  strcat(way, "top");
  for (int level = 0; level < 25; level++) strcat(way, "/..");
  strcat(way, of("file"));
  snprintf(path, sizeof path, "%s/file", of("tree"));
  return symlink(way, path) == 0;
}
static int evil_pipe(void) { return mkfifo(of("out"), 0666) == 0; }
static int evil_socket(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, of("out"), sizeof address.sun_path - 1);
  return bind(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&address, sizeof address) == 0;
}
// The only device that everybody may make.
static int evil_device(void) { return mknod(of("out"), S_IFCHR | 0666, 0) == 0; }
static int file_out(int mode) {
  int made = open(of("out"), O_CREAT | O_WRONLY, 0755);
  return write(made, "#!/bin/sh\n", 10) == 10 && fchmod(made, mode) == 0;
}
static int evil_setuid(void) { return file_out(06755); }
static int evil_capable(void) {
  struct vfs_cap_data all = {.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE,
                             .data = {{.permitted = ~0u}, {.permitted = 0x1ff}}};
  file_out(0755);
  if (setxattr(of("out"), "security.capability", &all, sizeof all, 0) == 0) return 1;
  own_namespaces(0);
  return setxattr(of("out"), "security.capability", &all, sizeof all, 0) ? blocked("capabilities") : 1;
}
static int evil_attribute(void) {
  file_out(0755);
  return setxattr(of("out"), "user.secret", "tampered", 8, 0) ? blocked("an attribute") : 1;
}
static int evil_linked(void) { return link(of("file"), of("out")) ? blocked("link") : 1; }

// What is harmless.
static int own_read(void) { return show("in/data.txt"); }
static int own_write(void) {
  int made = open("mine", O_CREAT | O_RDWR, 0644);
  return write(made, "fine\n", 5) == 5 && rename("mine", "yours") == 0 && unlink("yours") == 0;
}
static int own_link(void) { return file_out(0644) && link(of("out"), "again") == 0 && symlink("again", "third") == 0; }
static int own_output(void) {
  mkdir("real", 0755);
  int made = open("real/file", O_CREAT | O_WRONLY, 0644);
  return write(made, "fine\n", 5) == 5 && symlink("/work/real/file", of("out")) == 0;
}

static int own_tree(void) {
  char path[8192];
  mkdir(of("tree"), 0755);
  snprintf(path, sizeof path, "%s/real", of("tree"));
  int made = open(path, O_CREAT | O_WRONLY, 0644);
  snprintf(path, sizeof path, "%s/link", of("tree"));
  return write(made, "fine\n", 5) == 5 && symlink("real", path) == 0;
}

const struct named FILES[] = {
    {"read-absolute", read_absolute}, {"read-upwards", read_upwards}, {"read-by-init", read_by_init},
    {"read-by-root", read_by_root}, {"read-by-folder", read_by_folder}, {"read-by-parent", read_by_parent},
    {"read-by-descriptor", read_by_descriptor}, {"leave-root", leave_root}, {"by-handle", by_handle},
    {"tell-handle", tell_handle}, {"write-absolute", write_absolute}, {"write-by-init", write_by_init},
    {"remove", remove_absolute}, {"rename", rename_absolute}, {"write-store", write_store},
    {"write-input", write_input}, {"reopen-input", reopen_input}, {"reopen-stdin", reopen_stdin}, {"unlink-input", unlink_input},
    {"exchange-input", exchange_input}, {"link-input", link_input}, {"move-folder", move_folder},
    {"remount-input", remount_input}, {"unmount-input", unmount_input}, {"unmount-root", unmount_root},
    {"bind-writable", bind_writable}, {"truncate-input", map_input}, {"attribute-input", attribute_input},
    {"evil-link", evil_link}, {"evil-chain", evil_chain}, {"evil-upwards", evil_upwards},
    {"evil-folder", evil_folder}, {"evil-tree", evil_tree}, {"evil-way", evil_way}, {"evil-pipe", evil_pipe}, {"evil-socket", evil_socket},
    {"evil-device", evil_device}, {"evil-setuid", evil_setuid},
    {"evil-capable", evil_capable}, {"evil-attribute", evil_attribute}, {"evil-linked", evil_linked},
    {"own-read", own_read}, {"own-write", own_write}, {"own-link", own_link}, {"own-output", own_output},
    {"own-tree", own_tree},
    {0, 0},
};
