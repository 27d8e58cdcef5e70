/*
 * place - masks applied and read back: on a machine of 384 CPUs that does not exist, and on this
 * one
 *
 * Test: -n 1
 * Test: -n 2
 * Test: -n 3
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <omp.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "hybrid/lib/granted.h"
#include "hybrid/lib/place.h"
#include "local/lib/team.h"
#include "tests/unit/mpi/run.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static struct world w;

/* ---- A kernel of the test's own: each thread has a mask, which a new one inherits ---- */

enum { CPUS = 384 };

static hwloc_bitmap_t cgroup;      /* the kernel gives no others, and says nothing */
static int set_error;              /* what it answers; 0: it works */
static atomic_int sets;            /* how often it was asked */
static _Thread_local hwloc_bitmap_t own;

static int fake_get(hwloc_bitmap_t set)
{
    return hwloc_bitmap_copy(set, own ? own : cgroup);
}

static int fake_set(hwloc_const_bitmap_t set)
{
    atomic_fetch_add(&sets, 1);
    if (set_error || !hwloc_bitmap_intersects(set, cgroup)) {
        errno = set_error ? set_error : EINVAL;
        return -1;
    }
    if (!own)
        own = hwloc_bitmap_alloc();
    return hwloc_bitmap_and(own, set, cgroup);
}

static const struct place_kernel fake_kernel = { fake_get, fake_set };

/* Two ranks of 96 threads on 2 x 96 cores of two CPUs each; this is rank 1. */
static void open_fake(struct place *place, struct plan *plan)
{
    static unsigned generation = 1000;
    static int threads[] = { 96, 96 };
    hwloc_topology_t topology;

    hwloc_topology_init(&topology);
    assert_int_equal(hwloc_topology_set_synthetic(topology, "pack:2 [numa] l3:12 core:8 pu:2"), 0);
    assert_int_equal(hwloc_topology_load(topology), 0);
    const hwloc_const_bitmap_t all = hwloc_topology_get_topology_cpuset(topology);
    const hwloc_const_bitmap_t granted[] = { all, all };
    const struct plan_request request = { topology, 2, granted, threads, PLAN_BALANCED, PLAN_ALL };
    assert_int_equal(hwloc_bitmap_weight(all), CPUS);
    assert_int_equal(plan_make(&request, plan, NULL), 0);
    cgroup = hwloc_bitmap_dup(all);
    hwloc_topology_destroy(topology);
    *place = (struct place){ .threads = 96, .masks = plan->masks[1], .granted = cgroup,
                             .applied = true, .kernel = &fake_kernel, .generation = generation++ };
    set_error = 0;
    atomic_store(&sets, 0);
}

static void close_fake(struct plan *plan)
{
    plan_free(plan);
    hwloc_bitmap_free(cgroup);
    hwloc_bitmap_free(own);
    own = NULL;
}

struct seen {
    struct place *place;
    atomic_int right;
};

static void bind_twice(void *arg, size_t thread)
{
    struct seen *const seen = arg;
    hwloc_bitmap_t now = hwloc_bitmap_alloc();

    for (int i = 0; i < 2; i++)
        if (place_thread(seen->place, (int)thread) == 0 && place_read(seen->place, now) == 0 &&
            hwloc_bitmap_isequal(now, seen->place->masks[thread]))
            atomic_fetch_add(&seen->right, 1);
    hwloc_bitmap_free(now);
    hwloc_bitmap_free(own);
    own = NULL;
}

static void every_thread_gets_its_mask_once(void **state)
{
    struct place place;
    struct plan plan;
    struct seen seen = { &place, 0 };
    (void)state;

    open_fake(&place, &plan);
    assert_int_equal(team_run(96, bind_twice, &seen), 0);
    assert_int_equal(seen.right, 2 * 96);
    assert_int_equal(sets, 96); /* the second time it is known */
    assert_int_equal(team_run(96, bind_twice, &seen), 0);
    assert_int_equal(sets, 2 * 96); /* other threads */
    for (int t = 0; t < 96; t++) {
        assert_int_equal(hwloc_bitmap_weight(place.masks[t]), 2);
        assert_true(hwloc_bitmap_first(place.masks[t]) >= CPUS / 2);
    }
    close_fake(&plan);
}

