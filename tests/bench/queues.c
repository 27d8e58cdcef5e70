/* queues - our queues and pool beside packaged ones, in turns; see tests/bench/queues */
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ck_ring.h>
#include <glib.h>
#include <urcu/wfcqueue.h>
#include <uv.h>

#include "local/lib/clock.h"
#include "local/lib/mpmc.h"
#include "local/lib/pool.h"
#include "local/lib/queue.h"
#include "local/lib/spsc.h"
#include "local/lib/stats.h"
#include "local/lib/team.h"

enum { CAPACITY = 1024, BATCH = 64, ROUNDS = 21 };

/* ---- Items from producers to consumers: each kind of queue as a pair of loops ---- */

static struct {
    size_t pairs, count; /* count: of each pair */
    struct spsc *spsc;
    struct mpmc *mpmc;
    struct queue *queue;
    ck_ring_t ck, ck_many; /* each kind of call counts in a way of its own */
    ck_ring_buffer_t *ck_slots, *ck_many_slots;
    GAsyncQueue *glib;
    struct cds_wfcq_head urcu_head;
    struct cds_wfcq_tail urcu_tail;
    struct cds_wfcq_node *urcu_nodes;
    atomic_size_t sum;
} t;

typedef void loop(size_t first);

/* Full or empty: four threads may share two cores. */
static void again(void)
{
    static _Thread_local unsigned tries;

    if (++tries % 64)
        line_pause();
    else
        sched_yield();
}

static void ours_spsc_in(size_t first)
{
    for (uint64_t i = first; i < first + t.count; i++)
        while (!spsc_push(t.spsc, &i, 1))
            again();
}

static void ours_spsc_out(size_t first)
{
    size_t sum = 0;
    (void)first;

    for (size_t i = 0; i < t.count; i++) {
        uint64_t item;
        while (!spsc_pop(t.spsc, &item, 1))
            again();
        sum += item;
    }
    t.sum += sum;
}

static void ck_spsc_in(size_t first)
{
    for (size_t i = first; i < first + t.count; i++)
        while (!ck_ring_enqueue_spsc(&t.ck, t.ck_slots, (void *)i))
            again();
}

static void ck_spsc_out(size_t first)
{
    size_t sum = 0;
    (void)first;

    for (size_t i = 0; i < t.count; i++) {
        void *item;
        while (!ck_ring_dequeue_spsc(&t.ck, t.ck_slots, &item))
            again();
        sum += (size_t)item;
    }
    t.sum += sum;
}

static void ours_mpmc_in(size_t first)
{
    for (uint64_t i = first; i < first + t.count; i++)
        while (!mpmc_push(t.mpmc, &i, 1))
            again();
}

static void ours_mpmc_out(size_t first)
{
    size_t sum = 0;
    (void)first;

    for (size_t i = 0; i < t.count; i++) {
        uint64_t item;
        while (!mpmc_pop(t.mpmc, &item, 1))
            again();
        sum += item;
    }
    t.sum += sum;
}

static void ck_mpmc_in(size_t first)
{
    for (size_t i = first; i < first + t.count; i++)
        while (!ck_ring_enqueue_mpmc(&t.ck_many, t.ck_many_slots, (void *)i))
            again();
}

static void ck_mpmc_out(size_t first)
{
    size_t sum = 0;
    (void)first;

    for (size_t i = 0; i < t.count; i++) {
        void *item;
        while (!ck_ring_dequeue_mpmc(&t.ck_many, t.ck_many_slots, &item))
            again();
        sum += (size_t)item;
    }
    t.sum += sum;
}

static void batch_mpmc_in(size_t first)
{
    uint64_t items[BATCH];

    for (size_t i = 0; i < t.count; i += BATCH) {
        size_t done = 0;
        for (size_t k = 0; k < BATCH; k++)
            items[k] = first + i + k;
        while (done < BATCH) {
            const size_t more = mpmc_push(t.mpmc, items + done, BATCH - done);
            done += more;
            if (!more)
                again();
        }
    }
}

static void batch_mpmc_out(size_t first)
{
    uint64_t items[BATCH];
    size_t sum = 0;
    (void)first;

    for (size_t i = 0; i < t.count;) {
        const size_t left = t.count - i;
        const size_t n = mpmc_pop(t.mpmc, items, left < BATCH ? left : BATCH);
        for (size_t k = 0; k < n; k++)
            sum += items[k];
        i += n;
        if (!n)
            again();
    }
    t.sum += sum;
}

static void queue_in(size_t first)
{
    for (uint64_t i = first; i < first + t.count; i++)
        queue_push(t.queue, &i, 1, HUGE_VAL);
}

