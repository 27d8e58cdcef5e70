/*
 * report - one kind of record, three printers: a table for people, CSV, and JSON Lines (jansson).
 *
 * A record is a list of named values in the order they were added. All records of one report
 * should have the same names in the same order: the first one makes the heading of the table and
 * of the CSV. Units stand in the names (_s seconds, bytes, _per_s); the table shows _s in
 * microseconds and bytes_per_s in MB/s (10^6 bytes) and says so in its heading.
 *
 * Not thread-safe; one thread of one process writes a report.
 */
#ifndef LOCAL_LIB_REPORT_H
#define LOCAL_LIB_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "local/lib/stats.h"

enum field_kind { FIELD_NULL, FIELD_TEXT, FIELD_INT, FIELD_REAL, FIELD_BOOL };

#define RECORD_FIELDS 48
#define RECORD_TEXT 256

struct field {
    const char *name;
    enum field_kind kind;
    bool aside; /* in CSV and JSON, but no column of the table */
    int64_t number;
    double real;
    char text[RECORD_TEXT];
};

struct record {
    int count;
    bool aside; /* what is added now stands aside */
    struct field fields[RECORD_FIELDS];
};

/* Each appends one value; `name` must outlive the record, `text` is copied (cut at RECORD_TEXT -
 * 1 bytes), NULL becomes null. record_real() takes NaN for "not known": null, and infinities alike.
 * Past RECORD_FIELDS nothing is added and report_row() refuses the record. */
void record_text(struct record *record, const char *name, const char *text);
void record_int(struct record *record, const char *name, int64_t number);
void record_real(struct record *record, const char *name, double real);
void record_bool(struct record *record, const char *name, bool truth);
void record_null(struct record *record, const char *name);

/* Appends iterations, median_s, p10_s, p90_s, ci_low_s, ci_high_s, and aside mean_s. The interval
 * is null where the samples are too few for one, all times where the result is not `verified`. */
void record_summary(struct record *record, const struct summary *summary, bool verified);

/* The field `name`, or NULL. */
const struct field *record_field(const struct record *record, const char *name);

/* What people see a value of this name multiplied by: 1e6 for _s, 1e-6 for bytes_per_s, else 1. */
double field_scale(const char *name);

enum report_format { REPORT_TABLE, REPORT_CSV, REPORT_JSON };

struct report {
    FILE *file;
    enum report_format format;
    int rows;
    FILE *later;      /* a regular file to which nothing is written before the first row */
    char *held;       /* what waits for it, in `file` */
    size_t held_size;
    int widths[RECORD_FIELDS]; /* of the table's columns, set by the heading and the first row */
};

/*
 * Opens a report in `format` ("table", "csv", "json") on the file `path`, or on stdout for NULL, and
 * where `path` is the file that stdout goes to. What a regular file holds stays until the first row,
 * or report_close(): a program may still be refused.
 * Returns 0, or -1 with errno: EINVAL for another format, ENOTSUP for json in a build without
 * jansson, or that of open.
 */
int report_open(struct report *report, const char *format, const char *path);

/* A line for people: printed in a table, behind "# ", left out of CSV and JSON. */
void report_note(struct report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Prints one record. Returns 0, or -1 with errno (E2BIG: more than RECORD_FIELDS values). */
int report_row(struct report *report, const struct record *record);

/* Flushes, and closes what report_open() opened. Returns 0, or -1 with errno if anything that was
 * written did not arrive (a full disk, a closed pipe). The report is then closed all the same. */
int report_close(struct report *report);

/* Likewise, but an older file to which no row was written stays as it is. */
int report_drop(struct report *report);

#endif
