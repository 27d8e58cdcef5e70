#include "hybrid/lib/place.h"
#include "hybrid/lib/granted.h"
#include "local/lib/team.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const struct place_kernel real_kernel = { thread_cpus, bind_thread };

static hwloc_bitmap_t new_set(const struct world *w)
{
    const hwloc_bitmap_t set = hwloc_bitmap_alloc();

    if (!set)
        world_abort(w, UNABLE, "no memory for a set of CPUs");
    return set;
}

/* ---- The plan, made by rank 0 of the node ---- */

/* What all ranks of a node want, and what they get; on rank 0 of the node alone. */
struct table {
    int *threads, *counts, *starts; /* of each rank; the last two in bytes of masks */
    struct cpus *granted, *masks;
};

/* Whether the plan can be applied, and why not. */
struct decision {
    int applies;
    char reason[96];
};

static void set_reason(struct decision *d, const char *reason)
{
    snprintf(d->reason, sizeof d->reason, "%s", reason);
}

static void copy_plan(const struct plan *plan, struct table *t, struct decision *d)
{
    if (plan->shares_pu) {
        set_reason(d, "there are more threads than CPUs that were granted");
        return;
    }
    for (int r = 0; r < plan->ranks; r++)
        for (int i = 0; i < plan->threads[r]; i++)
            mask_of(plan->masks[r][i], t->masks + (size_t)t->starts[r] / sizeof *t->masks + i);
    d->applies = 1;
}

static void plan_for(const struct world *w, hwloc_topology_t topology, const char *policy,
                     struct table *t, struct decision *d)
{
    const size_t ranks = (size_t)w->node_size;
    hwloc_bitmap_t *const granted = world_alloc(w, ranks, sizeof *granted);
    struct plan_request request = { topology, w->node_size, (const hwloc_const_bitmap_t *)granted,
                                    t->threads, plan_policy_of(policy), PLAN_ALL };
    struct plan plan;

    for (size_t r = 0; r < ranks; r++) {
        granted[r] = new_set(w);
        set_of(&t->granted[r], granted[r]);
    }
    if (plan_make(&request, &plan, NULL)) {
        if (errno == ENOMEM)
            world_abort(w, UNABLE, "no memory to plan for %d ranks", w->node_size);
        set_reason(d, "a rank was granted no CPU of this machine");
    } else {
        copy_plan(&plan, t, d);
        plan_free(&plan);
    }
    for (size_t r = 0; r < ranks; r++)
        hwloc_bitmap_free(granted[r]);
    free(granted);
}

