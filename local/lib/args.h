/*
 * args - the options of a program as a table, on top of getopt_long.
 *
 * A program lists its options once; from the table come parsing, --help with every default, and
 * the sentence for a malformed value. Nothing here prints to stderr or ends the process, except
 * that args_help() writes to the stream it is given. Not thread-safe (getopt_long is not).
 */
#ifndef LOCAL_LIB_ARGS_H
#define LOCAL_LIB_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* A row of sizes: from, 2 * from, 4 * from ... up to `to`; "8:4M", or "1000" for one size. */
struct range {
    size_t from, to;
};

enum arg_kind {       /* `value` points to, and the user writes: */
    ARG_END,          /* ends the table */
    ARG_FLAG,         /* bool; nothing, the option alone makes it true */
    ARG_INT,          /* int; a decimal number */
    ARG_SIZE,         /* size_t; a whole number, K, M or G (powers of 1024) may follow */
    ARG_RANGE,        /* struct range; a size, or FROM:TO */
    ARG_SECS,         /* double, seconds; a number, s, ms or us may follow */
    ARG_TEXT,         /* const char *; any word. It points into argv */
    ARG_FILE,         /* const char *; likewise, a file that is written */
    ARG_INPUT,        /* const char *; likewise, a file that is read */
    ARG_CHOICE,       /* const char *; one of the words in `choices` */
};

struct arg {
    const char *name; /* without the dashes */
    enum arg_kind kind;
    void *value;      /* what it holds before args_parse() is the default that --help shows */
    const char *help; /* a line, in lower case, units named */
    const char *choices; /* ARG_CHOICE: the words, "posix|cond|spin" */
    size_t min;          /* the least size, or number above 0, accepted; 0: that of the kind */
    size_t max;          /* the largest number, size or whole seconds accepted; 0: that of the kind,
                          * see below. --help prints it */
};

/* The largest values of options that state no bound of their own: sizes whose sum fits into 63 bits
 * whatever few of them are added, and times that fit every clock and every time_t. */
#define ARG_SIZE_MAX ((size_t)1 << 60)
#define ARG_SECS_MAX 1000000000

#define ARGS_MAX 40 /* options of one program at most, all tables together */
#define ARGS_END { .kind = ARG_END }

/*
 * Reads argv[1 ...] into the values of `tables`, a NULL-terminated list of tables that each end
 * with ARGS_END. Values of options that are not given stay as they are.
 * Returns 0; or -1 with errno EINVAL and a sentence ("--count 10x: not a size: ...") in `error`
 * (`error_size` bytes at most, always terminated); values before the wrong one are then set.
 */
int args_parse(const struct arg *const *tables, int argc, char **argv, char *error,
               size_t error_size);

/* Writes one line per option, with its default and its bound, to `file`. */
void args_help(const struct arg *const *tables, FILE *file);

/* Whether the text or choice `value`, NULL if it was not given, is `word`. */
bool arg_is(const char *value, const char *word);

/* "1000" for one size, "8 to 4194304" for more. Returns `text`. */
const char *range_text(const struct range *range, char text[64]);

/* The size after `size` in `range` (its double, clipped to range->to), or 0 behind the last. */
size_t range_next(const struct range *range, size_t size);

#endif
