/*
 * measure - runs a command, and prints its wall time in seconds and the peak memory of the largest
 * of its processes in MiB, behind what the command prints
 *
 * A program of its own because it is small: the peak of a process begins with what its parent was
 * when it forked, and an interpreter would be larger than what it measures.
 */
#define _DEFAULT_SOURCE /* wait4() */
#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

int main(int argc, char **argv)
{
    struct rusage usage;
    int status;

    if (argc < 2)
        return 2;
    const double begin = now();
    const pid_t child = fork();
    if (child == 0) {
        execvp(argv[1], argv + 1);
        perror(argv[1]);
        _exit(127);
    }
    while (child < 0 || wait4(child, &status, 0, &usage) < 0)
        if (child < 0 || errno != EINTR) {
            perror("measure");
            return 1;
        }
    const double secs = now() - begin;
    /* ru_maxrss: the largest of the command and of the children that it waited for */
    printf("%.6f %.3f\n", secs, (double)usage.ru_maxrss / 1024);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