static void queue_out(size_t first)
{
    size_t sum = 0;
    (void)first;

    for (size_t i = 0; i < t.count; i++) {
        uint64_t item;
        queue_pop(t.queue, &item, 1, HUGE_VAL);
        sum += item;
    }
    t.sum += sum;
}

static void glib_in(size_t first)
{
    for (size_t i = first; i < first + t.count; i++)
        g_async_queue_push(t.glib, (void *)(i + 1)); /* NULL is no item */
}

static void glib_out(size_t first)
{
    size_t sum = 0;
    (void)first;

    for (size_t i = 0; i < t.count; i++)
        sum += (size_t)g_async_queue_pop(t.glib) - 1;
    t.sum += sum;
}

static void urcu_in(size_t first)
{
    for (size_t i = first; i < first + t.count; i++) {
        cds_wfcq_node_init(&t.urcu_nodes[i]);
        cds_wfcq_enqueue(&t.urcu_head, &t.urcu_tail, &t.urcu_nodes[i]);
    }
}

static void urcu_out(size_t first)
{
    size_t sum = 0;
    (void)first;

    for (size_t i = 0; i < t.count;) {
        struct cds_wfcq_node *const node = cds_wfcq_dequeue_blocking(&t.urcu_head, &t.urcu_tail);
        if (!node) {
            again();
            continue;
        }
        sum += (size_t)(node - t.urcu_nodes);
        i++;
    }
    t.sum += sum;
}

static const struct flow {
    const char *name;
    loop *in, *out;
} flows[] = {
    { "spsc", ours_spsc_in, ours_spsc_out },      { "ck_ring spsc", ck_spsc_in, ck_spsc_out },
    { "mpmc", ours_mpmc_in, ours_mpmc_out },      { "ck_ring mpmc", ck_mpmc_in, ck_mpmc_out },
    { "mpmc by 64", batch_mpmc_in, batch_mpmc_out }, { "queue", queue_in, queue_out },
    { "GAsyncQueue", glib_in, glib_out },         { "urcu wfcqueue", urcu_in, urcu_out },
};

static void flow_work(void *arg, size_t me)
{
    const struct flow *const flow = arg;

    if (me < t.pairs)
        flow->in(me * t.count);
    else
        flow->out((me - t.pairs) * t.count);
}

/* Seconds for an item. */
static double flow_secs(const void *arg)
{
    const struct flow *const flow = arg;
    const size_t all = t.pairs * t.count;

    t.sum = 0;
    const int64_t begin = clock_ns();
    if (team_run(2 * t.pairs, flow_work, (void *)(uintptr_t)flow))
        exit(2);
    const int64_t end = clock_ns();
    if (t.sum != all * (all - 1) / 2) {
        fprintf(stderr, "queues: %s lost or doubled an item\n", flow->name);
        exit(1);
    }
    return clock_secs(begin, end) / (double)all;
}

/* ---- Tasks that do nothing, from one thread to two ---- */

enum { TASKS = 200000 };

static struct task ours[TASKS];
static uv_work_t theirs[TASKS];
static atomic_size_t ran;

static int nothing(struct task *task)
{
    (void)task;
    return 0;
}

static double pool_secs(const void *arg)
{
    (void)arg;
    struct pool *const pool = pool_open(2, CAPACITY);
    const int64_t begin = clock_ns();
    for (size_t i = 0; i < TASKS; i++) {
        ours[i].run = nothing;
        pool_submit(pool, &ours[i]);
    }
    for (size_t i = 0; i < TASKS; i++)
        pool_wait(pool, &ours[i], HUGE_VAL);
    const int64_t end = clock_ns();
    pool_close(pool);
    return clock_secs(begin, end) / TASKS;
}

static void count_one(gpointer data, gpointer user)
{
    (void)data;
    (void)user;
    atomic_fetch_add_explicit(&ran, 1, memory_order_release);
}

static double glib_pool_secs(const void *arg)
{
    (void)arg;
    ran = 0;
    GThreadPool *const pool = g_thread_pool_new(count_one, NULL, 2, TRUE, NULL);
    const int64_t begin = clock_ns();
    for (size_t i = 0; i < TASKS; i++)
        g_thread_pool_push(pool, &ours[i], NULL);
    while (atomic_load_explicit(&ran, memory_order_acquire) < TASKS)
        again();
    const int64_t end = clock_ns();
    g_thread_pool_free(pool, FALSE, TRUE);
    return clock_secs(begin, end) / TASKS;
}

static void uv_nothing(uv_work_t *work)
{
    (void)work;
}

