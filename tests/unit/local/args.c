/*
 * args - every kind of option, right and wrong; the help; the row of sizes
 *
 * Test:
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/args.h"

enum { WORDS = 10, TEXT = 512 };

struct values {
    bool flag;
    int number;
    size_t size, least;
    struct range range, from;
    double secs;
    const char *text, *choice;
};

static const struct values defaults = { .number = -3, .size = 1536, .least = 4096,
                                        .range = { 8, 4194304 }, .from = { 5, 5 }, .secs = 0.25,
                                        .choice = "posix" };

/* Words are separated by commas. Expected: the values that changed, "!" and the error. */
static const struct row {
    const char *words, *expected;
} rows[] = {
    { "", "" },
    { "--", "" },
    { "--flag", "flag" },
    { "--flag,--flag", "flag" },
    { "--flag=yes", "!--flag=yes: takes no value: see --help" },
    { "--number,0", "number=0" },
    { "--number,-2147483648", "number=-2147483648" },
    { "--number,2147483647", "number=2147483647" },
    { "--number,2147483648", "!--number 2147483648: too large: the most is 2147483647" },
    { "--number,-2147483649", "!--number -2147483649: too small: give a larger number" },
    { "--number,99999999999999999999",
      "!--number 99999999999999999999: too large: the most is 2147483647" },
    { "--number,", "!--number : not a number: give a whole number" },
    { "--number,4x", "!--number 4x: not a number: give a whole number" },
    { "--number, 4", "!--number  4: not a number: give a whole number" },
    { "--number,1.5", "!--number 1.5: not a number: give a whole number" },
    { "--number,0x10", "!--number 0x10: not a number: give a whole number" },
    { "--size,0", "size=0" },
    { "--size=7", "size=7" },
    { "--size,007", "size=7" },
    { "--size,3K", "size=3072" },
    { "--size,3m", "size=3145728" },
    { "--size,2G", "size=2147483648" },
    { "--size,1152921504606846976", "size=1152921504606846976" },
    { "--size,1073741824G", "size=1152921504606846976" },
    { "--size,1152921504606846977",
      "!--size 1152921504606846977: too large: the most is 1152921504606846976" },
    { "--size,1125899906842625K",
      "!--size 1125899906842625K: too large: the most is 1152921504606846976" },
    { "--size,18446744073709551616",
      "!--size 18446744073709551616: too large: the most is 1152921504606846976" },
    { "--size,17179869184G", "!--size 17179869184G: too large: the most is 1152921504606846976" },
    { "--size,17592186044416M", "!--size 17592186044416M: too large: the most is 1152921504606846976" },
    { "--size,18014398509481984K",
      "!--size 18014398509481984K: too large: the most is 1152921504606846976" },
    { "--size,", "!--size : not a size: give a whole number, K, M or G may follow" },
    { "--size,-1", "!--size -1: not a size: give a whole number, K, M or G may follow" },
    { "--size,+1", "!--size +1: not a size: give a whole number, K, M or G may follow" },
    { "--size, 1", "!--size  1: not a size: give a whole number, K, M or G may follow" },
    { "--size,1 ", "!--size 1 : not a size: give a whole number, K, M or G may follow" },
    { "--size,K", "!--size K: not a size: give a whole number, K, M or G may follow" },
    { "--size,1T", "!--size 1T: not a size: give a whole number, K, M or G may follow" },
    { "--size,1KB", "!--size 1KB: not a size: give a whole number, K, M or G may follow" },
    { "--size,1KK", "!--size 1KK: not a size: give a whole number, K, M or G may follow" },
    { "--size,1.5K", "!--size 1.5K: not a size: give a whole number, K, M or G may follow" },
    { "--size,0x10", "!--size 0x10: not a size: give a whole number, K, M or G may follow" },
    { "--size,1:4", "!--size 1:4: not a size: give a whole number, K, M or G may follow" },
    { "--size,--flag", "!--size --flag: not a size: give a whole number, K, M or G may follow" },
    { "--least,4", "least=4" },
    { "--least,3", "!--least 3: too small: the least is 4" },
    { "--least,8K", "least=8192" },
    { "--least,8193", "!--least 8193: too large: the most is 8192" },
    { "--range,9", "range=9:9" },
    { "--range,0:0", "range=0:0" },
    { "--range,1K:2K", "range=1024:2048" },
    { "--range,4:4", "range=4:4" },
    { "--range,5:4", "!--range 5:4: not a size or range of sizes: give SIZE or FROM:TO, "
      "K, M or G may follow a number" },
    { "--range,1:", "!--range 1:: not a size or range of sizes: give SIZE or FROM:TO, "
      "K, M or G may follow a number" },
    { "--range,:4", "!--range :4: not a size or range of sizes: give SIZE or FROM:TO, "
      "K, M or G may follow a number" },
    { "--range,:", "!--range :: not a size or range of sizes: give SIZE or FROM:TO, "
      "K, M or G may follow a number" },
    { "--range,", "!--range : not a size or range of sizes: give SIZE or FROM:TO, "
      "K, M or G may follow a number" },
    { "--range,1:2:3", "!--range 1:2:3: not a size or range of sizes: give SIZE or FROM:TO, "
      "K, M or G may follow a number" },
    { "--range,1-4", "!--range 1-4: not a size or range of sizes: give SIZE or FROM:TO, "
      "K, M or G may follow a number" },
    { "--range,1:-4", "!--range 1:-4: not a size or range of sizes: give SIZE or FROM:TO, "
      "K, M or G may follow a number" },
    { "--range,1:17179869184G",
      "!--range 1:17179869184G: too large: the most is 1152921504606846976" },
    { "--from,2:9", "from=2:9" },
    { "--from,1:9", "!--from 1:9: too small: the least is 2" },
    { "--from,2:10", "!--from 2:10: too large: the most is 9" },
    { "--secs,0", "secs=0" },
    { "--secs,1.5", "secs=1.5" },
    { "--secs,2s", "secs=2" },
    { "--secs,5ms", "secs=0.005" },
    { "--secs,20us", "secs=2e-05" },
    { "--secs,1e9", "secs=1e+09" },
    { "--secs,1e9ms", "secs=1e+06" },
    { "--secs,1e308", "!--secs 1e308: too large: the most is 1000000000" },
    { "--secs,1e-3", "secs=0.001" },
    { "--secs,", "!--secs : not a time: give seconds, or a number with s, ms or us" },
    { "--secs,s", "!--secs s: not a time: give seconds, or a number with s, ms or us" },
    { "--secs,-1", "!--secs -1: not a time: give seconds, or a number with s, ms or us" },
    { "--secs, 1", "!--secs  1: not a time: give seconds, or a number with s, ms or us" },
    { "--secs,1 s", "!--secs 1 s: not a time: give seconds, or a number with s, ms or us" },
    { "--secs,2h", "!--secs 2h: not a time: give seconds, or a number with s, ms or us" },
    { "--secs,inf", "!--secs inf: not a time: give seconds, or a number with s, ms or us" },
    { "--secs,nan", "!--secs nan: not a time: give seconds, or a number with s, ms or us" },
    { "--secs,1e999", "!--secs 1e999: not a time: give seconds, or a number with s, ms or us" },
    { "--secs,0x10", "!--secs 0x10: not a time: give seconds, or a number with s, ms or us" },
    { "--text,word", "text=word" },
    { "--text,", "text=" },
    { "--text=", "text=" },
    { "--text,--flag", "text=--flag" },
    { "--choice,cond", "choice=cond" },
    { "--choice,spin", "choice=spin" },
    { "--choice,con", "!--choice con: no such choice: take one of posix|cond|spin" },
    { "--choice,condx", "!--choice condx: no such choice: take one of posix|cond|spin" },
    { "--choice,COND", "!--choice COND: no such choice: take one of posix|cond|spin" },
    { "--choice,", "!--choice : no such choice: take one of posix|cond|spin" },
    { "--choice,|", "!--choice |: no such choice: take one of posix|cond|spin" },
    { "--choice,posix|cond",
      "!--choice posix|cond: no such choice: take one of posix|cond|spin" },
    { "--choice,posix|cond|spin",
      "!--choice posix|cond|spin: no such choice: take one of posix|cond|spin" },
    { "--size", "!--size: needs a value: see --help" },
    { "--flag,--size", "flag !--size: needs a value: see --help" },
    { "--sizes,1", "!--sizes: unknown option: see --help" },
    { "-s,1", "!-s: unknown option: see --help" },
    { "-size,1", "!-size: unknown option: see --help" },
    { "stray", "!stray: not an option: see --help" },
    { "-", "!-: not an option: see --help" },
    { ",--flag", "!: not an option: see --help" },
    { "--flag,stray,--number,1", "flag !stray: not an option: see --help" },
    { "--,--flag", "!--flag: not an option: see --help" },
    { "--size,1,--size,2", "size=2" },
    { "--choice,cond,--choice,posix,--choice,spin", "choice=spin" },
    { "--range,1:9,--range,3", "range=3:3" },
    { "--size,9,--number,x,--secs,1", "size=9 !--number x: not a number: give a whole number" },
    { "--number,1,--choice,spin,--text,a b", "number=1 text=a b choice=spin" },
};

