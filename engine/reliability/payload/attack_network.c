// Attacks over networks and sockets.
#include "attack.h"
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

static int hear(int socket, const void *address, socklen_t length) {
  struct timeval patience = {2, 0};
  setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (connect(socket, address, length)) return blocked("connect");
  send(socket, "?", 1, MSG_NOSIGNAL);
  return show_open(socket) ? 1 : blocked("hear");
}

static struct sockaddr_in loopback(const char *port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(number(port))};
  inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
  return address;
}

static int tcp(void) {
  struct sockaddr_in address = loopback("tcp");
  return hear(socket(AF_INET, SOCK_STREAM, 0), &address, sizeof address);
}
static int udp(void) {
  struct sockaddr_in address = loopback("udp");
  return hear(socket(AF_INET, SOCK_DGRAM, 0), &address, sizeof address);
}
static int mapped(void) {
  struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(number("tcp"))};
  inet_pton(AF_INET6, "::ffff:127.0.0.1", &address.sin6_addr);
  return hear(socket(AF_INET6, SOCK_STREAM, 0), &address, sizeof address);
}
static int local(const char *prefix, const char *name) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s%s", prefix, name);
  if (prefix[0] == '@') address.sun_path[0] = 0;
  size_t length = offsetof(struct sockaddr_un, sun_path) + strlen(prefix) + strlen(name);
  return hear(socket(AF_UNIX, SOCK_STREAM, 0), &address, length);
}
static int abstract(void) { return local("@", of("abstract")); }
static int path(void) { return local("", of("socket")); }
static int path_by_init(void) { return local("/proc/1/root", of("socket")); }
static int enter_network(void) {
  if (syscall(SYS_setns, open("/proc/1/ns/net", O_RDONLY), CLONE_NEWNET)) return blocked("network of process 1");
  return tcp();
}
static int raw(void) { return worked_if(socket(AF_PACKET, SOCK_RAW, 0) >= 0, "a raw socket"); }
static int icmp(void) { return worked_if(socket(AF_INET, SOCK_RAW, 1) >= 0, "a raw socket"); }
static int configure(void) {
  struct ifreq request = {.ifr_name = "lo"};
  int any = socket(AF_INET, SOCK_DGRAM, 0);
  ioctl(any, SIOCGIFFLAGS, &request);
  return worked_if(ioctl(any, SIOCSIFFLAGS, &request) == 0, "loopback is configured");
}
static int low_port(void) {
  struct sockaddr_in address = loopback("none");
  address.sin_port = htons(443);
  return worked_if(bind(socket(AF_INET, SOCK_STREAM, 0), (void *)&address, sizeof address) == 0, "a port of services");
}
static int own_loopback(void) {
  struct sockaddr_in address = loopback("none");
  socklen_t length = sizeof address;
  int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(server, (void *)&address, length) || listen(server, 1)) return blocked("listen");
  getsockname(server, (void *)&address, &length);
  return connect(client, (void *)&address, length) == 0;
}
static int own_socket(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "\0mine"};
  int server = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(server, (void *)&address, 7) || listen(server, 1)) return blocked("listen");
  return connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&address, 7) == 0;
}

const struct named NETWORK[] = {
    {"tcp", tcp}, {"udp", udp}, {"mapped", mapped}, {"abstract", abstract}, {"path", path},
    {"path-by-init", path_by_init}, {"enter-network", enter_network}, {"raw", raw}, {"icmp", icmp},
    {"configure", configure}, {"low-port", low_port}, {"own-loopback", own_loopback}, {"own-socket", own_socket}, {0, 0},
};
