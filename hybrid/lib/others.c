#ifdef __linux__
#define _GNU_SOURCE
#include <sched.h>
#endif
#include "hybrid/lib/others.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/clock.h"
#include "local/lib/cpus.h"

#ifdef __linux__

enum { LOOKS = 10 };

/* A process of which a thread was seen to run where we look. */
struct seen {
    pid_t pid;
    int times, cpu;
    char name[32];
};

struct seen_list {
    struct seen *seen;
    size_t count, room;
};

/* What /proc/PID/task/TID/stat tells; the name, in parentheses, may hold blanks and parentheses. */
static bool read_stat(pid_t pid, pid_t tid, char name[32], char *state, unsigned long *flags, int *cpu)
{
    char path[64], line[1024];

    snprintf(path, sizeof path, "/proc/%ld/task/%ld/stat", (long)pid, (long)tid);
    FILE *const file = fopen(path, "r");
    const bool got = file && fgets(line, sizeof line, file);
    if (file)
        fclose(file);
    char *const begin = got ? strchr(line, '(') : NULL, *const end = got ? strrchr(line, ')') : NULL;
    if (!begin || !end)
        return false;
    snprintf(name, 32, "%.*s", (int)(end - begin - 1), begin + 1);
    int field = 2;
    for (char *word = strtok(end + 1, " "); word; word = strtok(NULL, " ")) {
        field++;
        if (field == 3)
            *state = word[0];
        else if (field == 9)
            *flags = strtoul(word, NULL, 10);
        else if (field == 39) {
            *cpu = atoi(word);
            return true;
        }
    }
    return false;
}

/* The thread may run on some of the CPUs alone. */
static bool is_bound(pid_t tid)
{
    static const size_t bytes = CPUS_WORDS * sizeof(uint64_t);
    struct cpus cpus = { { 0 } };

    return sched_getaffinity(tid, bytes, (cpu_set_t *)(void *)&cpus) == 0 &&
           cpus_count(&cpus) < cpus_online();
}

static int note(struct seen_list *list, pid_t pid, const char *name, int cpu)
{
    size_t i = 0;

    while (i < list->count && (list->seen[i].pid != pid || list->seen[i].cpu != cpu))
        i++;
    if (i == list->count) {
        if (list->count == list->room) {
            struct seen *const more = realloc(list->seen, (2 * list->room + 8) * sizeof *more);
            if (!more)
                return -1;
            list->seen = more;
            list->room = 2 * list->room + 8;
        }
        list->seen[list->count] = (struct seen){ .pid = pid, .cpu = cpu };
        snprintf(list->seen[list->count++].name, sizeof list->seen->name, "%s", name);
    }
    list->seen[i].times++;
    return 0;
}

/* The threads of one process. 0, or -1 with errno. */
static int look_at(pid_t pid, hwloc_const_bitmap_t cpus, struct seen_list *list)
{
    static const unsigned long kernel_thread = 0x00200000; /* PF_KTHREAD */
    char path[64], name[32], state = '?';
    unsigned long flags = 0;
    struct dirent *entry;
    int cpu = -1, status = 0;

    snprintf(path, sizeof path, "/proc/%ld/task", (long)pid);
    DIR *const tasks = opendir(path);
    if (!tasks)
        return 0; /* it has ended */
    while (status == 0 && (entry = readdir(tasks))) {
        const pid_t tid = (pid_t)atol(entry->d_name);
        if (tid > 0 && read_stat(pid, tid, name, &state, &flags, &cpu) && state == 'R' &&
            !(flags & kernel_thread) && cpu >= 0 && hwloc_bitmap_isset(cpus, (unsigned)cpu) &&
            is_bound(tid))
            status = note(list, pid, name, cpu);
    }
    closedir(tasks);
    return status;
}

static bool is_own(pid_t pid, const pid_t *own, int own_count)
{
    for (int i = 0; i < own_count; i++)
        if (own[i] == pid)
            return true;
    return false;
}

static int look(hwloc_const_bitmap_t cpus, const pid_t *own, int own_count, struct seen_list *list)
{
    DIR *const processes = opendir("/proc");
    struct dirent *entry;
    int status = 0;

    if (!processes)
        return -1;
    while (status == 0 && (entry = readdir(processes)))
        if (isdigit((unsigned char)entry->d_name[0])) {
            const pid_t pid = (pid_t)atol(entry->d_name);
            if (!is_own(pid, own, own_count))
                status = look_at(pid, cpus, list);
        }
    closedir(processes);
    return status;
}

static int tell(const struct seen_list *list, char *text, size_t size, hwloc_bitmap_t busy)
{
    size_t at = 0;
    int count = 0;

    for (size_t i = 0; i < list->count; i++) {
        const struct seen *const s = &list->seen[i];
        if (s->times < LOOKS / 2)
            continue;
        if (at < size)
            at += (size_t)snprintf(text + at, size - at, "%s%s (process %ld) on CPU %d",
                                   count > 0 ? ", " : "", s->name, (long)s->pid, s->cpu);
        if (busy)
            hwloc_bitmap_set(busy, (unsigned)s->cpu);
        count++;
    }
    return count;
}

#endif

int others_on(hwloc_const_bitmap_t cpus, const pid_t *own, int own_count, char *text, size_t size,
              hwloc_bitmap_t busy)
{
    int count = 0;

    text[0] = '\0';
    if (busy)
        hwloc_bitmap_zero(busy);
#ifdef __linux__
    struct seen_list list = { NULL, 0, 0 };
    int status = 0;

    for (int i = 0; i < LOOKS && status == 0; i++) {
        status = look(cpus, own, own_count, &list);
        clock_sleep(0.1 / LOOKS);
    }
    count = status == 0 ? tell(&list, text, size, busy) : -1;
    free(list.seen);
#else
    (void)cpus;
    (void)own;
    (void)own_count;
    (void)size;
#endif
    return count;
}
