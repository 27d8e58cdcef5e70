#include "hybrid/lib/judge.h"
#include "hybrid/lib/plan.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Threads on cores: how many can have one of their own ---- */

/* From the first to the last PU of a set. Two that do not overlap tell at once, without a look at
 * sets of thousands of PUs, that these have none in common. */
struct span {
    int first, last;
};

struct cores {
    hwloc_obj_t *objects;
    struct span *spans;
    int count;
    int *owners; /* thread, counted over all ranks; -1: nobody */
    bool *visited;
};

static struct span span_of(hwloc_const_bitmap_t set)
{
    const int last = hwloc_bitmap_last(set); /* -1: has no end */

    return (struct span){ hwloc_bitmap_first(set), last < 0 ? INT_MAX : last };
}

static bool meets(const struct cores *cores, int i, struct span span, hwloc_const_bitmap_t set)
{
    return cores->spans[i].first <= span.last && span.first <= cores->spans[i].last &&
           hwloc_bitmap_intersects(cores->objects[i]->cpuset, set);
}

static int open_cores(hwloc_topology_t topology, struct cores *cores)
{
    const bool known = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE) > 0;
    const hwloc_obj_type_t type = known ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
    const size_t most = (size_t)hwloc_get_nbobjs_by_type(topology, type);
    hwloc_obj_t object = NULL;

    *cores = (struct cores){ calloc(most, sizeof *cores->objects),
                             calloc(most, sizeof *cores->spans), 0,
                             calloc(most, sizeof *cores->owners),
                             calloc(most, sizeof *cores->visited) };
    if (!cores->objects || !cores->spans || !cores->owners || !cores->visited)
        return -1;
    while ((object = hwloc_get_next_obj_by_type(topology, type, object))) {
        cores->spans[cores->count] = span_of(object->cpuset);
        cores->objects[cores->count++] = object;
    }
    return 0;
}

static void close_cores(struct cores *cores)
{
    free(cores->visited);
    free(cores->owners);
    free(cores->spans);
    free(cores->objects);
}

/* The threads of ranks `from` to `end` - 1, each of which may use its mask, or else `anywhere`. */
struct crowd {
    const struct layout *layout;
    struct cores *cores;
    hwloc_const_bitmap_t anywhere; /* NULL: their masks */
    int from, end;
    const hwloc_const_bitmap_t *masks; /* of the threads of all ranks, one after another */
    int first;                         /* thread of rank `from` */
};

static hwloc_const_bitmap_t mask_of(const struct crowd *c, int thread)
{
    return c->anywhere ? c->anywhere : c->masks[c->first + thread];
}

/* Finds a core for the thread, also by moving others (Kuhn's algorithm). */
static bool seat(const struct crowd *c, int thread)
{
    const hwloc_const_bitmap_t mask = mask_of(c, thread);
    const struct span span = span_of(mask);

    for (int i = 0; i < c->cores->count; i++) {
        if (c->cores->visited[i] || !meets(c->cores, i, span, mask))
            continue;
        c->cores->visited[i] = true;
        if (c->cores->owners[i] < 0 || seat(c, c->cores->owners[i])) {
            c->cores->owners[i] = thread;
            return true;
        }
    }
    return false;
}

/* How many of them can have a core of their own. Of a rank of hundreds of threads that are not
 * bound it is known without search. */
static int count_seated(const struct crowd *c)
{
    int threads = 0, seated = 0;

    for (int r = c->from; r < c->end; r++)
        threads += c->layout->threads[r];
    for (int i = 0; i < c->cores->count; i++)
        c->cores->owners[i] = -1;
    if (c->anywhere) {
        const int cores = plan_cores(c->layout->topology, c->anywhere);
        return threads < cores ? threads : cores;
    }
    for (int t = 0; t < threads; t++) {
        memset(c->cores->visited, 0, (size_t)c->cores->count * sizeof *c->cores->visited);
        seated += seat(c, t);
    }
    return seated;
}

static int count_threads(const struct layout *layout, int from, int end)
{
    int threads = 0;

    for (int r = from; r < end; r++)
        threads += layout->threads[r];
    return threads;
}

