#include "hybrid/lib/roll.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void roll_open(struct roll *roll, const struct world *w, struct place *place, const char *name,
               int threads)
{
    *roll = (struct roll){ .world = w, .place = place, .name = name, .threads = threads,
                           .seats = world_alloc(w, (size_t)threads, sizeof *roll->seats) };
}

void roll_close(struct roll *roll)
{
    free(roll->seats);
}

static void seat_mask(const struct seat *seat, hwloc_bitmap_t set)
{
    hwloc_bitmap_zero(set);
    for (unsigned cpu = 0; cpu < 8 * sizeof seat->bound; cpu++)
        if (seat->bound[cpu / 64] >> cpu % 64 & 1)
            hwloc_bitmap_set(set, cpu);
}

/* survey_thread() compares with what was granted; where there is a plan, that is what counts. */
static bool is_as_planned(const struct roll *roll, const struct seat *seat)
{
    const bool known = seat->thread >= 0 && seat->thread < roll->place->threads;

    if (!roll->place->applied || !seat->right || !known)
        return seat->right && known;
    const hwloc_bitmap_t set = hwloc_bitmap_alloc();
    if (set)
        seat_mask(seat, set);
    const bool same = set && hwloc_bitmap_isequal(set, roll->place->masks[seat->thread]);
    hwloc_bitmap_free(set);
    return same;
}

void roll_answer(struct roll *roll, int thread, bool bind)
{
    const int answer = atomic_fetch_add(&roll->answers, 1);
    struct seat seat;

    if ((bind && place_thread(roll->place, thread)) || survey_thread(roll->place, thread, &seat)) {
        atomic_store(&roll->failed, errno);
        seat = (struct seat){ .thread = thread, .cpu_os = -1 };
    }
    if (answer >= roll->threads)
        return;
    seat.right = is_as_planned(roll, &seat);
    roll->seats[answer] = seat;
}

/* ---- What all ranks have answered, on rank 0 ---- */

static int by_thread(const void *one, const void *other)
{
    const struct seat *const a = one, *const b = other;

    return (a->thread > b->thread) - (a->thread < b->thread);
}

/* What is wrong with the answers of one rank; times < 0: nothing. */
struct fault {
    int rank, thread, times;
    char bound[64];
};

static void list_mask(const struct seat *seat, char *list, size_t size)
{
    const hwloc_bitmap_t set = hwloc_bitmap_alloc();

    *list = '\0';
    if (!set)
        return;
    seat_mask(seat, set);
    hwloc_bitmap_list_snprintf(list, size, set);
    hwloc_bitmap_free(set);
}

static void add_row(struct world *w, const struct roll *roll, int rank, const char *host,
                    const struct seat *seat, double region_s, bool right)
{
    struct record row = w->program.record;
    char bound[RECORD_TEXT];

    list_mask(seat, bound, sizeof bound);
    record_text(&row, "team", roll->name);
    record_int(&row, "rank", rank);
    record_text(&row, "host", host);
    record_int(&row, "thread", seat->thread);
    record_int(&row, "of", roll->threads);
    record_text(&row, "bound_os", bound);
    if (seat->cpu_os >= 0)
        record_int(&row, "cpu_os", seat->cpu_os);
    else
        record_null(&row, "cpu_os");
    row.aside = true;
    record_real(&row, "region_s", region_s);
    row.aside = false;
    record_bool(&row, "verified", right);
    program_row(&w->program, &row);
}

struct count {
    char host[64];
    int answers; /* as counted, also those past the last seat */
};

static bool is_member(const struct roll *roll, int thread)
{
    return thread >= 0 && thread < roll->threads;
}

/* Adds the rows of one rank. */
static struct fault call(struct world *w, const struct roll *roll, int rank,
                         const struct count *count, struct seat *seats, double region_s)
{
    const int known = count->answers < roll->threads ? count->answers : roll->threads;
    int *const times = world_alloc(w, (size_t)roll->threads, sizeof *times);
    struct fault fault = { rank, 0, count->answers > roll->threads ? count->answers : -1, "" };

    memset(times, 0, (size_t)roll->threads * sizeof *times);
    qsort(seats, (size_t)known, sizeof *seats, by_thread);
    for (int i = 0; i < known; i++)
        if (is_member(roll, seats[i].thread))
            times[seats[i].thread]++;
    for (int i = 0; i < known; i++) {
        const bool once = is_member(roll, seats[i].thread) && times[seats[i].thread] == 1;
        add_row(w, roll, rank, count->host, &seats[i], region_s, seats[i].right && once);
        if (fault.times < 0 && once && !seats[i].right) {
            fault = (struct fault){ rank, seats[i].thread, 1, "" };
            list_mask(&seats[i], fault.bound, sizeof fault.bound);
        }
    }
    for (int thread = roll->threads - 1; thread >= 0; thread--)
        if (times[thread] != 1)
            fault = (struct fault){ rank, thread, times[thread], "" };
    free(times);
    return fault;
}

/* Rank 0 calls all ranks, and keeps the first fault. */
static struct fault call_all(struct world *w, const struct roll *roll, struct count count,
                             double region_s)
{
    const int bytes = (int)sizeof(struct seat);
    struct seat *const seats = world_alloc(w, (size_t)roll->threads, sizeof *seats);
    struct fault first = { .times = -1 };

    for (int rank = 0; rank < w->size; rank++) {
        if (rank == 0) {
            const int known = count.answers < roll->threads ? count.answers : roll->threads;
            memcpy(seats, roll->seats, (size_t)known * sizeof *seats);
        } else {
            MPI_Recv(&count, sizeof count, MPI_BYTE, rank, 0, w->comm, MPI_STATUS_IGNORE);
            MPI_Recv(seats, roll->threads * bytes, MPI_BYTE, rank, 1, w->comm, MPI_STATUS_IGNORE);
        }
        const struct fault fault = call(w, roll, rank, &count, seats, region_s);
        if (first.times < 0)
            first = fault;
    }
    free(seats);
    return first;
}

struct verdict roll_check(struct world *w, const struct roll *roll, double region_s)
{
    struct count mine = { .answers = atomic_load(&roll->answers) };
    const int known = mine.answers < roll->threads ? mine.answers : roll->threads;
    const int failed = atomic_load(&roll->failed);
    struct fault fault = { .times = -1 };

    gethostname(mine.host, sizeof mine.host - 1);
    if (w->rank > 0) {
        MPI_Send(&mine, sizeof mine, MPI_BYTE, 0, 0, w->comm);
        MPI_Send(roll->seats, known * (int)sizeof(struct seat), MPI_BYTE, 0, 1, w->comm);
    } else {
        fault = call_all(w, roll, mine, region_s);
    }
    const struct verdict bound = verify_places(w, failed ? 0 : UINT64_MAX, "%s: rank %d: a thread "
                                               "cannot be bound: %s", roll->name, w->rank,
                                               strerror(failed));
    if (*fault.bound)
        return verdict_both(bound, verify_places(w, 0, "%s: rank %d, thread %d is bound to CPU %s, "
                            "not as planned, or does not run there", roll->name, fault.rank,
                            fault.thread, fault.bound));
    return verdict_both(bound, verify_places(w, fault.times < 0 ? UINT64_MAX : 0, "%s: rank %d, "
                        "thread %d answered %d times, not once", roll->name, fault.rank,
                        fault.thread, fault.times));
}
