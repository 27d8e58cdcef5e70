#include "hybrid/lib/crew.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

enum { CLOSED, OPEN, CALLED_OFF };

struct member {
    struct crew *crew;
    struct place *place;
    void (*work)(void *arg, struct crew *crew, int thread);
    void *arg;
    atomic_int *gate; /* nobody begins before all have been started */
    int thread;
    pthread_t id;
};

static void bind_and_work(const struct member *m)
{
    if (place_thread(m->place, m->thread))
        atomic_fetch_add(&m->crew->unbound, 1);
    m->work(m->arg, m->crew, m->thread);
}

static void *begin(void *arg)
{
    const struct member *const m = arg;

    for (unsigned looks = 0; atomic_load(m->gate) == CLOSED; looks++)
        line_wait(looks);
    if (atomic_load(m->gate) == OPEN)
        bind_and_work(m);
    return NULL;
}

int crew_run(struct place *place, void (*work)(void *, struct crew *, int), void *arg)
{
    struct crew crew = { .threads = place->threads };
    atomic_int gate = CLOSED;
    struct member *const members = calloc((size_t)place->threads, sizeof *members);
    int started = 1, error = 0;

    if (!members)
        return -1;
    for (int i = 0; i < place->threads; i++)
        members[i] = (struct member){ &crew, place, work, arg, &gate, i, 0 };
    while (started < place->threads && !error) {
        error = pthread_create(&members[started].id, NULL, begin, &members[started]);
        started += !error;
    }
    atomic_store(&gate, error ? CALLED_OFF : OPEN);
    if (!error)
        bind_and_work(&members[0]);
    for (int i = 1; i < started; i++)
        pthread_join(members[i].id, NULL);
    free(members);
    errno = error;
    return error ? -1 : atomic_load(&crew.unbound);
}

void crew_wait(struct crew *crew)
{
    const unsigned turn = atomic_load(&crew->turn);

    if (atomic_fetch_add(&crew->here, 1) + 1 == crew->threads) {
        atomic_store(&crew->here, 0); /* before the turn: a thread let go may be back at once */
        atomic_store(&crew->turn, turn + 1);
        return;
    }
    for (unsigned looks = 0; atomic_load(&crew->turn) == turn; looks++)
        line_wait(looks);
}
