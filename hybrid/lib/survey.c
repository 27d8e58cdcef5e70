#include "hybrid/lib/survey.h"
#include "hybrid/lib/granted.h"
#include "hybrid/lib/others.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int survey_thread(const struct place *place, int thread, struct seat *seat)
{
    const hwloc_bitmap_t bound = hwloc_bitmap_alloc();
    const int status = bound ? place_read(place, bound) : -1;

    *seat = (struct seat){ .thread = thread, .cpu_os = cpu_now(), .core = -1, .package = -1, .numa = -1 };
    if (status == 0) {
        mask_of(bound, &seat->bound);
        seat->right = hwloc_bitmap_isincluded(bound, place->granted) &&
                      (seat->cpu_os < 0 || hwloc_bitmap_isset(bound, (unsigned)seat->cpu_os));
    }
    hwloc_bitmap_free(bound);
    return status;
}

/* ---- On rank 0 of the node ---- */

static int number_of(hwloc_topology_t topology, hwloc_obj_type_t type, int cpu)
{
    const hwloc_obj_t pu = cpu < 0 ? NULL : hwloc_get_pu_obj_by_os_index(topology, (unsigned)cpu);
    hwloc_obj_t object = NULL;

    if (!pu)
        return -1;
    while ((object = hwloc_get_next_obj_by_type(topology, type, object)))
        if (hwloc_bitmap_isset(object->cpuset, (unsigned)cpu))
            return (int)object->logical_index;
    return -1;
}

static void name_seat(hwloc_topology_t topology, struct seat *seat)
{
    seat->core = number_of(topology, HWLOC_OBJ_CORE, seat->cpu_os);
    seat->package = number_of(topology, HWLOC_OBJ_PACKAGE, seat->cpu_os);
    seat->numa = number_of(topology, HWLOC_OBJ_NUMANODE, seat->cpu_os);
}

/* As hwloc_bitmap_t of each rank and thread. */
static void fill_layout(struct survey *survey, const struct world *w, const struct seat *seats,
                        const int *threads, const int *numbers)
{
    const size_t ranks = (size_t)w->node_size;
    hwloc_bitmap_t **const masks = world_alloc(w, ranks, sizeof *masks);
    int *const own_threads = world_alloc(w, ranks, sizeof *own_threads);
    int *const own_numbers = world_alloc(w, ranks, sizeof *own_numbers);

    memcpy(own_threads, threads, ranks * sizeof *threads);
    memcpy(own_numbers, numbers, ranks * sizeof *numbers);
    for (int r = 0; r < w->node_size; r++) {
        masks[r] = world_alloc(w, (size_t)threads[r], sizeof **masks);
        for (int t = 0; t < threads[r]; t++, seats++) {
            masks[r][t] = hwloc_bitmap_alloc();
            set_of(&seats->bound, masks[r][t]);
        }
    }
    survey->layout.topology = survey->topology;
    survey->layout.ranks = w->node_size;
    survey->layout.numbers = own_numbers;
    survey->layout.threads = own_threads;
    survey->layout.masks = masks;
    survey->layout.is_scheduled = getenv("SLURM_JOB_ID") || getenv("PBS_JOBID");
}

/* Whether all threads of the node may run on all that was granted to their rank: then the system
 * moves them away from who else is there. */
static bool is_unbound(const struct layout *layout)
{
    for (int r = 0; r < layout->ranks; r++)
        for (int t = 0; t < layout->threads[r]; t++)
            if (hwloc_bitmap_weight(layout->masks[r][t]) < cpus_online())
                return false;
    return true;
}

static void find_others(struct survey *survey, const struct world *w, const pid_t *own)
{
    const hwloc_bitmap_t used = hwloc_bitmap_alloc();

    if (!used || !survey->busy)
        world_abort(w, UNABLE, "no memory for a set of CPUs");
    for (int r = 0; r < survey->layout.ranks; r++)
        for (int t = 0; t < survey->layout.threads[r]; t++)
            hwloc_bitmap_or(used, used, survey->layout.masks[r][t]);
    if (!is_unbound(&survey->layout) &&
        others_on(used, own, w->size, survey->others, sizeof survey->others, survey->busy) > 0)
        survey->layout.others = survey->others;
    hwloc_bitmap_free(used);
}

