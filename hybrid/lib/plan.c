#include "hybrid/lib/plan.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* A core, or a PU where there are none, with what of it may be used. */
struct core {
    hwloc_bitmap_t pus;     /* usable by some rank */
    hwloc_const_bitmap_t nodes;
    int l3, kind;           /* logical number, -1: none */
};

struct machine {
    struct core *cores; /* in the order of hwloc's logical numbers: neighbours are close */
    int count, kinds;
};

static hwloc_obj_type_t core_type(hwloc_topology_t topology)
{
    return hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE) > 0 ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
}

int plan_cores(hwloc_topology_t topology, hwloc_const_bitmap_t set)
{
    const hwloc_obj_type_t type = core_type(topology);
    hwloc_obj_t core = NULL;
    int count = 0;

    while ((core = hwloc_get_next_obj_by_type(topology, type, core)))
        count += hwloc_bitmap_intersects(core->cpuset, set);
    return count;
}

enum plan_policy plan_policy_of(const char *name)
{
    static const char *const names[] = { "balanced", "compact", "spread", "numa" };

    for (int i = PLAN_COMPACT; i <= PLAN_NUMA; i++)
        if (strcmp(name, names[i]) == 0)
            return (enum plan_policy)i;
    return PLAN_BALANCED;
}

static int l3_of(hwloc_topology_t topology, hwloc_obj_t object)
{
    const hwloc_obj_t l3 = hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_L3CACHE, object);

    return l3 ? (int)l3->logical_index : -1;
}

/* The cores with a PU in `usable`. 0, or -1 without memory. */
static int list_cores(hwloc_topology_t topology, hwloc_const_bitmap_t usable, struct machine *machine)
{
    const hwloc_obj_type_t type = core_type(topology);
    hwloc_obj_t object = NULL;

    *machine = (struct machine){ .kinds = hwloc_cpukinds_get_nr(topology, 0) };
    machine->cores = calloc((size_t)hwloc_get_nbobjs_by_type(topology, type), sizeof(struct core));
    while (machine->cores && (object = hwloc_get_next_obj_by_type(topology, type, object))) {
        if (!hwloc_bitmap_intersects(object->cpuset, usable))
            continue;
        struct core *const core = &machine->cores[machine->count++];
        *core = (struct core){ .pus = hwloc_bitmap_dup(object->cpuset), .nodes = object->nodeset,
                               .l3 = l3_of(topology, object),
                               .kind = hwloc_cpukinds_get_by_cpuset(topology, object->cpuset, 0) };
        if (!core->pus)
            return -1;
        hwloc_bitmap_and(core->pus, core->pus, usable);
    }
    return machine->cores ? 0 : -1;
}

static void free_cores(struct machine *machine)
{
    for (int i = 0; i < machine->count; i++)
        hwloc_bitmap_free(machine->cores[i].pus);
    free(machine->cores);
}

/* ---- Shares: which rank has which cores ---- */

/* Cores that the same ranks may use, in the machine's order, and these ranks, in the order in which
 * they get theirs. */
struct group {
    const struct core *cores;
    int *numbers; /* of these cores */
    int count;
    int *ranks;
    int ranks_count;
    const int *threads;     /* of all ranks of the node */
    hwloc_bitmap_t *shares; /* of all ranks: numbers of cores; what is worked out here */
};

static const struct core *core_of(const struct group *g, int i)
{
    return &g->cores[g->numbers[i]];
}

static bool same_node(const struct group *g, int i, int j)
{
    return hwloc_bitmap_isequal(core_of(g, i)->nodes, core_of(g, j)->nodes);
}

/* What it costs that the cores before and at i belong to the same rank. */
static int border_cost(const struct group *g, int i)
{
    enum { NODE = 1 << 20, CACHE = 1 << 10 };

    if (core_of(g, i - 1)->kind != core_of(g, i)->kind || !same_node(g, i - 1, i))
        return NODE;
    return core_of(g, i - 1)->l3 != core_of(g, i)->l3 ? CACHE : 0;
}

