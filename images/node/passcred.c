/* Preloaded into crun and CRIU: what Linux 6.16 changed and CRIU 4.1 does not know.
 *
 * SO_PASSCRED and SO_PASSSEC are refused since then (EOPNOTSUPP) on sockets that carry no credentials, TCP and UDP
 * among them, where they were always 0 before. CRIU asks for both when it dumps any socket, and gives up. CRIU 4.2 does
 * not ask; Debian trixie has 4.1. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#ifndef SO_PASSSEC
#define SO_PASSSEC 34
#endif

int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict length)
{
	static int (*next)(int, int, int, void *, socklen_t *);

	if (!next)
		next = dlsym(RTLD_NEXT, "getsockopt");
	int result = next(fd, level, name, value, length);
	if (result < 0 && errno == EOPNOTSUPP && level == SOL_SOCKET && (name == SO_PASSCRED || name == SO_PASSSEC)) {
		memset(value, 0, *length);
		return 0;
	}
	return result;
}
