/*
 * program - options, help, report, verdict and exit status of a program without MPI
 *
 * This is the manual, with a "quote" and a \ in it.
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
#include <sys/wait.h>
#include <unistd.h>

#include "local/lib/program.h"

enum { SIZE = 8192, WORDS = 8 };

/* A program that checks nothing and says what `ends` says. */
static int run_program(int argc, char **argv, enum status ends)
{
    static size_t workers = 3;
    static const char *fault, *plot, *input;
    static const struct arg options[] = {
        { "plot", ARG_FILE, &plot, "a file that is written" },
        { "input", ARG_INPUT, &input, "a file that is read" },
        { "workers", ARG_SIZE, &workers, "threads", .min = 1 },
        { "fault", ARG_CHOICE, &fault, "a mistake", .choices = "known|unknown" },
        ARGS_END,
    };
    struct program program;
    enum status status = program_open(&program, argc, argv, options, &workers);

    if (status == PASS && ends == UNABLE)
        return program_close(&program, UNABLE);
    if (status == PASS && workers == 99)
        status = program_usage(&program, "--workers %d: too many: take %s", 99, "fewer");
    if (status == PASS) {
        struct record row = program.record;
        record_int(&row, "count", 42);
        program_row(&program, &row);
        status = program_verdict(&program, ends != FAIL, "%d right", 42);
        if (arg_is(fault, "known"))
            program_fault(&program, fault, ends != FAIL, "it is too small");
        program_note(&program, "note %d", 1);
        if (status == PASS)
            status = ends;
    }
    return program_close(&program, status);
}

struct output {
    int status;
    char out[SIZE], err[SIZE];
};

static void read_all(FILE *file, char text[SIZE])
{
    rewind(file);
    text[fread(text, 1, SIZE - 1, file)] = '\0';
    fclose(file);
}

/* Makes stdout a pipe whose reader has gone: `program | head -0`. */
static FILE *closed_pipe(void)
{
    int ends[2];

    if (pipe(ends) || dup2(ends[1], STDOUT_FILENO) < 0)
        return NULL;
    close(ends[0]);
    close(ends[1]);
    return stdout;
}

/* Closes stdin and stdout: `program <&- >&-`. */
static FILE *closed_descriptors(void)
{
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    return stdout;
}

/* Runs it in a child, as a shell would. `to` is where stdout goes, "|" a pipe without reader, "-"
 * nowhere. */
static struct output run(const char *words, const char *to, enum status ends)
{
    FILE *out = tmpfile(), *err = tmpfile();
    struct output output;
    char copy[256], *argv[WORDS] = { "program" };
    int argc = 1, status;

    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok(copy, " "); word && argc < WORDS - 1; word = strtok(NULL, " "))
        argv[argc++] = word;
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        dup2(fileno(err), STDERR_FILENO);
        dup2(fileno(out), STDOUT_FILENO);
        if (to && !(strcmp(to, "|") == 0   ? closed_pipe()
                    : strcmp(to, "-") == 0 ? closed_descriptors()
                                           : freopen(to, "w", stdout)))
            _exit(99);
        exit(run_program(argc, argv, ends));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    output.status = WEXITSTATUS(status);
    read_all(out, output.out);
    read_all(err, output.err);
    return output;
}

/* Expected are parts of what is printed; "" that nothing is. In the folder where they run, "old" is a
 * file and "link" leads to it. */
