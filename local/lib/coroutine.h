/*
 * coroutine - functions that keep their place: they are left in the middle and resumed there.
 *
 * A coroutine runs on a stack of its own, in the thread that resumes it, until it yields or
 * returns. Only one of a thread runs at a time, so between two yields nothing needs a lock. The
 * switch saves what a function must preserve for its caller (System V ABI for x86-64, AAPCS64):
 * about ten instructions, no system call. Elsewhere, and under sanitizers, it is that of ucontext
 * (POSIX 2004), which saves the signal mask by two system calls. The floating-point control words
 * (rounding, traps) are not saved: coroutines that change them share them.
 *
 * A thread may have any number; a coroutine is resumed by one thread at a time.
 */
#ifndef LOCAL_LIB_COROUTINE_H
#define LOCAL_LIB_COROUTINE_H

#include <stdbool.h>
#include <stddef.h>

struct coroutine;

/*
 * A coroutine that will run body(arg), on a stack of so many bytes (rounded up to pages, 16 KiB at
 * least), which ends in a page that cannot be touched. Returns NULL with errno (ENOMEM, EAGAIN).
 * coroutine_destroy() frees it, also before it has returned; not from within.
 */
struct coroutine *coroutine_create(void (*body)(void *arg), void *arg, size_t stack_bytes);
void coroutine_destroy(struct coroutine *coroutine);

/* Runs it until it yields or returns. Whether there is more: false when its body has returned. */
bool coroutine_resume(struct coroutine *coroutine);

/* Leaves the running coroutine, back to who resumed it. Outside of any it does nothing. */
void coroutine_yield(void);

/* The running one of this thread, or NULL. */
struct coroutine *coroutine_running(void);

/* "x86-64", "aarch64" or "ucontext". */
const char *coroutine_kind(void);

#endif
