/*
 * affinity - where every rank and every thread may run, and where it does
 *
 * Every thread of every rank reads its own mask through hwloc: the CPUs that the launcher granted
 * to the rank, the CPUs that the thread is bound to, and the CPU that it ran on last. Numbers of
 * CPUs are the system's (OS), cores and packages are counted as hwloc does (logical): on many
 * machines neighbours in one numbering are far apart in the other.
 *
 * What can go wrong: mpirun binds each of one or two ranks to one core, so the threads of a rank
 * take turns on it, and nothing says so. A grown OpenMP team inherits the mask of its master.
 *
 * Run:     make run P=affinity N=2 T=2
 * Try:     mpirun --bind-to core -n 2 ... with OMP_NUM_THREADS=2: how many CPUs has each thread?
 * Try:     OMP_PROC_BIND=true: granted and bound differ
 * Test:    -n 1
 * Test:    -n 2 -t 2
 * Test:    -n 3 -t 1 --format json
 */
#include <hwloc.h>
#include <omp.h>
#include <stdlib.h>
#include <unistd.h>

#include "hybrid/lib/granted.h"
#include "mpi/lib/verify.h"
#include "mpi/lib/world.h"

static const struct arg options[] = { ARGS_END };

/* What a thread tells of itself. */
struct place {
    int thread, cpu_os, core, package; /* -1: not known */
    bool right;                        /* it runs on a CPU it is bound to, and that was granted */
    char bound[128];
};

struct rank_info {
    char host[64], granted[128];
    int threads;
};

static int number_of(hwloc_topology_t topology, hwloc_obj_type_t type, hwloc_const_bitmap_t cpu)
{
    const hwloc_obj_t object = hwloc_get_next_obj_covering_cpuset_by_type(topology, cpu, type, NULL);

    return object ? (int)object->logical_index : -1;
}

/* Called by each thread for itself. */
static struct place find_place(hwloc_topology_t topology, hwloc_const_bitmap_t granted)
{
    struct place place = { .thread = omp_get_thread_num(), .cpu_os = -1, .core = -1, .package = -1 };
    hwloc_bitmap_t bound = hwloc_bitmap_alloc();
    hwloc_bitmap_t last = hwloc_bitmap_alloc();

    if (hwloc_get_cpubind(topology, bound, HWLOC_CPUBIND_THREAD) == 0 &&
        hwloc_get_last_cpu_location(topology, last, HWLOC_CPUBIND_THREAD) == 0) {
        hwloc_bitmap_list_snprintf(place.bound, sizeof place.bound, bound);
        place.cpu_os = hwloc_bitmap_first(last);
        place.core = number_of(topology, HWLOC_OBJ_CORE, last);
        place.package = number_of(topology, HWLOC_OBJ_PACKAGE, last);
        place.right = hwloc_bitmap_isincluded(last, bound) &&
                      hwloc_bitmap_isincluded(bound, granted);
    }
    hwloc_bitmap_free(last);
    hwloc_bitmap_free(bound);
    return place;
}

static void record_known(struct record *row, const char *name, int number)
{
    if (number >= 0)
        record_int(row, name, number);
    else
        record_null(row, name);
}

static void add_rows(struct world *w, int rank, const struct rank_info *info,
                     const struct place *places)
{
    for (int i = 0; i < info->threads; i++) {
        struct record row = w->program.record;

        record_int(&row, "rank", rank);
        record_text(&row, "host", info->host);
        record_int(&row, "thread", places[i].thread);
        record_text(&row, "granted_os", info->granted);
        record_text(&row, "bound_os", places[i].bound);
        record_known(&row, "cpu_os", places[i].cpu_os);
        record_known(&row, "core_logical", places[i].core);
        record_known(&row, "package_logical", places[i].package);
        record_bool(&row, "verified", places[i].right && places[i].thread == i);
        program_row(&w->program, &row);
    }
}

/* Rank 0 takes the places of all ranks and prints them in rank order. */
static void collect(struct world *w, const struct rank_info *mine, const struct place *places)
{
    if (w->rank > 0) {
        MPI_Send(mine, sizeof *mine, MPI_BYTE, 0, 0, w->comm);
        MPI_Send(places, mine->threads * (int)sizeof *places, MPI_BYTE, 0, 1, w->comm);
        return;
    }
    add_rows(w, 0, mine, places);
    for (int rank = 1; rank < w->size; rank++) {
        struct rank_info info;

        MPI_Recv(&info, sizeof info, MPI_BYTE, rank, 0, w->comm, MPI_STATUS_IGNORE);
        struct place *theirs = world_alloc(w, (size_t)info.threads, sizeof *theirs);
        MPI_Recv(theirs, info.threads * (int)sizeof *theirs, MPI_BYTE, rank, 1, w->comm,
                 MPI_STATUS_IGNORE);
        add_rows(w, rank, &info, theirs);
        free(theirs);
    }
}

static enum status run(struct world *w, hwloc_topology_t topology)
{
    const int most = omp_get_max_threads();
    struct place *places = world_alloc(w, (size_t)most, sizeof *places);
    struct rank_info info = { .threads = 0 };
    hwloc_bitmap_t granted = hwloc_bitmap_alloc();
    int wrong = -1;

    gethostname(info.host, sizeof info.host - 1);
    if (granted_cpus(granted) == 0)
        hwloc_bitmap_list_snprintf(info.granted, sizeof info.granted, granted);
    for (int i = 0; i < most; i++)
        places[i] = (struct place){ .thread = -1 }; /* a thread that tells nothing shows */

#pragma omp parallel num_threads(most)
    {
#pragma omp single
        info.threads = omp_get_num_threads();
        places[omp_get_thread_num()] = find_place(topology, granted);
    }

    for (int i = info.threads - 1; i >= 0; i--)
        if (places[i].thread != i || !places[i].right)
            wrong = i;
    collect(w, &info, places);
    const struct verdict verdict =
        verify_places(w, wrong < 0 ? UINT64_MAX : (uint64_t)w->rank,
                      "rank %d, thread %d: runs on CPU %d, bound to %s, granted %s", w->rank, wrong,
                      wrong < 0 ? 0 : places[wrong].cpu_os, wrong < 0 ? "" : places[wrong].bound,
                      info.granted);
    hwloc_bitmap_free(granted);
    free(places);
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    return program_verdict(&w->program, true, "every thread of %d rank%s runs where it is bound, "
                           "within what was granted", w->size, w->size == 1 ? "" : "s");
}

int main(int argc, char **argv)
{
    struct world w;
    hwloc_topology_t topology;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_FUNNELED, omp_get_max_threads(),
                                    options);

    if (status != PASS)
        return world_close(&w, status);
    if (hwloc_topology_init(&topology) || hwloc_topology_load(topology))
        world_abort(&w, UNABLE, "hwloc cannot read this machine's topology");
    if (hwloc_topology_is_thissystem(topology) &&
        hwloc_topology_get_support(topology)->cpubind->get_thisthread_cpubind) {
        status = run(&w, topology);
    } else {
        if (w.rank == 0)
            program_error("masks cannot be read here: unset HWLOC_XMLFILE and HWLOC_SYNTHETIC, or "
                          "use a system with CPU binding");
        status = UNABLE;
    }
    hwloc_topology_destroy(topology);
    return world_close(&w, status);
}
