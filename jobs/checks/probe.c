/*
 * probe - what MPI, OpenMP and the kernel really give to each rank; jobs/doctor builds and runs it
 *
 *     probe        a line a rank: rank, size, host, thread level, CPUs granted, and of the threads
 *     probe cma    whether one process may read another's memory: prints ok, or the error's name
 *
 * It needs nothing but MPI, so that it can be built where lockstep itself cannot.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#include <signal.h>
#include <sys/uio.h>
#include <sys/wait.h>
#endif
#ifdef _OPENMP
#include <omp.h>
#endif

enum { CPUS = 4096, BYTES = 1 << 20 };

#ifdef __linux__
/* The CPUs of the calling thread, as 0-3,8. */
static void list_cpus(char *text, size_t size)
{
    cpu_set_t *const set = CPU_ALLOC(CPUS);
    const size_t bytes = CPU_ALLOC_SIZE(CPUS);
    size_t used = 0;

    *text = '\0';
    if (!set || sched_getaffinity(0, bytes, set))
        return;
    for (int first = 0; first < CPUS; first++) {
        if (!CPU_ISSET_S(first, bytes, set))
            continue;
        int last = first;
        while (last + 1 < CPUS && CPU_ISSET_S(last + 1, bytes, set))
            last++;
        if (used < size)
            used += (size_t)snprintf(text + used, size - used, first < last ? "%s%d-%d" : "%s%d",
                                     used ? "," : "", first, last);
        first = last;
    }
    CPU_FREE(set);
}

/* Two children of one parent, as ranks are: one reads a number of the other. */
static int try_cma(void)
{
    static int number = 42;
    int status;

    const pid_t owner = fork();
    if (owner == 0) {
        pause();
        _exit(0);
    }
    const pid_t reader = fork();
    if (reader == 0) {
        int copy = 0;
        struct iovec here = { &copy, sizeof copy }, there = { &number, sizeof number };
        const ssize_t got = process_vm_readv(owner, &here, 1, &there, 1, 0);
        _exit(got == (ssize_t)sizeof copy && copy == 42 ? 0 : errno ? errno : 255);
    }
    waitpid(reader, &status, 0);
    kill(owner, SIGKILL);
    waitpid(owner, NULL, 0);
    const int error = WIFEXITED(status) ? WEXITSTATUS(status) : 255;
    puts(error == 0 ? "ok" : error == EPERM ? "EPERM" : error == ENOSYS ? "ENOSYS" : "failed");
    return 0;
}

#else /* other systems tell neither masks nor memory of others */
static void list_cpus(char *text, size_t size)
{
    snprintf(text, size, "0-%ld", sysconf(_SC_NPROCESSORS_ONLN) - 1);
}

static int try_cma(void)
{
    puts("unknown");
    return 0;
}
#endif

/* A megabyte to the next rank, and one from the one before: what breaks only with real messages. */
static int exchange(int rank, int size)
{
    char *const out = malloc(BYTES), *const in = malloc(BYTES);
    int right = 0;

    if (out && in) {
        memset(out, rank + 1, BYTES);
        const int before = (rank + size - 1) % size;
        MPI_Sendrecv(out, BYTES, MPI_CHAR, (rank + 1) % size, 0, in, BYTES, MPI_CHAR, before, 0,
                     MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        right = in[0] == (char)(before + 1) && in[BYTES - 1] == (char)(before + 1);
    }
    free(in);
    free(out);
    return right;
}

int main(int argc, char **argv)
{
    int level, rank, size;
    char host[256] = "", granted[512], threads[8192] = "";

    if (argc > 1 && strcmp(argv[1], "cma") == 0)
        return try_cma();
    list_cpus(granted, sizeof granted); /* before MPI, which may start threads of its own */
    MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &level);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    gethostname(host, sizeof host - 1);
    int count = 1;
#ifdef _OPENMP
#pragma omp parallel
#pragma omp critical
    {
        char mine[512];
        list_cpus(mine, sizeof mine);
        count = omp_get_num_threads();
        if (strlen(threads) + strlen(mine) + 2 < sizeof threads)
            strcat(strcat(threads, *threads ? ";" : ""), mine);
    }
#else
    list_cpus(threads, sizeof threads);
#endif
    printf("rank=%d size=%d host=%s level=%d count=%d granted=%s threads=%s exchange=%s\n", rank,
           size, host, level, count, granted, threads, exchange(rank, size) ? "right" : "wrong");
    fflush(stdout);
    MPI_Finalize();
    return 0;
}
