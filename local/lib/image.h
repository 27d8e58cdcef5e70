/*
 * image - a picture as a file, on top of libpng. Nothing is printed, nor by libpng. Thread-safe.
 */
#ifndef LOCAL_LIB_IMAGE_H
#define LOCAL_LIB_IMAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "local/lib/status.h"

/* Whether this build can write pictures: it was made with libpng. */
bool image_possible(void);

/*
 * Whether a picture can be written to `path`, for a program to know before it begins: a name that
 * ends in .png, and a file that can be written (it is made, empty, if there is none; what it holds
 * stays). PASS; or USAGE, or UNABLE in a build without libpng, with a sentence that begins with the
 * path in `error` (`error_size` bytes at most, always terminated).
 */
enum status image_check(const char *path, char *error, size_t error_size);

/*
 * Writes `width` x `height` pixels, row by row from the top, three bytes (red, green, blue) each,
 * as a PNG file. The same pixels give the same bytes. Returns 0; or -1 with errno: ENOTSUP in a
 * build without libpng, EINVAL for a picture without pixels, ENOMEM, or that of opening, writing or
 * closing the file (EIO where nothing better is known). A file that was begun is left as it is.
 */
int image_write_png(const char *path, const unsigned char *rgb, int width, int height);

/* The colour of `value`, 0 to 1: from dark blue over violet to ivory, ever lighter. */
void image_colour(double value, unsigned char rgb[3]);

#endif