/* How many cores slice k has: least[k], or one more. */
struct sizes {
    int *least;
    bool *may_have_more;
    bool with_gaps; /* cores may stay free between slices */
};

/*
 * Cores go round among the ranks as long as a rank has fewer than threads, then what is left over
 * in equal parts; packed: nothing is left over.
 */
static void set_sizes(const struct group *g, bool packed, struct sizes *sizes)
{
    int left = g->count;

    for (int level = 1; left > 0; level++) {
        int eligible = 0, wanting = 0;
        for (int k = 0; k < g->ranks_count; k++)
            wanting += g->threads[g->ranks[k]] >= level;
        if (wanting == 0 && packed)
            break;
        for (int k = 0; k < g->ranks_count; k++) {
            sizes->may_have_more[k] = wanting == 0 || g->threads[g->ranks[k]] >= level;
            eligible += sizes->may_have_more[k];
        }
        if (left < eligible)
            return; /* the cut chooses who has one more */
        for (int k = 0; k < g->ranks_count; k++)
            sizes->least[k] += sizes->may_have_more[k];
        left -= eligible;
    }
    for (int k = 0; k < g->ranks_count; k++)
        sizes->may_have_more[k] = false;
    sizes->with_gaps = left > 0;
}

/* The best way to have cut off k slices from the first i cores. */
struct best {
    long long cost;
    int slice; /* cores of the last slice; 0: the core before i is left free */
};

static struct best best_cut(const struct group *g, const struct sizes *sizes, struct best *bests,
                            const long long *inside, int k, int i)
{
    const int width = g->count + 1;
    struct best best = { k == 0 && i == 0 ? 0 : LLONG_MAX, 0 };

    for (int more = 0; k > 0 && more <= sizes->may_have_more[k - 1]; more++) {
        const int slice = sizes->least[k - 1] + more, from = i - slice;
        if (from < 0 || bests[(k - 1) * width + from].cost == LLONG_MAX)
            continue;
        const long long cost = bests[(k - 1) * width + from].cost + inside[i - 1] - inside[from];
        if (cost < best.cost)
            best = (struct best){ cost, slice };
    }
    if (sizes->with_gaps && i > 0 && bests[k * width + i - 1].cost < LLONG_MAX) {
        const int gap = 1 + g->ranks_count - k; /* rather behind than before */
        const long long cost = bests[k * width + i - 1].cost + gap;
        if (cost < best.cost)
            best = (struct best){ cost, 0 };
    }
    return best;
}

/* A slice of the row for each rank; of all cuts of these sizes the one whose slices have the
 * cheapest borders inside. 0, or -1 without memory. */
static int cut(const struct group *g, const struct sizes *sizes)
{
    const int width = g->count + 1;
    struct best *const bests = malloc((size_t)(g->ranks_count + 1) * (size_t)width * sizeof *bests);
    long long *const inside = calloc((size_t)width, sizeof *inside); /* costs of borders up to i */

    if (bests && inside) {
        for (int i = 1; i < g->count; i++)
            inside[i] = inside[i - 1] + border_cost(g, i);
        for (int k = 0, from = 0, to = 0; k <= g->ranks_count; k++) {
            from += k > 0 ? sizes->least[k - 1] : 0; /* where k slices can end, without gaps */
            to += k > 0 ? sizes->least[k - 1] + sizes->may_have_more[k - 1] : 0;
            for (int i = 0; i <= g->count; i++)
                bests[k * width + i] = i >= from && (i <= to || sizes->with_gaps)
                                           ? best_cut(g, sizes, bests, inside, k, i)
                                           : (struct best){ LLONG_MAX, 0 };
        }
        for (int k = g->ranks_count, i = g->count; k > 0;) {
            const int slice = bests[k * width + i].slice;
            for (int end = i; i > end - slice; i--)
                hwloc_bitmap_set(g->shares[g->ranks[k - 1]], (unsigned)g->numbers[i - 1]);
            k -= slice > 0;
            i -= slice == 0;
        }
    }
    const int status = bests && inside ? 0 : -1;
    free(inside);
    free(bests);
    return status;
}

