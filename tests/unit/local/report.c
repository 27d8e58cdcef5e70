/*
 * report - the same records as table, CSV and JSON, value by value; and where they do not arrive
 *
 * Test:
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef HAVE_JANSSON
#include <jansson.h>
#endif

#include "local/lib/report.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

enum { SIZE = 65536 };

static char path[] = "/tmp/lockstep.XXXXXX";

static const char *content(void)
{
    static char text[SIZE];
    FILE *file = fopen(path, "r");

    text[fread(text, 1, SIZE - 1, file)] = '\0';
    fclose(file);
    return text;
}

static const char *print(const char *format, const struct record *records, int count)
{
    struct report report;

    assert_int_equal(report_open(&report, format, path), 0);
    for (int i = 0; i < count; i++)
        assert_int_equal(report_row(&report, &records[i]), 0);
    assert_int_equal(report_close(&report), 0);
    return content();
}

/* One value, and how each printer shows it; NULL where another test does. */
static const struct row {
    const char *name;
    enum field_kind kind;
    int64_t number;
    double real;
    const char *text;
    const char *table, *csv, *json; /* the whole line; json without braces and name */
} rows[] = {
    { "a", FIELD_NULL, .table = "a\n-\n", .csv = "a\n\n", .json = "null" },
    { "a", FIELD_BOOL, 1, .table = "  a\nyes\n", .csv = "a\ntrue\n", .json = "true" },
    { "a", FIELD_BOOL, 0, .table = " a\nno\n", .csv = "a\nfalse\n", .json = "false" },
    { "rank", FIELD_INT, 0, .table = "rank\n   0\n", .csv = "rank\n0\n", .json = "0" },
    { "a", FIELD_INT, -7, .table = " a\n-7\n", .csv = "a\n-7\n", .json = "-7" },
    { "a", FIELD_INT, INT64_MAX, .csv = "a\n9223372036854775807\n", .json = "9223372036854775807" },
    { "a", FIELD_INT, INT64_MIN, .csv = "a\n-9223372036854775808\n",
      .json = "-9223372036854775808" },
    { "a", FIELD_REAL, .real = 0.5, .table = "    a\n0.500\n", .csv = "a\n0.5\n", .json = "0.5" },
    { "a", FIELD_REAL, .real = 0, .table = "    a\n0.000\n", .csv = "a\n0\n", .json = "0.0" },
    { "a", FIELD_REAL, .real = NAN, .table = "a\n-\n", .csv = "a\n\n", .json = "null" },
    { "a", FIELD_REAL, .real = INFINITY, .table = "a\n-\n", .csv = "a\n\n", .json = "null" },
    { "a", FIELD_REAL, .real = -INFINITY, .table = "a\n-\n", .csv = "a\n\n", .json = "null" },
    { "a", FIELD_REAL, .real = 12.345678, .table = "    a\n12.35\n", .csv = "a\n12.345678\n" },
    { "a", FIELD_REAL, .real = 123.456, .table = "    a\n123.5\n", .csv = "a\n123.456\n" },
    { "a", FIELD_REAL, .real = 123456.7, .table = "     a\n123457\n", .csv = "a\n123456.7\n" },
    { "a", FIELD_REAL, .real = 9.9999, .table = "     a\n10.000\n", .csv = "a\n9.9999\n" },
    { "a", FIELD_REAL, .real = 1e9, .table = "        a\n1.000e+09\n", .csv = "a\n1e+09\n" },
    { "a", FIELD_REAL, .real = 1e-5, .table = "        a\n1.000e-05\n", .csv = "a\n1e-05\n" },
    { "a", FIELD_REAL, .real = -2.5, .table = "     a\n-2.500\n", .csv = "a\n-2.5\n" },
    { "median_s", FIELD_REAL, .real = 2.5e-6, .table = "median us\n    2.500\n",
      .csv = "median_s\n2.5e-06\n" },
    { "ci_low_s", FIELD_REAL, .real = 1, .table = "ci low us\n  1000000\n",
      .csv = "ci_low_s\n1\n" },
    { "bytes_per_s", FIELD_REAL, .real = 2.5e9, .table = "MB/s\n2500\n",
      .csv = "bytes_per_s\n2.5e+09\n" },
    { "read_bytes_per_s", FIELD_REAL, .real = 5e7, .table = "read MB/s\n    50.00\n" },
    { "items_per_s", FIELD_REAL, .real = 4, .table = "items/s\n  4.000\n" },
    { "bytes", FIELD_INT, 8, .table = "      bytes\n          8\n",
      .csv = "bytes\n8\n", .json = "8" },
    { "a", FIELD_TEXT, .text = "", .table = "a\n\n", .csv = "a\n\n", .json = "\"\"" },
    { "name", FIELD_TEXT, .text = "x", .table = "name\nx\n", .csv = "name\nx\n", .json = "\"x\"" },
    { "a", FIELD_TEXT, .text = "a,b", .table = "a\na,b\n", .csv = "a\n\"a,b\"\n",
      .json = "\"a,b\"" },
    { "a", FIELD_TEXT, .text = "\"", .table = "a\n\"\n", .csv = "a\n\"\"\"\"\n",
      .json = "\"\\\"\"" },
    { "a", FIELD_TEXT, .text = "x\ny", .csv = "a\n\"x\ny\"\n", .json = "\"x\\ny\"" },
    { "a", FIELD_TEXT, .text = "x\ry", .csv = "a\n\"x\ry\"\n", .json = "\"x\\ry\"" },
    { "a", FIELD_TEXT, .text = "a b\\c;'", .csv = "a\na b\\c;'\n", .json = "\"a b\\\\c;'\"" },
    { "a", FIELD_TEXT, .text = "h\303\251 \342\206\222", .table = "a\nh\303\251 \342\206\222\n",
      .csv = "a\nh\303\251 \342\206\222\n", .json = "\"h\303\251 \342\206\222\"" },
    { "a", FIELD_TEXT, .text = "\377", .json = "\"(not UTF-8)\"" },
};

