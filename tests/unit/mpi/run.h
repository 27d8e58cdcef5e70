/* run - the tests of a cmocka program whose ranks run them together. */
#ifndef TESTS_UNIT_MPI_RUN_H
#define TESTS_UNIT_MPI_RUN_H

#include "mpi/lib/world.h"

/* Collective. A rank that fails takes the job with it: the others wait for it. Only rank 0 tells
 * what is right. */
static inline enum status run(const struct world *w, const struct CMUnitTest *tests, size_t count)
{
    if (w->rank > 0 && !freopen("/dev/null", "w", stdout))
        return FAIL;
    for (size_t i = 0; i < count; i++)
        if (_cmocka_run_group_tests(tests[i].name, &tests[i], 1, NULL, NULL))
            MPI_Abort(w->comm, FAIL);
    return PASS;
}

#endif
