#include "local/lib/args.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const char *what_it_takes(enum arg_kind kind)
{
    switch (kind) {
    case ARG_INT: return "NUMBER";
    case ARG_SIZE: return "SIZE";
    case ARG_RANGE: return "SIZE[:SIZE]";
    case ARG_SECS: return "TIME";
    case ARG_TEXT: return "TEXT";
    case ARG_FILE:
    case ARG_INPUT: return "FILE";
    default: return "";
    }
}

static size_t most_of(const struct arg *arg)
{
    return arg->max ? arg->max : arg->kind == ARG_INT ? INT_MAX
                             : arg->kind == ARG_SECS  ? ARG_SECS_MAX
                                                      : ARG_SIZE_MAX;
}

/* 0, or -1 with errno: EDOM below the least, ERANGE above the most. */
static int check_bounds(const struct arg *arg, size_t least, size_t most)
{
    errno = least < arg->min ? EDOM : most > most_of(arg) ? ERANGE : 0;
    return errno ? -1 : 0;
}

/* Reads one size up to `end`; -1 where it is none, with errno EINVAL, or ERANGE if too large. */
static int parse_size(const char *text, char end, size_t *size, const char **rest)
{
    static const char units[] = "KMG";
    char *after;

    errno = isdigit((unsigned char)*text) ? 0 : EINVAL; /* strtoull would take "-1" and " 1" */
    if (errno)
        return -1;
    const unsigned long long number = strtoull(text, &after, 10);
    if (errno)
        return -1;
    const char *unit = *after ? strchr(units, toupper((unsigned char)*after)) : NULL;
    const int shift = unit ? 10 * (int)(unit - units + 1) : 0;
    if (unit)
        after++;
    if (*after != end && *after != '\0') {
        errno = EINVAL;
        return -1;
    }
    if (number > (SIZE_MAX >> shift)) {
        errno = ERANGE;
        return -1;
    }
    *size = (size_t)number << shift;
    *rest = *after ? after + 1 : after;
    return 0;
}

static int set_size(const struct arg *arg, const char *text)
{
    const char *rest;
    size_t size;

    if (parse_size(text, '\0', &size, &rest) || check_bounds(arg, size, size))
        return -1;
    *(size_t *)arg->value = size;
    return 0;
}

static int set_range(const struct arg *arg, const char *text)
{
    struct range range;
    const char *rest;

    if (parse_size(text, ':', &range.from, &rest))
        return -1;
    range.to = range.from;
    if (strchr(text, ':') && parse_size(rest, '\0', &range.to, &rest))
        return -1;
    if (range.to < range.from) {
        errno = EINVAL;
        return -1;
    }
    if (check_bounds(arg, range.from, range.to))
        return -1;
    *(struct range *)arg->value = range;
    return 0;
}

static int set_int(const struct arg *arg, const char *text)
{
    char *after;

    errno = 0;
    const long number = strtol(text, &after, 10);
    if (after == text || *after || isspace((unsigned char)*text))
        errno = EINVAL;
    else if (number < INT_MIN || number > (long)most_of(arg))
        errno = ERANGE;
    else if (arg->min > 0 && number < (long)arg->min)
        errno = EDOM;
    if (errno)
        return -1;
    *(int *)arg->value = (int)number;
    return 0;
}

static int set_secs(const struct arg *arg, const char *text)
{
    static const struct {
        const char *unit;
        double secs;
    } units[] = { { "", 1 }, { "s", 1 }, { "ms", 1e-3 }, { "us", 1e-6 } };
    char *after;
    const double number = strtod(text, &after);

    errno = EINVAL;
    if (!isdigit((unsigned char)*text) || !isfinite(number) || strpbrk(text, "xX"))
        return -1; /* strtod() takes signs, blanks, infinities and hexadecimal digits too */
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(after, units[i].unit) == 0) {
            if (number * units[i].secs > (double)most_of(arg)) {
                errno = ERANGE;
                return -1;
            }
            *(double *)arg->value = number * units[i].secs;
            return 0;
        }
    }
    return -1;
}