static void add(struct record *record, const struct row *row)
{
    switch (row->kind) {
    case FIELD_TEXT: record_text(record, row->name, row->text); break;
    case FIELD_INT: record_int(record, row->name, row->number); break;
    case FIELD_REAL: record_real(record, row->name, row->real); break;
    case FIELD_BOOL: record_bool(record, row->name, row->number); break;
    default: record_null(record, row->name); break;
    }
}

static void one_value(void **state)
{
    const struct row *row = *state;
    struct record record = { 0 };

    add(&record, row);
    if (row->table)
        assert_string_equal(print("table", &record, 1), row->table);
    if (row->csv)
        assert_string_equal(print("csv", &record, 1), row->csv);
#ifdef HAVE_JANSSON
    if (row->json) {
        char line[SIZE];
        snprintf(line, sizeof line, "{\"%s\":%s}\n", row->name, row->json);
        assert_string_equal(print("json", &record, 1), line);
    }
#endif
}

static void columns(void **state)
{
    struct record records[2] = { 0 };
    (void)state;

    for (int i = 0; i < 2; i++) {
        record_text(&records[i], "host", i ? "\303\251t\303\251" : "a");
        records[i].aside = true;
        record_int(&records[i], "hidden", 7);
        records[i].aside = false;
        record_real(&records[i], "median_s", i ? 123e-6 : 1e-6);
        record_int(&records[i], "jobs", i ? 1000000 : 1); /* wider than the first row foresaw */
        record_text(&records[i], "last", i ? "yy" : "x");
        records[i].aside = true;
        record_text(&records[i], "more", "aside");
    }
    assert_string_equal(print("table", records, 2), "host  median us  jobs  last\n"
                                                    "a         1.000     1  x\n"
                                                    "\303\251t\303\251       123.0  1000000  yy\n");
    assert_string_equal(print("csv", records, 2), "host,hidden,median_s,jobs,last,more\n"
                                                  "a,7,1e-06,1,x,aside\n"
                                                  "\303\251t\303\251,7,0.000123,1000000,yy,"
                                                  "aside\n");
    assert_string_equal(print("table", records, 0), "");
    assert_string_equal(print("csv", records, 0), "");
}

