/*
 * plan - no thread outside its grant, no core shared while another is free, equal shares
 *
 * On machines that the test makes: 16 descriptions, each as it is, with cores taken out at random,
 * with a part that is not allowed, and with two kinds of cores; random grants, all policies. What a
 * plan could reach at best is worked out here by a matching of threads to cores.
 *
 * Test:
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hybrid/lib/plan.h"
#include "local/lib/data.h"

#define LENGTH(array) (int)(sizeof(array) / sizeof *(array))

static const char *const descriptions[] = {
    "pack:1 core:2 pu:1",
    "pack:1 core:8 pu:2",
    "core:4 pu:2(indexes=core:pu)",
    "pack:2 [numa] l3:2 core:4 pu:2",
    "pack:2 numa:4 l3:2 core:8 pu:2",
    "pack:2 numa:4 l3:4 core:8 pu:1",
    "pack:1 core:68 pu:4",
    "pack:2 [numa] [numa] core:6 pu:1",
    "numa:3 core:5 pu:1",
    "pack:4 l3:1 core:3 pu:4",
    "pack:2 numa:2 l3:3 core:2 pu:2",
    "pu:6",
    "pack:2 pu:5",
    "pack:1 numa:4 l3:1 core:16 pu:2",
    "pack:2 [numa] core:12 pu:2(indexes=core:pu)",
    "pack:2 numa:4 l3:4 core:8 pu:1(indexes=pack:numa:l3:core)",
};
enum { AS_IS, HOLES, CGROUP, KINDS, FORMS };

static uint64_t random_state;

/* 0 to n - 1. */
static int random_below(int n)
{
    return (int)(element(random_state++, 11) % (uint64_t)n);
}

/* A part of `set`, not empty. */
static void random_part(hwloc_bitmap_t part, hwloc_const_bitmap_t set)
{
    const int share = 1 + random_below(10);
    int pu;

    do {
        hwloc_bitmap_zero(part);
        hwloc_bitmap_foreach_begin(pu, set)
            if (random_below(10) < share)
                hwloc_bitmap_set(part, (unsigned)pu);
        hwloc_bitmap_foreach_end();
    } while (hwloc_bitmap_iszero(part));
}

/* Every third core is of the better kind, or the first half is. */
static void add_kinds(hwloc_topology_t topology, bool in_blocks)
{
    hwloc_bitmap_t kinds[2] = { hwloc_bitmap_alloc(), hwloc_bitmap_alloc() };
    const bool has_cores = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE) > 0;
    const hwloc_obj_type_t type = has_cores ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
    const unsigned cores = (unsigned)hwloc_get_nbobjs_by_type(topology, type);

    for (unsigned i = 0; i < cores; i++) {
        hwloc_bitmap_t kind = kinds[in_blocks ? i < cores / 2 : i % 3 == 0];
        hwloc_bitmap_or(kind, kind, hwloc_get_obj_by_type(topology, type, i)->cpuset);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(hwloc_cpukinds_register(topology, kinds[i], i, 0, NULL, 0), 0);
        hwloc_bitmap_free(kinds[i]);
    }
}

