#include "mpi/lib/clocks.h"
#include "local/lib/clock.h"

#include <limits.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { PING_PONGS = 20, POINTS = 20 };

/* Processes of one node have different monotonic clocks only in different time namespaces. */
static int clock_identity(void)
{
    struct stat about;

    return stat("/proc/self/ns/time", &about) ? 0 : (int)(about.st_ino & INT_MAX);
}

void clocks_open(struct clocks *clocks, const struct world *world)
{
    int rank;

    *clocks = (struct clocks){ 0 };
    MPI_Comm_split(world->node_comm, clock_identity(), world->rank, &clocks->sharing);
    MPI_Comm_rank(clocks->sharing, &rank);
    MPI_Comm_split(world->comm, rank == 0 ? 0 : MPI_UNDEFINED, world->rank, &clocks->leaders);

    const int leads = rank == 0;
    MPI_Allreduce(&leads, &clocks->count, 1, MPI_INT, MPI_SUM, world->comm);
}

void clocks_close(struct clocks *clocks)
{
    if (clocks->leaders != MPI_COMM_NULL)
        MPI_Comm_free(&clocks->leaders);
    MPI_Comm_free(&clocks->sharing);
}

int64_t clocks_global_ns(const struct clocks *clocks, int64_t local_ns)
{
    const double since_base = (double)(local_ns - clocks->base_ns);

    return local_ns + clocks->offset_ns + llround(clocks->drift * since_base);
}

/* Answers PING_PONGS questions of leader `peer` with the global time. */
static void answer(const struct clocks *clocks, int peer)
{
    for (int i = 0; i < PING_PONGS; i++) {
        MPI_Recv(NULL, 0, MPI_BYTE, peer, 0, clocks->leaders, MPI_STATUS_IGNORE);
        const int64_t now = clocks_global_ns(clocks, clock_ns());
        MPI_Send(&now, 1, MPI_INT64_T, peer, 0, clocks->leaders);
    }
}

struct sample {
    int64_t local_ns;     /* the middle of the quickest round trip */
    int64_t offset_ns;    /* what `peer` showed then, less local_ns */
    int64_t round_trip_ns;
};

/* Asks leader `peer` PING_PONGS times; the quickest answer is the one that can be least wrong. */
static struct sample ask(const struct clocks *clocks, int peer)
{
    struct sample best = { .round_trip_ns = INT64_MAX };

    for (int i = 0; i < PING_PONGS; i++) {
        int64_t theirs;
        const int64_t before = clock_ns();
        MPI_Send(NULL, 0, MPI_BYTE, peer, 0, clocks->leaders);
        MPI_Recv(&theirs, 1, MPI_INT64_T, peer, 0, clocks->leaders, MPI_STATUS_IGNORE);
        const int64_t after = clock_ns();

        if (after - before < best.round_trip_ns) {
            best.local_ns = before + (after - before) / 2;
            best.offset_ns = theirs - best.local_ns;
            best.round_trip_ns = after - before;
        }
    }
    return best;
}

struct line clocks_fit(const double *time, const double *offset, int count, int best)
{
    const struct line level = { .at_base = offset[best], .slope = 0 };
    double mean_time = 0, mean_offset = 0, spread = 0, product = 0, error = 0;

    for (int i = 0; i < count; i++) {
        mean_time += time[i] / count;
        mean_offset += offset[i] / count;
    }
    for (int i = 0; i < count; i++) {
        spread += (time[i] - mean_time) * (time[i] - mean_time);
        product += (time[i] - mean_time) * (offset[i] - mean_offset);
    }
    if (count < 3 || spread == 0)
        return level;

    const struct line line = {
        .slope = product / spread,
        .at_base = mean_offset - product / spread * mean_time,
    };
    for (int i = 0; i < count; i++) {
        const double miss = offset[i] - line.at_base - line.slope * time[i];
        error += miss * miss;
    }
    const double slope_error = sqrt(error / (count - 2) / spread);
    return fabs(line.slope) < 3 * slope_error ? level : line;
}

static void learn(struct clocks *clocks, int peer, double secs)
{
    const double pause = secs / POINTS;
    const struct timespec pause_time = { (time_t)pause, (long)(fmod(pause, 1) * 1e9) };
    struct sample samples[POINTS];
    double time[POINTS], offset[POINTS]; /* since the first, so small that doubles are exact */
    int best = 0;

    for (int i = 0; i < POINTS; i++) {
        samples[i] = ask(clocks, peer);
        time[i] = (double)(samples[i].local_ns - samples[0].local_ns);
        offset[i] = (double)(samples[i].offset_ns - samples[0].offset_ns);
        if (samples[i].round_trip_ns < samples[best].round_trip_ns)
            best = i;
        nanosleep(&pause_time, NULL);
    }
    const struct line line = clocks_fit(time, offset, POINTS, best);
    clocks->base_ns = samples[0].local_ns;
    clocks->offset_ns = samples[0].offset_ns + llround(line.at_base);
    clocks->drift = line.slope;
}

void clocks_sync(struct clocks *clocks, double secs)
{
    clocks->base_ns = clocks->offset_ns = 0;
    clocks->drift = 0;
    if (clocks->leaders != MPI_COMM_NULL) {
        int rank, step = 1;
        MPI_Comm_rank(clocks->leaders, &rank);
        while (step < clocks->count)
            step *= 2;
        for (step /= 2; step > 0; step /= 2) { /* multiples of 2 * step know the time by now */
            if (rank % (2 * step) == 0 && rank + step < clocks->count)
                for (int i = 0; i < POINTS; i++)
                    answer(clocks, rank + step);
            else if (rank % (2 * step) == step)
                learn(clocks, rank - step, secs);
        }
    }
    MPI_Bcast(&clocks->base_ns, 1, MPI_INT64_T, 0, clocks->sharing);
    MPI_Bcast(&clocks->offset_ns, 1, MPI_INT64_T, 0, clocks->sharing);
    MPI_Bcast(&clocks->drift, 1, MPI_DOUBLE, 0, clocks->sharing);
}

double clocks_residual(const struct clocks *clocks)
{
    double largest = 0;

    if (clocks->leaders != MPI_COMM_NULL) {
        int rank;
        MPI_Comm_rank(clocks->leaders, &rank);
        if (rank > 0)
            answer(clocks, 0);
        for (int peer = 1; rank == 0 && peer < clocks->count; peer++)
            largest = fmax(largest, fabs((double)ask(clocks, peer).offset_ns) * 1e-9);
        MPI_Bcast(&largest, 1, MPI_DOUBLE, 0, clocks->leaders);
    }
    MPI_Bcast(&largest, 1, MPI_DOUBLE, 0, clocks->sharing);
    return largest;
}