/* Each rank has cores of its own; or, if there are more ranks, a core that it shares. */
static int share_row(const struct group *g, bool packed)
{
    const size_t ranks = (size_t)g->ranks_count;
    struct sizes sizes = { calloc(ranks, sizeof *sizes.least),
                           calloc(ranks, sizeof *sizes.may_have_more), false };
    int status = sizes.least && sizes.may_have_more ? 0 : -1;

    for (int k = 0; k < g->ranks_count && g->ranks_count > g->count; k++)
        hwloc_bitmap_set(g->shares[g->ranks[k]],
                         (unsigned)g->numbers[(long long)k * g->count / g->ranks_count]);
    if (status == 0 && g->ranks_count <= g->count) {
        set_sizes(g, packed, &sizes);
        status = cut(g, &sizes);
    }
    free(sizes.may_have_more);
    free(sizes.least);
    return status;
}

static int count_nodes(const struct group *g)
{
    int nodes = 1;

    for (int i = 1; i < g->count; i++)
        nodes += !same_node(g, i - 1, i);
    return nodes;
}

/*
 * At least as many NUMA nodes as ranks: rank k has the nodes from k nodes / ranks on. More ranks:
 * node j has the ranks from j ranks / nodes on, who share its cores.
 */
static int share_nodes(const struct group *g)
{
    const int nodes = count_nodes(g), ranks = g->ranks_count;
    int status = 0;

    for (int from = 0, node = 0; from < g->count && status == 0; node++) {
        int end = from + 1;
        while (end < g->count && same_node(g, from, end))
            end++;
        struct group part = *g;
        part.numbers += from;
        part.count = end - from;
        part.ranks += nodes >= ranks ? ((node + 1) * ranks - 1) / nodes : node * ranks / nodes;
        part.ranks_count = nodes >= ranks ? 1 : (node + 1) * ranks / nodes - node * ranks / nodes;
        status = share_row(&part, false);
        from = end;
    }
    return status;
}

static void clear_shares(const struct group *g)
{
    for (int k = 0; k < g->ranks_count; k++)
        hwloc_bitmap_zero(g->shares[g->ranks[k]]);
}

/* Of each kind every rank has as many cores as the others; who has one more goes round. */
static void share_kinds(const struct group *g, int kinds)
{
    int extra = 0;

    clear_shares(g);
    for (int kind = -1; kind < kinds; kind++) {
        int count = 0, seen = 0;
        for (int i = 0; i < g->count; i++)
            count += core_of(g, i)->kind == kind;
        const int each = count / g->ranks_count;
        for (int i = 0; i < g->count; i++) {
            if (core_of(g, i)->kind != kind)
                continue;
            const int k = seen < each * g->ranks_count ? seen / each : extra++ % g->ranks_count;
            hwloc_bitmap_set(g->shares[g->ranks[k]], (unsigned)g->numbers[i]);
            seen++;
        }
    }
}

/* Some rank has cores of two kinds. */
static bool mixes_kinds(const struct group *g)
{
    for (int k = 0; k < g->ranks_count; k++) {
        const hwloc_const_bitmap_t share = g->shares[g->ranks[k]];
        const int first = hwloc_bitmap_first(share);
        for (int i = first; i >= 0; i = hwloc_bitmap_next(share, i))
            if (g->cores[i].kind != g->cores[first].kind)
                return true;
    }
    return false;
}