static void add(char *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(char *text, const char *format, ...)
{
    const size_t used = strlen(text);
    va_list values;

    va_start(values, format);
    vsnprintf(text + used, TEXT - used, &format[used == 0 && *format == ' '], values);
    va_end(values);
}

static void describe(char text[TEXT], const struct values *v, const char *error)
{
    const struct values *d = &defaults;

    *text = '\0';
    if (v->flag)
        add(text, " flag");
    if (v->number != d->number)
        add(text, " number=%d", v->number);
    if (v->size != d->size)
        add(text, " size=%zu", v->size);
    if (v->least != d->least)
        add(text, " least=%zu", v->least);
    if (memcmp(&v->range, &d->range, sizeof v->range) != 0)
        add(text, " range=%zu:%zu", v->range.from, v->range.to);
    if (memcmp(&v->from, &d->from, sizeof v->from) != 0)
        add(text, " from=%zu:%zu", v->from.from, v->from.to);
    if (v->secs != d->secs)
        add(text, " secs=%g", v->secs);
    if (v->text)
        add(text, " text=%s", v->text);
    if (strcmp(v->choice, d->choice) != 0)
        add(text, " choice=%s", v->choice);
    if (error)
        add(text, " !%s", error);
}

/* Two tables, as every program has. */
struct tables {
    struct arg first[5], second[6];
    const struct arg *all[3];
};

static struct tables *tables_of(struct values *v)
{
    static struct tables tables;

    tables = (struct tables){
        .first = {
            { "flag", ARG_FLAG, &v->flag, "a flag" },
            { "number", ARG_INT, &v->number, "a number" },
            { "size", ARG_SIZE, &v->size, "a size" },
            { "least", ARG_SIZE, &v->least, "not less than 4", .min = 4, .max = 8192 },
            ARGS_END,
        },
        .second = {
            { "range", ARG_RANGE, &v->range, "sizes" },
            { "from", ARG_RANGE, &v->from, "not less than 2", .min = 2, .max = 9 },
            { "secs", ARG_SECS, &v->secs, "a time" },
            { "text", ARG_TEXT, &v->text, "a word" },
            { "choice", ARG_CHOICE, &v->choice, "a choice", .choices = "posix|cond|spin" },
            ARGS_END,
        },
    };
    tables.all[0] = tables.first;
    tables.all[1] = tables.second;
    return &tables;
}

/* Cuts `text` at its commas: argv[1 ...]. */
static int split(char *text, char *argv[WORDS])
{
    int argc = 0;

    argv[argc++] = "args";
    for (char *next = *text ? text : NULL; next && argc < WORDS - 1; argc++) {
        argv[argc] = next;
        next = strchr(next, ',');
        if (next)
            *next++ = '\0';
    }
    argv[argc] = NULL;
    return argc;
}

static void parses(void **state)
{
    const struct row *row = *state;
    struct values values = defaults;
    char words[TEXT], got[TEXT], error[TEXT] = "", *argv[WORDS];

    strcpy(words, row->words);
    const int argc = split(words, argv);
    errno = 0;
    const int result = args_parse(tables_of(&values)->all, argc, argv, error, sizeof error);
    const int reason = errno;
    describe(got, &values, result ? error : NULL);
    assert_string_equal(got, row->expected);
    assert_int_equal(result, strchr(row->expected, '!') ? -1 : 0);
    if (result)
        assert_int_equal(reason, EINVAL);
}

static void error_is_cut(void **state)
{
    struct values values = defaults;
    char error[10] = "xxxxxxxxx", *argv[] = { "args", "--size", "1234x", NULL };
    (void)state;

    assert_int_equal(args_parse(tables_of(&values)->all, 3, argv, error, 8), -1);
    assert_string_equal(error, "--size ");
    assert_int_equal(error[8], 'x');
}

static void too_many_options(void **state)
{
    static bool flags[ARGS_MAX + 1];
    static char names[ARGS_MAX + 1][4];
    struct arg table[ARGS_MAX + 2] = { 0 };
    const struct arg *const all[] = { table, NULL };
    char error[TEXT], last[8], *argv[] = { "args", last, NULL };
    (void)state;

    snprintf(last, sizeof last, "--o%d", ARGS_MAX - 1);
    for (int i = 0; i <= ARGS_MAX; i++) {
        snprintf(names[i], sizeof names[i], "o%d", i);
        table[i] = (struct arg){ names[i], ARG_FLAG, &flags[i], "" };
        table[i + 1] = (struct arg)ARGS_END;
        const int result = args_parse(all, i + 1 == ARGS_MAX ? 2 : 1, argv, error, sizeof error);
        assert_int_equal(result, i < ARGS_MAX ? 0 : -1);
    }
    assert_true(flags[ARGS_MAX - 1]);
    assert_string_equal(error, "more than 40 options in the tables");
}

static void help(void **state)
{
    struct values values = defaults;
    struct arg more[] = {
        { "a-name-that-is-too-long", ARG_SIZE, &values.size, "no room" },
        ARGS_END,
    };
    struct tables *tables = tables_of(&values);
    char *text;
    size_t size;
    FILE *file = open_memstream(&text, &size);
    (void)state;

    args_help(tables->all, file);
    values = (struct values){ .flag = true, .range = { 1536, 3072 }, .secs = 1e-6, .text = "word",
                              .least = (size_t)2048 << 30, .choice = NULL };
    args_help(tables->all, file);
    tables->all[0] = more;
    tables->all[1] = NULL;
    args_help(tables->all, file);
    fclose(file);
    assert_string_equal(text,
                        "  --flag                    a flag\n"
                        "  --number NUMBER           a number (default -3)\n"
                        "  --size SIZE               a size (default 1536)\n"
                        "  --least SIZE              not less than 4 (default 4K, at most 8K)\n"
                        "  --range SIZE[:SIZE]       sizes (default 8:4M)\n"
                        "  --from SIZE[:SIZE]        not less than 2 (default 5, at most 9)\n"
                        "  --secs TIME               a time (default 0.25s)\n"
                        "  --text TEXT               a word\n"
                        "  --choice posix|cond|spin  a choice (default posix)\n"
                        "\nUnless stated, a SIZE is at most 2^60 (K, M, G may follow a number), "
                        "a TIME at most 1000000000s (s, ms, us may follow).\n"
                        "  --flag                    a flag\n"
                        "  --number NUMBER           a number (default 0)\n"
                        "  --size SIZE               a size (default 0)\n"
                        "  --least SIZE              not less than 4 (default 2048G, at most 8K)\n"
                        "  --range SIZE[:SIZE]       sizes (default 1536:3K)\n"
                        "  --from SIZE[:SIZE]        not less than 2 (default 0, at most 9)\n"
                        "  --secs TIME               a time (default 1e-06s)\n"
                        "  --text TEXT               a word (default word)\n"
                        "  --choice posix|cond|spin  a choice\n"
                        "\nUnless stated, a SIZE is at most 2^60 (K, M, G may follow a number), "
                        "a TIME at most 1000000000s (s, ms, us may follow).\n"
                        "  --a-name-that-is-too-long SIZE  no room (default 0)\n"
                        "\nUnless stated, a SIZE is at most 2^60 (K, M, G may follow a number).\n");
    free(text);
}

static void row_of_sizes(void **state)
{
    static const struct {
        struct range range;
        const char *sizes;
    } ranges[] = {
        { { 8, 100 }, " 8 16 32 64 100" }, { { 0, 4 }, " 0 1 2 4" },  { { 0, 0 }, " 0" },
        { { 0, 1 }, " 0 1" },              { { 5, 5 }, " 5" },        { { 3, 4 }, " 3 4" },
        { { 3, 7 }, " 3 6 7" },            { { 1, 8 }, " 1 2 4 8" },
        { { SIZE_MAX / 2, SIZE_MAX }, " 9223372036854775807 18446744073709551614 "
                                      "18446744073709551615" },
        { { SIZE_MAX / 2 + 1, SIZE_MAX }, " 9223372036854775808 18446744073709551615" },
    };
    (void)state;

    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        char got[TEXT] = "";
        size_t size = ranges[i].range.from;
        do
            snprintf(got + strlen(got), TEXT - strlen(got), " %zu", size);
        while ((size = range_next(&ranges[i].range, size)) > 0 && strlen(got) < TEXT / 2);
        assert_string_equal(got, ranges[i].sizes);
    }
}

static void is(void **state)
{
    (void)state;
    assert_true(arg_is("drop", "drop"));
    assert_false(arg_is("drop", "dro"));
    assert_false(arg_is("dro", "drop"));
    assert_false(arg_is("", "drop"));
    assert_false(arg_is(NULL, "drop"));
}

int main(void)
{
    enum { ROWS = sizeof rows / sizeof *rows };
    struct CMUnitTest tests[ROWS + 5] = {
        [ROWS] = cmocka_unit_test(error_is_cut), cmocka_unit_test(too_many_options),
        cmocka_unit_test(help), cmocka_unit_test(row_of_sizes), cmocka_unit_test(is),
    };

    for (int i = 0; i < ROWS; i++)
        tests[i] = (struct CMUnitTest){ .name = rows[i].words, .test_func = parses,
                                        .initial_state = (void *)(uintptr_t)&rows[i] };
    return cmocka_run_group_tests_name("args", tests, NULL, NULL) != 0;
}
