/* A clock that jumps, for the program that is started with this library before its own: the time of day is the machine's
 * plus the next of the seconds in CLOCK_JUMPS, a list that starts again at its end. Other clocks stay as they are. The
 * first look at the time of day creates the file CLOCK_MARK, so that it can be seen that the jumps took place. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static atomic_uint calls;

static void mark(void) {
    const char *path = getenv("CLOCK_MARK");
    int file = path ? open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644) : -1;
    if (file >= 0) close(file);
}

static long jump(void) {
    unsigned call = atomic_fetch_add(&calls, 1);
    const char *list = getenv("CLOCK_JUMPS");
    if (call == 0) mark();
    if (!list) return 0;
    unsigned count = 1;
    for (const char *at = list; *at; at++) count += *at == ',';
    for (unsigned skip = call % count; skip > 0; list++) skip -= *list == ',';
    return atol(list);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = syscall(SYS_clock_gettime, clock, time);
    if (result == 0 && clock == CLOCK_REALTIME) time->tv_sec += jump();
    return result;
}
