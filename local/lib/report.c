#include "local/lib/report.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef HAVE_JANSSON
#include <jansson.h>
#endif

static struct field *add(struct record *record, const char *name, enum field_kind kind)
{
    const int last = RECORD_FIELDS - 1;
    struct field *field = &record->fields[record->count < last ? record->count : last];

    record->count++; /* also past the end: report_row() sees that there were too many */
    field->name = name;
    field->kind = kind;
    field->aside = record->aside;
    return field;
}

void record_text(struct record *record, const char *name, const char *text)
{
    struct field *field = add(record, name, text ? FIELD_TEXT : FIELD_NULL);

    if (!text)
        return;
    size_t end = strnlen(text, RECORD_TEXT - 1);

    /* Cut before a character of UTF-8 (10xxxxxx goes on with one), not within it. */
    while (text[end] && end > 0 && ((unsigned char)text[end] & 0xc0) == 0x80)
        end--;
    memcpy(field->text, text, end);
    field->text[end] = '\0';
}

void record_int(struct record *record, const char *name, int64_t number)
{
    add(record, name, FIELD_INT)->number = number;
}

void record_real(struct record *record, const char *name, double real)
{
    add(record, name, isfinite(real) ? FIELD_REAL : FIELD_NULL)->real = real;
}

void record_bool(struct record *record, const char *name, bool truth)
{
    add(record, name, FIELD_BOOL)->number = truth;
}

void record_null(struct record *record, const char *name)
{
    add(record, name, FIELD_NULL);
}

void record_summary(struct record *record, const struct summary *summary, bool verified)
{
    const bool has_ci = verified && summary->has_ci, aside = record->aside;

    record_int(record, "iterations", (int64_t)summary->count);
    record_real(record, "median_s", verified ? summary->median : NAN);
    record_real(record, "p10_s", verified ? summary->p10 : NAN);
    record_real(record, "p90_s", verified ? summary->p90 : NAN);
    record_real(record, "ci_low_s", has_ci ? summary->ci_low : NAN);
    record_real(record, "ci_high_s", has_ci ? summary->ci_high : NAN);
    record->aside = true; /* the mean is for comparison: one late sample moves it, see a loaded run */
    record_real(record, "mean_s", verified ? summary->mean : NAN);
    record->aside = aside;
}

const struct field *record_field(const struct record *record, const char *name)
{
    for (int i = 0; i < record->count; i++)
        if (strcmp(record->fields[i].name, name) == 0)
            return &record->fields[i];
    return NULL;
}

/* Two descriptors of one file would write over one another. */
static bool is_stdout(const struct stat *about)
{
    struct stat out;

    return fstat(STDOUT_FILENO, &out) == 0 && out.st_dev == about->st_dev &&
           out.st_ino == about->st_ino;
}

static int open_file(struct report *report, const char *path)
{
    struct stat about;
    const int fd = path ? open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666) : -1;

    if (path && fd < 0)
        return -1;
    const bool regular = path && fstat(fd, &about) == 0 && S_ISREG(about.st_mode);
    const bool on_stdout = !path || (regular && is_stdout(&about));
    report->file = on_stdout ? stdout : fdopen(fd, "w");
    if (fd >= 0 && (on_stdout || !report->file))
        close(fd);
    if (!report->file || on_stdout || !regular)
        return report->file ? 0 : -1;
    report->later = report->file;
    report->file = open_memstream(&report->held, &report->held_size);
    if (!report->file)
        fclose(report->later);
    return report->file ? 0 : -1;
}

/* From here on the file holds what this run writes, and no more what it held. */
static bool release(struct report *report)
{
    if (!report->later)
        return true;
    const bool held = fclose(report->file) == 0;
    report->file = report->later;
    report->later = NULL;
    const bool emptied = ftruncate(fileno(report->file), 0) == 0;
    if (held)
        fwrite(report->held, 1, report->held_size, report->file);
    free(report->held);
    return held && emptied;
}

