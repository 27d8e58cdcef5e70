/*
 * judge - layouts known to be good or bad, and the sentence for each
 *
 * Test:
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hybrid/lib/cure.h"
#include "hybrid/lib/draw.h"
#include "hybrid/lib/judge.h"

#define LENGTH(array) (int)(sizeof(array) / sizeof *(array))

enum { MOST = 8 };

static const struct {
    const char *description, *allowed; /* allowed NULL: all */
    const char *granted[4];            /* of each rank; ends with NULL */
    const char *masks[4];              /* of each thread, by blanks */
    bool is_scheduled;
    const char *others;
    const char *expected;  /* the first finding begins so; NULL: none */
    enum severity severity;
    enum remedy remedy;
} cases[] = {
    /* as it should be */
    { "core:4 pu:1", NULL, { "0-3" }, { "0 1 2 3" }, .expected = NULL },
    { "core:4 pu:1", NULL, { "0-3" }, { "0-3 0-3" }, .expected = NULL },
    { "core:4 pu:1", NULL, { "0-1", "2-3" }, { "0 1", "2 3" }, .expected = NULL },
    { "core:4 pu:2", NULL, { "0-7" }, { "0-1 2-3 4-5 6-7" }, .expected = NULL },
    /* the classic mistakes */
    { "core:4 pu:1", NULL, { "0" }, { "0 0" }, .expected = "rank 0: 2 threads share 1 core, while 3 "
      "cores of this node are idle", .severity = WRONG, .remedy = REMEDY_LAUNCHER },
    { "core:4 pu:1", NULL, { "0-3" }, { "0 0 1" }, .expected = "rank 0: 3 threads share 2 cores, while "
      "2 cores granted to the rank are idle", .severity = WRONG, .remedy = REMEDY_THREADS },
    { "core:4 pu:2", NULL, { "0-7" }, { "0 1" }, .expected = "rank 0: 2 threads share 1 core (on its "
      "hardware threads), while 3 cores", .severity = WRONG, .remedy = REMEDY_THREADS },
    { "core:4 pu:1", NULL, { "1", "1" }, { "1", "1" }, .expected = "ranks 0 and 1 share core 1, while 3 "
      "cores of this node are idle", .severity = WRONG, .remedy = REMEDY_LAUNCHER },
    { "core:4 pu:1", "0", { "0" }, { "0 0" }, .is_scheduled = true, .expected = "rank 0: 2 threads "
      "share 1 core, while 3 cores of this node, which the job did not ask for", .severity = WRONG,
      .remedy = REMEDY_CPUS },
    { "numa:2 core:4 pu:1", NULL, { "0-7" }, { "0 4" }, .expected = "rank 0: 2 threads are spread over "
      "2 NUMA nodes", .severity = WRONG, .remedy = REMEDY_THREADS },
    { "core:2 pu:1", NULL, { "0" }, { "0" }, .others = "x (process 7) on CPU 0",
      .expected = "other jobs run on cores of this one: x", .severity = WRONG,
      .remedy = REMEDY_ELSEWHERE },
    /* what was asked for */
    { "core:2 pu:1", NULL, { "0-1", "0-1" }, { "0 1", "0 1" }, .expected = "4 threads share 2 cores, "
      "which is all there are", .severity = WORTH_KNOWING },
    { "core:4 pu:1", "0", { "0" }, { "0 0" }, .expected = "2 threads share 1 core, which is all",
      .severity = WORTH_KNOWING },
    { "numa:2 core:2 pu:1", NULL, { "0-3" }, { "0-3 0-3" }, .expected = "rank 0: a thread may move "
      "between 2 NUMA nodes", .severity = WORTH_KNOWING, .remedy = REMEDY_THREADS },
};

/* One of the cases as a layout; close_layout() frees. */
struct held {
    hwloc_topology_t topology;
    struct layout layout;
    int numbers[4], threads[4];
    hwloc_bitmap_t granted[4], sets[4][MOST], *masks[4];
};

