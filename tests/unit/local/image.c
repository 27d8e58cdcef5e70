/*
 * image - the file is a PNG with these pixels, the same each time; what cannot be written is told
 *
 * Test:
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "local/lib/file.h"
#include "local/lib/image.h"
#ifdef HAVE_PNG
#include <png.h>
#endif

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static char path[] = "/tmp/lockstep-image-XXXXXX";

static unsigned char *pixels(int width, int height)
{
    unsigned char *rgb = malloc((size_t)(3 * width * height));

    for (int i = 0; i < 3 * width * height; i++)
        rgb[i] = (unsigned char)(7 * i + i / 256);
    return rgb;
}

static void check_pixels(const unsigned char *rgb, int width, int height)
{
#ifdef HAVE_PNG
    png_image image = { .version = PNG_IMAGE_VERSION };

    assert_true(png_image_begin_read_from_file(&image, path));
    assert_int_equal(image.width, width);
    assert_int_equal(image.height, height);
    image.format = PNG_FORMAT_RGB;
    unsigned char *read = malloc(PNG_IMAGE_SIZE(image));
    assert_true(png_image_finish_read(&image, NULL, read, 0, NULL));
    assert_memory_equal(read, rgb, (size_t)(3 * width * height));
    free(read);
#else
    (void)rgb;
    (void)width;
    (void)height;
#endif
}

static void written(void **state)
{
    static const int sizes[][2] = { { 1, 1 }, { 1, 100 }, { 100, 1 }, { 33, 17 }, { 1000, 3 } };
    (void)state;

    for (size_t i = 0; i < LENGTH(sizes) && image_possible(); i++) {
        unsigned char *rgb = pixels(sizes[i][0], sizes[i][1]), *first, *second;
        size_t first_count, second_count;
        assert_int_equal(image_write_png(path, rgb, sizes[i][0], sizes[i][1]), 0);
        check_pixels(rgb, sizes[i][0], sizes[i][1]);
        assert_int_equal(file_read(path, 0, &first, &first_count), 0);
        assert_int_equal(image_write_png(path, rgb, sizes[i][0], sizes[i][1]), 0);
        assert_int_equal(file_read(path, 0, &second, &second_count), 0);
        assert_int_equal(first_count, second_count);
        assert_memory_equal(first, second, first_count);
        free(first);
        free(second);
        free(rgb);
    }
}

static void refused(void **state)
{
    static const struct {
        const char *path;
        int width, height, error;
    } rows[] = {
        { "/nonexistent/image.png", 1, 1, ENOENT }, { "/", 1, 1, EISDIR },
        { path, 0, 1, EINVAL },                     { path, 1, 0, EINVAL },
        { "/dev/full", 100, 100, ENOSPC },
    };
    unsigned char *rgb = pixels(100, 100);
    (void)state;

    for (size_t i = 0; i < LENGTH(rows); i++) {
        if (strcmp(rows[i].path, "/dev/full") == 0 && access(rows[i].path, F_OK))
            continue;
        assert_int_equal(image_write_png(rows[i].path, rgb, rows[i].width, rows[i].height), -1);
        assert_int_equal(errno, image_possible() ? rows[i].error : ENOTSUP);
    }
    free(rgb);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(written), cmocka_unit_test(refused) };
    const int file = mkstemp(path);

    if (file < 0 || close(file))
        return 1;
    const int failed = cmocka_run_group_tests_name("image", tests, NULL, NULL);
    unlink(path);
    return failed != 0;
}
