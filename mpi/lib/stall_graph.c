#include "mpi/lib/stall_graph.h"

#include <mpi.h>
#include <stdlib.h>
#include <string.h>

struct graph {
    const struct stall_row *rows;
    int count;
    bool *stuck;  /* not known to go on; ranks that have ended are among them */
    int going;    /* ranks that are not in `stuck` */
    bool *served; /* some rank is in a send that a receive of this rank from anybody would meet */
};

/* What a call does to wait `i`, by its name: MPI_Wait, MPI_Sendrecv and the like may do both. */
enum { SENDS = 1, RECEIVES = 2 };

static int direction(const struct stall_row *row, int i)
{
    if (row->peers[i] == MPI_ANY_SOURCE)
        return RECEIVES;
    const int found = (strstr(row->call, "end") ? SENDS : 0) |
                      (strstr(row->call, "ecv") || strstr(row->call, "robe") ? RECEIVES : 0);

    return found ? found : SENDS | RECEIVES;
}

static bool ended(const struct stall_row *row)
{
    return row->state == STALL_FINISHED || row->state == STALL_GONE;
}

/* Whether wait `i` of rank `a` and wait `j` of rank `b`, which is for `a`, are two ends of one
 * transfer. */
static bool two_ends(const struct graph *g, int a, int i, int b, int j)
{
    const int at_a = direction(&g->rows[a], i), at_b = direction(&g->rows[b], j);
    const int tag_a = g->rows[a].tags[i], tag_b = g->rows[b].tags[j];
    const bool opposite = (at_a & SENDS && at_b & RECEIVES) || (at_a & RECEIVES && at_b & SENDS);

    return opposite && (tag_a == tag_b || tag_a == MPI_ANY_TAG || tag_b == MPI_ANY_TAG);
}

/* Whether `peer` is in a call that meets wait `i` of `rank`. */
static bool matched(const struct graph *g, int rank, int i, int peer)
{
    const struct stall_row *row = &g->rows[peer];

    for (int j = 0; row->state == STALL_CALLING && j < row->waits; j++) {
        const bool from_any = row->peers[j] == MPI_ANY_SOURCE && rank != peer;
        if ((row->peers[j] == rank || from_any) && two_ends(g, rank, i, peer, j))
            return true;
    }
    return false;
}

static bool same_collective(const struct stall_row *a, const struct stall_row *b)
{
    return a->state == STALL_CALLING && b->state == STALL_CALLING && a->peers[0] == STALL_ALL &&
           b->peers[0] == STALL_ALL && a->tags[0] == b->tags[0] && strcmp(a->call, b->call) == 0;
}

/*
 * Whether wait `i` of `rank` is in vain, and whom it is for: the lowest of several ranks that is
 * stuck, else the lowest that has ended, -1 if there is nobody at all. What is not known is not in
 * vain.
 */
static bool in_vain(const struct graph *g, int rank, int i, int *whom)
{
    const struct stall_row *row = &g->rows[rank];
    const int peer = row->peers[i];
    const bool any = peer == MPI_ANY_SOURCE;
    int gone = -1;

    *whom = peer;
    if (peer >= 0 && peer < g->count)
        return g->stuck[peer] && !matched(g, rank, i, peer);
    if ((!any && peer != STALL_ALL) || (any && (g->served[rank] || g->going > 0)))
        return false;
    for (int other = 0; other < g->count; other++) {
        if (other == rank || !g->stuck[other] || same_collective(row, &g->rows[other]))
            continue;
        *whom = other;
        if (!ended(&g->rows[other]))
            return true;
        gone = gone < 0 ? other : gone;
    }
    *whom = gone;
    return any || gone >= 0;
}

static bool can_go_on(const struct graph *g, int rank)
{
    int whom;

    for (int i = 0; i < g->rows[rank].waits; i++)
        if (in_vain(g, rank, i, &whom))
            return false;
    return !ended(&g->rows[rank]);
}

