/*
 * lock - transfers between accounts, and how wide a critical section should be
 *
 * Every worker makes --count transfers between --accounts accounts and logs each by two lines, its
 * begin and its end, which must stand together. A transfer also takes some work (--hold) that needs
 * no lock:
 *
 *   fine    a mutex for each account; of two the one with the lower number first, so that no two
 *           workers hold what the other one wants
 *   coarse  one mutex for all accounts
 *   wide    one mutex, held over the work as well: the workers take turns with everything
 *
 * What can go wrong: a lock around the first line of the log alone. Another worker's line comes
 * between the two (--fault half).
 *
 * Run:     make run P=lock ARGS="--variant all --workers 2"
 * Try:     --variant all --hold 10us --count 100: wide takes the sum of the work, the others less
 * Try:     --accounts 2 against 1000: when do locks for each account pay?
 * Test:    --variant all
 * Test:    --variant all --workers 64 --count 31
 * Test:    --variant all --workers 3 --accounts 2 --count 501 --hold 1us
 * Test:    --variant all --accounts 1 --count 7
 * Test:    --variant all --count 0
 * Test(1): --fault half
 * Test(1): --fault half --workers 64 --count 1
 * Test:    --fault half --workers 1
 * Test:    --fault half --count 0
 * Test(2): --accounts 0
 * Test(2): --workers 0
 * Test(2): --accounts 65537
 * Test(2): --iterations 9223372036854775808
 * Test(77): --count 1000G
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/clock.h"
#include "local/lib/data.h"
#include "local/lib/memory.h"
#include "local/lib/program.h"
#include "local/lib/size.h"
#include "local/lib/team.h"
#include "local/lib/turns.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

enum { ACCOUNTS_MAX = 1 << 16 }; /* a transfer chooses by two bytes */

static struct {
    size_t workers, count, accounts, seed, iterations;
    double hold, secs;
    const char *variant, *fault;
} opt = { .workers = 4, .count = 1000, .accounts = 8, .iterations = 10000, .hold = 0, .secs = 0.5,
          .variant = "fine" };

static const struct arg options[] = {
    { "workers", ARG_SIZE, &opt.workers, "threads", .min = 1, .max = TEAM_MAX },
    { "count", ARG_SIZE, &opt.count, "transfers of each", .max = TEAM_COUNT_MAX },
    { "accounts", ARG_SIZE, &opt.accounts, "accounts", .min = 1, .max = ACCOUNTS_MAX },
    { "hold", ARG_SECS, &opt.hold, "work of a transfer", .max = TEAM_SECS_MAX },
    { "seed", ARG_SIZE, &opt.seed, "of the transfers" },
    { "variant", ARG_CHOICE, &opt.variant, "what a lock protects", .choices = "fine|coarse|wide|all" },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose", .choices = "half" },
    { "seconds", ARG_SECS, &opt.secs, "time budget for one row" },
    { "iterations", ARG_SIZE, &opt.iterations, "samples of one row at most", .min = 1,
      .max = SAMPLES_MAX },
    ARGS_END,
};

static const int64_t opening_balance = 1000;

struct account {
    pthread_mutex_t lock;
    int64_t balance;
};

struct transfer {
    size_t from, to;
    int64_t amount;
};

/* A line of the log: transfer `number` of `worker` begins or ends. */
struct line {
    size_t worker, number;
    bool is_end;
};

struct bank {
    const char *variant;
    void (*transfer)(struct bank *bank, const struct transfer *transfer);
    struct account *accounts;
    pthread_mutex_t all;    /* coarse, wide: every account */
    pthread_mutex_t ledger; /* guards the log */
    struct line *log;
    size_t lines;
    pthread_barrier_t between; /* half: the two lines, of all workers */
    int error;
    char wrong[160];
};

/* A function of its place, so that a replay can make it again. */
static struct transfer transfer_of(size_t worker, size_t number)
{
    const uint64_t place = worker * opt.count + number;
    const uint64_t from = byte_element(3 * place, opt.seed) + 256 * byte_element(3 * place + 1, opt.seed);

    return (struct transfer){ from % opt.accounts, (from / opt.accounts + from) % opt.accounts,
                              1 + byte_element(3 * place + 2, opt.seed) };
}

static void write_line(struct bank *bank, size_t worker, size_t number, bool is_end)
{
    bank->log[bank->lines++] = (struct line){ worker, number, is_end };
}

