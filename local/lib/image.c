#include "local/lib/image.h"
#include "local/lib/file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#ifdef HAVE_PNG
#include <png.h>
#endif

enum status image_check(const char *path, char *error, size_t error_size)
{
    const char *end = strrchr(path, '.');

    if (!end || strcmp(end, ".png") != 0) {
        snprintf(error, error_size, "%s: not .png: end the file's name with it", path);
        return USAGE;
    }
    if (!image_possible()) {
        snprintf(error, error_size,
                 "%s: this build cannot write PNG: install libpng and build again", path);
        return UNABLE;
    }
    if (file_writable(path)) {
        snprintf(error, error_size, "%s: %s: name a file that can be written", path,
                 strerror(errno));
        return USAGE;
    }
    return PASS;
}

void image_colour(double value, unsigned char rgb[3])
{
    rgb[0] = (unsigned char)(20 + 225 * value);
    rgb[1] = (unsigned char)(30 + 205 * value * value);
    rgb[2] = (unsigned char)(90 + 130 * (1 - (1 - value) * (1 - value)));
}

#ifdef HAVE_PNG

bool image_possible(void)
{
    return true;
}

/* In the place of libpng's own, which print. */
static void give_up(png_structp png, png_const_charp message)
{
    (void)message;
    png_longjmp(png, 1);
}

static void ignore(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

/* give_up() jumps back here, so nothing that changes after setjmp() is used behind it. */
static int write_png(png_structp png, png_infop info, FILE *file, const unsigned char *rgb,
                     int width, int height)
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
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, give_up, ignore);
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