static void uv_after(uv_work_t *work, int status)
{
    (void)work;
    ran += status == 0;
}

static double uv_secs(const void *arg)
{
    uv_loop_t loop;
    (void)arg;

    ran = 0;
    uv_loop_init(&loop);
    const int64_t begin = clock_ns();
    for (size_t i = 0; i < TASKS; i++)
        uv_queue_work(&loop, &theirs[i], uv_nothing, uv_after);
    uv_run(&loop, UV_RUN_DEFAULT);
    const int64_t end = clock_ns();
    uv_loop_close(&loop);
    return clock_secs(begin, end) / TASKS;
}

/* ---- Rounds: everybody once, in turns ---- */

struct entrant {
    const char *name;
    double (*secs)(const void *arg);
    const void *arg;
};

static void compare(const char *title, const struct entrant *entrants, size_t count)
{
    double secs[8][ROUNDS], ratios[ROUNDS];

    for (size_t e = 0; e < count; e++)
        entrants[e].secs(entrants[e].arg); /* once, to warm up */
    for (size_t round = 0; round < ROUNDS; round++)
        for (size_t e = 0; e < count; e++)
            secs[e][round] = entrants[e].secs(entrants[e].arg);
    printf("%-32s %10s %10s  %s\n", title, "ns", "M/s", "ours is so many times as fast");
    for (size_t e = 0; e < count; e++) {
        struct summary ratio, summary;
        for (size_t round = 0; round < ROUNDS; round++)
            ratios[round] = secs[e][round] / secs[0][round];
        stats_summarize(ratios, ROUNDS, &ratio);
        double copy[ROUNDS];
        memcpy(copy, secs[e], sizeof copy);
        stats_summarize(copy, ROUNDS, &summary);
        printf("  %-30s %10.4g %10.4g", entrants[e].name, 1e9 * summary.median,
               1e-6 / summary.median);
        if (e > 0)
            printf("  %.2f (%.2f to %.2f)", ratio.median, ratio.ci_low, ratio.ci_high);
        puts("");
    }
    fflush(stdout);
}

static struct entrant entrant(const char *name)
{
    for (size_t i = 0; i < sizeof flows / sizeof *flows; i++)
        if (strcmp(flows[i].name, name) == 0)
            return (struct entrant){ name, flow_secs, &flows[i] };
    abort();
}

static void open_queues(void)
{
    const size_t most = 1 << 20;

    t.spsc = aligned_alloc(LINE_BYTES, line_up(spsc_bytes(CAPACITY)));
    t.mpmc = aligned_alloc(LINE_BYTES, line_up(mpmc_bytes(CAPACITY)));
    t.queue = queue_new(CAPACITY, QUEUE_MANY);
    t.ck_slots = calloc(CAPACITY, sizeof *t.ck_slots);
    t.ck_many_slots = calloc(CAPACITY, sizeof *t.ck_many_slots);
    t.urcu_nodes = calloc(most, sizeof *t.urcu_nodes);
    t.glib = g_async_queue_new();
    if (!t.spsc || !t.mpmc || !t.queue || !t.ck_slots || !t.ck_many_slots || !t.urcu_nodes)
        exit(2);
    spsc_init(t.spsc, CAPACITY);
    mpmc_init(t.mpmc, CAPACITY);
    ck_ring_init(&t.ck, CAPACITY);
    ck_ring_init(&t.ck_many, CAPACITY);
    cds_wfcq_init(&t.urcu_head, &t.urcu_tail);
}

int main(void)
{
    open_queues();
    t.pairs = 1;
    t.count = 1 << 19;
    compare("one to one", (struct entrant[]){ entrant("spsc"), entrant("ck_ring spsc") }, 2);
    for (t.pairs = 1; t.pairs <= 2; t.pairs++) {
        char title[64];
        t.count = (1 << 18) / t.pairs;
        snprintf(title, sizeof title, "many to many: %zu to %zu", t.pairs, t.pairs);
        compare(title, (struct entrant[]){ entrant("mpmc"), entrant("ck_ring mpmc"),
                                           entrant("GAsyncQueue"), entrant("urcu wfcqueue") }, 4);
        compare("  in batches", (struct entrant[]){ entrant("mpmc by 64"),
                                                    entrant("GAsyncQueue") }, 2);
        compare("  that wait", (struct entrant[]){ entrant("queue"), entrant("GAsyncQueue") }, 2);
    }
    compare("empty tasks, two workers", (struct entrant[]){ { "pool", pool_secs, NULL },
                                                           { "GThreadPool", glib_pool_secs, NULL },
                                                           { "uv_queue_work", uv_secs, NULL } }, 3);
    return 0;
}
