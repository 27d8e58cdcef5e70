#include "mpi/lib/coll/tune.h"
#include "local/lib/file.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAME_MAX_LENGTH = 31 };

struct line {
    char operation[NAME_MAX_LENGTH + 1], algorithm[NAME_MAX_LENGTH + 1];
    int nodes, ranks;
    uint64_t bytes;
};

/* Of digits alone; false where the number is not between the two. */
static bool read_number(const char *digits, uint64_t least, uint64_t most, uint64_t *number)
{
    errno = 0;
    *number = strtoull(digits, NULL, 10);
    return errno == 0 && *number >= least && *number <= most;
}

/* Reads one line and steps behind it. Returns 1 for an entry, 0 for an empty line or a remark
 * ("# ..."), -1 for anything else. */
static int read_line(const char **text, struct line *line)
{
    const size_t length = strcspn(*text, "\n");
    char copy[256], nodes[12], ranks[12], bytes[22];
    uint64_t node_count, rank_count;
    int end = 0;

    snprintf(copy, sizeof copy, "%.*s", (int)(length < 255 ? length : 255), *text);
    *text += length + ((*text)[length] == '\n');
    if (copy[strspn(copy, " \t\r")] == '\0' || copy[0] == '#')
        return 0;
    const int fields = sscanf(copy, "%31s nodes %11[0-9] ranks %11[0-9] bytes %21[0-9] algorithm "
                              "%31s %n", line->operation, nodes, ranks, bytes, line->algorithm,
                              &end);
    if (fields < 5 || copy[end] || length > 255 || !read_number(nodes, 1, INT_MAX, &node_count) ||
        !read_number(ranks, 1, INT_MAX, &rank_count) ||
        !read_number(bytes, 0, UINT64_MAX, &line->bytes))
        return -1;
    line->nodes = (int)node_count;
    line->ranks = (int)rank_count;
    return 1;
}

static const struct coll_algorithm *named(const struct coll_algorithm *algorithms, const char *name)
{
    while (algorithms->name && strcmp(algorithms->name, name) != 0)
        algorithms++;
    return algorithms->name ? algorithms : NULL;
}

/* How different two layouts are: another number of nodes is worse than any number of ranks. */
static double distance(int nodes, int ranks, const struct line *line)
{
    return 100 * fabs(log((double)line->nodes / nodes)) + fabs(log((double)line->ranks / ranks));
}

static int by_bytes(const void *a, const void *b)
{
    const struct tune_entry *x = a, *y = b;

    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

int tune_read(struct tune *tune, const char *text, const char *operation, int nodes, int ranks,
              const struct coll_algorithm *algorithms, int *number)
{
    struct tune found = { 0 };
    double nearest = INFINITY;
    struct line line;
    size_t lines = 1;

    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    found.entries = malloc(lines * sizeof *found.entries);
    if (!found.entries)
        return -1;
    for (*number = 1; *text; ++*number) {
        const int kind = read_line(&text, &line);
        if (kind < 0) {
            free(found.entries);
            errno = EINVAL;
            return -1;
        }
        const struct coll_algorithm *algorithm = named(algorithms, line.algorithm);
        if (kind == 0 || strcmp(line.operation, operation) != 0 || !algorithm)
            continue;
        const double far = distance(nodes, ranks, &line);
        if (far > nearest)
            continue;
        if (far < nearest || line.nodes != found.nodes || line.ranks != found.ranks)
            found.count = 0; /* a nearer layout, or another that is as near: the last one */
        nearest = far;
        found.nodes = line.nodes;
        found.ranks = line.ranks;
        found.entries[found.count++] = (struct tune_entry){ line.bytes, algorithm };
    }
    qsort(found.entries, (size_t)found.count, sizeof *found.entries, by_bytes);
    *tune = found;
    return 0;
}

void tune_close(struct tune *tune)
{
    free(tune->entries);
    *tune = (struct tune){ 0 };
}

const struct tune_entry *tune_find(const struct tune *tune, uint64_t bytes)
{
    int i = 0;

    while (i + 1 < tune->count && tune->entries[i + 1].bytes <= bytes)
        i++;
    return tune->count > 0 ? &tune->entries[i] : NULL;
}

/* What other entries the file has. */
static void copy_others(FILE *file, const char *text, const char *operation, int nodes, int ranks)
{
    struct line line;

    while (*text) {
        const char *const begin = text;
        const int kind = read_line(&text, &line);
        if (kind > 0 && strcmp(line.operation, operation) == 0 && line.nodes == nodes &&
            line.ranks == ranks)
            continue;
        fwrite(begin, 1, (size_t)(text - begin), file);
    }
}

int tune_write(const char *path, const char *operation, int nodes, int ranks,
               const struct tune_entry *entries, int count)
{
    struct file_draft draft;
    unsigned char *old = NULL;
    size_t length = 0;

    if (file_read(path, 1, &old, &length) && errno != ENOENT)
        return -1;
    if (file_begin(&draft, path)) {
        free(old);
        return -1;
    }
    FILE *file = fdopen(dup(draft.fd), "w");
    if (file && old)
        copy_others(file, (const char *)old, operation, nodes, ranks);
    for (int i = 0; file && i < count; i++)
        fprintf(file, "%s nodes %d ranks %d bytes %" PRIu64 " algorithm %s\n", operation, nodes,
                ranks, entries[i].bytes, entries[i].algorithm->name);
    int status = file && !ferror(file) ? 0 : -1;
    if (file && fclose(file))
        status = -1;
    if (status == 0)
        status = file_finish(&draft, false);
    else
        file_drop(&draft);
    free(old);
    return status;
}
