#include "local/lib/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int file_read(const char *path, size_t padding, unsigned char **bytes, size_t *count)
{
    unsigned char *buf = NULL;
    struct stat about;
    size_t used = 0, room;
    int error = 0;

    const int fd = open(path, O_RDONLY);
    if (fd < 0)
        return -1;
    if (fstat(fd, &about))
        goto close_file;
    /* A pipe tells no size, and a file may grow while it is read: the room is a first guess. One
     * byte more than the file, so that a read of 0 bytes confirms its end. */
    room = (size_t)about.st_size + 1;
    for (;;) {
        unsigned char *larger = realloc(buf, room + padding);
        if (!larger)
            goto close_file;
        buf = larger;
        while (used < room) {
            const ssize_t got = read(fd, buf + used, room - used);
            if (got < 0 && errno == EINTR)
                continue;
            if (got < 0)
                goto close_file;
            if (got == 0) {
                memset(buf + used, 0, padding);
                close(fd);
                *bytes = buf;
                *count = used;
                return 0;
            }
            used += (size_t)got;
        }
        room += room / 2 + 65536;
    }

close_file:
    error = errno;
    free(buf);
    close(fd);
    errno = error;
    return -1;
}
