#include "local/lib/clock.h"

#include <errno.h>
#include <math.h>
#include <time.h>

int64_t clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail with a clock that POSIX requires */
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

double clock_secs(int64_t from_ns, int64_t to_ns)
{
    return (double)(to_ns - from_ns) * 1e-9;
}

struct timespec clock_deadline(double secs)
{
    struct timespec deadline;

    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += (time_t)secs;
    deadline.tv_nsec += (long)(fmod(secs, 1) * 1e9);
    if (deadline.tv_nsec >= 1000000000) {
        deadline.tv_sec++;
        deadline.tv_nsec -= 1000000000;
    }
    return deadline;
}

void clock_sleep(double secs)
{
    const time_t whole = (time_t)secs;
    struct timespec left = { whole, (long)((secs - (double)whole) * 1e9) };

    while (nanosleep(&left, &left) && errno == EINTR)
        ;
}