static hwloc_topology_t make_machine(const char *description, int form)
{
    hwloc_bitmap_t part = hwloc_bitmap_alloc();
    hwloc_topology_t topology;

    assert_int_equal(hwloc_topology_init(&topology), 0);
    hwloc_topology_set_flags(topology, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
    assert_int_equal(hwloc_topology_set_synthetic(topology, description), 0);
    assert_int_equal(hwloc_topology_load(topology), 0);
    if (form != AS_IS)
        random_part(part, hwloc_topology_get_topology_cpuset(topology));
    if (form == HOLES) /* NUMA nodes without CPUs stay */
        assert_int_equal(hwloc_topology_restrict(topology, part, 0), 0);
    if (form == CGROUP)
        assert_int_equal(hwloc_topology_allow(topology, part, NULL, HWLOC_ALLOW_FLAG_CUSTOM), 0);
    if (form == KINDS)
        add_kinds(topology, random_below(2));
    hwloc_bitmap_free(part);
    return topology;
}

/* ---- What a plan could reach at best ---- */

enum { MOST_THREADS = 256, MOST_CORES = 512 };

struct threads {
    int count, cores;
    bool may[MOST_THREADS][MOST_CORES]; /* this thread use this core */
    int owner[MOST_CORES];
    bool visited[MOST_CORES];
};

static bool match(struct threads *t, int thread)
{
    for (int c = 0; c < t->cores; c++)
        if (t->may[thread][c] && !t->visited[c]) {
            t->visited[c] = true;
            if (t->owner[c] < 0 || match(t, t->owner[c])) {
                t->owner[c] = thread;
                return true;
            }
        }
    return false;
}

static hwloc_obj_t core_at(hwloc_topology_t topology, int i)
{
    const bool has_cores = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE) > 0;

    return hwloc_get_obj_by_type(topology, has_cores ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU, (unsigned)i);
}

/* The most cores that can be in use with one thread or more. */
static int most_cores(const struct plan_request *request)
{
    static struct threads t;
    const hwloc_const_bitmap_t allowed = hwloc_topology_get_allowed_cpuset(request->topology);
    hwloc_bitmap_t usable = hwloc_bitmap_alloc();
    int used = 0;

    t.count = t.cores = 0;
    while (core_at(request->topology, t.cores))
        t.owner[t.cores++] = -1;
    for (int r = 0; r < request->ranks; r++) {
        hwloc_bitmap_and(usable, request->granted[r], allowed);
        for (int i = 0; i < request->threads[r]; i++, t.count++)
            for (int c = 0; c < t.cores; c++)
                t.may[t.count][c] =
                    hwloc_bitmap_intersects(usable, core_at(request->topology, c)->cpuset);
    }
    for (int i = 0; i < t.count; i++) {
        memset(t.visited, 0, sizeof t.visited);
        used += match(&t, i);
    }
    hwloc_bitmap_free(usable);
    return used;
}

/* ---- What holds for every plan ---- */

static void check_inside(const struct plan_request *request, const struct plan *plan)
{
    for (int r = 0; r < request->ranks; r++)
        for (int i = 0; i < request->threads[r]; i++) {
            assert_false(hwloc_bitmap_iszero(plan->masks[r][i]));
            assert_true(hwloc_bitmap_isincluded(plan->masks[r][i], request->granted[r]));
            assert_true(hwloc_bitmap_isincluded(
                plan->masks[r][i], hwloc_topology_get_allowed_cpuset(request->topology)));
            assert_true(hwloc_bitmap_isincluded(plan->masks[r][i], plan->shares[r]));
        }
}

/* Threads on each core; each thread is on one. */
static void count_on_cores(const struct plan_request *request, const struct plan *plan, int only_rank,
                           int *counts)
{
    for (int c = 0; core_at(request->topology, c); c++) {
        counts[c] = 0;
        for (int r = 0; r < request->ranks; r++)
            for (int i = 0; i < request->threads[r] && (only_rank < 0 || r == only_rank); i++)
                counts[c] += hwloc_bitmap_intersects(plan->masks[r][i],
                                                     core_at(request->topology, c)->cpuset);
    }
}

static void check_cores(const struct plan_request *request, const struct plan *plan)
{
    int counts[MOST_CORES], used = 0, threads = 0, on_cores = 0;

    count_on_cores(request, plan, -1, counts);
    for (int c = 0; core_at(request->topology, c); c++) {
        used += counts[c] > 0;
        on_cores += counts[c];
    }
    for (int r = 0; r < request->ranks; r++)
        threads += request->threads[r];
    assert_int_equal(on_cores, threads);
    assert_int_equal(used, most_cores(request));
}

