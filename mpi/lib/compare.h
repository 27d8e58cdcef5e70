/*
 * compare - what all programs of mpi/collective do with the algorithms of their operation: run one
 * or several over a range of sizes, check each result, time them in turns, and set the times
 * against each other, against what the model predicts, and against what it says is the least.
 *
 * The model's a and b are measured first, by ping-pongs between rank 0 and the last rank, c by
 * MPI_Reduce_local of doubles on rank 0.
 */
#ifndef MPI_LIB_COMPARE_H
#define MPI_LIB_COMPARE_H

#include "mpi/lib/coll/coll.h"
#include "mpi/lib/timing.h"
#include "mpi/lib/verify.h"
#include "mpi/lib/world.h"

struct compare_options {
    struct range bytes;
    const char *algorithm;    /* names with commas between them, or "all" */
    size_t segment;
    const char *tune, *table; /* files, or NULL */
    struct timing_options timing;
    struct plot plot;
};

#define COMPARE_DEFAULTS(size)                                                                     \
    { .bytes = { (size), (size) }, .algorithm = "mpi", .timing = TIMING_DEFAULTS,                  \
      .plot = { .x = "bytes", .x_label = "bytes that a rank holds in all", .y = "median_s",        \
                .low = "p10_s", .high = "p90_s",                                                   \
                .y_label = "first entry to last exit (us): median, p10 to p90",                    \
                .series = "algorithm" } }

#define COMPARE_ARGS(options)                                                                      \
    { "algorithm", ARG_TEXT, &(options)->algorithm,                                                \
      "who does it: names with commas, or all (a wrong name lists them)" },                        \
    { "segment", ARG_SIZE, &(options)->segment, "bytes of a message of a pipeline, 0: by model" },  \
    { "tune", ARG_FILE, &(options)->tune, "write into this file which algorithm is fastest" },      \
    { "table", ARG_INPUT, &(options)->table,                                                        \
      "file made by --tune, for --algorithm auto (else $LOCKSTEP_TABLE)" },                        \
    TIMING_ARGS(&(options)->timing),                                                               \
    PLOT_ARG(&(options)->plot)

/* What a program tells of its operation. */
struct compare {
    const struct coll_algorithm *algorithms;
    MPI_Op op;  /* MPI_OP_NULL: none */
    size_t unit; /* bytes of an element: counts of MPI are int */
    double (*bound)(const struct coll_case *c);
    void *arg;  /* of the functions below */

    /* Collective. Buffers for `bytes` on this rank, and what call() needs; and their end. Returns
     * what the larger buffer then really holds: whole elements. */
    uint64_t (*open)(void *arg, uint64_t bytes);
    void (*close)(void *arg);
    /* Inputs, and where results go something that is none: before a call that is checked. */
    void (*fill)(void *arg);
    /* Collective. The operation by `algorithm`, or by MPI's own call for NULL. Returns 0, or -1
     * with
     * errno. `options` are for the algorithm. */
    int (*call)(void *arg, const struct coll_algorithm *algorithm,
                const struct coll_options *options);
    /* Collective. Whether the result of the last call is right. */
    struct verdict (*check)(void *arg);
    /* May be NULL: fields of its own for a row. */
    void (*fields)(const void *arg, struct record *row);
    /* Collective, may be NULL: prints data, as --show asks for it, `when` "before" or "after ". */
    void (*show)(void *arg, const char *when);
};

/*
 * Collective. Runs the operation as the options say, one row for each size and algorithm, and tells
 * the verdict: "`what` on 4 ranks" if right, or what the first wrong check said. Returns the status
 * of the program. An algorithm that is named and cannot run here ends it (UNABLE, or USAGE where it
 * is unknown or `op` forbids it); of all of them it is left out with a note.
 */
enum status compare_run(struct world *world, const struct compare *compare,
                        struct compare_options *options, const char *what);

#endif
