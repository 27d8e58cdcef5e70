#include "local/lib/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- Reading ---- */

/* The most bytes that are taken, and `*room` as a first guess: a pipe tells no size, and a file may
 * grow. One byte more than the file, so that a read of 0 bytes confirms its end. */
static size_t most_of(const struct stat *about, size_t *room)
{
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);

    if (!S_ISREG(about->st_mode)) {
        *room = 1;
        return FILE_STREAM_MAX;
    }
    *room = (size_t)about->st_size + 1;
    return pages > 0 && page > 0 ? (size_t)pages * (size_t)page : SIZE_MAX / 2;
}

/* Opened without waiting, or a FIFO that nobody writes to would hold it for ever. One that somebody
 * has opened to write to says EAGAIN until there is something: from then on reading waits. */
static ssize_t read_some(int fd, unsigned char *bytes, size_t count)
{
    ssize_t got;

    while ((got = read(fd, bytes, count)) < 0) {
        if (errno == EAGAIN && fcntl(fd, F_SETFL, O_RDONLY) == 0)
            continue;
        if (errno != EINTR)
            break;
    }
    return got;
}

/* A pipe (/dev/fd/3) had a writer, or it would not be there; a name in a folder tells nothing. */
static bool has_no_writer(const char *path, const struct stat *about)
{
    struct stat named;

    return S_ISFIFO(about->st_mode) && lstat(path, &named) == 0 && S_ISFIFO(named.st_mode);
}

int file_read(const char *path, size_t padding, unsigned char **bytes, size_t *count)
{
    unsigned char *buf = NULL;
    struct stat about;
    size_t used = 0, room;
    int error = 0;

    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (fstat(fd, &about))
        goto close_file;
    const size_t most = most_of(&about, &room);
    for (bool first = true; room <= most + 1; room += room / 2 + 65536) {
        unsigned char *larger = realloc(buf, room + padding);
        if (!larger)
            goto close_file;
        buf = larger;
        while (used < room) {
            const ssize_t got = read_some(fd, buf + used, room - used);
            if (got < 0)
                goto close_file;
            if (got == 0 && first && has_no_writer(path, &about)) {
                errno = ENODATA;
                goto close_file;
            }
            if (got == 0) {
                memset(buf + used, 0, padding);
                close(fd);
                *bytes = buf;
                *count = used;
                return 0;
            }
            used += (size_t)got;
            first = false;
        }
    }
    errno = S_ISREG(about.st_mode) ? ENOMEM : EFBIG;

close_file:
    error = errno;
    free(buf);
    close(fd);
    errno = error;
    return -1;
}

/* ---- Names ---- */

int file_writable(const char *path)
{
    struct stat about;

    if (stat(path, &about) == 0 && !S_ISREG(about.st_mode) && !S_ISDIR(about.st_mode))
        return access(path, W_OK);
    const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    return fd < 0 ? -1 : close(fd);
}

/* A folder as a string that the caller frees, and where the name within it begins. */
static char *folder_of(const char *path, const char **base)
{
    const char *const slash = strrchr(path, '/');

    *base = slash ? slash + 1 : path;
    return slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
}

static bool is_one(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

bool file_same(const char *one, const char *other)
{
    const char *one_base, *other_base;
    struct stat a, b;

    const bool there = stat(one, &a) == 0, other_there = stat(other, &b) == 0;
    if (there || other_there)
        return there && other_there && S_ISREG(a.st_mode) && is_one(&a, &b);
    char *const folder = folder_of(one, &one_base);
    char *const other_folder = folder_of(other, &other_base);
    const bool same = folder && other_folder && stat(folder, &a) == 0 &&
                      stat(other_folder, &b) == 0 && is_one(&a, &b) &&
                      strcmp(one_base, other_base) == 0;
    free(folder);
    free(other_folder);
    return same;
}

/* ---- Drafts ---- */

/* Names the kernel and its numbers of processes: where it is the same, a process can be asked for.
 * 0 where that is not known. */
static uint32_t kernel(void)
{
    unsigned char *boot;
    struct stat numbers;
    uint32_t hash = 2166136261; /* FNV-1a */
    size_t count;

    if (stat("/proc/self/ns/pid", &numbers) ||
        file_read("/proc/sys/kernel/random/boot_id", 0, &boot, &count))
        return 0;
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ boot[i]) * 16777619;
    free(boot);
    return hash ^ (uint32_t)numbers.st_ino;
}