static void load_topology(struct survey *survey, const struct world *w)
{
    if (hwloc_topology_init(&survey->topology))
        world_abort(w, UNABLE, "hwloc cannot start");
    hwloc_topology_set_flags(survey->topology, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
    if (hwloc_topology_load(survey->topology))
        world_abort(w, UNABLE, "hwloc cannot read this machine's topology");
}

/* ---- Together ---- */

/* Of each rank of the node its granted set. */
static void gather_granted(struct survey *survey, const struct world *w, const struct place *place)
{
    const size_t ranks = w->node_rank == 0 ? (size_t)w->node_size : 0;
    struct cpus mine, *const all = world_alloc(w, ranks, sizeof *all);
    hwloc_bitmap_t *const granted = world_alloc(w, ranks, sizeof *granted);

    mask_of(place->granted, &mine);
    MPI_Gather(&mine, sizeof mine, MPI_BYTE, all, sizeof mine, MPI_BYTE, 0, w->node_comm);
    for (size_t r = 0; r < ranks; r++) {
        granted[r] = hwloc_bitmap_alloc();
        set_of(&all[r], granted[r]);
    }
    survey->layout.granted = granted;
    free(all);
}

void survey_node(struct survey *survey, const struct world *w, const struct place *place, int threads,
                 struct seat *seats, bool others)
{
    const size_t ranks = w->node_rank == 0 ? (size_t)w->node_size : 0;
    int *const counts = world_alloc(w, ranks, sizeof *counts);
    int *const bytes = world_alloc(w, ranks, sizeof *bytes);
    int *const starts = world_alloc(w, ranks, sizeof *starts);
    int *const numbers = world_alloc(w, ranks, sizeof *numbers);
    pid_t *const pids = world_alloc(w, (size_t)w->size, sizeof *pids), pid = getpid();
    int all = 0;

    *survey = (struct survey){ .threads = threads, .seats = seats };
    hwloc_bitmap_list_snprintf(survey->granted, sizeof survey->granted, place->granted);
    gather_granted(survey, w, place);
    MPI_Allgather(&pid, sizeof pid, MPI_BYTE, pids, sizeof pid, MPI_BYTE, w->comm);
    MPI_Gather(&threads, 1, MPI_INT, counts, 1, MPI_INT, 0, w->node_comm);
    MPI_Gather(&w->rank, 1, MPI_INT, numbers, 1, MPI_INT, 0, w->node_comm);
    for (size_t r = 0; r < ranks; r++) {
        starts[r] = all * (int)sizeof *seats;
        bytes[r] = counts[r] * (int)sizeof *seats;
        all += counts[r];
    }
    struct seat *const node = world_alloc(w, (size_t)all, sizeof *node);
    const int own = threads * (int)sizeof *seats;
    MPI_Gatherv(seats, own, MPI_BYTE, node, bytes, starts, MPI_BYTE, 0, w->node_comm);
    if (w->node_rank == 0) {
        load_topology(survey, w);
        for (int i = 0; i < all; i++)
            name_seat(survey->topology, &node[i]);
        fill_layout(survey, w, node, counts, numbers);
        survey->busy = hwloc_bitmap_alloc();
        if (others)
            find_others(survey, w, pids);
    }
    MPI_Scatterv(node, bytes, starts, MPI_BYTE, seats, own, MPI_BYTE, 0, w->node_comm);
    free(node);
    free(pids);
    free(numbers);
    free(starts);
    free(bytes);
    free(counts);
}

void survey_close(struct survey *survey)
{
    for (int r = 0; r < survey->layout.ranks; r++) {
        for (int t = 0; t < survey->layout.threads[r]; t++)
            hwloc_bitmap_free(survey->layout.masks[r][t]);
        free(survey->layout.masks[r]);
        hwloc_bitmap_free(survey->layout.granted[r]);
    }
    free((void *)(uintptr_t)survey->layout.masks);
    free((void *)(uintptr_t)survey->layout.granted);
    free((void *)(uintptr_t)survey->layout.threads);
    free((void *)(uintptr_t)survey->layout.numbers);
    hwloc_bitmap_free(survey->busy);
    if (survey->topology)
        hwloc_topology_destroy(survey->topology);
    free(survey->seats);
    *survey = (struct survey){ 0 };
}