int report_open(struct report *report, const char *format, const char *path)
{
    *report = (struct report){ 0 };
    if (strcmp(format, "table") == 0)
        report->format = REPORT_TABLE;
    else if (strcmp(format, "csv") == 0)
        report->format = REPORT_CSV;
    else if (strcmp(format, "json") == 0)
        report->format = REPORT_JSON;
    else {
        errno = EINVAL;
        return -1;
    }
#ifndef HAVE_JANSSON
    if (report->format == REPORT_JSON) {
        errno = ENOTSUP;
        return -1;
    }
#endif
    return open_file(report, path);
}

void report_note(struct report *report, const char *format, ...)
{
    va_list values;

    if (report->format != REPORT_TABLE)
        return;
    fputs("# ", report->file);
    va_start(values, format);
    vfprintf(report->file, format, values);
    va_end(values);
    fputc('\n', report->file);
}

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text), end_length = strlen(end);

    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/* How the table shows a value: its heading, and what a real number is multiplied by. */
static double column(const char *name, char heading[RECORD_TEXT])
{
    double scale = 1;

    if (ends_with(name, "bytes_per_s")) {
        snprintf(heading, RECORD_TEXT, "%.*sMB/s", (int)(strlen(name) - 11), name);
        scale = 1e-6;
    } else if (ends_with(name, "_per_s")) {
        snprintf(heading, RECORD_TEXT, "%.*s/s", (int)(strlen(name) - 6), name);
    } else if (ends_with(name, "_s")) {
        snprintf(heading, RECORD_TEXT, "%.*s us", (int)(strlen(name) - 2), name);
        scale = 1e6;
    } else {
        snprintf(heading, RECORD_TEXT, "%s", name);
    }
    for (char *c = heading; *c; c++)
        if (*c == '_')
            *c = ' ';
    return scale;
}

/* A real number for people: four digits or more, no exponent while it has at most nine digits. */
static void show_real(char text[RECORD_TEXT], double real)
{
    const double size = fabs(real);

    if (size >= 1e9 || (size > 0 && size < 1e-4))
        snprintf(text, RECORD_TEXT, "%.3e", real);
    else
        snprintf(text, RECORD_TEXT, "%.*f", size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : 3,
                 real);
}

double field_scale(const char *name)
{
    char heading[RECORD_TEXT];

    return column(name, heading);
}

static void cell(const struct field *field, char text[RECORD_TEXT])
{
    char heading[RECORD_TEXT];

    switch (field->kind) {
    case FIELD_TEXT: snprintf(text, RECORD_TEXT, "%s", field->text); break;
    case FIELD_INT: snprintf(text, RECORD_TEXT, "%" PRId64, field->number); break;
    case FIELD_REAL: show_real(text, field->real * column(field->name, heading)); break;
    case FIELD_BOOL: snprintf(text, RECORD_TEXT, "%s", field->number ? "yes" : "no"); break;
    default: snprintf(text, RECORD_TEXT, "-"); break;
    }
}

static int width(const char *text)
{
    int characters = 0;

    for (; *text; text++)
        characters += ((unsigned char)*text & 0xc0) != 0x80; /* bytes that begin one, in UTF-8 */
    return characters;
}

/* Text to the left, everything else to the right. The last column is not filled up on its right. */
static void table_cell(struct report *report, int i, const struct field *field, const char *text,
                       bool last)
{
    const int fill = report->widths[i] > width(text) ? report->widths[i] - width(text) : 0;
    const bool left = field->kind == FIELD_TEXT;

    fprintf(report->file, "%*s%s%*s%s", left ? 0 : fill, "", text, left && !last ? fill : 0, "",
            last ? "\n" : "  ");
}

/* Sizes grow along a sweep and names differ, so the first row does not tell how wide their column
 * must be. */
static int width_of_later_rows(const struct field *field)
{
    if (field->kind == FIELD_INT)
        return ends_with(field->name, "bytes") || ends_with(field->name, "count") ? 11 : 0;
    return ends_with(field->name, "variant") || ends_with(field->name, "algorithm") ? 16 : 0;
}

static int last_column(const struct record *record)
{
    int last = -1;

    for (int i = 0; i < record->count; i++)
        if (!record->fields[i].aside)
            last = i;
    return last;
}