static char *draft_name(const char *path)
{
    const size_t size = strlen(path) + 48;
    char *name = malloc(size);
    uint32_t number;

    if (!name || getrandom(&number, sizeof number, 0) != sizeof number) {
        free(name);
        return NULL;
    }
    snprintf(name, size, "%s.tmp.%08" PRIx32 ".%ld.%08" PRIx32, path, kernel(), (long)getpid(),
             number);
    return name;
}

/* A device or a folder has a name that no file should take: rename() would put one in the place of
 * /dev/null. */
static bool is_replaceable(const char *path)
{
    struct stat about;

    if (lstat(path, &about) || S_ISREG(about.st_mode) || S_ISLNK(about.st_mode))
        return true;
    errno = S_ISDIR(about.st_mode) ? EISDIR : EINVAL;
    return false;
}

int file_begin(struct file_draft *draft, const char *path)
{
    if (!is_replaceable(path))
        return -1;
    *draft = (struct file_draft){ .path = strdup(path), .fd = -1 };
    while (draft->path && draft->fd < 0) {
        free(draft->name);
        draft->name = draft_name(path);
        if (!draft->name)
            break;
        draft->fd = open(draft->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (draft->fd < 0 && errno != EEXIST)
            break;
    }
    if (draft->fd >= 0)
        return 0;
    const int error = errno;
    free(draft->path);
    free(draft->name);
    *draft = (struct file_draft){ .fd = -1 };
    errno = error;
    return -1;
}

static void forget(struct file_draft *draft)
{
    close(draft->fd);
    free(draft->path);
    free(draft->name);
    *draft = (struct file_draft){ .fd = -1 };
}

void file_drop(struct file_draft *draft)
{
    const int error = errno;

    if (draft->fd >= 0) {
        unlink(draft->name);
        forget(draft);
    }
    errno = error;
}

/* Not all file systems can; the data is there in any case. */
static void sync_folder(const char *path)
{
    const char *base;
    char *const folder = folder_of(path, &base);
    const int fd = folder ? open(folder, O_RDONLY | O_CLOEXEC) : -1;

    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(folder);
}

/* Whether the name still is the file that was made: MPI-IO, say, opened it by name. */
static bool is_ours(const struct file_draft *draft)
{
    struct stat made, named;

    return fstat(draft->fd, &made) == 0 && lstat(draft->name, &named) == 0 &&
           is_one(&made, &named);
}

int file_finish(struct file_draft *draft, bool sync)
{
    if (!is_ours(draft)) {
        const int error = ESTALE;
        forget(draft);
        errno = error;
        return -1;
    }
    if ((sync && fsync(draft->fd)) || rename(draft->name, draft->path)) {
        file_drop(draft);
        return -1;
    }
    if (sync)
        sync_folder(draft->path);
    forget(draft);
    return 0;
}

/* Whether `text` begins as draft_name() ends a name, and ends there. A name that is nearly so
 * (field.tmp.2026.12.01) is somebody's. */
static bool read_ending(const char *text, uint32_t *where, long *process)
{
    char first[9], last[9], number[12];
    int length = 0;

    if (sscanf(text, ".tmp.%8[0-9a-f].%11[0-9].%8[0-9a-f]%n", first, number, last, &length) != 3 ||
        text[length] || strlen(first) != 8 || strlen(last) != 8)
        return false;
    *where = (uint32_t)strtoul(first, NULL, 16);
    *process = strtol(number, NULL, 10);
    return *process > 0;
}

static bool is_stale(const char *ending, const struct stat *about)
{
    enum { WEEK_SECS = 7 * 24 * 3600 };
    uint32_t where;
    long process;

    if (!read_ending(ending, &where, &process) || !S_ISREG(about->st_mode) ||
        about->st_uid != geteuid())
        return false;
    if (where != 0 && where == kernel())
        return kill((pid_t)process, 0) && errno == ESRCH;
    return time(NULL) - about->st_mtime > WEEK_SECS;
}

int file_sweep(const char *path)
{
    const char *base;
    char *const folder = folder_of(path, &base);
    DIR *const entries = folder ? opendir(folder) : NULL;
    const size_t length = strlen(base);
    struct stat about;
    int swept = 0;

    for (const struct dirent *entry; entries && (entry = readdir(entries)); )
        if (strncmp(entry->d_name, base, length) == 0 &&
            fstatat(dirfd(entries), entry->d_name, &about, AT_SYMLINK_NOFOLLOW) == 0 &&
            is_stale(entry->d_name + length, &about))
            swept += unlinkat(dirfd(entries), entry->d_name, 0) == 0;
    if (entries)
        closedir(entries);
    free(folder);
    return swept;
}