static void notes(void **state)
{
    static const char *const formats[] = { "table", "csv", "json" };
    struct report report;
    (void)state;

    for (int i = 0; i < 3; i++) {
        if (report_open(&report, formats[i], path) && errno == ENOTSUP)
            continue;
        report_note(&report, "%d %%", 5);
        assert_int_equal(report_close(&report), 0);
        assert_string_equal(content(), i ? "" : "# 5 %\n");
    }
}

static void summaries(void **state)
{
    static const struct {
        struct summary summary;
        bool verified;
        const char *line;
    } table[] = {
        { { 10, 3, 1, 5, true, 2, 4, 3.5 }, true, "10,3,1,5,2,4,3.5\n" },
        { { 5, 3, 1, 5, false, NAN, NAN, 3 }, true, "5,3,1,5,,,3\n" },
        { { 5, 3, 1, 5, false, 2, 4, 3 }, true, "5,3,1,5,,,3\n" },
        { { 10, 3, 1, 5, true, 2, 4, 3 }, false, "10,,,,,,\n" },
    };
    (void)state;

    for (size_t i = 0; i < LENGTH(table); i++) {
        struct record record = { 0 };
        record_summary(&record, &table[i].summary, table[i].verified);
        const char *text = print("csv", &record, 1);
        assert_non_null(strchr(text, '\n'));
        assert_string_equal(strchr(text, '\n') + 1, table[i].line);
    }
}

/* One field of RFC 4180 from *next on, which is set behind its comma or line end. */
static void csv_field(const char **next, char *field)
{
    const char *c = *next;
    const bool quoted = *c == '"';

    for (c += quoted; *c && (quoted || !strchr(",\n", *c)); c++) {
        if (quoted && *c == '"' && *++c != '"')
            break;
        *field++ = *c;
    }
    *field = '\0';
    assert_true(*c == ',' || *c == '\n');
    *next = c + 1;
}

#ifdef HAVE_JANSSON
static void check_same(const char *csv, const json_t *json)
{
    char *end;

    if (json_is_null(json))
        assert_string_equal(csv, "");
    else if (json_is_boolean(json))
        assert_string_equal(csv, json_is_true(json) ? "true" : "false");
    else if (json_is_integer(json))
        assert_int_equal(strtoll(csv, &end, 10), json_integer_value(json));
    else if (json_is_real(json))
        assert_true(strtod(csv, &end) == json_real_value(json));
    else
        assert_string_equal(csv, json_string_value(json));
}

/* All rows above side by side, read back; and the texts that need care, cut at their end. */
static void read_back(void **state)
{
    static char names[LENGTH(rows)][8], long_text[3 * RECORD_TEXT];
    struct record records[4] = { 0 };
    char csv[SIZE], json[SIZE], field[RECORD_TEXT];
    const char *next = csv, *line = json;
    (void)state;

    memset(long_text, 'a', sizeof long_text - 1);
    memcpy(long_text + RECORD_TEXT - 2, "\303\251", 2); /* the cut goes through a character */
    for (int i = 0; i < 4; i++) {
        record_text(&records[i], "long", long_text + i);
        for (size_t k = 0; k < LENGTH(rows); k++) {
            if (isinf(rows[k].real) || (rows[k].text && *rows[k].text == '\377'))
                continue;
            snprintf(names[k], sizeof names[k], "n%zu", k);
            struct row row = rows[(k + (size_t)i) % LENGTH(rows)];
            if (isinf(row.real) || (row.text && *row.text == '\377'))
                row = rows[k];
            row.name = names[k];
            add(&records[i], &row);
        }
    }
    strcpy(csv, print("csv", records, 4));
    strcpy(json, print("json", records, 4));
    for (int k = 0; k < records[0].count; k++) {
        csv_field(&next, field);
        assert_string_equal(field, records[0].fields[k].name);
    }
    for (int i = 0; i < 4; i++) {
        json_error_t error;
        json_t *object = json_loads(line, JSON_DISABLE_EOF_CHECK, &error);
        assert_non_null(object);
        assert_int_equal(json_object_size(object), records[i].count);
        for (int k = 0; k < records[i].count; k++) {
            csv_field(&next, field);
            check_same(field, json_object_get(object, records[i].fields[k].name));
        }
        json_decref(object);
        line = strchr(line, '\n') + 1; /* one line each */
    }
    assert_true(*line == '\0' && *next == '\0');
}
#endif

