#include "local/lib/gate.h"
#include "local/lib/clock.h"
#include "local/lib/wait.h"

int gate_init(struct gate *gate, bool shared)
{
    gate->shared = shared;
    atomic_init(&gate->inside, 0);
    return sem_init(&gate->calls, shared, 0);
}

void gate_destroy(struct gate *gate)
{
    sem_destroy(&gate->calls);
}

/* Takes up to `count` out of those inside. Returns how many. */
static size_t take(struct gate *gate, size_t count)
{
    size_t inside = atomic_fetch_add(&gate->inside, 0);

    while (inside > 0) {
        const size_t taken = inside < count ? inside : count;
        if (atomic_compare_exchange_weak(&gate->inside, &inside, inside - taken))
            return taken;
    }
    return 0;
}

void gate_enter(struct gate *gate)
{
    atomic_fetch_add(&gate->inside, 1);
}

bool gate_leave(struct gate *gate)
{
    if (take(gate, 1) > 0)
        return false;
    /* Everybody inside has been called: one call, perhaps still on its way, is ours. It does not
     * come if its process was killed just then. */
    const struct timespec soon = clock_deadline(1);
    wait_semaphore(&gate->calls, &soon);
    return true;
}

bool gate_sleep(struct gate *gate, const struct timespec *deadline)
{
    return wait_semaphore(&gate->calls, deadline) == 0 || gate_leave(gate);
}

void gate_open(struct gate *gate, size_t count)
{
    /* A read-modify-write, not a load: it comes before or after that of gate_enter(). */
    if (atomic_fetch_add(&gate->inside, 0) == 0)
        return;
    /* Of processes one that is inside may be dead, so all are called. */
    for (size_t calls = take(gate, gate->shared ? SIZE_MAX : count); calls > 0; calls--)
        sem_post(&gate->calls);
}