/* Who meets a receive from anybody does not depend on who can go on: found once. */
static void find_served(struct graph *g)
{
    for (int rank = 0; rank < g->count; rank++)
        for (int i = 0; i < g->rows[rank].waits; i++) {
            const int peer = g->rows[rank].peers[i];
            if (g->rows[rank].state == STALL_CALLING && peer >= 0 && peer < g->count &&
                matched(g, rank, i, peer))
                g->served[peer] = true;
        }
}

/* Only adds ranks to those that can go on, so it ends after `count` rounds at most. */
static void find_stuck(struct graph *g, double limit_secs)
{
    for (int rank = 0; rank < g->count; rank++) {
        const struct stall_row *row = &g->rows[rank];
        g->stuck[rank] = row->secs > limit_secs && (row->state == STALL_CALLING || ended(row));
        g->going += !g->stuck[rank];
    }
    for (bool added = true; added;) {
        added = false;
        for (int rank = 0; rank < g->count; rank++)
            if (g->stuck[rank] && can_go_on(g, rank)) {
                g->stuck[rank] = false;
                g->going++;
                added = true;
            }
    }
}

/* The rank that a stuck one waits for, of several the first that was named; -1: nobody. */
static int next_of(const struct graph *g, int rank)
{
    int whom;

    for (int i = 0; i < g->rows[rank].waits && !ended(&g->rows[rank]); i++)
        if (in_vain(g, rank, i, &whom))
            return whom;
    return -1;
}

/* Each stuck rank has one next, so walking on from any ends in a cycle or at an ended rank. Ranks
 * are tried in order: the first cycle is kept unless a later one has a lower rank in it. */
static void find_path(const struct graph *g, struct stall_verdict *v, int *seen)
{
    int lowest = g->count;

    for (int start = 0; start < g->count; start++) {
        int rank = start;
        if (!g->stuck[start] || ended(&g->rows[start]) || seen[start])
            continue;
        while (rank >= 0 && !seen[rank]) {
            seen[rank] = start + 1;
            rank = next_of(g, rank);
        }
        if (rank < 0 || seen[rank] != start + 1)
            continue;
        int least = rank; /* the walk has closed: rank is on a new cycle */
        for (int r = next_of(g, rank); r != rank; r = next_of(g, r))
            least = r < least ? r : least;
        lowest = least < lowest ? least : lowest;
    }
    v->cycle = lowest < g->count;
    for (int rank = 0; !v->cycle && lowest == g->count; rank++) /* without one: a chain */
        if (g->stuck[rank] && !ended(&g->rows[rank]))
            lowest = rank;
    int rank = lowest;
    do {
        v->path[v->path_length++] = rank;
        rank = next_of(g, rank);
    } while (rank >= 0 && rank != lowest);
}

/* The lowest rank beyond the bound, or -1. */
static int find_overdue(const struct stall_row *rows, int count, double limit_secs)
{
    for (int rank = 0; rank < count; rank++)
        if ((rows[rank].state == STALL_CALLING || rows[rank].state == STALL_SILENT) &&
            rows[rank].secs > STALL_BOUND * limit_secs)
            return rank;
    return -1;
}

int stall_judge(const struct stall_row *rows, int count, double limit_secs,
                struct stall_verdict *verdict)
{
    const size_t size = (size_t)count;
    struct graph g = { .rows = rows, .count = count };
    struct stall_verdict v = { .overdue = -1 };
    int *seen = calloc(size, sizeof *seen);
    int result = -1;

