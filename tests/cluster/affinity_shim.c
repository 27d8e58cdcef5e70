/*
 * affinity_shim - lets slurmd own more CPUs than the machine has, and start without root
 *
 * A shared object for LD_PRELOAD, built by tests/cluster/slurm for slurmctld and slurmd alone.
 * slurmstepd inherits it from slurmd, the user's tasks do not: a program under test meets the real
 * system calls.
 *
 *   sched_setaffinity   remembers the mask that was asked for, and sets it folded onto the real
 *                       CPUs. Without it the steps end with "task_g_set_affinity: Invalid
 *                       argument". AFFINITY_SHIM_NODE and AFFINITY_SHIM_SOCKET_CPUS in the
 *                       environment spread the nodes and sockets, as all nodes begin with CPU 0
 *   sched_getaffinity   answers the remembered mask, else the kernel's
 *   setgroups           succeed where a user namespace forbids them. Without that the daemons of
 *   initgroups          an ordinary user give up: "Failed to drop supplementary groups"
 *
 * Limits: remembers 64 process ids, then overwrites the oldest; not thread safe; Linux only.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REMEMBERED 64

static struct {
    pid_t pid; /* process or thread, 0 in a free entry */
    cpu_set_t mask;
} remembered[REMEMBERED];

static size_t next_entry; /* the free or oldest one */

/* The mask remembered for pid, or NULL. */
static cpu_set_t *find_mask(pid_t pid)
{
    for (size_t i = 0; i < REMEMBERED; i++)
        if (remembered[i].pid == pid)
            return &remembered[i].mask;
    return NULL;
}

static void remember_mask(pid_t pid, const cpu_set_t *mask)
{
    cpu_set_t *known = find_mask(pid);

    if (!known) {
        remembered[next_entry].pid = pid;
        known = &remembered[next_entry].mask;
        next_entry = (next_entry + 1) % REMEMBERED;
    }
    *known = *mask;
}

/* The value of an environment variable, at least `least`. */
static size_t setting(const char *name, size_t least)
{
    const char *text = getenv(name);
    const size_t value = text ? strtoul(text, NULL, 10) : 0;

    return value > least ? value : least;
}

/* Neighbours go to different real CPUs, and so do the first CPUs of nodes and sockets. */
static size_t fold(size_t cpu)
{
    const size_t real_cpus = (size_t)sysconf(_SC_NPROCESSORS_CONF);
    const size_t socket = cpu / setting("AFFINITY_SHIM_SOCKET_CPUS", 1);

    return (cpu + socket + setting("AFFINITY_SHIM_NODE", 0)) % real_cpus;
}

int sched_setaffinity(pid_t pid, size_t bytes, const cpu_set_t *mask)
{
    cpu_set_t asked, folded;

    CPU_ZERO(&asked);
    CPU_ZERO(&folded);
    for (size_t cpu = 0; cpu < bytes * 8 && cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET_S(cpu, bytes, mask)) {
            CPU_SET(cpu, &asked);
            CPU_SET(fold(cpu), &folded);
        }
    remember_mask(pid ? pid : getpid(), &asked);
    return syscall(SYS_sched_setaffinity, pid, sizeof folded, &folded) < 0 ? -1 : 0;
}

int sched_getaffinity(pid_t pid, size_t bytes, cpu_set_t *mask)
{
    const cpu_set_t *known = find_mask(pid ? pid : getpid());

    if (known) {
        memset(mask, 0, bytes);
        memcpy(mask, known, bytes < sizeof *known ? bytes : sizeof *known);
        return 0;
    }
    const long written = syscall(SYS_sched_getaffinity, pid, bytes, mask);
    if (written < 0)
        return -1;
    if ((size_t)written < bytes) /* the C library clears what the kernel leaves, and so must we */
        memset((char *)mask + written, 0, bytes - (size_t)written);
    return 0;
}

int setgroups(size_t count, const gid_t *groups)
{
    return syscall(SYS_setgroups, count, groups) < 0 && errno != EPERM ? -1 : 0;
}

int initgroups(const char *user, gid_t group)
{
    (void)user;
    (void)group;
    return 0;
}
