/* line - what belongs to different threads stands apart. */
#ifndef LOCAL_LIB_LINE_H
#define LOCAL_LIB_LINE_H

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

/* A wait of some nanoseconds in a loop that watches a variable: the core's other thread goes on. */
static inline void line_pause(void)
{
#if defined __x86_64__ || defined __i386__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("isb" ::: "memory");
#endif
}

#endif
