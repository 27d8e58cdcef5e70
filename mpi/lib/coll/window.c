#include "mpi/lib/coll/window.h"
#include "local/lib/cpus.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* Where cores are shared, a slot holds much, because each step costs changes of process; otherwise
 * the slots of a rank should stay in its core's cache. */
enum { SLOT_BYTES = 32 << 10, SLOT_BYTES_CROWDED = 256 << 10 };
enum { SPINS = 100, SPINS_CROWDED = 20, SPINS_A_PROBE = 256 };

static bool more_ranks_than_cpus(MPI_Comm node, int size)
{
    struct cpus mine, all;

    if (cpus_granted(&mine))
        memset(&mine, 0, sizeof mine);
    MPI_Allreduce(&mine, &all, CPUS_WORDS, MPI_UINT64_T, MPI_BOR, node);
    return cpus_count(&all) > 0 && size > cpus_count(&all);
}

struct coll_window *coll_window(struct coll_team *team)
{
    if (team->window)
        return team->window;
    if (coll_team_nodes(team))
        return NULL;
    struct coll_window *window = calloc(1, sizeof *window);
    const int size = team->node_size;
    void *mine;

    if (window) {
        window->flags = malloc((size_t)size * sizeof *window->flags);
        window->slots = malloc((size_t)size * sizeof *window->slots);
    }
    if (!window || !window->flags || !window->slots) {
        if (window) {
            free(window->slots);
            free(window->flags);
        }
        free(window);
        errno = ENOMEM;
        return NULL;
    }
    window->node = team->node;
    window->rank = team->node_rank;
    window->size = size;
    window->crowded = more_ranks_than_cpus(team->node, size);
    window->slot_bytes = window->crowded ? SLOT_BYTES_CROWDED : SLOT_BYTES;
    MPI_Win_allocate_shared((MPI_Aint)(sizeof(struct window_flags) + WINDOW_LINE +
                                       WINDOW_SLOTS * window->slot_bytes),
                            1, MPI_INFO_NULL, team->node, &mine, &window->win);
    MPI_Win_lock_all(MPI_MODE_NOCHECK, window->win);
    for (int rank = 0; rank < size; rank++) {
        MPI_Aint bytes;
        unsigned char *base;
        int unit;
        MPI_Win_shared_query(window->win, rank, &bytes, &unit, &base);
        base += (WINDOW_LINE - (uintptr_t)base % WINDOW_LINE) % WINDOW_LINE;
        window->flags[rank] = (struct window_flags *)base;
        window->slots[rank] = base + sizeof(struct window_flags);
    }
    atomic_store(&window->flags[window->rank]->posted, 0);
    atomic_store(&window->flags[window->rank]->done, 0);
    MPI_Barrier(team->node);
    team->window = window;
    return window;
}

void coll_window_free(struct coll_window *window)
{
    MPI_Win_unlock_all(window->win);
    MPI_Win_free(&window->win);
    free(window->slots);
    free(window->flags);
    free(window);
}

void *window_slot(const struct coll_window *window, int rank, uint64_t step)
{
    return window->slots[rank] + step % WINDOW_SLOTS * window->slot_bytes;
}

static void pause_spin(void)
{
#if defined __x86_64__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("yield");
#endif
}

/* A peer may still wait for a message of this rank, so MPI is asked from time to time. */
static void wait_until(const struct coll_window *window, const _Atomic uint64_t *counter,
                       uint64_t value)
{
    const int spins = window->crowded ? SPINS_CROWDED : SPINS;

    for (int i = 1; atomic_load_explicit(counter, memory_order_acquire) < value; i++) {
        if (i < spins) {
            pause_spin();
            continue;
        }
        sched_yield();
        if (i % SPINS_A_PROBE == 0) {
            int found;
            MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, window->node, &found, MPI_STATUS_IGNORE);
        }
    }
}

void window_wait_free(struct coll_window *window, uint64_t step)
{
    const uint64_t before = step >= WINDOW_SLOTS ? step - WINDOW_SLOTS + 1 : 0;

    if (before <= window->all_done)
        return;
    uint64_t least = UINT64_MAX;
    for (int rank = 0; rank < window->size; rank++) {
        if (rank == window->rank) /* it writes now what it will not read */
            continue;
        const _Atomic uint64_t *const done = &window->flags[rank]->done;
        wait_until(window, done, before);
        const uint64_t seen = atomic_load_explicit(done, memory_order_acquire);
        least = seen < least ? seen : least;
    }
    window->all_done = least;
}

void window_post(struct coll_window *window, uint64_t step)
{
    atomic_store_explicit(&window->flags[window->rank]->posted, step + 1, memory_order_release);
}

void window_wait(const struct coll_window *window, int rank, uint64_t step)
{
    wait_until(window, &window->flags[rank]->posted, step + 1);
}

void window_done(struct coll_window *window, uint64_t step)
{
    atomic_store_explicit(&window->flags[window->rank]->done, step + 1, memory_order_release);
}