/* ---- Findings ---- */

struct list {
    struct finding *findings;
    int count, most, left_out;
};

__attribute__((format(printf, 4, 5)))
static void find(struct list *list, enum severity severity, enum remedy remedy, const char *format, ...)
{
    va_list arguments;
    int at = list->count;

    if (severity == WRONG) /* before those that are worth knowing */
        for (at = 0; at < list->count && list->findings[at].severity == WRONG;)
            at++;
    if (list->count == list->most) {
        list->left_out++;
        if (at >= list->count)
            return;
        list->count--;
    }
    memmove(&list->findings[at + 1], &list->findings[at],
            (size_t)(list->count - at) * sizeof *list->findings);
    list->count++;
    list->findings[at].severity = severity;
    list->findings[at].remedy = remedy;
    va_start(arguments, format);
    vsnprintf(list->findings[at].text, sizeof list->findings[at].text, format, arguments);
    va_end(arguments);
}

/* Of findings that are wrong. */
static bool is_full(const struct list *list)
{
    return list->count == list->most && list->findings[list->count - 1].severity == WRONG;
}

static const char *plural(int count)
{
    return count == 1 ? "" : "s";
}

struct sets {
    hwloc_bitmap_t masks;          /* of a rank's threads; to work with */
    hwloc_const_bitmap_t allowed;  /* to the job */
    hwloc_const_bitmap_t askable;  /* what could be had from who allows it */
};

/* Where an idle core could be had for threads that share one. */
static enum remedy remedy_for(const struct layout *layout, const struct cores *cores, int rank,
                              const struct sets *sets, const char **where)
{
    const struct { hwloc_const_bitmap_t set; enum remedy remedy; const char *where; } steps[] = {
        { layout->granted[rank], REMEDY_THREADS, "granted to the rank" },
        { sets->allowed, REMEDY_LAUNCHER, "of this node" },
        { sets->askable, REMEDY_CPUS, "of this node, which the job did not ask for," },
    };

    for (int s = 0; s < 3; s++)
        for (int i = 0; i < cores->count; i++)
            if (cores->owners[i] < 0 &&
                hwloc_bitmap_intersects(cores->objects[i]->cpuset, steps[s].set)) {
                *where = steps[s].where;
                return steps[s].remedy;
            }
    return REMEDY_NONE;
}

static int idle_cores(const struct cores *cores, hwloc_const_bitmap_t set)
{
    int idle = 0;

    for (int i = 0; i < cores->count; i++)
        idle += cores->owners[i] < 0 && hwloc_bitmap_intersects(cores->objects[i]->cpuset, set);
    return idle;
}

/* A rank whose own threads have too few cores. Returns by how many. `cores` tells which cores are
 * in use on the whole node. */
static int judge_rank(const struct layout *layout, const struct cores *cores, struct crowd *alone,
                      int rank, struct sets *sets, struct list *list)
{
    const char *where = "";

    alone->first += rank > 0 ? layout->threads[rank - 1] : 0;
    alone->from = rank;
    alone->end = rank + 1;
    const int lacking = layout->threads[rank] - count_seated(alone);
    if (lacking == 0)
        return 0;
    hwloc_bitmap_zero(sets->masks);
    for (int t = 0; t < layout->threads[rank]; t++)
        hwloc_bitmap_or(sets->masks, sets->masks, layout->masks[rank][t]);
    const int has = plan_cores(layout->topology, sets->masks);
    const int pus = hwloc_bitmap_weight(sets->masks);
    const enum remedy remedy = remedy_for(layout, cores, rank, sets, &where);
    const hwloc_const_bitmap_t pool = remedy == REMEDY_THREADS ? layout->granted[rank]
                                      : remedy == REMEDY_LAUNCHER ? sets->allowed : sets->askable;
    const int idle = idle_cores(cores, pool);
    const char *const how = pus >= layout->threads[rank] && pus > has
                                ? " (on its hardware threads)" : "";

    if (remedy != REMEDY_NONE)
        find(list, WRONG, remedy, "rank %d: %d threads share %d core%s%s, while %d core%s %s %s idle",
             layout->numbers[rank], layout->threads[rank], has, plural(has), how, idle, plural(idle),
             where, idle == 1 ? "is" : "are");
    return lacking;
}