static bool is_choice(const char *choices, const char *text)
{
    const size_t length = strlen(text);

    if (length == 0 || strchr(text, '|'))
        return false;
    for (const char *word = choices; word; word = strchr(word, '|')) {
        word += *word == '|';
        if (strncmp(word, text, length) == 0 && strchr("|", word[length]))
            return true;
    }
    return false;
}

static int set_value(const struct arg *arg, const char *text)
{
    switch (arg->kind) {
    case ARG_FLAG: *(bool *)arg->value = true; return 0;
    case ARG_INT: return set_int(arg, text);
    case ARG_SIZE: return set_size(arg, text);
    case ARG_RANGE: return set_range(arg, text);
    case ARG_SECS: return set_secs(arg, text);
    case ARG_CHOICE:
        if (!is_choice(arg->choices, text)) {
            errno = EINVAL;
            return -1;
        }
        *(const char **)arg->value = text;
        return 0;
    default: *(const char **)arg->value = text; return 0;
    }
}

/* Why set_value() refused `text`, by its errno. */
static void explain(const struct arg *arg, const char *text, char *error, size_t size)
{
    if (errno == EDOM)
        snprintf(error, size, "--%s %s: too small: the least is %zu", arg->name, text, arg->min);
    else if (errno == ERANGE && *text == '-')
        snprintf(error, size, "--%s %s: too small: give a larger number", arg->name, text);
    else if (errno == ERANGE)
        snprintf(error, size, "--%s %s: too large: the most is %zu", arg->name, text, most_of(arg));
    else if (arg->kind == ARG_CHOICE)
        snprintf(error, size, "--%s %s: no such choice: take one of %s", arg->name, text,
                 arg->choices);
    else if (arg->kind == ARG_SECS)
        snprintf(error, size, "--%s %s: not a time: give seconds, or a number with s, ms or us",
                 arg->name, text);
    else if (arg->kind == ARG_INT)
        snprintf(error, size, "--%s %s: not a number: give a whole number", arg->name, text);
    else if (arg->kind == ARG_RANGE)
        snprintf(error, size, "--%s %s: not a size or range of sizes: give SIZE or FROM:TO, "
                 "K, M or G may follow a number", arg->name, text);
    else
        snprintf(error, size, "--%s %s: not a size: give a whole number, K, M or G may follow",
                 arg->name, text);
}

static void forget_last_parse(void)
{
#ifdef __linux__
    optind = 0;
#else /* BSD */
    optreset = 1;
    optind = 1;
#endif
}

enum { first_val = 256 }; /* above all characters: getopt_long() tells options by it */

int args_parse(const struct arg *const *tables, int argc, char **argv, char *error,
               size_t error_size)
{
    struct option options[ARGS_MAX + 1] = { 0 };
    const struct arg *args[ARGS_MAX];
    int count = 0;

    for (; *tables; tables++) {
        for (const struct arg *arg = *tables; arg->kind != ARG_END; arg++) {
            if (count == ARGS_MAX) {
                snprintf(error, error_size, "more than %d options in the tables", ARGS_MAX);
                errno = EINVAL;
                return -1;
            }
            options[count].name = arg->name;
            options[count].has_arg = arg->kind == ARG_FLAG ? no_argument : required_argument;
            options[count].val = first_val + count;
            args[count++] = arg;
        }
    }

    forget_last_parse();
    opterr = 0;
    for (;;) {
        const int next = optind > 0 ? optind : 1;
        const int val = getopt_long(argc, argv, "+:", options, NULL);

        if (val == -1)
            break;
        const char *wrong = val == ':'                          ? "needs a value"
                            : val == '?' && optopt >= first_val ? "takes no value"
                            : val == '?'                        ? "unknown option"
                                                                : NULL;
        /* getopt_long() takes the beginning of a name; the next option added would change it. */
        if (!wrong && strcspn(argv[next] + 2, "=") != strlen(args[val - first_val]->name))
            wrong = "unknown option";
        if (wrong) {
            snprintf(error, error_size, "%s: %s: see --help", argv[next], wrong);
            errno = EINVAL;
            return -1;
        }
        const struct arg *arg = args[val - first_val];
        if (set_value(arg, optarg)) {
            explain(arg, optarg, error, error_size);
            errno = EINVAL;
            return -1;
        }
    }
    if (optind < argc) {
        snprintf(error, error_size, "%s: not an option: see --help", argv[optind]);
        errno = EINVAL;
        return -1;
    }
    return 0;
}

