/* A disk that fails when it is told to: preloaded into PostgreSQL, this answers EIO in the kernel's place.

   The folder in EIO_FOLDER tells what fails, from one call to the next: while there is a symbolic link `read`, `write` or
   `sync`, these calls fail on the files whose path has its target in it. `write.once` is a link that the first call which
   it fails takes away. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static int target(const char *link, char *found)
{
    ssize_t length = readlink(link, found, PATH_MAX - 1);

    found[length < 0 ? 0 : length] = 0;
    return length > 0;
}

static int switched(const char *what, const char *once, int fd)
{
    const char *folder = getenv("EIO_FOLDER");
    char link[PATH_MAX], part[PATH_MAX], open[64], path[PATH_MAX];

    snprintf(link, sizeof link, "%s/%s%s", folder ? folder : "", what, once);
    snprintf(open, sizeof open, "/proc/self/fd/%d", fd);
    return target(link, part) && target(open, path) && strstr(path, part) && (!*once || unlink(link) == 0);
}

static int fails(const char *what, int fd)
{
    int before = errno, failing = switched(what, "", fd) || switched(what, ".once", fd);

    errno = failing ? EIO : before;
    return failing;
}

#define CALL(type, name, what, parameters, ...)                     \
    type name parameters                                            \
    {                                                               \
        static type(*real) parameters;                              \
                                                                    \
        if (fails(what, fd))                                        \
            return -1;                                              \
        if (!real)                                                  \
            *(void **)&real = dlsym(RTLD_NEXT, #name);              \
        return real(__VA_ARGS__);                                   \
    }

CALL(ssize_t, pread, "read", (int fd, void *to, size_t size, off_t at), fd, to, size, at)
CALL(ssize_t, preadv, "read", (int fd, const struct iovec *to, int count, off_t at), fd, to, count, at)
CALL(ssize_t, pwrite, "write", (int fd, const void *from, size_t size, off_t at), fd, from, size, at)
CALL(ssize_t, pwritev, "write", (int fd, const struct iovec *from, int count, off_t at), fd, from, count, at)
CALL(int, fsync, "sync", (int fd), fd)
CALL(int, fdatasync, "sync", (int fd), fd)