static void too_many_fields(void **state)
{
    static const char *const formats[] = { "table", "csv", "json" };
    struct record full = { 0 };
    struct report report;
    (void)state;

    for (int i = 0; i < RECORD_FIELDS; i++)
        record_int(&full, "a", i);
    for (int i = 0; i < 3; i++) {
        struct record over = full;
        record_text(&over, "b", "one too many");
        record_null(&over, "c");
        if (report_open(&report, formats[i], path) && errno == ENOTSUP)
            continue;
        errno = 0;
        assert_int_equal(report_row(&report, &over), -1);
        assert_int_equal(errno, E2BIG);
        assert_int_equal(report_row(&report, &full), 0); /* the report itself is sound */
        assert_int_equal(report_close(&report), 0);
    }
}

static void not_opened(void **state)
{
    static const struct {
        const char *format, *path;
        int error;
    } table[] = {
        { "xml", path, EINVAL },      { "", path, EINVAL },
        { "JSON", path, EINVAL },     { "table,csv", path, EINVAL },
        { "table", "", ENOENT },      { "csv", "/nonexistent/file", ENOENT },
        { "csv", "/", EISDIR },       { "table", "/dev/null/file", ENOTDIR },
    };
    struct report report;
    (void)state;

    for (size_t i = 0; i < LENGTH(table); i++) {
        errno = 0;
        assert_int_equal(report_open(&report, table[i].format, table[i].path), -1);
        assert_int_equal(errno, table[i].error);
    }
}

/* A pipe whose reader has gone, as a path. */
static const char *closed_pipe(int *keep)
{
    static char name[32];
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    *keep = ends[0];
    snprintf(name, sizeof name, "/dev/fd/%d", ends[1]);
    return name;
}

static void not_arrived(void **state)
{
    static const char *const formats[] = { "table", "csv", "json" };
    struct record record = { 0 };
    struct report report;
    (void)state;

    signal(SIGPIPE, SIG_IGN);
    record_int(&record, "a", 1);
    for (int i = 0; i < 6; i++) {
        int reader = -1;
        const char *where = i % 2 ? closed_pipe(&reader) : "/dev/full";
        if (report_open(&report, formats[i / 2], where) && errno == ENOTSUP)
            continue;
        if (reader >= 0)
            close(reader);
        for (int row = 0; row < 2; row++) { /* and it stays lost */
            errno = 0;
            assert_int_equal(report_row(&report, &record), -1);
            assert_int_equal(errno, i % 2 ? EPIPE : ENOSPC);
        }
        assert_int_equal(report_close(&report), -1);
        assert_int_not_equal(errno, 0);
        assert_null(report.file);
    }
}

/* A heading alone is written when the report is closed. */
static void note_not_arrived(void **state)
{
    struct report report;
    (void)state;

    assert_int_equal(report_open(&report, "table", "/dev/full"), 0);
    report_note(&report, "a heading");
    errno = 0;
    assert_int_equal(report_close(&report), -1);
    assert_int_equal(errno, ENOSPC);
}