    g.stuck = v.stuck = calloc(size, sizeof *v.stuck);
    g.served = calloc(size, sizeof *g.served);
    v.path = calloc(size, sizeof *v.path);
    if (!seen || !g.stuck || !g.served || !v.path)
        goto out;
    find_served(&g);
    find_stuck(&g, limit_secs);
    for (int rank = 0; rank < count; rank++)
        v.stuck_count += g.stuck[rank] && !ended(&rows[rank]);
    if (v.stuck_count > 0)
        find_path(&g, &v, seen);
    else
        v.overdue = find_overdue(rows, count, limit_secs);
    v.stalled = v.stuck_count > 0 || v.overdue >= 0;
    for (int rank = 0; rank < count; rank++)
        v.stuck[rank] &= !ended(&rows[rank]);
    *verdict = v;
    result = 0;
out:
    if (result)
        stall_verdict_free(&v);
    free(g.served);
    free(seen);
    return result;
}

void stall_verdict_free(struct stall_verdict *verdict)
{
    free(verdict->path);
    free(verdict->stuck);
}

static void describe_wait(FILE *out, const struct stall_row *row, int i)
{
    const int way = direction(row, i), peer = row->peers[i], tag = row->tags[i];

    if (peer == STALL_ALL) {
        fputs(" with all ranks", out);
        if (tag >= 0)
            fprintf(out, ", communicator %d", tag);
        return;
    }
    fputs(way == SENDS ? " to " : way == RECEIVES ? " from " : " with ", out);
    if (peer == MPI_ANY_SOURCE)
        fputs("any rank", out);
    else if (peer == MPI_PROC_NULL)
        fputs("nobody", out);
    else
        fprintf(out, "rank %d", peer);
    if (tag == MPI_ANY_TAG)
        fputs(", any tag", out);
    else
        fprintf(out, ", tag %d", tag);
}

static void describe_row(FILE *out, const struct stall_row *row, int rank)
{
    fprintf(out, "rank %d (%s): ", rank, row->host);
    switch (row->state) {
    case STALL_CALLING:
        fprintf(out, "in %s", row->call);
        for (int i = 0; i < row->waits; i++) {
            fputs(i > 0 ? " and" : "", out);
            describe_wait(out, row, i);
        }
        fprintf(out, ", for %.1f s\n", row->secs);
        break;
    case STALL_COMPUTING: fprintf(out, "computing, for %.1f s\n", row->secs); break;
    case STALL_FINISHED: fprintf(out, "finished %.1f s ago\n", row->secs); break;
    case STALL_GONE: fprintf(out, "its process ended %.1f s ago\n", row->secs); break;
    case STALL_SILENT: fprintf(out, "no answer for %.1f s\n", row->secs); break;
    }
}

static void describe_path(FILE *out, const struct stall_row *rows, const struct stall_verdict *v)
{
    const int last = v->path[v->path_length - 1];

    fprintf(out, "%s: rank %d", v->cycle ? "cycle" : "no cycle", v->path[0]);
    for (int i = 1; i < v->path_length; i++)
        fprintf(out, " waits for rank %d", v->path[i]);
    if (v->cycle)
        fprintf(out, " waits for rank %d\n", v->path[0]);
    else if (ended(&rows[last]))
        fprintf(out, ", which has %s\n", rows[last].state == STALL_GONE ? "ended" : "finished");
    else
        fputs(" waits, and no other rank is left\n", out);
}

void stall_describe(FILE *out, const struct stall_row *rows, int count, double limit_secs,
                    const struct stall_verdict *v)
{
    int left = 0;

    for (int rank = 0; rank < count; rank++)
        left += !ended(&rows[rank]);
    if (v->overdue >= 0)
        fprintf(out, "stalled: rank %d has been so for more than %d times the limit", v->overdue,
                STALL_BOUND);
    else if (v->stuck_count == left)
        fputs("stalled: no rank can go on", out);
    else
        fprintf(out, "stalled: %d of %d ranks cannot go on", v->stuck_count, count);
    fprintf(out, " (limit %g s)\n", limit_secs);
    for (int rank = 0; rank < count; rank++)
        describe_row(out, &rows[rank], rank);
    if (v->stuck_count > 0)
        describe_path(out, rows, v);
}