static void log_transfer(struct bank *bank, size_t worker, size_t number)
{
    pthread_mutex_lock(&bank->ledger);
    write_line(bank, worker, number, false);
    write_line(bank, worker, number, true);
    pthread_mutex_unlock(&bank->ledger);
}

/* --fault half: the second line is outside the first one's section, where all others have been. */
static void log_half(struct bank *bank, size_t worker, size_t number)
{
    pthread_mutex_lock(&bank->ledger);
    write_line(bank, worker, number, false);
    pthread_mutex_unlock(&bank->ledger);
    pthread_barrier_wait(&bank->between);
    pthread_mutex_lock(&bank->ledger);
    write_line(bank, worker, number, true);
    pthread_mutex_unlock(&bank->ledger);
    pthread_barrier_wait(&bank->between);
}

/* The part that needs no lock. */
static void prepare(void)
{
    const int64_t begin = clock_ns();

    while (clock_secs(begin, clock_ns()) < opt.hold)
        continue;
}

static void move(struct bank *bank, const struct transfer *t)
{
    bank->accounts[t->from].balance -= t->amount;
    bank->accounts[t->to].balance += t->amount;
}

static void transfer_fine(struct bank *bank, const struct transfer *t)
{
    struct account *const low = &bank->accounts[t->from < t->to ? t->from : t->to];
    struct account *const high = &bank->accounts[t->from < t->to ? t->to : t->from];

    prepare();
    pthread_mutex_lock(&low->lock);
    if (high != low)
        pthread_mutex_lock(&high->lock);
    move(bank, t);
    if (high != low)
        pthread_mutex_unlock(&high->lock);
    pthread_mutex_unlock(&low->lock);
}

static void transfer_coarse(struct bank *bank, const struct transfer *t)
{
    prepare();
    pthread_mutex_lock(&bank->all);
    move(bank, t);
    pthread_mutex_unlock(&bank->all);
}

static void transfer_wide(struct bank *bank, const struct transfer *t)
{
    pthread_mutex_lock(&bank->all);
    prepare();
    move(bank, t);
    pthread_mutex_unlock(&bank->all);
}

static const struct choice {
    const char *name;
    void (*transfer)(struct bank *bank, const struct transfer *transfer);
} choices[] = {
    { "fine", transfer_fine }, { "coarse", transfer_coarse }, { "wide", transfer_wide },
    { "half", transfer_fine },
};

static void work(void *arg, size_t me)
{
    struct bank *const bank = arg;

    for (size_t i = 0; i < opt.count; i++) {
        const struct transfer transfer = transfer_of(me, i);
        bank->transfer(bank, &transfer);
        if (opt.fault)
            log_half(bank, me, i);
        else
            log_transfer(bank, me, i);
    }
}

/* Replays the log: two lines of every transfer, together, and the balances that follow. */
static void check(struct bank *bank)
{
    int64_t *const balances = calloc(opt.accounts, sizeof *balances);
    const size_t expected = 2 * opt.workers * opt.count;

    if (!balances) {
        bank->error = ENOMEM;
        return;
    }
    if (bank->lines != expected)
        snprintf(bank->wrong, sizeof bank->wrong, "the log has %zu lines, not %zu", bank->lines,
                 expected);
    for (size_t i = 0; i + 1 < bank->lines && !*bank->wrong; i += 2) {
        const struct line *const begin = &bank->log[i], *const end = begin + 1;
        if (begin->is_end || !end->is_end || begin->worker != end->worker ||
            begin->number != end->number)
            snprintf(bank->wrong, sizeof bank->wrong, "line %zu: transfer %zu of worker %zu begins, "
                     "and the next line is of worker %zu", i, begin->number, begin->worker,
                     end->worker);
        const struct transfer t = transfer_of(begin->worker, begin->number);
        balances[t.from] -= t.amount;
        balances[t.to] += t.amount;
    }
    for (size_t i = 0; i < opt.accounts && !*bank->wrong; i++)
        if (bank->accounts[i].balance != opening_balance + balances[i])
            snprintf(bank->wrong, sizeof bank->wrong, "account %zu holds %" PRId64 ", and %" PRId64
                     " by the log", i, bank->accounts[i].balance, opening_balance + balances[i]);
    free(balances);
}

static void open_accounts(void *arg)
{
    struct bank *const bank = arg;

    bank->lines = 0;
    for (size_t i = 0; i < opt.accounts; i++)
        bank->accounts[i].balance = opening_balance;
}

static void run(void *arg)
{
    struct bank *const bank = arg;

    if (team_run(opt.workers, work, bank))
        bank->error = errno;
}

