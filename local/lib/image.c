#include "local/lib/image.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#ifdef HAVE_PNG
#include <png.h>
#endif

#ifdef HAVE_PNG

bool image_possible(void)
{
    return true;
}

/* libpng jumps back here when it fails, so nothing that changes after setjmp() is used behind it. */
static int write_png(png_structp png, png_infop info, FILE *file, const unsigned char *rgb, int width,
                     int height)
{
    if (setjmp(png_jmpbuf(png)))
        return -1;
    png_init_io(png, file);
    png_set_IHDR(png, info, (png_uint_32)width, (png_uint_32)height, 8, PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (int row = 0; row < height; row++)
        png_write_row(png, rgb + 3 * (size_t)row * (size_t)width);
    png_write_end(png, NULL); /* no time: it would make each file another one */
    return 0;
}

static int close_file(FILE *file, int result)
{
    if (result && errno == 0)
        errno = EIO;
    const int error = errno;
    if (fclose(file) && result == 0)
        return -1;
    if (result)
        errno = error;
    return result;
}

int image_write_png(const char *path, const unsigned char *rgb, int width, int height)
{
    if (width < 1 || height < 1) {
        errno = EINVAL;
        return -1;
    }
    FILE *file = fopen(path, "wb");
    if (!file)
        return -1;
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    int result = -1;
    errno = info ? 0 : ENOMEM;
    if (info)
        result = write_png(png, info, file, rgb, width, height);
    png_destroy_write_struct(&png, &info);
    return close_file(file, result);
}

#else

bool image_possible(void)
{
    return false;
}

int image_write_png(const char *path, const unsigned char *rgb, int width, int height)
{
    (void)path;
    (void)rgb;
    (void)width;
    (void)height;
    errno = ENOTSUP;
    return -1;
}

#endif