/* The cores, by their place in `cores`, that some thread of the rank may use. */
static void cores_of(const struct layout *layout, const struct cores *cores, int rank,
                     hwloc_bitmap_t masks, hwloc_bitmap_t set)
{
    hwloc_bitmap_zero(masks);
    for (int t = 0; t < layout->threads[rank]; t++)
        hwloc_bitmap_or(masks, masks, layout->masks[rank][t]);
    const struct span span = span_of(masks);
    for (int i = 0; i < cores->count; i++)
        if (meets(cores, i, span, masks))
            hwloc_bitmap_set(set, cores->objects[i]->logical_index);
}

/* Ranks that each have cores enough, but not together. Returns 0, or -1 without memory. */
static int judge_pairs(const struct layout *layout, const struct cores *cores, struct sets *sets,
                       struct list *list)
{
    const int idle = idle_cores(cores, sets->allowed), beyond = idle_cores(cores, sets->askable);
    const int ranks = idle + beyond > 0 ? layout->ranks : 0;
    hwloc_bitmap_t *const of = calloc((size_t)ranks + 1, sizeof *of);
    bool has_room = of;
    char list_of_cores[64];

    for (int r = 0; r < ranks && has_room; r++) {
        of[r] = hwloc_bitmap_alloc();
        has_room = of[r];
        if (has_room)
            cores_of(layout, cores, r, sets->masks, of[r]);
    }
    for (int a = 0; a < ranks && has_room; a++)
        for (int b = a + 1; b < ranks; b++) {
            if (!hwloc_bitmap_intersects(of[a], of[b]))
                continue;
            if (is_full(list)) { /* thousands of ranks have millions of pairs */
                list->left_out++;
                continue;
            }
            hwloc_bitmap_and(sets->masks, of[a], of[b]);
            hwloc_bitmap_list_snprintf(list_of_cores, sizeof list_of_cores, sets->masks);
            find(list, WRONG, idle ? REMEDY_LAUNCHER : REMEDY_CPUS, "ranks %d and %d share core%s "
                 "%s, while %d core%s of this node%s %s idle", layout->numbers[a],
                 layout->numbers[b], plural(hwloc_bitmap_weight(sets->masks)), list_of_cores,
                 idle ? idle : beyond, plural(idle ? idle : beyond),
                 idle ? "" : ", which the job did not ask for,",
                 (idle ? idle : beyond) == 1 ? "is" : "are");
        }
    for (int r = 0; r < ranks && of; r++)
        hwloc_bitmap_free(of[r]);
    free(of);
    return has_room ? 0 : -1;
}

/* NUMA nodes with CPUs that a set touches. */
static int count_nodes(hwloc_topology_t topology, hwloc_const_bitmap_t set)
{
    hwloc_obj_t node = NULL;
    hwloc_bitmap_t seen = hwloc_bitmap_alloc(); /* nodes with the same CPUs count once */
    int count = 0;

    while (seen && (node = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, node)))
        if (hwloc_bitmap_intersects(node->cpuset, set) &&
            !hwloc_bitmap_isincluded(node->cpuset, seen)) {
            count++;
            hwloc_bitmap_or(seen, seen, node->cpuset);
        }
    hwloc_bitmap_free(seen);
    return count;
}

