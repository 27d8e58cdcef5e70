/* file - a whole file in memory. Thread-safe. */
#ifndef LOCAL_LIB_FILE_H
#define LOCAL_LIB_FILE_H

#include <stddef.h>

/*
 * Reads all of the file or pipe `path`. `padding` more bytes, all 0, follow its end in memory.
 * Peak memory is the file's size once. Returns 0 and the bytes in `*bytes` (the caller frees it;
 * never NULL), their number in `*count`; or -1 with errno (of open, fstat, read or malloc; EISDIR
 * for a directory).
 */
int file_read(const char *path, size_t padding, unsigned char **bytes, size_t *count);

#endif