/* Neighbouring ranks get slices that are a node apart: 0, n, 2n ... 1, n + 1 ... of n nodes. */
static void deal_ranks(struct group *g, int *dealt)
{
    const int nodes = count_nodes(g);
    int done = 0;

    for (int node = 0; node < nodes; node++)
        for (int k = node; k < g->ranks_count; k += nodes)
            dealt[done++] = g->ranks[k];
    g->ranks = dealt;
}

/* From a share with more cores than threads those of the first NUMA nodes, side by side, that have
 * as many; the threads then stay together. Returns how many cores of `cores` are left, from
 * *from. */
static int fewest_nodes(const struct group *g, int threads, int *from)
{
    int best = g->count, best_from = 0;
    int best_nodes = count_nodes(g);

    for (int i = 0; i < g->count; i++) {
        if (i > 0 && same_node(g, i - 1, i))
            continue;
        int nodes = 1, end = i + 1;
        while (end < g->count && (end - i < threads || same_node(g, end - 1, end))) {
            nodes += !same_node(g, end - 1, end);
            end++;
        }
        if (end - i >= threads && nodes < best_nodes) {
            best_nodes = nodes;
            best = end - i;
            best_from = i;
        }
    }
    *from = best_from;
    return best;
}

/* NUMA nodes beyond the first that the ranks' threads will be spread over, added up. 0, or -1
 * without memory. */
static int count_spread(const struct group *g, int *spread)
{
    int *const numbers = calloc((size_t)g->count, sizeof *numbers), from;

    *spread = 0;
    for (int k = 0; k < g->ranks_count && numbers; k++) {
        const hwloc_const_bitmap_t share = g->shares[g->ranks[k]];
        struct group own = { .cores = g->cores, .numbers = numbers };
        for (int i = hwloc_bitmap_first(share); i >= 0; i = hwloc_bitmap_next(share, i))
            numbers[own.count++] = i;
        if (g->threads[g->ranks[k]] < own.count) {
            own.count = fewest_nodes(&own, g->threads[g->ranks[k]], &from);
            own.numbers += from;
        }
        *spread += count_nodes(&own) - 1;
    }
    free(numbers);
    return numbers ? 0 : -1;
}

/* Equal parts of the whole row; or, if threads are then spread over more NUMA nodes, slices of as
 * many cores as threads, with gaps. */
static int share_evenly(const struct group *g)
{
    int spread, packed = 0;

    if (share_row(g, false) || count_spread(g, &spread))
        return -1;
    if (spread == 0 || g->ranks_count > g->count)
        return 0;
    clear_shares(g);
    if (share_row(g, true) || count_spread(g, &packed))
        return -1;
    if (packed < spread)
        return 0;
    clear_shares(g);
    return share_row(g, false);
}

/* Some rank has more threads than cores, and another one cores to spare. */
static bool is_unfair(const struct group *g)
{
    bool lacks = false, spares = false;

    for (int k = 0; k < g->ranks_count; k++) {
        const int cores = hwloc_bitmap_weight(g->shares[g->ranks[k]]);
        lacks |= cores < g->threads[g->ranks[k]];
        spares |= cores > g->threads[g->ranks[k]];
    }
    return lacks && spares;
}

static bool same_threads(const struct group *g)
{
    for (int k = 1; k < g->ranks_count; k++)
        if (g->threads[g->ranks[k]] != g->threads[g->ranks[0]])
            return false;
    return true;
}

/* Whole NUMA nodes are not worth it that threads share a core beside a free one. */
static int share_group(struct group *g, enum plan_policy policy, int kinds, int *dealt)
{
    if (policy == PLAN_NUMA) {
        const int status = share_nodes(g);
        if (status || !is_unfair(g))
            return status;
        clear_shares(g);
    }
    if (policy == PLAN_SPREAD)
        deal_ranks(g, dealt);
    if (policy == PLAN_COMPACT ? share_row(g, true) : share_evenly(g))
        return -1;
    const bool may_mix = kinds > 1 && policy != PLAN_COMPACT && g->ranks_count <= g->count;
    if (may_mix && mixes_kinds(g)) { /* as many cores as threads may be of one kind */
        clear_shares(g);
        if (share_row(g, true))
            return -1;
    }
    if (may_mix && mixes_kinds(g)) {
        clear_shares(g);
        if (!same_threads(g))
            return share_row(g, false);
        share_kinds(g, kinds);
    }
    return 0;
}