static const struct row {
    const char *words, *to;
    enum status ends;
    int status;
    const char *out, *err;
} rows[] = {
    { "", NULL, PASS, 0, "\n# note 1\nPASS: 42 right\n", "" },
    { "", NULL, PASS, 0, "# program ", "" },
    { "", NULL, PASS, 0, ", 3 workers, ", "" },
    { "--workers 1", NULL, PASS, 0, ", 1 worker, ", "" },
    { "--workers 1000000", NULL, PASS, 0, "oversubscribed", "" },
    { "", NULL, FAIL, 1, "FAIL: 42 right\n", "" },
    { "", NULL, STOPPED, 75, "PASS: 42 right\n", "" },
    { "--fault known", NULL, PASS, 0, "\n# note 1\nNOT STRUCK: --fault known: it is too small\n", "" },
    { "--fault unknown", NULL, PASS, 0, "\nNOT STRUCK: --fault unknown: nothing that this run checks "
      "is different with it\n", "" },
    { "--fault known", NULL, FAIL, 1, "FAIL: 42 right\n# note 1\n", "" },
    { "--fault known --format csv", NULL, PASS, 0, NULL, "NOT STRUCK: --fault known: it is too small\n" },
    { "--output /dev/null", NULL, USAGE, 2, "", "" }, /* what fails after the verdict takes it back */
    { "--format csv", NULL, PASS, 0, ",count\nprogram,", "PASS: 42 right\n" },
    { "--format csv", NULL, FAIL, 1, ",42\n", "FAIL: 42 right\n" },
    { "--output /dev/null", NULL, PASS, 0, "PASS: 42 right\n", "" },
    { "--output /dev/null --format csv", NULL, PASS, 0, "", "PASS: 42 right\n" },
    { "--help", NULL, PASS, 0, "program - options, help, report,", "" },
    { "--help", NULL, PASS, 0, "with a \"quote\" and a \\ in it.\n", "" },
    { "--help", NULL, PASS, 0, "(default table)\n", "" },
    { "--help", NULL, PASS, 0, "threads (default 3)\n", "" },
    { "--workers 5 --help", NULL, PASS, 0, "threads (default 3)\n", "" },
    { "--nonsense --help", NULL, PASS, 0, "threads (default 3)\n", "" },
    { "--hel", NULL, PASS, 2, "", "program: --hel: unknown option: see --help\n" },
    { "--wor 2", NULL, PASS, 2, "", "program: --wor: unknown option: see --help\n" },
    { "--nonsense", NULL, PASS, 2, "", "program: --nonsense: unknown option: see --help\n" },
    { "--workers 0", NULL, PASS, 2, "", "program: --workers 0: too small: the least is 1\n" },
    { "--workers 99", NULL, PASS, 2, NULL, "program: --workers 99: too many: take fewer\n" },
    { "--format xml", NULL, PASS, 2, "",
      "program: --format xml: no such choice: take one of table|csv|json\n" },
    { "--output /nonexistent/file", NULL, PASS, 2, "", "program: --output /nonexistent/file: "
      "No such file or directory: name a file that can be written\n" },
    { "--output /", NULL, PASS, 2, "",
      "program: --output /: Is a directory: name a file that can be written\n" },
    { "--output /dev/full", NULL, PASS, 1, NULL, "program: the results cannot be written to "
      "/dev/full: No space left on device\n" },
    { "", "/dev/full", PASS, 1, "",
      "program: the results cannot be written to stdout: No space left on device\n" },
    { "", "/dev/full", STOPPED, 75, "",
      "program: the results cannot be written to stdout: No space left on device\n" },
    { "--format csv", "/dev/full", PASS, 1, "",
      "program: the results cannot be written to stdout: No space left on device\n" },
    { "--format csv", "-", PASS, 1, "",
      "program: the results cannot be written to stdout: Bad file descriptor\n" },
    { "--help", "-", PASS, 1, "", "program: the help cannot be written: Bad file descriptor\n" },
    { "--output /dev/null --format csv", "-", PASS, 0, "", "PASS: 42 right\n" },
    { "", "|", PASS, 1, "",
      "program: the results cannot be written to stdout: Broken pipe\n" },
    { "--help", "|", PASS, 1, "", "program: the help cannot be written: Broken pipe\n" },
    { "--help", "/dev/full", PASS, 1, "",
      "program: the help cannot be written: No space left on device\n" },
    { "--output /dev/null", "/dev/full", PASS, 1, "", NULL }, /* the verdict is lost */
    { "--output old --plot old", NULL, PASS, 2, "",
      "program: --output and --plot: both are the file old: name two\n" },
    { "--output old --input link", NULL, PASS, 2, "",
      "program: --output and --input: both are the file link: name two\n" },
    { "--plot old --input ./old", NULL, PASS, 2, "",
      "program: --plot and --input: both are the file ./old: name two\n" },
    { "--plot nothing --input ./nothing", NULL, PASS, 2, "",
      "program: --plot and --input: both are the file ./nothing: name two\n" },
    { "--plot new --input old", NULL, PASS, 0, "PASS", "" },
    { "--output /dev/null --plot /dev/null", NULL, PASS, 0, "PASS", "" },
    { "--output old --workers 99", NULL, PASS, 2, "", NULL },
    { "--output old", NULL, UNABLE, 77, "", "" },
#ifdef HAVE_JANSSON
    { "--format json", NULL, PASS, 0, "\"workers\":3,", "PASS: 42 right\n" },
    { "--format json", NULL, PASS, 0, "\"mpi\":null,", "PASS: 42 right\n" },
    { "--format json", NULL, PASS, 0, "\"count\":42}\n", "PASS: 42 right\n" },
#else
    { "--format json", NULL, PASS, 77, "", "install jansson" },
#endif
};