static void open_layout(int i, struct held *h)
{
    memset(h, 0, sizeof *h);
    assert_int_equal(hwloc_topology_init(&h->topology), 0);
    hwloc_topology_set_flags(h->topology, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
    assert_int_equal(hwloc_topology_set_synthetic(h->topology, cases[i].description), 0);
    assert_int_equal(hwloc_topology_load(h->topology), 0);
    if (cases[i].allowed) {
        const hwloc_bitmap_t allowed = hwloc_bitmap_alloc();
        hwloc_bitmap_list_sscanf(allowed, cases[i].allowed);
        hwloc_topology_allow(h->topology, allowed, NULL, HWLOC_ALLOW_FLAG_CUSTOM);
        hwloc_bitmap_free(allowed);
    }
    int ranks = 0;
    for (; ranks < 4 && cases[i].granted[ranks]; ranks++) {
        char text[64], *rest = text;
        h->numbers[ranks] = ranks;
        h->granted[ranks] = hwloc_bitmap_alloc();
        hwloc_bitmap_list_sscanf(h->granted[ranks], cases[i].granted[ranks]);
        h->masks[ranks] = h->sets[ranks];
        snprintf(text, sizeof text, "%s", cases[i].masks[ranks]);
        for (char *word; (word = strtok_r(rest, " ", &rest)); h->threads[ranks]++) {
            h->sets[ranks][h->threads[ranks]] = hwloc_bitmap_alloc();
            hwloc_bitmap_list_sscanf(h->sets[ranks][h->threads[ranks]], word);
        }
    }
    h->layout = (struct layout){ h->topology, ranks, h->numbers, h->threads, h->granted, h->masks,
                                 cases[i].is_scheduled, cases[i].others };
}

static void close_layout(struct held *h)
{
    for (int r = 0; r < h->layout.ranks; r++) {
        for (int t = 0; t < h->threads[r]; t++)
            hwloc_bitmap_free(h->sets[r][t]);
        hwloc_bitmap_free(h->granted[r]);
    }
    hwloc_topology_destroy(h->topology);
}

static void known_layouts(void **state)
{
    (void)state;
    for (int i = 0; i < LENGTH(cases); i++) {
        struct finding findings[MOST];
        struct held held;
        open_layout(i, &held);
        const int count = judge_layout(&held.layout, findings, MOST);
        const char *const text = count > 0 ? findings[0].text : "(nothing)";
        if ((count == 0) != !cases[i].expected ||
            (count > 0 && strncmp(text, cases[i].expected, strlen(cases[i].expected)) != 0))
            fail_msg("case %d: expected %s, got %s", i,
                     cases[i].expected ? cases[i].expected : "(nothing)", text);
        if (count > 0) {
            assert_int_equal(findings[0].severity, cases[i].severity);
            assert_int_equal(findings[0].remedy, cases[i].remedy);
        }
        close_layout(&held);
    }
}

/* 8 ranks on one core of 16: 28 pairs; the worst come first, and the rest is counted. */
static void many_findings(void **state)
{
    struct finding findings[MOST];
    hwloc_topology_t topology;
    const hwloc_bitmap_t all = hwloc_bitmap_alloc(), one = hwloc_bitmap_alloc();
    hwloc_bitmap_t granted[8], masks[8], *rows[8];
    int numbers[8], threads[8];
    (void)state;

    hwloc_topology_init(&topology);
    hwloc_topology_set_synthetic(topology, "numa:2 core:8 pu:1");
    hwloc_topology_load(topology);
    hwloc_bitmap_list_sscanf(all, "0-15");
    hwloc_bitmap_list_sscanf(one, "3");
    for (int r = 0; r < 8; r++) {
        granted[r] = all;
        masks[r] = r < 7 ? one : all;
        rows[r] = &masks[r];
        numbers[r] = r;
        threads[r] = 1;
    }
    const struct layout layout = { topology, 8, numbers, threads, granted, rows, false, NULL };
    assert_int_equal(judge_layout(&layout, findings, MOST), MOST);
    assert_int_equal(findings[0].severity, WRONG);
    assert_non_null(strstr(findings[0].text, "ranks 0 and 1 share core 3, while 14 cores"));
    assert_non_null(strstr(findings[MOST - 1].text, "more findings"));
    hwloc_bitmap_free(one);
    hwloc_bitmap_free(all);
    hwloc_topology_destroy(topology);
}

static void pictures(void **state)
{
    struct held held;
    char *text;
    size_t size;
    (void)state;

    open_layout(6, &held); /* two hardware threads of core 0 */
    FILE *file = open_memstream(&text, &size);
    draw_text(&held.layout, "n1", file);
    fclose(file);
    assert_string_equal(text, "node n1\n NUMA node 0\n  core  0 [0.0|0.1]  core  1 [.|.]  core  2 [.|.]  "
                              "core  3 [.|.]\n");
    free(text);
    file = open_memstream(&text, &size);
    assert_true(draw_svg(&held.layout, "a<b", file) > 0);
    fclose(file);
    assert_non_null(strstr(text, "node a&#60;b"));
    assert_non_null(strstr(text, ">0.1</text>"));
    free(text);
    close_layout(&held);
}

static void cures(void **state)
{
    char *words[] = { "a", "b c", "it's", "", NULL }, text[64], line[128];
    hwloc_topology_t topology;
    struct job job = { "Open MPI 4.1.4", 2, 2, 3, NULL, NULL, "prog" };
    (void)state;

    assert_string_equal(cure_quote(words, text, sizeof text), "a 'b c' 'it'\\''s' ''");
    hwloc_topology_init(&topology);
    hwloc_topology_set_synthetic(topology, "core:4 pu:2");
    hwloc_topology_load(topology);
    job.topology = topology;
    job.cpus = hwloc_topology_get_topology_cpuset(topology);
    assert_int_equal(cure_cores(&job), 2); /* 3 threads, and 4 cores for two ranks */
    cure_mpirun(&job, false, line, sizeof line);
    assert_string_equal(line, "mpirun -n 2 --map-by slot:PE=2 --bind-to core prog");
    cure_srun(&job, false, line, sizeof line);
    assert_string_equal(line, "srun -n 2 -c 4 --cpu-bind=cores prog");
    job.mpi = "MPICH 4.0.2";
    cure_mpirun(&job, false, line, sizeof line);
    assert_string_equal(line, "mpiexec -n 2 -bind-to core:2 prog");
    job.ranks = job.most_on_a_node = 9;
    cure_mpirun(&job, false, line, sizeof line);
    assert_string_equal(line, "mpiexec -n 9 -bind-to none prog");
    cure_mpirun(&job, true, line, sizeof line);
    assert_string_equal(line, "taskset -c 0-7 mpiexec -n 9 -bind-to none prog");
    hwloc_topology_destroy(topology);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_layouts),
        cmocka_unit_test(many_findings),
        cmocka_unit_test(pictures),
        cmocka_unit_test(cures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
