/* The exit status of every program. */
#ifndef LOCAL_LIB_STATUS_H
#define LOCAL_LIB_STATUS_H

enum status {
    HELPED = -1,  /* --help was answered: there is nothing to run, the process exits with 0 */
    PASS = 0,     /* right: the result was checked */
    FAIL = 1,     /* wrong result, or the result could not be delivered */
    USAGE = 2,    /* bad usage */
    STALLED = 3,  /* a deadlock was met and diagnosed */
    STOPPED = 75, /* stopped on request, a checkpoint is saved */
    UNABLE = 77,  /* cannot run here; the program says why */
};

#endif