static void table_row(struct report *report, const struct record *record)
{
    const int last = last_column(record);
    char text[RECORD_TEXT];

    if (report->rows == 0) {
        char first[RECORD_TEXT];
        for (int i = 0; i <= last; i++) {
            const struct field *field = &record->fields[i];
            column(field->name, text);
            cell(field, first);
            report->widths[i] = width(text) > width(first) ? width(text) : width(first);
            if (report->widths[i] < width_of_later_rows(field))
                report->widths[i] = width_of_later_rows(field);
            if (!field->aside)
                table_cell(report, i, field, text, i == last);
        }
    }
    for (int i = 0; i <= last; i++) {
        if (record->fields[i].aside)
            continue;
        cell(&record->fields[i], text);
        table_cell(report, i, &record->fields[i], text, i == last);
    }
}

/* RFC 4180: quotes around what needs them, a quote in it doubled. */
static void csv_text(FILE *file, const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, file);
        return;
    }
    fputc('"', file);
    for (; *text; text++) {
        if (*text == '"')
            fputc('"', file);
        fputc(*text, file);
    }
    fputc('"', file);
}

static void csv_row(struct report *report, const struct record *record)
{
    FILE *file = report->file;

    if (report->rows == 0)
        for (int i = 0; i < record->count; i++)
            fprintf(file, "%s%s", i ? "," : "", record->fields[i].name);
    for (int i = 0; i < record->count; i++) {
        const struct field *field = &record->fields[i];
        fputs(i ? "," : report->rows == 0 ? "\n" : "", file);
        switch (field->kind) {
        case FIELD_TEXT: csv_text(file, field->text); break;
        case FIELD_INT: fprintf(file, "%" PRId64, field->number); break;
        case FIELD_REAL: fprintf(file, "%.9g", field->real); break;
        case FIELD_BOOL: fputs(field->number ? "true" : "false", file); break;
        default: break;
        }
    }
    fputc('\n', file);
}

#ifdef HAVE_JANSSON
static json_t *json_value(const struct field *field)
{
    switch (field->kind) {
    case FIELD_TEXT: {
        json_t *text = json_string(field->text);
        return text ? text : json_string_nocheck("(not UTF-8)");
    }
    case FIELD_INT: return json_integer(field->number);
    case FIELD_REAL: return json_real(field->real);
    case FIELD_BOOL: return json_boolean(field->number);
    default: return json_null();
    }
}

static int json_row(struct report *report, const struct record *record)
{
    json_t *object = json_object();
    bool complete = object;

    for (int i = 0; i < record->count && complete; i++)
        complete = json_object_set_new(object, record->fields[i].name,
                                       json_value(&record->fields[i])) == 0;
    if (!complete) {
        json_decref(object);
        errno = ENOMEM;
        return -1;
    }
    const int written = json_dumpf(object, report->file, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(object);
    return written == 0 && fputc('\n', report->file) != EOF ? 0 : -1;
}
#endif

int report_row(struct report *report, const struct record *record)
{
    int result = 0;

    if (record->count > RECORD_FIELDS) {
        errno = E2BIG;
        return -1;
    }
    const bool released = release(report);
    if (report->format == REPORT_TABLE)
        table_row(report, record);
    else if (report->format == REPORT_CSV)
        csv_row(report, record);
#ifdef HAVE_JANSSON
    else
        result = json_row(report, record);
#endif
    report->rows++;
    /* Flushed, so that the rows of a long sweep are seen as they come, and survive a kill. */
    return !released || result || fflush(report->file) || ferror(report->file) ? -1 : 0;
}

int report_drop(struct report *report)
{
    if (!report->later)
        return report_close(report);
    fclose(report->file);
    free(report->held);
    fclose(report->later);
    report->file = report->later = NULL;
    return 0;
}

int report_close(struct report *report)
{
    const bool lost = !release(report) || ferror(report->file);
    const int closed = report->file == stdout ? fflush(stdout) : fclose(report->file);

    report->file = NULL;
    if (lost && !closed)
        errno = EIO; /* the reason was told by the call that met it */
    return lost || closed ? -1 : 0;
}