/* ---- Grants that overlap and differ ---- */

/* A matching of cores to ranks, in which cores change their owners along paths. */
struct matching {
    const struct machine *machine;
    const hwloc_bitmap_t *usable; /* of each rank, PUs */
    int *owners;                  /* of each core; -1: nobody */
    bool *visited;                /* cores, in this search */
};

/* Rank `rank` gets one more core, and whoever loses one gets another (Kuhn's algorithm for
 * bipartite matchings). */
static bool gain_core(struct matching *m, int rank)
{
    for (int i = 0; i < m->machine->count; i++) {
        if (m->visited[i] || !hwloc_bitmap_intersects(m->machine->cores[i].pus, m->usable[rank]))
            continue;
        m->visited[i] = true;
        if (m->owners[i] == rank)
            continue;
        if (m->owners[i] < 0 || gain_core(m, m->owners[i])) {
            m->owners[i] = rank;
            return true;
        }
    }
    return false;
}

/* The ranks gain a core in turn, until none can; those who have one for each thread come last. */
static void gain_all(struct matching *m, const struct group *g)
{
    for (int is_surplus = 0; is_surplus < 2; is_surplus++)
        for (bool gained = true; gained;) {
            gained = false;
            for (int k = 0; k < g->ranks_count; k++) {
                const int rank = g->ranks[k];
                int has = 0;
                for (int i = 0; i < m->machine->count; i++)
                    has += m->owners[i] == rank;
                memset(m->visited, false, (size_t)m->machine->count);
                gained |= (is_surplus || has < g->threads[rank]) && gain_core(m, rank);
            }
        }
}

/* Who has no core in the end shares the first that it may use. */
static int share_tangled(const struct group *g, const struct machine *machine,
                         const hwloc_bitmap_t *usable)
{
    const size_t cores = (size_t)machine->count;
    struct matching m = { machine, usable, malloc(cores * sizeof *m.owners), malloc(cores) };
    const bool has_room = m.owners && m.visited;

    for (size_t i = 0; i < cores && has_room; i++)
        m.owners[i] = -1;
    if (has_room)
        gain_all(&m, g);
    for (size_t i = 0; i < cores && has_room; i++)
        if (m.owners[i] >= 0)
            hwloc_bitmap_set(g->shares[m.owners[i]], (unsigned)i);
    for (int k = 0; k < g->ranks_count && has_room; k++)
        for (int i = 0; hwloc_bitmap_iszero(g->shares[g->ranks[k]]); i++)
            if (hwloc_bitmap_intersects(machine->cores[i].pus, usable[g->ranks[k]]))
                hwloc_bitmap_set(g->shares[g->ranks[k]], (unsigned)i);
    free(m.visited);
    free(m.owners);
    return has_room ? 0 : -1;
}

/* ---- Threads on the cores of their rank ---- */

/*
 * How many threads each core gets: every core its first before one gets its second, as long as it
 * has so many PUs; then from the beginning. Where not all can have one more, they are spread.
 */
static void count_threads(const struct group *g, int threads, int *counts)
{
    int left = threads;

    for (int level = 1; left > 0; level++) {
        int able = 0, seen = 0;
        for (int i = 0; i < g->count; i++)
            able += hwloc_bitmap_weight(core_of(g, i)->pus) >= level;
        if (able == 0) {
            level = 0; /* all PUs have one: round again */
            continue;
        }
        const int given = left < able ? left : able;
        for (int i = 0; i < g->count; i++) {
            if (hwloc_bitmap_weight(core_of(g, i)->pus) < level)
                continue;
            counts[i] += ((seen + 1) * given + able - 1) / able - (seen * given + able - 1) / able;
            seen++;
        }
        left -= given;
    }
}