static void a_mask_that_the_system_cuts_is_noticed(void **state)
{
    struct place place;
    struct plan plan;
    (void)state;

    open_fake(&place, &plan);
    hwloc_bitmap_clr(cgroup, (unsigned)hwloc_bitmap_first(place.masks[5]));
    assert_int_equal(place_thread(&place, 4), 0);
    assert_int_equal(place_thread(&place, 5), -1);
    assert_int_equal(errno, EPERM);
    hwloc_bitmap_andnot(cgroup, cgroup, place.masks[5]);
    assert_int_equal(place_thread(&place, 5), -1);
    assert_int_equal(errno, EINVAL);
    set_error = ENOSYS;
    assert_int_equal(place_thread(&place, 6), -1);
    assert_int_equal(errno, ENOSYS);
    set_error = 0;
    assert_int_equal(place_thread(&place, 6), 0); /* it was not taken for done */
    assert_int_equal(place_thread(&place, 96), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(place_thread(&place, -1), -1);
    const int before = sets;
    place.applied = false;
    place.generation++;
    assert_int_equal(place_thread(&place, 7), 0);
    assert_int_equal(sets, before);
    close_fake(&plan);
}

/* ---- This machine ---- */

static int cpus_of(const struct place *place)
{
    const hwloc_bitmap_t now = hwloc_bitmap_alloc();
    const int count = place_read(place, now) == 0 ? hwloc_bitmap_weight(now) : -1;

    hwloc_bitmap_free(now);
    return count;
}

/* Where there are CPUs enough for all ranks. */
static void a_real_thread_is_bound_and_let_go(void **state)
{
    const hwloc_bitmap_t granted = hwloc_bitmap_alloc();
    struct place place;
    (void)state;

    assert_int_equal(granted_cpus(granted), 0);
    place_open(&place, &w, 1, "balanced");
    assert_true(hwloc_bitmap_isequal(place.granted, granted));
    if (place.applied) {
        assert_int_equal(place_thread(&place, 0), 0);
        assert_true(hwloc_bitmap_isincluded(place.masks[0], granted));
        assert_int_equal(cpus_of(&place), hwloc_bitmap_weight(place.masks[0]));
        const int before = hwloc_bitmap_weight(granted);
        const struct place_kernel *const kernel = place.kernel;
        place_close(&place);
        place.kernel = kernel;
        assert_int_equal(cpus_of(&place), before);
    } else {
        assert_string_equal(place.reason, "there are more threads than CPUs that were granted");
        place_close(&place);
    }
    hwloc_bitmap_free(granted);
}

static void nothing_is_bound_that_need_not_be(void **state)
{
    struct place place;
    (void)state;

    place_open(&place, &w, 1, "none");
    assert_false(place.applied);
    assert_string_equal(place.reason, "");
    assert_int_equal(place_thread(&place, 0), 0);
    place_close(&place);
    place_open(&place, &w, 1000, "compact");
    assert_false(place.applied);
    assert_string_equal(place.reason, "there are more threads than CPUs that were granted");
    place_close(&place);
    setenv("HWLOC_SYNTHETIC", "core:64 pu:1", 1);
    place_open(&place, &w, 1, "balanced");
    assert_false(place.applied);
    assert_string_equal(place.reason, "HWLOC_XMLFILE or HWLOC_SYNTHETIC names another machine");
    place_close(&place);
    unsetenv("HWLOC_SYNTHETIC");
}

/* A team that shrinks and grows again has new threads in GNU's runtime. */
static void a_team_that_grows_again(void **state)
{
    static const int teams[] = { 2, 1, 2 };
    struct place place;
    int wrong = 0;
    (void)state;

    if (w.size > 1)
        return;
    place_open(&place, &w, 2, "balanced");
    for (size_t i = 0; i < LENGTH(teams); i++) {
#pragma omp parallel num_threads(teams[i]) reduction(+ : wrong)
        {
            wrong += place_thread(&place, omp_get_thread_num()) != 0;
            wrong += place.applied &&
                     cpus_of(&place) != hwloc_bitmap_weight(place.masks[omp_get_thread_num()]);
        }
    }
    assert_int_equal(wrong, 0);
    place_close(&place);
}

int main(int argc, char **argv)
{
    static const struct arg options[] = { ARGS_END };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_thread_gets_its_mask_once),
        cmocka_unit_test(a_mask_that_the_system_cuts_is_noticed),
        cmocka_unit_test(a_real_thread_is_bound_and_let_go),
        cmocka_unit_test(nothing_is_bound_that_need_not_be),
        cmocka_unit_test(a_team_that_grows_again),
    };
    enum status status = world_open(&w, argc, argv, MPI_THREAD_FUNNELED, 1, options);

    if (status == PASS)
        status = run(&w, tests, LENGTH(tests));
    return world_close(&w, status);
}
