/* Preloaded into Debian's adbd where it shares the network of the machine that runs the tests: TCP listeners are bound
 * to the loopback address, and there is no AF_VSOCK listener, which network namespaces would not confine. Given
 * to the loader by name, so that the daemon's children (shells, the runner) don't get it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#ifndef AF_VSOCK
#define AF_VSOCK 40
#endif

int socket(int domain, int type, int protocol) {
  int (*real)(int, int, int) = (int (*)(int, int, int))dlsym(RTLD_NEXT, "socket");
  if (domain == AF_VSOCK) {
    errno = EAFNOSUPPORT;
    return -1;
  }
  return real(domain, type, protocol);
}

int bind(int fd, const struct sockaddr *address, socklen_t length) {
  int (*real)(int, const struct sockaddr *, socklen_t) =
      (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "bind");
  if (address->sa_family == AF_INET && length >= sizeof(struct sockaddr_in)) {
    struct sockaddr_in own;
    memcpy(&own, address, sizeof own);
    own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return real(fd, (struct sockaddr *)&own, sizeof own);
  }
  if (address->sa_family == AF_INET6 && length >= sizeof(struct sockaddr_in6)) {
    /* A dual-stack listener: ::ffff:127.0.0.1 is IPv4's loopback on it. */
    static const unsigned char mapped[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1};
    struct sockaddr_in6 own;
    memcpy(&own, address, sizeof own);
    memcpy(&own.sin6_addr, mapped, sizeof mapped);
    return real(fd, (struct sockaddr *)&own, sizeof own);
  }
  return real(fd, address, length);
}