/* The j-th PU of a set, round again behind the last. */
static unsigned pu_of(hwloc_const_bitmap_t set, int j)
{
    int pu = hwloc_bitmap_first(set);

    for (j %= hwloc_bitmap_weight(set); j > 0; j--)
        pu = hwloc_bitmap_next(set, pu);
    return (unsigned)pu;
}

/* A thread alone on its core may use all of the core's PUs that were granted; otherwise it has
 * one. */
static int place_threads(struct group *g, enum plan_policy policy, int threads,
                         hwloc_bitmap_t *masks, bool *shares_pu)
{
    int from = 0, thread = 0;

    if (policy == PLAN_COMPACT)
        g->count = threads < g->count ? threads : g->count;
    else if (policy != PLAN_SPREAD && threads < g->count)
        g->count = fewest_nodes(g, threads, &from);
    g->numbers += from;
    int *const counts = calloc((size_t)g->count, sizeof *counts);
    if (!counts)
        return -1;
    count_threads(g, threads, counts);
    for (int i = 0; i < g->count; i++) {
        const hwloc_const_bitmap_t pus = core_of(g, i)->pus;
        *shares_pu |= counts[i] > hwloc_bitmap_weight(pus);
        for (int j = 0; j < counts[i]; j++, thread++) {
            if (counts[i] == 1)
                hwloc_bitmap_copy(masks[thread], pus);
            else
                hwloc_bitmap_only(masks[thread], pu_of(pus, j));
        }
    }
    free(counts);
    return 0;
}

/* ---- The whole ---- */

/* What is granted, allowed and of the kind, for each rank. 0, or -1 with errno and *wrong. */
static int find_usable(const struct plan_request *request, hwloc_bitmap_t *usable, int *wrong)
{
    const int kinds = hwloc_cpukinds_get_nr(request->topology, 0);
    hwloc_bitmap_t kind = hwloc_bitmap_alloc();

    if (!kind)
        return -1;
    hwloc_bitmap_fill(kind);
    if (request->kind != PLAN_ALL && kinds > 1) /* by rising performance */
        hwloc_cpukinds_get_info(request->topology,
                                request->kind == PLAN_PERFORMANCE ? (unsigned)kinds - 1 : 0, kind,
                                NULL, NULL, NULL, 0);
    hwloc_bitmap_and(kind, kind, hwloc_topology_get_allowed_cpuset(request->topology));
    int status = 0;
    for (int r = 0; r < request->ranks && status == 0; r++) {
        hwloc_bitmap_and(usable[r], request->granted[r], kind);
        if (hwloc_bitmap_iszero(usable[r]) || request->threads[r] < 1) {
            if (wrong)
                *wrong = r;
            errno = EINVAL;
            status = -1;
        }
    }
    hwloc_bitmap_free(kind);
    return status;
}

/* The cores that a rank may use, by number. */
static int usable_cores(const struct machine *machine, hwloc_const_bitmap_t usable, int *numbers)
{
    int count = 0;

    for (int i = 0; i < machine->count; i++)
        if (hwloc_bitmap_intersects(machine->cores[i].pus, usable))
            numbers[count++] = i;
    return count;
}

/* Two ranks may use the same core, but not the same PUs. */
static bool is_tangled(const struct machine *machine, const hwloc_bitmap_t *usable, int a, int b)
{
    if (hwloc_bitmap_isequal(usable[a], usable[b]))
        return false;
    for (int i = 0; i < machine->count; i++)
        if (hwloc_bitmap_intersects(machine->cores[i].pus, usable[a]) &&
            hwloc_bitmap_intersects(machine->cores[i].pus, usable[b]))
            return true;
    return false;
}

/* What is worked on: rows of numbers for cores and ranks, and a flag for each rank. */
struct work {
    int *numbers, *ranks, *dealt;
    bool *tangled, *done;
};

