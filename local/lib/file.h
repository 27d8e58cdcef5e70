/* file - a whole file in memory, and a file that appears whole. Nothing is printed. Thread-safe. */
#ifndef LOCAL_LIB_FILE_H
#define LOCAL_LIB_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of a pipe or device that file_read() takes: 1 GiB. */
#define FILE_STREAM_MAX ((size_t)1 << 30)

/*
 * Reads all of the file or pipe `path`. `padding` more bytes, all 0, follow its end in memory.
 * Peak memory is the file's size once. Returns 0 and the bytes in `*bytes` (the caller frees it;
 * never NULL), their number in `*count`; or -1 with errno: that of open, fstat, read or malloc,
 * EISDIR for a directory, EFBIG for a pipe or device that does not end within FILE_STREAM_MAX,
 * ENOMEM for a file larger than this machine's memory, ENODATA for a FIFO that nobody writes to.
 */
int file_read(const char *path, size_t padding, unsigned char **bytes, size_t *count);

/*
 * 0 if `path` can be written, or -1 with errno. A file that is not there is made, empty; one that is
 * there keeps what it holds. Does not wait for the reader of a FIFO.
 */
int file_writable(const char *path);

/* Whether two names stand for one regular file, by whatever path or link; also for one that neither
 * is yet. */
bool file_same(const char *one, const char *other);

/*
 * A file that is written beside its name and takes that name when it is whole:
 *
 *     struct file_draft draft;
 *     if (file_begin(&draft, path) == 0) {
 *         ... write to draft.fd, or to the name draft.name ...
 *         written ? file_finish(&draft, true) : file_drop(&draft);
 *     }
 *
 * Until then, and whoever is killed in the middle, the older file is what it was. The name of a
 * draft is random (PATH.tmp.KERNEL.PID.RANDOM), so that two jobs never share one; it is made by
 * O_EXCL, which follows no link that somebody has put there. Where PATH itself is a link, the new
 * file takes the place of the link.
 */
struct file_draft {
    char *path; /* a copy */
    char *name;
    int fd;     /* open for reading and writing, closed on exec */
};

/* Makes an empty draft, its mode by umask. Returns 0, or -1 with errno (nothing to drop then): EISDIR
 * or EINVAL where PATH is a folder or a device. */
int file_begin(struct file_draft *draft, const char *path);

/*
 * Gives the draft its name and closes it; with `sync` its data is on the disk before that, and its
 * name after. Returns 0, or -1 with errno, and the draft is dropped: ESTALE where another file is
 * now at draft->name.
 */
int file_finish(struct file_draft *draft, bool sync);

/* Closes and removes the draft. Keeps errno. */
void file_drop(struct file_draft *draft);

/*
 * Removes the drafts of `path` that processes have left which were killed: own files whose process
 * is gone, or, where it ran on another node (or in another container, or before a boot) and cannot
 * be asked for, that nobody has touched for a week. Returns how many.
 */
int file_sweep(const char *path);

#endif