/* Of the cores of a rank that have as many PUs none has two threads more than another; and no PU
 * has two while one has none. */
static void check_rank(const struct plan_request *request, const struct plan *plan, int rank)
{
    int counts[MOST_CORES], least[5] = { 999, 999, 999, 999, 999 }, most[5] = { 0 };
    hwloc_bitmap_t part = hwloc_bitmap_alloc(), seen = hwloc_bitmap_alloc();
    bool twice = false;

    count_on_cores(request, plan, rank, counts);
    const bool few = request->threads[rank] < plan_cores(request->topology, plan->shares[rank]);
    for (int c = 0; core_at(request->topology, c); c++) {
        hwloc_bitmap_and(part, core_at(request->topology, c)->cpuset, plan->shares[rank]);
        const int pus = hwloc_bitmap_weight(part);
        if (pus == 0 || few)
            continue;
        least[pus] = counts[c] < least[pus] ? counts[c] : least[pus];
        most[pus] = counts[c] > most[pus] ? counts[c] : most[pus];
    }
    for (int pus = 1; pus <= 4; pus++)
        assert_true(least[pus] == 999 || most[pus] - least[pus] <= 1);
    for (int i = 0; i < request->threads[rank]; i++) {
        twice |= hwloc_bitmap_intersects(seen, plan->masks[rank][i]);
        hwloc_bitmap_or(seen, seen, plan->masks[rank][i]);
    }
    if (twice)
        assert_true(request->threads[rank] > hwloc_bitmap_weight(plan->shares[rank]));
    hwloc_bitmap_free(seen);
    hwloc_bitmap_free(part);
}

/* Equal grants and equal threads: shares of cores that differ by one at most, apart from one
 * another. */
static void check_shares(const struct plan_request *request, const struct plan *plan)
{
    int least = 999, most = 0, all = 0;
    hwloc_bitmap_t seen = hwloc_bitmap_alloc();

    for (int r = 0; r < request->ranks; r++) {
        const int cores = plan_cores(request->topology, plan->shares[r]);
        least = cores < least ? cores : least;
        most = cores > most ? cores : most;
        all += cores;
        hwloc_bitmap_or(seen, seen, plan->shares[r]);
    }
    assert_true(most - least <= 1);
    if (most > 1)
        assert_int_equal(plan_cores(request->topology, seen), all);
    hwloc_bitmap_free(seen);
}

static bool same_plans(const struct plan *a, const struct plan *b)
{
    for (int r = 0; r < a->ranks; r++)
        for (int i = 0; i < a->threads[r]; i++)
            if (!hwloc_bitmap_isequal(a->masks[r][i], b->masks[r][i]))
                return false;
    return true;
}

static void check_plan(const struct plan_request *request, bool is_equal)
{
    struct plan plan, again;

    assert_int_equal(plan_make(request, &plan, NULL), 0);
    assert_int_equal(plan_make(request, &again, NULL), 0);
    assert_true(same_plans(&plan, &again));
    check_inside(request, &plan);
    check_cores(request, &plan);
    for (int r = 0; r < request->ranks; r++)
        check_rank(request, &plan, r);
    if (is_equal && request->policy != PLAN_NUMA)
        check_shares(request, &plan);
    plan_free(&again);
    plan_free(&plan);
}

enum { MOST_RANKS = 9 };

/* Grants that are all equal, or apart from one another, or any. */
static void grant(hwloc_topology_t topology, int ranks, int way, hwloc_bitmap_t *granted)
{
    const hwloc_const_bitmap_t allowed = hwloc_topology_get_allowed_cpuset(topology);

    for (int r = 0; r < ranks; r++) {
        random_part(granted[r], allowed);
        if (way == 0 && r > 0)
            hwloc_bitmap_copy(granted[r], granted[0]);
        if (way == 1) {
            int pu, seen = 0;
            hwloc_bitmap_zero(granted[r]);
            hwloc_bitmap_foreach_begin(pu, allowed)
                if (seen++ % ranks == r)
                    hwloc_bitmap_set(granted[r], (unsigned)pu);
            hwloc_bitmap_foreach_end();
            if (hwloc_bitmap_iszero(granted[r])) /* more ranks than PUs */
                hwloc_bitmap_copy(granted[r], allowed);
        }
    }
}

