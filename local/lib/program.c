#include "local/lib/program.h"
#include "local/lib/cpus.h"
#include "local/lib/file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void program_error(const char *format, ...)
{
    char sentence[1024];
    va_list values;

    va_start(values, format);
    vsnprintf(sentence, sizeof sentence, format, values);
    va_end(values);
    fprintf(stderr, "%s: %s\n", program_name, sentence);
}

enum status program_usage(const struct program *program, const char *format, ...)
{
    char sentence[1024];
    va_list values;

    va_start(values, format);
    vsnprintf(sentence, sizeof sentence, format, values);
    va_end(values);
    if (program->speaks)
        program_error("%s", sentence);
    return USAGE;
}

static enum status answer_help(struct program *program, const struct arg *const *tables)
{
    if (!program->speaks)
        return HELPED;
    printf("%s\nOptions:\n", program_about);
    args_help(tables, stdout);
    if (fflush(stdout)) {
        program_error("the help cannot be written: %s", strerror(errno));
        program->lost = true;
        return FAIL;
    }
    return HELPED;
}

void program_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY); /* gets the number fd */
}

/* Where the option --fault stores its value; NULL: there is no such option. */
static const char *const *fault_of(const struct arg *options)
{
    for (; options->kind != ARG_END; options++)
        if (options->kind == ARG_CHOICE && strcmp(options->name, "fault") == 0)
            return options->value;
    return NULL;
}

enum status program_parse(struct program *program, int argc, char **argv,
                          const struct arg *options, bool speaks)
{
    bool help = false;
    char error[512];

    program_descriptors();
    *program = (struct program){ .speaks = speaks, .format = "table", .options = options,
                                  .fault = fault_of(options) };
    const struct arg common[] = {
        { "format", ARG_CHOICE, &program->format, "how results are written",
          .choices = "table|csv|json" },
        { "output", ARG_FILE, &program->output, "write results to this file, not to stdout" },
        { "help", ARG_FLAG, &help, "show this and end" },
        ARGS_END,
    };
    const struct arg *const tables[] = { options, common, NULL };

    /* A reader that leaves (`program | head -1`) is a failed write, told and with a status. */
    signal(SIGPIPE, SIG_IGN);
    for (int i = 1; i < argc; i++) /* answered before values take the place of defaults */
        if (strcmp(argv[i], "--help") == 0)
            return answer_help(program, tables);
    if (args_parse(tables, argc, argv, error, sizeof error))
        return program_usage(program, "%s", error);
    return PASS;
}

static void record_count(struct record *record, const char *name, int count)
{
    if (count)
        record_int(record, name, count);
    else
        record_null(record, name);
}

static void describe_binding(char text[64], const struct setting *setting)
{
    const int online = cpus_online();

    if (setting->cpus_min == 0)
        snprintf(text, 64, "binding unknown");
    else if (setting->cpus_min >= online)
        snprintf(text, 64, "not bound");
    else if (setting->cpus_min == setting->cpus_max)
        snprintf(text, 64, "bound to %d of %d CPUs", setting->cpus_min, online);
    else
        snprintf(text, 64, "bound to %d to %d of %d CPUs", setting->cpus_min, setting->cpus_max,
                 online);
}

static const char *plural(int count)
{
    return count == 1 ? "" : "s";
}

static void heading(struct program *program, const struct setting *setting, const char *binding,
                    const char *date)
{
    char who[128];

    if (setting->ranks)
        snprintf(who, sizeof who, "%s, %d rank%s on %d node%s, %d thread%s a rank", setting->mpi,
                 setting->ranks, plural(setting->ranks), setting->nodes, plural(setting->nodes),
                 setting->threads, plural(setting->threads));
    else
        snprintf(who, sizeof who, "%d worker%s", setting->workers, plural(setting->workers));
    report_note(&program->report, "%s " LOCKSTEP_VERSION ", %s, %s%s, %s", program_name, who,
                binding, setting->oversubscribed ? ", oversubscribed" : "", date);
}

/* The file of an option that was given, or NULL. */
static const char *file_of(const struct arg *arg)
{
    const char *const name = arg->kind == ARG_FILE || arg->kind == ARG_INPUT
                                 ? *(const char *const *)arg->value : NULL;

    return name && *name ? name : NULL;
}

/* What one option writes another must not write, nor read. */
static enum status check_files(const struct program *program)
{
    const struct arg output = { "output", ARG_FILE, (void *)(uintptr_t)&program->output, "" };

    for (const struct arg *one = &output; one->kind != ARG_END;
         one = one == &output ? program->options : one + 1)
        for (const struct arg *other = program->options; other->kind != ARG_END; other++) {
            const char *const written = one->kind == ARG_FILE ? file_of(one) : NULL;
            const char *const taken = file_of(other);
            if (other != one && written && taken && file_same(written, taken))
                return program_usage(program, "--%s and --%s: both are the file %s: name two",
                                     one->name, other->name, taken);
        }
    return PASS;
}