static int share_all(const struct plan_request *request, const struct machine *machine,
                     const hwloc_bitmap_t *usable, struct work *work, hwloc_bitmap_t *shares)
{
    struct group group = { machine->cores, work->numbers, 0, work->ranks, 0, request->threads, shares };
    int status = 0;

    for (int a = 0; a < request->ranks; a++) {
        const bool as_before = a > 0 && hwloc_bitmap_isequal(usable[a], usable[a - 1]);
        work->tangled[a] = as_before && work->tangled[a - 1];
        for (int b = 0; b < request->ranks && !as_before && !work->tangled[a]; b++)
            work->tangled[a] = is_tangled(machine, usable, a, b);
    }
    for (int r = 0; r < request->ranks; r++)
        if (work->tangled[r])
            group.ranks[group.ranks_count++] = r;
    if (group.ranks_count > 0)
        status = share_tangled(&group, machine, usable);
    for (int r = 0; r < request->ranks && status == 0; r++) {
        if (work->tangled[r] || work->done[r])
            continue;
        struct group equal = { machine->cores, work->numbers, 0, work->ranks, 0, request->threads,
                               shares };
        equal.count = usable_cores(machine, usable[r], equal.numbers);
        for (int other = r; other < request->ranks; other++)
            if (hwloc_bitmap_isequal(usable[other], usable[r])) {
                equal.ranks[equal.ranks_count++] = other;
                work->done[other] = true;
            }
        status = share_group(&equal, request->policy, machine->kinds, work->dealt);
    }
    return status;
}

/* Masks and shares of all ranks, allocated and empty. */
static int alloc_plan(const struct plan_request *request, struct plan *plan)
{
    const size_t ranks = (size_t)request->ranks;

    *plan = (struct plan){ .masks = calloc(ranks, sizeof *plan->masks),
                           .shares = calloc(ranks, sizeof *plan->shares),
                           .threads = calloc(ranks, sizeof *plan->threads) };
    if (!plan->masks || !plan->shares || !plan->threads)
        return -1;
    plan->ranks = request->ranks;
    for (int r = 0; r < request->ranks; r++) {
        plan->shares[r] = hwloc_bitmap_alloc();
        plan->masks[r] = calloc((size_t)request->threads[r], sizeof(hwloc_bitmap_t));
        if (!plan->shares[r] || !plan->masks[r])
            return -1;
        plan->threads[r] = request->threads[r];
        for (int t = 0; t < request->threads[r]; t++)
            if (!(plan->masks[r][t] = hwloc_bitmap_alloc()))
                return -1;
    }
    return 0;
}

void plan_free(struct plan *plan)
{
    for (int r = 0; r < plan->ranks; r++) {
        for (int t = 0; plan->masks[r] && t < plan->threads[r]; t++)
            hwloc_bitmap_free(plan->masks[r][t]);
        free(plan->masks[r]);
        hwloc_bitmap_free(plan->shares[r]);
    }
    free(plan->threads);
    free(plan->shares);
    free(plan->masks);
    *plan = (struct plan){ 0 };
}

/* The threads of a rank on the cores of its share, of which it uses what was granted to it. The
 * share becomes a set of PUs. */