static void plans_of_machine(hwloc_topology_t topology)
{
    static const int numbers[] = { 1, 2, 3, 5, 9 };
    hwloc_bitmap_t granted[MOST_RANKS];
    int threads[MOST_RANKS];

    for (int r = 0; r < MOST_RANKS; r++)
        granted[r] = hwloc_bitmap_alloc();
    for (int i = 0; i < LENGTH(numbers); i++)
        for (int way = 0; way < 4; way++) {
            const bool is_equal = way % 2 == 0;
            grant(topology, numbers[i], way == 2 ? 0 : way, granted);
            const int same = 1 + random_below(8);
            for (int r = 0; r < numbers[i]; r++)
                threads[r] = way == 0 ? same : 1 + random_below(8);
            for (int policy = PLAN_BALANCED; policy <= PLAN_NUMA; policy++) {
                const struct plan_request request = {
                    topology, numbers[i], (const hwloc_const_bitmap_t *)granted, threads,
                    (enum plan_policy)policy, PLAN_ALL,
                };
                check_plan(&request, is_equal && way == 0 && policy != PLAN_COMPACT);
            }
        }
    for (int r = 0; r < MOST_RANKS; r++)
        hwloc_bitmap_free(granted[r]);
}

static void every_plan_is_fair(void **state)
{
    (void)state;
    for (int i = 0; i < LENGTH(descriptions); i++)
        for (int form = 0; form < FORMS; form++) {
            hwloc_topology_t topology = make_machine(descriptions[i], form);
            plans_of_machine(topology);
            hwloc_topology_destroy(topology);
        }
}

/* ---- Plans known beforehand ---- */

/* Threads of a rank by commas, ranks by bars; a mask of several PUs as 0-1 or 0+8. */
struct golden {
    const char *description;
    const char *allowed;    /* PUs; NULL: all */
    const char *better;     /* PUs of the better kind; NULL: one kind */
    const char *granted[4]; /* PUs of each rank; NULL: as the rank before, or all */
    int ranks, threads;
    enum plan_policy policy;
    enum plan_kind kind;
    const char *expected;
};