static void bank_open(struct bank *bank, const struct choice *choice)
{
    const size_t lines = 2 * opt.workers * opt.count;
    const size_t bytes = size_product(lines, sizeof *bank->log);

    *bank = (struct bank){ .variant = choice->name,
                           .transfer = choice->transfer,
                           .accounts = calloc(opt.accounts, sizeof *bank->accounts),
                           .log = memory_room(size_product(bytes, LENGTH(choices)))
                                      ? NULL : calloc(lines + 1, sizeof *bank->log) };
    bank->error = bank->accounts && bank->log ? 0 : ENOMEM;
    for (size_t i = 0; bank->accounts && i < opt.accounts; i++)
        pthread_mutex_init(&bank->accounts[i].lock, NULL);
    pthread_mutex_init(&bank->all, NULL);
    pthread_mutex_init(&bank->ledger, NULL);
    pthread_barrier_init(&bank->between, NULL, (unsigned)opt.workers);
}

static void bank_close(struct bank *bank)
{
    pthread_barrier_destroy(&bank->between);
    pthread_mutex_destroy(&bank->ledger);
    pthread_mutex_destroy(&bank->all);
    for (size_t i = 0; bank->accounts && i < opt.accounts; i++)
        pthread_mutex_destroy(&bank->accounts[i].lock);
    free(bank->log);
    free(bank->accounts);
}

/* Beside the time of all transfers stands what the work alone takes, by one worker or all at once. */
static void add_row(struct program *program, const struct bank *bank, const struct turn *turn)
{
    const bool right = !*bank->wrong, timed = right && turn->summary.count > 0;
    const double hold = opt.hold * (double)opt.count;
    struct record row = program->record;

    record_text(&row, "variant", bank->variant);
    record_int(&row, "count", (int64_t)opt.count);
    record_summary(&row, &turn->summary, timed);
    record_real(&row, "hold_sum_s", hold * (double)opt.workers);
    record_real(&row, "hold_max_s", hold);
    record_real(&row, "transfers_per_s", timed && opt.count
                    ? (double)(opt.workers * opt.count) / turn->summary.median : NAN);
    record_bool(&row, "verified", right);
    program_row(program, &row);
}

static enum status compare(struct program *program, struct bank *banks, size_t count)
{
    const struct stop_rule rule = { 10, opt.iterations, opt.secs, 0.02 };
    struct turn turns[LENGTH(choices)] = { 0 };
    enum status status = PASS;
    int error = 0;

    for (size_t i = 0; i < count; i++) {
        turns[i] = (struct turn){ .operation = run, .prepare = open_accounts, .arg = &banks[i] };
        error = error ? error : banks[i].error;
    }
    if (!error && opt.fault) {
        open_accounts(&banks[0]);
        run(&banks[0]);
    } else if (!error && turns_run(turns, count, &rule)) {
        error = errno;
    }
    for (size_t i = 0; i < count && !error; i++) {
        check(&banks[i]);
        error = banks[i].error;
    }
    if (error) {
        program_error("%zu threads, %zu transfers each: %s: give smaller numbers", opt.workers,
                      opt.count, strerror(error));
        return UNABLE;
    }
    for (size_t i = 0; i < count; i++) {
        add_row(program, &banks[i], &turns[i]);
        if (*banks[i].wrong && status == PASS)
            status = program_verdict(program, false, "%s: %s", banks[i].variant, banks[i].wrong);
    }
    return status;
}

int main(int argc, char **argv)
{
    struct program program;
    enum status status = program_open(&program, argc, argv, options, &opt.workers);
    struct bank banks[LENGTH(choices)];
    size_t count = 0;

    for (size_t i = 0; i < LENGTH(choices) && status == PASS; i++) {
        const bool is_fault = strcmp(choices[i].name, "half") == 0;
        if (opt.fault ? is_fault
                      : !is_fault && (arg_is(opt.variant, choices[i].name) ||
                                      arg_is(opt.variant, "all")))
            bank_open(&banks[count++], &choices[i]);
    }
    if (status == PASS)
        status = compare(&program, banks, count);
    for (size_t i = 0; i < count; i++)
        bank_close(&banks[i]);
    program_fault(&program, opt.fault, status == PASS, opt.count == 0
                      ? "there is no transfer to log" : "one worker writes both lines by itself");
    if (status == PASS)
        program_verdict(&program, true, "%zu transfers between %zu accounts: every balance follows "
                        "from the log", opt.workers * opt.count, opt.accounts);
    return program_close(&program, status);
}