static void check_text(const char *got, const char *part)
{
    if (part && (*part ? !strstr(got, part) : *got != '\0'))
        fail_msg("\"%s\" is not in: %s", part, got);
}

static void check_old(const char *text)
{
    char got[SIZE];

    read_all(fopen("old", "r"), got);
    assert_string_equal(got, text);
}

static char folder[] = "/tmp/lockstep.XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder) || chdir(folder) || symlink("old", "link"))
        return -1;
    FILE *const old = fopen("old", "w");
    return old && fputs("an older result\n", old) >= 0 && fclose(old) == 0 ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return unlink("old") || unlink("link") || rmdir(folder);
}

static void behaves(void **state)
{
    const struct row *row = *state;
    const struct output output = run(row->words, row->to, row->ends);

    check_text(output.out, row->out);
    check_text(output.err, row->err);
    assert_int_equal(output.status, row->status);
    if (row->err && strchr(row->err, '\n')) /* and nothing else: each error is told once */
        assert_string_equal(output.err, row->err);
    assert_null(strstr(output.out, "Test:"));
    check_old("an older result\n"); /* who is refused leaves it */
}

static void result_takes_its_place(void **state)
{
    (void)state;
    assert_int_equal(run("--output link --format csv", NULL, PASS).status, 0);
    FILE *const file = fopen("old", "r");
    char text[SIZE];
    read_all(file, text);
    assert_non_null(strstr(text, ",count\n"));
    assert_null(strstr(text, "older"));
}

/* Every rank but 0 goes through the same calls in silence, and ends alike. */
static void silent(void **state)
{
    struct program program;
    char *bad[] = { "program", "--nonsense", NULL }, *help[] = { "program", "--help", NULL };
    char *good[] = { "program", NULL };
    static const struct arg none[] = { ARGS_END };
    FILE *text = tmpfile();
    char got[SIZE];
    struct record row = { 0 };
    (void)state;

    fflush(stdout);
    const int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
    dup2(fileno(text), STDOUT_FILENO);
    dup2(fileno(text), STDERR_FILENO);
    const enum status usage = program_parse(&program, 2, bad, none, false);
    const enum status helped = program_parse(&program, 2, help, none, false);
    const enum status parsed = program_parse(&program, 1, good, none, false);
    program_row(&program, &row);
    program_note(&program, "note");
    const enum status verdict = program_verdict(&program, false, "wrong");
    const enum status refused = program_usage(&program, "wrong");
    const int closed = program_close(&program, PASS);
    fflush(stdout);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    close(out);
    close(err);
    read_all(text, got);
    assert_string_equal(got, "");
    assert_true(usage == USAGE && helped == HELPED && parsed == PASS);
    assert_true(verdict == FAIL && refused == USAGE && closed == 0);
    assert_int_equal(program_close(&program, HELPED), 0);
    assert_int_equal(program_close(&program, STALLED), 3);
}

int main(void)
{
    enum { ROWS = sizeof rows / sizeof *rows };
    struct CMUnitTest tests[ROWS + 2] = { [ROWS] = cmocka_unit_test(silent),
                                          cmocka_unit_test(result_takes_its_place) };

    for (int i = 0; i < ROWS; i++)
        tests[i] = (struct CMUnitTest){ .name = *rows[i].words ? rows[i].words : "(no options)",
                                        .test_func = behaves,
                                        .initial_state = (void *)(uintptr_t)&rows[i] };
    return cmocka_run_group_tests_name("program", tests, make_folder, remove_folder) != 0;
}