/* On stdout, which stays open for what comes behind. */
static void on_stdout(void **state)
{
    struct record record = { 0 };
    struct report report;
    (void)state;

    record_int(&record, "a", 1);
    fflush(stdout);
    const int terminal = dup(STDOUT_FILENO), file = open(path, O_WRONLY | O_TRUNC);
    dup2(file, STDOUT_FILENO);
    const int opened = report_open(&report, "csv", NULL);
    const int wrote = report_row(&report, &record);
    const int closed = report_close(&report);
    printf("more\n");
    fflush(stdout);
    dup2(terminal, STDOUT_FILENO);
    close(terminal);
    close(file);
    assert_true(opened == 0 && wrote == 0 && closed == 0);
    assert_string_equal(content(), "a\n1\nmore\n");
}

static void hold(const char *text)
{
    FILE *const file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

/* An older result stays until there is a new one. */
static void older_result(void **state)
{
    struct record record = { 0 };
    struct report report;
    (void)state;

    record_int(&record, "a", 1);
    hold("an older and longer result\n");
    assert_int_equal(report_open(&report, "table", path), 0);
    report_note(&report, "heading");
    assert_string_equal(content(), "an older and longer result\n");
    assert_int_equal(report_drop(&report), 0);
    assert_null(report.file);
    assert_string_equal(content(), "an older and longer result\n");

    assert_int_equal(report_open(&report, "table", path), 0);
    report_note(&report, "heading");
    assert_int_equal(report_row(&report, &record), 0);
    assert_string_equal(content(), "# heading\na\n1\n"); /* seen at once */
    report_note(&report, "note");
    assert_int_equal(report_drop(&report), 0);
    assert_string_equal(content(), "# heading\na\n1\n# note\n");

    assert_int_equal(report_open(&report, "table", path), 0);
    assert_int_equal(report_close(&report), 0); /* nothing is a result, too */
    assert_string_equal(content(), "");
}

/* --output FILE >FILE */
static void twice_the_same(void **state)
{
    struct record record = { 0 };
    struct report report;
    (void)state;

    record_int(&record, "a", 1);
    fflush(stdout);
    const int terminal = dup(STDOUT_FILENO), file = open(path, O_WRONLY | O_TRUNC);
    dup2(file, STDOUT_FILENO);
    printf("before\n");
    const int opened = report_open(&report, "csv", path);
    const int wrote = report_row(&report, &record);
    const int closed = report_close(&report);
    printf("more\n");
    fflush(stdout);
    dup2(terminal, STDOUT_FILENO);
    close(terminal);
    close(file);
    assert_true(opened == 0 && wrote == 0 && closed == 0);
    assert_string_equal(content(), "before\na\n1\nmore\n");
}

int main(void)
{
    const struct CMUnitTest others[] = {
        cmocka_unit_test(columns),         cmocka_unit_test(notes),
        cmocka_unit_test(summaries),       cmocka_unit_test(too_many_fields),
        cmocka_unit_test(not_opened),      cmocka_unit_test(not_arrived),
        cmocka_unit_test(note_not_arrived), cmocka_unit_test(on_stdout),
        cmocka_unit_test(older_result),    cmocka_unit_test(twice_the_same),
#ifdef HAVE_JANSSON
        cmocka_unit_test(read_back),
#endif
    };
    struct CMUnitTest tests[LENGTH(rows) + LENGTH(others)];
    static char names[LENGTH(rows)][32];

    for (size_t i = 0; i < LENGTH(rows); i++) {
        snprintf(names[i], sizeof names[i], "row %zu: %s", i, rows[i].name);
        tests[i] = (struct CMUnitTest){ .name = names[i], .test_func = one_value,
                                        .initial_state = (void *)(uintptr_t)&rows[i] };
    }
    memcpy(tests + LENGTH(rows), others, sizeof others);
    close(mkstemp(path));
    const int failed = cmocka_run_group_tests_name("report", tests, NULL, NULL);
    unlink(path);
    return failed != 0;
}
