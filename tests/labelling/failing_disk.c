/* A disk that fails: preloaded, it makes the n-th write or sync of matching files fail.
 *
 * FAILING_DISK_FILES  part of the name of the files it is about
 * FAILING_DISK_AT     which write or sync fails, counted from 1 in each process
 * FAILING_DISK_ERROR  ENOSPC: that one and all later writes fail, as on a full disk
 *                     EIO: that one alone
 * FAILING_DISK_LOG    a file that is made when it failed
 *
 * The environment is read at each call, so that a child sets it for itself after a fork.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static long passed = 0;

static int is_about(int descriptor) {
    char link[64], name[4096];
    const char *part = getenv("FAILING_DISK_FILES");
    if (part == NULL) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, name, sizeof name - 1);
    if (length < 0) return 0;
    name[length] = 0;
    return strstr(name, part) != NULL;
}

static void tell(const char *what) {
    const char *log = getenv("FAILING_DISK_LOG");
    if (log == NULL) return;
    int file = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (file < 0) return;
    dprintf(file, "%ld %s\n", passed, what);
    close(file);
}

/* Whether this call has to fail; errno is set then. `takes_space` tells that a full disk would matter to it. */
static int fails(int descriptor, const char *what, int takes_space) {
    const char *at = getenv("FAILING_DISK_AT");
    if (at == NULL || !is_about(descriptor)) return 0;
    const char *error = getenv("FAILING_DISK_ERROR");
    int full = error != NULL && strcmp(error, "ENOSPC") == 0;
    if (full && !takes_space) return 0;
    passed++;
    long wanted = atol(at);
    if (passed < wanted || (!full && passed > wanted)) return 0;
    if (passed == wanted) tell(what);
    errno = full ? ENOSPC : EIO;
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int descriptor, const void *data, size_t size) {
    if (fails(descriptor, "write", 1)) return -1;
    return REAL(write)(descriptor, data, size);
}

ssize_t pwrite(int descriptor, const void *data, size_t size, off_t offset) {
    if (fails(descriptor, "pwrite", 1)) return -1;
    return REAL(pwrite)(descriptor, data, size, offset);
}

ssize_t pwrite64(int descriptor, const void *data, size_t size, off64_t offset) {
    if (fails(descriptor, "pwrite64", 1)) return -1;
    return REAL(pwrite64)(descriptor, data, size, offset);
}

int fsync(int descriptor) {
    if (fails(descriptor, "fsync", 0)) return -1;
    return REAL(fsync)(descriptor);
}

int fdatasync(int descriptor) {
    if (fails(descriptor, "fdatasync", 0)) return -1;
    return REAL(fdatasync)(descriptor);
}

int ftruncate(int descriptor, off_t size) {
    if (fails(descriptor, "ftruncate", 0)) return -1;
    return REAL(ftruncate)(descriptor, size);
}

int ftruncate64(int descriptor, off64_t size) {
    if (fails(descriptor, "ftruncate64", 0)) return -1;
    return REAL(ftruncate64)(descriptor, size);
}