static const struct golden goldens[] = {
    { "core:4 pu:1", NULL, NULL, { NULL }, 4, 1, PLAN_BALANCED, PLAN_ALL, "0 | 1 | 2 | 3" },
    { "core:4 pu:1", NULL, NULL, { NULL }, 1, 4, PLAN_BALANCED, PLAN_ALL, "0,1,2,3" },
    { "core:4 pu:1", NULL, NULL, { NULL }, 2, 1, PLAN_COMPACT, PLAN_ALL, "0 | 1" },
    { "core:8 pu:1", NULL, NULL, { NULL }, 2, 2, PLAN_SPREAD, PLAN_ALL, "0,2 | 4,6" },
    { "core:7 pu:1", NULL, NULL, { NULL }, 3, 2, PLAN_BALANCED, PLAN_ALL, "0,1 | 3,4 | 5,6" },
    { "numa:2 core:4 pu:1", NULL, NULL, { NULL }, 1, 2, PLAN_BALANCED, PLAN_ALL, "0,2" },
    { "numa:2 core:4 pu:1", NULL, NULL, { NULL }, 1, 2, PLAN_SPREAD, PLAN_ALL, "0,4" },
    { "numa:2 core:4 pu:1", NULL, NULL, { NULL }, 4, 1, PLAN_SPREAD, PLAN_ALL, "0 | 4 | 2 | 6" },
    { "numa:2 core:4 pu:1", NULL, NULL, { NULL }, 3, 2, PLAN_BALANCED, PLAN_ALL,
      "0,1 | 4,5 | 6,7" },
    { "numa:2 core:4 pu:1", NULL, NULL, { NULL }, 3, 2, PLAN_NUMA, PLAN_ALL, "0,2 | 4,5 | 6,7" },
    { "numa:4 core:4 pu:1", NULL, NULL, { NULL }, 3, 4, PLAN_BALANCED, PLAN_ALL,
      "0,1,2,3 | 4,5,6,7 | 8,9,10,11" },
    { "numa:4 core:2 pu:1", NULL, NULL, { NULL }, 2, 2, PLAN_NUMA, PLAN_ALL, "0,1 | 4,5" },
    { "numa:2 core:4 pu:1", NULL, NULL, { NULL }, 2, 3, PLAN_COMPACT, PLAN_ALL, "0,1,2 | 4,5,6" },
    { "core:4 pu:2", NULL, NULL, { NULL }, 1, 2, PLAN_BALANCED, PLAN_ALL, "0-1,4-5" },
    { "core:4 pu:2", NULL, NULL, { NULL }, 1, 8, PLAN_BALANCED, PLAN_ALL, "0,1,2,3,4,5,6,7" },
    { "core:4 pu:2", NULL, NULL, { NULL }, 2, 3, PLAN_BALANCED, PLAN_ALL, "0,1,2-3 | 4,5,6-7" },
    { "core:4 pu:2(indexes=core:pu)", NULL, NULL, { NULL }, 2, 3, PLAN_BALANCED, PLAN_ALL,
      "0,4,1+5 | 2,6,3+7" },
    { "core:4 pu:1", NULL, NULL, { "2" }, 1, 2, PLAN_BALANCED, PLAN_ALL, "2,2" },
    { "core:4 pu:1", NULL, NULL, { NULL }, 3, 3, PLAN_BALANCED, PLAN_ALL, "0,0,1 | 2,2,2 | 3,3,3" },
    { "core:2 pu:1", NULL, NULL, { NULL }, 4, 1, PLAN_BALANCED, PLAN_ALL, "0 | 0 | 1 | 1" },
    { "core:4 pu:1", "1,3", NULL, { NULL }, 2, 1, PLAN_BALANCED, PLAN_ALL, "1 | 3" },
    { "pu:6", NULL, NULL, { NULL }, 2, 2, PLAN_BALANCED, PLAN_ALL, "0,1 | 3,4" },
    { "core:14 pu:1", NULL, "0-5", { NULL }, 2, 7, PLAN_BALANCED, PLAN_ALL,
      "0,1,2,6,7,8,9 | 3,4,5,10,11,12,13" },
    { "core:14 pu:1", NULL, "0-5", { NULL }, 2, 3, PLAN_BALANCED, PLAN_ALL, "0,1,2 | 3,4,5" },
    { "core:14 pu:1", NULL, "0-5", { NULL }, 2, 3, PLAN_BALANCED, PLAN_PERFORMANCE,
      "0,1,2 | 3,4,5" },
    { "core:12 pu:1", NULL, "0-5", { NULL }, 2, 6, PLAN_BALANCED, PLAN_ALL,
      "0,1,2,3,4,5 | 6,7,8,9,10,11" },
    { "core:12 pu:1", "4-9", "0-5", { NULL }, 2, 2, PLAN_BALANCED, PLAN_EFFICIENCY, "6,7 | 8,9" },
    { "core:6 pu:1", NULL, NULL, { "0-3", "2-5" }, 2, 3, PLAN_BALANCED, PLAN_ALL, "0,1,3 | 2,4,5" },
    { "core:8 pu:1", NULL, NULL, { "0-3", "4-7" }, 2, 2, PLAN_BALANCED, PLAN_ALL, "0,2 | 4,6" },
    { "core:4 pu:2", NULL, NULL, { "0,2", "1,3" }, 2, 1, PLAN_BALANCED, PLAN_ALL, "2 | 1" },
    { "pack:2 l3:2 core:4 pu:2", NULL, NULL, { NULL }, 4, 4, PLAN_BALANCED, PLAN_ALL,
      "0-1,2-3,4-5,6-7 | 8-9,10-11,12-13,14-15 | "
      "16-17,18-19,20-21,22-23 | 24-25,26-27,28-29,30-31" },
    { "pack:2 l3:2 core:3 pu:1", NULL, NULL, { NULL }, 4, 2, PLAN_COMPACT, PLAN_ALL,
      "0,1 | 3,4 | 6,7 | 9,10" },
};