static void plan_node(const struct world *w, const char *policy, struct table *t, struct decision *d)
{
    hwloc_topology_t topology;

    if (hwloc_topology_init(&topology)) {
        set_reason(d, "hwloc cannot start");
        return;
    }
    hwloc_topology_set_flags(topology, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
    if (hwloc_topology_load(topology))
        set_reason(d, "hwloc cannot read this machine's topology");
    else if (!hwloc_topology_is_thissystem(topology))
        set_reason(d, "HWLOC_XMLFILE or HWLOC_SYNTHETIC names another machine");
    else
        plan_for(w, topology, policy, t, d);
    hwloc_topology_destroy(topology);
}

/* ---- What programs call ---- */

static struct table open_table(const struct world *w)
{
    const size_t ranks = w->node_rank == 0 ? (size_t)w->node_size : 0;

    return (struct table){
        .threads = world_alloc(w, ranks, sizeof(int)),
        .counts = world_alloc(w, ranks, sizeof(int)),
        .starts = world_alloc(w, ranks, sizeof(int)),
        .granted = world_alloc(w, ranks, sizeof(struct cpus)),
    };
}

static void close_table(struct table *t)
{
    free(t->masks);
    free(t->granted);
    free(t->starts);
    free(t->counts);
    free(t->threads);
}

/* Collective over the node. */
static void share_plan(struct place *place, const struct world *w, const char *policy)
{
    struct table table = open_table(w);
    struct decision decision = { 0 };
    struct cpus granted, *mine;
    int bytes = 0;

    mask_of(place->granted, &granted);
    MPI_Gather(&granted, sizeof granted, MPI_BYTE, table.granted, sizeof granted, MPI_BYTE, 0,
               w->node_comm);
    MPI_Gather(&place->threads, 1, MPI_INT, table.threads, 1, MPI_INT, 0, w->node_comm);
    for (int r = 0; r < w->node_size && w->node_rank == 0; r++) {
        table.starts[r] = bytes;
        table.counts[r] = table.threads[r] * (int)sizeof *mine;
        bytes += table.counts[r];
    }
    table.masks = world_alloc(w, (size_t)bytes, 1);
    if (w->node_rank == 0)
        plan_node(w, policy, &table, &decision);
    MPI_Bcast(&decision, sizeof decision, MPI_BYTE, 0, w->node_comm);
    place->applied = decision.applies;
    memcpy(place->reason, decision.reason, sizeof place->reason);
    if (decision.applies) {
        mine = world_alloc(w, (size_t)place->threads, sizeof *mine);
        MPI_Scatterv(table.masks, table.counts, table.starts, MPI_BYTE, mine,
                     place->threads * (int)sizeof *mine, MPI_BYTE, 0, w->node_comm);
        place->masks = world_alloc(w, (size_t)place->threads, sizeof *place->masks);
        for (int i = 0; i < place->threads; i++) {
            place->masks[i] = new_set(w);
            set_of(&mine[i], place->masks[i]);
        }
        free(mine);
    }
    close_table(&table);
}

static void rest(void *arg, size_t worker)
{
    (void)arg;
    (void)worker;
}

/* Whether the system gives so many threads, the calling one among them: where it does not, OpenMP's
 * runtime ends the process with a line of its own. */
static void try_threads(const struct world *w, int threads)
{
    if (threads > 1 && team_run((size_t)threads - 1, rest, NULL))
        world_abort(w, UNABLE, "%d threads cannot be started: %s: give fewer --threads, or a larger "
                    "limit (ulimit -u)", threads, strerror(errno));
}

void place_open(struct place *place, const struct world *w, int threads, const char *policy)
{
    static atomic_uint generations;

    *place = (struct place){ .threads = threads, .granted = new_set(w), .kernel = &real_kernel,
                             .generation = atomic_fetch_add(&generations, 1) + 1 };
    try_threads(w, threads);
    int known = granted_cpus(place->granted) == 0, all_known;
    MPI_Allreduce(&known, &all_known, 1, MPI_INT, MPI_MIN, w->node_comm);
    if (arg_is(policy, "none"))
        return;
    if (all_known)
        share_plan(place, w, policy);
    else
        snprintf(place->reason, sizeof place->reason, "this system has no masks of CPUs");
}

void place_close(struct place *place)
{
    if (place->applied)
        place->kernel->set(place->granted); /* if it fails, the thread stays where it is */
    for (int i = 0; i < place->threads && place->masks; i++)
        hwloc_bitmap_free(place->masks[i]);
    free(place->masks);
    hwloc_bitmap_free(place->granted);
    *place = (struct place){ 0 };
}

int place_read(const struct place *place, hwloc_bitmap_t set)
{
    return place->kernel->get(set);
}

/* Sets and reads back: Linux leaves out what it does not give, and says nothing. */
static int bind_and_look(const struct place *place, hwloc_const_bitmap_t mask)
{
    if (place->kernel->set(mask))
        return -1;
    const hwloc_bitmap_t now = hwloc_bitmap_alloc();
    if (!now) {
        errno = ENOMEM;
        return -1;
    }
    int status = place->kernel->get(now);
    if (status == 0 && !hwloc_bitmap_isequal(now, mask)) {
        errno = EPERM;
        status = -1;
    }
    hwloc_bitmap_free(now);
    return status;
}

int place_thread(struct place *place, int thread)
{
    static _Thread_local unsigned bound_by;
    static _Thread_local int bound_as;

    if (!place->applied || (bound_by == place->generation && bound_as == thread))
        return 0;
    if (thread < 0 || thread >= place->threads) {
        errno = EINVAL;
        return -1;
    }
    if (bind_and_look(place, place->masks[thread]))
        return -1;
    bound_by = place->generation;
    bound_as = thread;
    return 0;
}