static void print_size(FILE *file, size_t size)
{
    static const char units[] = "\0KMG";
    int unit = 0;

    while (unit < 3 && size > 0 && size % 1024 == 0) {
        size /= 1024;
        unit++;
    }
    fprintf(file, "%zu%.1s", size, &units[unit]);
}

static void print_bound(FILE *file, const struct arg *arg)
{
    if (!arg->max)
        return;
    fputs(", at most ", file);
    if (arg->kind == ARG_SIZE || arg->kind == ARG_RANGE)
        print_size(file, arg->max);
    else
        fprintf(file, "%zu%s", arg->max, arg->kind == ARG_SECS ? "s" : "");
}

static void print_default(FILE *file, const struct arg *arg)
{
    const char *text = arg->kind >= ARG_TEXT ? *(const char *const *)arg->value : NULL;

    if (arg->kind == ARG_FLAG || (arg->kind >= ARG_TEXT && !text))
        return;
    fputs(" (default ", file);
    if (arg->kind == ARG_INT) {
        fprintf(file, "%d", *(const int *)arg->value);
    } else if (arg->kind == ARG_SIZE) {
        print_size(file, *(const size_t *)arg->value);
    } else if (arg->kind == ARG_RANGE) {
        const struct range *range = arg->value;
        print_size(file, range->from);
        if (range->to != range->from) {
            fputc(':', file);
            print_size(file, range->to);
        }
    } else if (arg->kind == ARG_SECS) {
        fprintf(file, "%gs", *(const double *)arg->value);
    } else {
        fputs(text, file);
    }
    print_bound(file, arg);
    fputc(')', file);
}

/* "--name WHAT" of an option; returns its length. */
static int usage_of(const struct arg *arg, char *text, size_t size)
{
    const char *takes = arg->kind == ARG_CHOICE ? arg->choices : what_it_takes(arg->kind);

    return snprintf(text, size, "--%s%s%s", arg->name, *takes ? " " : "", takes);
}

/* The bounds of the kinds, for the options that state none of their own. */
static void help_bounds(FILE *file, const bool *seen)
{
    if (!seen[ARG_SIZE] && !seen[ARG_RANGE] && !seen[ARG_SECS])
        return;
    fputs("\nUnless stated, ", file);
    if (seen[ARG_SIZE] || seen[ARG_RANGE])
        fprintf(file, "a SIZE is at most 2^60 (K, M, G may follow a number)%s",
                seen[ARG_SECS] ? ", " : ".\n");
    if (seen[ARG_SECS])
        fprintf(file, "a TIME at most %ds (s, ms, us may follow).\n", ARG_SECS_MAX);
}

void args_help(const struct arg *const *tables, FILE *file)
{
    char usage[128];
    int widest = 0;
    bool seen[ARG_CHOICE + 1] = { false };

    for (const struct arg *const *table = tables; *table; table++) {
        for (const struct arg *arg = *table; arg->kind != ARG_END; arg++) {
            const int width = usage_of(arg, usage, sizeof usage);
            seen[arg->kind] = true;
            widest = width > widest && width <= 32 ? width : widest;
        }
    }
    for (; *tables; tables++) {
        for (const struct arg *arg = *tables; arg->kind != ARG_END; arg++) {
            usage_of(arg, usage, sizeof usage);
            fprintf(file, "  %-*s  %s", widest, usage, arg->help);
            print_default(file, arg);
            fputc('\n', file);
        }
    }
    help_bounds(file, seen);
}

bool arg_is(const char *value, const char *word)
{
    return value && strcmp(value, word) == 0;
}

const char *range_text(const struct range *range, char text[64])
{
    if (range->from == range->to)
        snprintf(text, 64, "%zu", range->to);
    else
        snprintf(text, 64, "%zu to %zu", range->from, range->to);
    return text;
}

size_t range_next(const struct range *range, size_t size)
{
    if (size >= range->to)
        return 0;
    if (size == 0)
        return 1;
    return size > range->to / 2 ? range->to : 2 * size;
}