static int fill_share(const struct plan_request *request, const struct machine *machine,
                      hwloc_const_bitmap_t usable, int *numbers, int rank, struct plan *plan)
{
    const hwloc_bitmap_t share = plan->shares[rank];
    struct group group = { machine->cores, numbers, 0, NULL, 0, NULL, NULL };

    for (int i = hwloc_bitmap_first(share); i >= 0; i = hwloc_bitmap_next(share, i))
        numbers[group.count++] = i;
    hwloc_bitmap_zero(share);
    struct core *const own = calloc((size_t)group.count, sizeof *own);
    if (!own)
        return -1;
    int status = 0;
    for (int i = 0; i < group.count; i++) {
        own[i] = machine->cores[numbers[i]];
        own[i].pus = hwloc_bitmap_dup(own[i].pus);
        if (!own[i].pus) {
            status = -1;
            continue;
        }
        hwloc_bitmap_and(own[i].pus, own[i].pus, usable);
        hwloc_bitmap_or(share, share, own[i].pus);
        numbers[i] = i;
    }
    group.cores = own;
    const int count = group.count;
    if (status == 0)
        status = place_threads(&group, request->policy, request->threads[rank], plan->masks[rank],
                               &plan->shares_pu);
    for (int i = 0; i < count; i++)
        hwloc_bitmap_free(own[i].pus);
    free(own);
    return status;
}

/* PUs that threads of different ranks have. */
static bool ranks_share_pu(const struct plan *plan, hwloc_bitmap_t seen)
{
    bool shared = false;

    for (int r = 0; r < plan->ranks; r++) {
        for (int t = 0; t < plan->threads[r]; t++)
            shared |= hwloc_bitmap_intersects(seen, plan->masks[r][t]);
        for (int t = 0; t < plan->threads[r]; t++)
            hwloc_bitmap_or(seen, seen, plan->masks[r][t]);
    }
    return shared;
}

static int make(const struct plan_request *request, struct plan *plan, hwloc_bitmap_t *usable,
                hwloc_bitmap_t all, struct work *work, int *wrong)
{
    struct machine machine = { 0 };

    if (find_usable(request, usable, wrong))
        return -1;
    for (int r = 0; r < request->ranks; r++)
        hwloc_bitmap_or(all, all, usable[r]);
    int status = list_cores(request->topology, all, &machine);
    work->numbers = status ? NULL : calloc((size_t)machine.count + 1, sizeof *work->numbers);
    if (!work->numbers || share_all(request, &machine, usable, work, plan->shares))
        status = -1;
    for (int r = 0; r < request->ranks; r++)
        plan->grants_differ |= work->tangled[r];
    for (int r = 0; r < request->ranks && status == 0; r++)
        status = fill_share(request, &machine, usable[r], work->numbers, r, plan);
    hwloc_bitmap_zero(all);
    plan->shares_pu |= status == 0 && ranks_share_pu(plan, all);
    free_cores(&machine);
    return status;
}

int plan_make(const struct plan_request *request, struct plan *plan, int *rank)
{
    const size_t ranks = request->ranks > 0 ? (size_t)request->ranks : 0;
    hwloc_bitmap_t *const usable = calloc(ranks + 1, sizeof *usable); /* the last one: of all */
    struct work work = { NULL, calloc(ranks, sizeof(int)), calloc(ranks, sizeof(int)),
                         calloc(ranks, sizeof(bool)), calloc(ranks, sizeof(bool)) };
    int status = -1, error = ENOMEM;

    *plan = (struct plan){ 0 };
    if (rank)
        *rank = 0;
    for (int r = 0; r < request->ranks; r++)
        if (request->threads[r] < 1) {
            if (rank)
                *rank = r;
            error = EINVAL;
        }
    if (ranks == 0)
        error = EINVAL;
    bool has_room = usable && work.ranks && work.dealt && work.tangled && work.done &&
                    error != EINVAL && alloc_plan(request, plan) == 0;
    for (size_t i = 0; i <= ranks && has_room; i++)
        has_room = (usable[i] = hwloc_bitmap_alloc()) != NULL;
    errno = error;
    if (has_room)
        status = make(request, plan, usable, usable[ranks], &work, rank);
    error = errno;
    if (status)
        plan_free(plan);
    for (size_t i = 0; usable && i <= ranks; i++)
        hwloc_bitmap_free(usable[i]);
    free(work.done);
    free(work.tangled);
    free(work.dealt);
    free(work.ranks);
    free(work.numbers);
    free(usable);
    errno = error;
    return status;
}
