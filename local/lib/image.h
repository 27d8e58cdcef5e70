/* image - a picture as a file, on top of libpng. Thread-safe. */
#ifndef LOCAL_LIB_IMAGE_H
#define LOCAL_LIB_IMAGE_H

#include <stdbool.h>

/* Whether this build can write pictures: it was made with libpng. */
bool image_possible(void);

/*
 * Writes `width` x `height` pixels, row by row from the top, three bytes (red, green, blue) each, as
 * a PNG file. The same pixels give the same bytes. Returns 0; or -1 with errno: ENOTSUP in a build
 * without libpng, EINVAL for a picture without pixels, ENOMEM, or that of opening, writing or closing the file (EIO where
 * nothing better is known).
 */
int image_write_png(const char *path, const unsigned char *rgb, int width, int height);

#endif