/* Bound to more NUMA nodes than a plan on the same grants needs. */
static void judge_nodes(const struct layout *layout, const struct plan *plan, struct sets *sets,
                        struct list *list)
{
    for (int r = 0; r < layout->ranks; r++) {
        int widest = 0, needed;
        hwloc_bitmap_zero(sets->masks);
        for (int t = 0; t < layout->threads[r]; t++)
            hwloc_bitmap_or(sets->masks, sets->masks, plan->masks[r][t]);
        needed = count_nodes(layout->topology, sets->masks);
        hwloc_bitmap_zero(sets->masks);
        for (int t = 0; t < layout->threads[r]; t++) {
            const int nodes = count_nodes(layout->topology, layout->masks[r][t]);
            widest = nodes > widest ? nodes : widest;
            hwloc_bitmap_or(sets->masks, sets->masks, layout->masks[r][t]);
        }
        const int touched = count_nodes(layout->topology, sets->masks);
        if (widest > 1)
            find(list, WORTH_KNOWING, REMEDY_THREADS, "rank %d: a thread may move between %d NUMA "
                 "nodes, away from its memory", layout->numbers[r], widest);
        else if (touched > needed)
            find(list, WRONG, REMEDY_THREADS, "rank %d: %d threads are spread over %d NUMA nodes, "
                 "and would have cores of their own on %d", layout->numbers[r], layout->threads[r],
                 touched, needed);
    }
}

static int judge(const struct layout *layout, struct cores *cores, struct cores *own,
                 const hwloc_const_bitmap_t *masks, struct sets *sets, struct list *list)
{
    struct crowd all = { layout, cores, NULL, 0, layout->ranks, masks, 0 };
    struct crowd alone = { layout, own, NULL, 0, 0, masks, 0 };
    struct plan_request request = { layout->topology, layout->ranks,
                                    (const hwloc_const_bitmap_t *)layout->granted, layout->threads,
                                    PLAN_BALANCED, PLAN_ALL };
    struct plan plan;
    const int threads = count_threads(layout, 0, layout->ranks);
    int lacking = threads - count_seated(&all);

    if (layout->others)
        find(list, WRONG, REMEDY_ELSEWHERE, "other jobs run on cores of this one: %s", layout->others);
    if (lacking > 0 && idle_cores(cores, sets->askable) == 0) {
        find(list, WORTH_KNOWING, REMEDY_NONE, "%d threads share %d core%s, which is all there are: "
             "more threads were asked for", threads, threads - lacking, plural(threads - lacking));
        lacking = 0;
    }
    for (int r = 0; r < layout->ranks && lacking > 0; r++)
        lacking -= judge_rank(layout, cores, &alone, r, sets, list);
    if (lacking > 0 && judge_pairs(layout, cores, sets, list))
        return -1;
    if (plan_make(&request, &plan, NULL) == 0) {
        judge_nodes(layout, &plan, sets, list);
        plan_free(&plan);
    } else if (errno == ENOMEM) {
        return -1;
    }
    return 0;
}

/* The masks of all threads in a row, which the caller frees; NULL without memory. */
static hwloc_const_bitmap_t *all_masks(const struct layout *layout)
{
    const size_t threads = (size_t)count_threads(layout, 0, layout->ranks);
    hwloc_const_bitmap_t *const masks = calloc(threads + 1, sizeof *masks);
    size_t count = 0;

    for (int r = 0; r < layout->ranks && masks; r++)
        for (int t = 0; t < layout->threads[r]; t++)
            masks[count++] = layout->masks[r][t];
    return masks;
}

int judge_layout(const struct layout *layout, struct finding *findings, int most)
{
    struct list list = { findings, 0, most, 0 };
    struct cores cores = { 0 }, own = { 0 };
    const hwloc_const_bitmap_t allowed = hwloc_topology_get_allowed_cpuset(layout->topology);
    struct sets sets = {
        hwloc_bitmap_alloc(), allowed,
        layout->is_scheduled ? hwloc_topology_get_topology_cpuset(layout->topology) : allowed,
    };
    hwloc_const_bitmap_t *const masks = all_masks(layout);
    int status = -1;

    if (masks && open_cores(layout->topology, &cores) == 0 &&
        open_cores(layout->topology, &own) == 0 && sets.masks)
        status = judge(layout, &cores, &own, masks, &sets, &list);
    close_cores(&own);
    close_cores(&cores);
    hwloc_bitmap_free(sets.masks);
    free(masks);
    if (status == 0 && list.left_out > 0)
        snprintf(findings[list.count - 1].text, sizeof findings[list.count - 1].text,
                 "and %d more findings", list.left_out + 1);
    if (status)
        errno = ENOMEM;
    return status ? -1 : list.count;
}
