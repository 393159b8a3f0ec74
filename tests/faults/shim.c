/* Library for LD_PRELOAD that simulates read errors in the middle of a file, and a wrong clock.
 *
 * FAULTY_FILE   part of the path of the file whose reads fail with EIO
 * FAULTY_FROM   first byte whose read fails
 * CLOCK_OFF_S   offset of the time of day in seconds; monotonic clocks are unchanged
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define REAL(result, name, ...) \
    static result (*real)(__VA_ARGS__); \
    if (!real) real = dlsym(RTLD_NEXT, #name)

static int fails(int file, off_t end) {
    const char *name = getenv("FAULTY_FILE"), *from = getenv("FAULTY_FROM");
    char link[64], path[4096];
    if (!name || !*name || !from || end <= atoll(from)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    if (!strstr(path, name)) return 0;
    errno = EIO;
    return 1;
}

ssize_t read(int file, void *buffer, size_t count) {
    REAL(ssize_t, read, int, void *, size_t);
    int before = errno;
    if (count && getenv("FAULTY_FILE") && fails(file, lseek(file, 0, SEEK_CUR) + 1)) return -1;
    errno = before;
    return real(file, buffer, count);
}

ssize_t pread(int file, void *buffer, size_t count, off_t at) {
    REAL(ssize_t, pread, int, void *, size_t, off_t);
    return fails(file, at + (off_t)count) ? -1 : real(file, buffer, count, at);
}

ssize_t pread64(int file, void *buffer, size_t count, off64_t at) {
    REAL(ssize_t, pread64, int, void *, size_t, off64_t);
    return fails(file, at + (off64_t)count) ? -1 : real(file, buffer, count, at);
}

size_t fread(void *buffer, size_t size, size_t count, FILE *stream) {
    REAL(size_t, fread, void *, size_t, size_t, FILE *);
    if (getenv("FAULTY_FILE") && fails(fileno(stream), ftello(stream) + (off_t)(size * count))) return 0;
    return real(buffer, size, count, stream);
}

static long off(void) {
    const char *seconds = getenv("CLOCK_OFF_S");
    return seconds ? atol(seconds) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(int, clock_gettime, clockid_t, struct timespec *);
    int result = real(clock, now);
    if (!result && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += off();
    return result;
}

int gettimeofday(struct timeval *now, void *zone) {
    REAL(int, gettimeofday, struct timeval *, void *);
    int result = real(now, zone);
    if (!result) now->tv_sec += off();
    return result;
}

time_t time(time_t *now) {
    REAL(time_t, time, time_t *);
    time_t result = real(NULL) + off();
    if (now) *now = result;
    return result;
}
