#include "local/lib/team.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

struct gate {
    pthread_mutex_t closed; /* held until all threads have been started; guards called_off */
    bool called_off;
};

struct member {
    struct gate *gate;
    void (*work)(void *arg, size_t worker);
    void *arg;
    size_t worker;
    pthread_t thread;
};

static void *begin(void *arg)
{
    const struct member *member = arg;

    pthread_mutex_lock(&member->gate->closed);
    const bool called_off = member->gate->called_off;
    pthread_mutex_unlock(&member->gate->closed);
    if (!called_off)
        member->work(member->arg, member->worker);
    return NULL;
}

static void do_nothing(void *arg, size_t worker)
{
    (void)arg;
    (void)worker;
}

int team_try(size_t workers)
{
    return team_run(workers, do_nothing, NULL);
}

int team_run(size_t workers, void (*work)(void *arg, size_t worker), void *arg)
{
    struct gate gate = { .closed = PTHREAD_MUTEX_INITIALIZER };
    struct member *members = calloc(workers ? workers : 1, sizeof *members);
    size_t started = 0;
    int error = 0;

    if (!members)
        return -1;
    pthread_mutex_lock(&gate.closed);
    while (started < workers && !error) {
        struct member *member = &members[started];
        *member = (struct member){ &gate, work, arg, started, 0 };
        error = pthread_create(&member->thread, NULL, begin, member);
        started += !error;
    }
    gate.called_off = error != 0;
    pthread_mutex_unlock(&gate.closed);
    for (size_t i = 0; i < started; i++)
        pthread_join(members[i].thread, NULL);
    free(members);
    errno = error;
    return error ? -1 : 0;
}
