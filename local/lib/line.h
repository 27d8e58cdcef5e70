/* line - what belongs to different threads stands apart. */
#ifndef LOCAL_LIB_LINE_H
#define LOCAL_LIB_LINE_H

#include <sched.h>
#include <stddef.h>
#include <stdint.h>

/* Two cache lines of 64 bytes, because x86 processors fetch them in pairs; one of Apple's. */
enum { LINE_BYTES = 128 };

/* The least power of 2 that is not below `n`; 1 for 0, 0 if there is none. */
static inline size_t line_power_of_2(size_t n)
{
    size_t power = 1;

    while (power && power < n)
        power *= 2;
    return power;
}

/* `bytes` rounded up to whole lines, for aligned_alloc(LINE_BYTES, ...); above half of what a size_t
 * holds that half, which it refuses. */
static inline size_t line_up(size_t bytes)
{
    return bytes > SIZE_MAX / 2 ? SIZE_MAX / 2 / LINE_BYTES * LINE_BYTES
                                         : (bytes + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES;
}

/* A wait of some nanoseconds in a loop that watches a variable: the core's other thread goes on. */
static inline void line_pause(void)
{
#if defined __x86_64__ || defined __i386__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("isb" ::: "memory");
#endif
}

/* Between two looks at a variable, after so many: now and then the core is left to others, since
 * the one who is waited for may want to run on it. */
static inline void line_wait(unsigned looks)
{
    if (looks % 16 == 15)
        sched_yield();
    else
        line_pause();
}

#endif
