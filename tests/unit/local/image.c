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

static void checked(void **state)
{
    static const struct {
        const char *path, *sentence;
        enum status status;
    } rows[] = {
        { "picture", "picture: not .png: end the file's name with it", USAGE },
        { "a.png/picture.jpg", "a.png/picture.jpg: not .png: end the file's name with it", USAGE },
        { "/nonexistent/a.png",
          "/nonexistent/a.png: No such file or directory: name a file that can be written", USAGE },
    };
    char error[256], short_error[8], named[64];
    (void)state;

    for (size_t i = 0; i < LENGTH(rows) && image_possible(); i++) {
        assert_int_equal(image_check(rows[i].path, error, sizeof error), rows[i].status);
        assert_string_equal(error, rows[i].sentence);
    }
    assert_int_equal(image_check("picture", short_error, sizeof short_error), USAGE);
    assert_string_equal(short_error, "picture");

    snprintf(named, sizeof named, "%s.png", path);
    assert_int_equal(image_check(named, error, sizeof error), image_possible() ? PASS : UNABLE);
    assert_int_equal(access(named, F_OK) == 0, image_possible()); /* made, empty */
    unlink(named);
}

/* What a file holds is not lost by asking. */
static void checked_twice(void **state)
{
    char error[256], named[64];
    unsigned char *bytes;
    size_t count;
    (void)state;

    snprintf(named, sizeof named, "%s.png", path);
    FILE *file = fopen(named, "wb");
    assert_non_null(file);
    fputs("old", file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(image_check(named, error, sizeof error), image_possible() ? PASS : UNABLE);
    assert_int_equal(file_read(named, 0, &bytes, &count), 0);
    assert_int_equal(count, 3);
    free(bytes);
    unlink(named);
}

static void colours(void **state)
{
    unsigned char rgb[3], before = 0;
    (void)state;

    for (int i = 0; i <= 100; i++) {
        image_colour(i / 100.0, rgb);
        const unsigned char light = (unsigned char)((rgb[0] + rgb[1] + rgb[2]) / 3);
        assert_true(light >= before);
        before = light;
    }
    assert_true(before > 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written),       cmocka_unit_test(refused), cmocka_unit_test(checked),
        cmocka_unit_test(checked_twice), cmocka_unit_test(colours),
    };
    const int file = mkstemp(path);

    if (file < 0 || close(file))
        return 1;
    const int failed = cmocka_run_group_tests_name("image", tests, NULL, NULL);
    unlink(path);
    return failed != 0;
}