enum status program_begin(struct program *program, const struct setting *setting)
{
    struct record *record = &program->record;
    char binding[64], date[32];
    const time_t now = time(NULL);
    struct tm utc;

    if (report_open(&program->report, program->format, program->output)) {
        if (errno == ENOTSUP) {
            program_error("--format json: this build has no JSON: install jansson and build again");
            return UNABLE;
        }
        return program_usage(program, "--output %s: %s: name a file that can be written",
                             program->output, strerror(errno));
    }
    if (check_files(program) != PASS)
        return USAGE;
    describe_binding(binding, setting);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));

    record->aside = true;
    record_text(record, "program", program_name);
    record_text(record, "version", LOCKSTEP_VERSION);
    if (setting->mpi)
        record_text(record, "mpi", setting->mpi);
    else
        record_null(record, "mpi");
    record_count(record, "ranks", setting->ranks);
    record_count(record, "nodes", setting->nodes);
    record_count(record, "ranks_per_node", setting->ranks_per_node);
    record_count(record, "threads", setting->threads);
    record_count(record, "workers", setting->workers);
    record_text(record, "binding", binding);
    record_bool(record, "oversubscribed", setting->oversubscribed);
    record_text(record, "date", date);
    record->aside = false;

    heading(program, setting, binding, date);
    return PASS;
}

enum status program_open(struct program *program, int argc, char **argv,
                         const struct arg *options, const size_t *workers)
{
    enum status status = program_parse(program, argc, argv, options, true);
    struct setting setting = { .workers = 1, .nodes = 1 };
    struct cpus cpus;

    if (status != PASS)
        return status;
    if (workers)
        setting.workers = (int)*workers;
    if (cpus_granted(&cpus) == 0)
        setting.cpus_min = setting.cpus_max = cpus_count(&cpus);
    setting.oversubscribed = setting.cpus_min > 0 && setting.workers > setting.cpus_min;
    return program_begin(program, &setting);
}

static void tell_lost(struct program *program, const char *where)
{
    if (!program->lost)
        program_error("the results cannot be written to %s: %s", where ? where : "stdout",
                      strerror(errno));
    program->lost = true;
}

enum status program_plot(struct program *program, struct plot *plot)
{
    char error[512];

    if (!program->speaks || !plot->file)
        return PASS;
    const enum status status = plot_check(plot, error, sizeof error);
    if (status != PASS)
        program_error("%s", error);
    else
        program->plot = plot;
    return status;
}

void program_row(struct program *program, const struct record *record)
{
    if (program->plot)
        plot_add(program->plot, record);
    if (program->speaks && report_row(&program->report, record))
        tell_lost(program, program->output);
}

void program_note(struct program *program, const char *format, ...)
{
    char line[1024];
    va_list values;

    va_start(values, format);
    vsnprintf(line, sizeof line, format, values);
    va_end(values);
    if (program->speaks)
        report_note(&program->report, "%s", line);
}

void program_fault(struct program *program, const char *fault, bool right, const char *why)
{
    if (fault && right)
        snprintf(program->not_struck, sizeof program->not_struck, "%s", why);
}

FILE *program_text(const struct program *program)
{
    return program->report.format == REPORT_TABLE ? stdout : stderr;
}

enum status program_verdict(struct program *program, bool right, const char *format, ...)
{
    char sentence[1024];
    va_list values;

    va_start(values, format);
    vsnprintf(sentence, sizeof sentence, format, values);
    va_end(values);
    if (program->speaks && right)
        memcpy(program->passed, sentence, sizeof sentence);
    else if (program->speaks)
        fprintf(program_text(program), "FAIL: %s\n", sentence);
    return right ? PASS : FAIL;
}

static void print_passed(const struct program *program)
{
    FILE *file = program_text(program);

    if (program->fault && *program->fault)
        fprintf(file, "NOT STRUCK: --fault %s: %s\n", *program->fault, *program->not_struck
                ? program->not_struck : "nothing that this run checks is different with it");
    else
        fprintf(file, "PASS: %s\n", program->passed);
}

int program_close(struct program *program, enum status status)
{
    char error[512];

    if (program->plot && plot_draw(program->plot, error, sizeof error)) {
        program_error("%s", error);
        program->lost = true;
    }
    if (*program->passed && !program->lost && (status == PASS || status == STOPPED))
        print_passed(program);
    if (program->report.file && (status == PASS ? report_close : report_drop)(&program->report))
        tell_lost(program, program->output);
    if (program->speaks && (fflush(stdout) || ferror(stdout))) /* the verdict, --show */
        tell_lost(program, NULL);
    if (program->lost && status <= PASS)
        return FAIL;
    return status == HELPED ? 0 : (int)status;
}
