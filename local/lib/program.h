/*
 * program - what every program has in common: its manual, the options --help, --format and
 * --output, the report with its heading, and the verdict line.
 *
 * One process of a job speaks (rank 0; a program without MPI is alone), the others go through the
 * same calls and print nothing. Not thread-safe.
 */
#ifndef LOCAL_LIB_PROGRAM_H
#define LOCAL_LIB_PROGRAM_H

#include "local/lib/args.h"
#include "local/lib/plot.h"
#include "local/lib/report.h"
#include "local/lib/status.h"

/* The program's name, and its manual: the head comment of its file without the Test lines. The
 * build makes both from the source file. */
extern const char program_name[];
extern const char program_about[];

struct program {
    bool speaks;
    const char *format, *output; /* --format, --output */
    struct report report;        /* open where `speaks`, from program_begin() on */
    struct record record;        /* program, version, setting, date: copy it and add the row's own */
    struct plot *plot;           /* --plot, from program_plot() on */
    const struct arg *options;   /* the program's own */
    const char *const *fault;    /* the value of the option --fault; NULL: there is none */
    char not_struck[256];        /* why the fault made no difference */
    char passed[1024];           /* the sentence behind PASS */
    bool lost;                   /* a part of the report did not arrive, and that was told */
};

/* Where and with what a program runs; it stands in the heading and in every record. 0 and NULL
 * mean: not known, or no such thing here. */
struct setting {
    const char *mpi; /* library and version */
    int ranks, nodes, ranks_per_node;
    int threads;        /* of each rank */
    int workers;        /* of a program without MPI: threads or processes */
    int cpus_min, cpus_max; /* that a rank (without MPI: the process) may run on */
    bool oversubscribed;    /* more ranks x threads on some node than CPUs they may run on */
};

/*
 * Opens a program without MPI: reads the options, opens the report, prints the heading.
 * `workers` is where the option for them stores its value; NULL where there is none. Returns
 * PASS, or what the process must end with, told (HELPED: --help was answered).
 */
enum status program_open(struct program *program, int argc, char **argv,
                         const struct arg *options, const size_t *workers);

/*
 * Opens the null device for each of the descriptors 0 to 2 that is closed, or the next file or socket
 * would be taken for it. The wrong way round, so that what is written to stdout fails as it would
 * have, and is told. For mpi/lib/world, before MPI starts; program_open() does it itself.
 */
void program_descriptors(void);

/* The two halves of program_open(), for mpi/lib/world. program_begin() only where it speaks; it
 * refuses options (ARG_FILE, ARG_INPUT) that stand for one file, of which one is written. */
enum status program_parse(struct program *program, int argc, char **argv,
                          const struct arg *options, bool speaks);
enum status program_begin(struct program *program, const struct setting *setting);

/* Rows will be drawn into plot->file, if it was given, when the program closes. PASS, or USAGE or
 * UNABLE, told; only where the program speaks is anything looked at. */
enum status program_plot(struct program *program, struct plot *plot);

/* Prints "program: sentence" on stderr if this process speaks, and returns USAGE. */
enum status program_usage(const struct program *program, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Prints "program: sentence" on stderr: for the one process that has the error. */
void program_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Adds a row to the report, or a line for people above or below the table, if this one speaks. */
void program_row(struct program *program, const struct record *record);
void program_note(struct program *program, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* For a `fault` (NULL: none) whose run came out `right`: why it did not strike. */
void program_fault(struct program *program, const char *fault, bool right, const char *why);

/* Where text for people goes that is no part of the report: stdout, unless records go there. */
FILE *program_text(const struct program *program);

/*
 * The verdict, if this process speaks. A wrong one prints "FAIL: sentence" at once; a right one is
 * kept, and program_close() prints it as the last line: "PASS: sentence", or where --fault was given
 * "NOT STRUCK: why", because a mistake that changed nothing proves nothing. Returns PASS or FAIL.
 */
enum status program_verdict(struct program *program, bool right, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Prints the verdict if `status` is PASS or STOPPED and nothing was lost, and closes the report. Returns the status for
 * exit(): `status`, 0 for HELPED, FAIL if a part of the report did not arrive. */
int program_close(struct program *program, enum status status);

#endif
