#include "mpi/lib/clocks.h"
#include "local/lib/clock.h"

#include <limits.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { PING_PONGS = 20, POINTS = 20 };
static const double residual_secs = 0.1; /* for asking all clocks, one after the other */

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
    if (world->simulated)
        MPI_Comm_dup(world->comm, &clocks->sharing);
    else
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

enum { ASK = 1, ENOUGH = 2 }; /* tags */

/* Answers questions of leader `peer` with the global time, until it has enough. */
static void answer(const struct clocks *clocks, int peer)
{
    for (;;) {
        MPI_Status status;
        MPI_Recv(NULL, 0, MPI_BYTE, peer, MPI_ANY_TAG, clocks->leaders, &status);
        if (status.MPI_TAG == ENOUGH)
            return;
        const int64_t now = clocks_global_ns(clocks, clock_ns());
        MPI_Send(&now, 1, MPI_INT64_T, peer, 0, clocks->leaders);
    }
}

static void enough(const struct clocks *clocks, int peer)
{
    MPI_Send(NULL, 0, MPI_BYTE, peer, ENOUGH, clocks->leaders);
}

/* One ping-pong: what leader `peer` shows. */
static int64_t question(const struct clocks *clocks, int peer)
{
    int64_t theirs;

    MPI_Send(NULL, 0, MPI_BYTE, peer, ASK, clocks->leaders);
    MPI_Recv(&theirs, 1, MPI_INT64_T, peer, 0, clocks->leaders, MPI_STATUS_IGNORE);
    return theirs;
}

struct sample {
    int64_t local_ns;     /* the middle of the quickest round trip */
    int64_t offset_ns;    /* what `peer` showed then, less local_ns */
    int64_t round_trip_ns;
};

/* Asks leader `peer` up to PING_PONGS times, but stops after `secs`: ranks that share a core need
 * milliseconds for each. The quickest answer is the one that can be least wrong. */
static struct sample ask(const struct clocks *clocks, int peer, double secs)
{
    struct sample best = { .round_trip_ns = INT64_MAX };
    const int64_t begin = clock_ns();
    int64_t after = begin;

    for (int i = 0; i < PING_PONGS && clock_secs(begin, after) <= secs; i++) {
        const int64_t before = clock_ns();
        const int64_t theirs = question(clocks, peer);
        after = clock_ns();
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

/* Samples at POINTS moments over `secs`, fewer if each takes long, and a line through them. */
static void learn(struct clocks *clocks, int peer, double secs)
{
    struct sample samples[POINTS];
    double time[POINTS], offset[POINTS]; /* since the first, so small that doubles are exact */
    int count = 0, best = 0;

    question(clocks, peer); /* answered when the peer is free, which may take its own `secs` */
    const int64_t begin = clock_ns();
    while (count < POINTS && (count == 0 || clock_secs(begin, clock_ns()) < secs)) {
        const int64_t next = begin + (int64_t)(1e9 * secs * (count + 1) / POINTS);
        const struct sample sample = ask(clocks, peer, secs / POINTS);

        samples[count] = sample;
        time[count] = (double)(sample.local_ns - samples[0].local_ns);
        offset[count] = (double)(sample.offset_ns - samples[0].offset_ns);
        if (sample.round_trip_ns < samples[best].round_trip_ns)
            best = count;
        count++;
        const int64_t left = next - clock_ns();
        if (left > 0)
            clock_sleep(1e-9 * (double)left);
    }
    enough(clocks, peer);
    const struct line line = clocks_fit(time, offset, count, best);
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
        for (int peer = 1; rank == 0 && peer < clocks->count; peer++) {
            question(clocks, peer);
            const struct sample sample = ask(clocks, peer, residual_secs / clocks->count);
            enough(clocks, peer);
            largest = fmax(largest, fabs((double)sample.offset_ns) * 1e-9);
        }
        MPI_Bcast(&largest, 1, MPI_DOUBLE, 0, clocks->leaders);
    }
    MPI_Bcast(&largest, 1, MPI_DOUBLE, 0, clocks->sharing);
    return largest;
}