/* The plan as text, or why there is none. */
static void tell_plan(const struct golden *g, char *text, size_t size)
{
    hwloc_bitmap_t granted[4], part = hwloc_bitmap_alloc();
    hwloc_topology_t topology;
    struct plan plan;
    int threads[4], wrong;
    FILE *const file = fmemopen(text, size, "w");

    assert_int_equal(hwloc_topology_init(&topology), 0);
    hwloc_topology_set_flags(topology, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
    assert_int_equal(hwloc_topology_set_synthetic(topology, g->description), 0);
    assert_int_equal(hwloc_topology_load(topology), 0);
    if (g->better) {
        hwloc_bitmap_list_sscanf(part, g->better);
        hwloc_cpukinds_register(topology, part, 1, 0, NULL, 0);
        hwloc_bitmap_andnot(part, hwloc_topology_get_topology_cpuset(topology), part);
        hwloc_cpukinds_register(topology, part, 0, 0, NULL, 0);
    }
    if (g->allowed) {
        hwloc_bitmap_list_sscanf(part, g->allowed);
        hwloc_topology_allow(topology, part, NULL, HWLOC_ALLOW_FLAG_CUSTOM);
    }
    for (int r = 0; r < g->ranks; r++) {
        threads[r] = g->threads;
        granted[r] = hwloc_bitmap_dup(r > 0 ? granted[r - 1]
                                            : hwloc_topology_get_topology_cpuset(topology));
        if (g->granted[r])
            hwloc_bitmap_list_sscanf(granted[r], g->granted[r]);
    }
    const struct plan_request request = { topology, g->ranks, (const hwloc_const_bitmap_t *)granted,
                                          threads, g->policy, g->kind };
    if (plan_make(&request, &plan, &wrong)) {
        fprintf(file, "rank %d: %s", wrong, strerror(errno));
    } else {
        for (int r = 0; r < g->ranks; r++)
            for (int i = 0; i < g->threads; i++) {
                char mask[64];
                hwloc_bitmap_list_snprintf(mask, sizeof mask, plan.masks[r][i]);
                for (char *comma = mask; (comma = strchr(comma, ','));)
                    *comma = '+';
                fprintf(file, "%s%s", i > 0 ? "," : r > 0 ? " | " : "", mask);
            }
        plan_free(&plan);
    }
    fclose(file);
    for (int r = 0; r < g->ranks; r++)
        hwloc_bitmap_free(granted[r]);
    hwloc_topology_destroy(topology);
    hwloc_bitmap_free(part);
}

static void plans_of_known_machines(void **state)
{
    (void)state;
    for (int i = 0; i < LENGTH(goldens); i++) {
        char text[256];
        tell_plan(&goldens[i], text, sizeof text);
        if (strcmp(text, goldens[i].expected) != 0)
            print_message("plan %d, %s, %d x %d: expected %s\n", i, goldens[i].description,
                          goldens[i].ranks, goldens[i].threads, goldens[i].expected);
        assert_string_equal(text, goldens[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_plan_is_fair),
        cmocka_unit_test(plans_of_known_machines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
