#define _DEFAULT_SOURCE 1 /* MAP_ANONYMOUS */
#include "local/lib/coroutine.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__ && defined __ELF__ && \
    (defined __x86_64__ || defined __aarch64__)
#define BY_HAND 1
#else
#include <ucontext.h>
#endif
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

struct coroutine {
    void (*body)(void *arg);
    void *arg;
    struct coroutine *resumer; /* the coroutine it was resumed from, NULL: the thread itself */
    bool has_returned;
    void *memory; /* guard page and stack */
    size_t bytes;
#ifdef BY_HAND
    void *stack, *resumer_stack; /* where each was left */
#else
    ucontext_t context, resumer_context;
#endif
#ifdef __SANITIZE_THREAD__
    void *fiber, *resumer_fiber;
#endif
};

static _Thread_local struct coroutine *running;

#ifdef BY_HAND
/*
 * Puts the registers that belong to the caller on its stack, stores where that ends, and takes
 * those of another stack from there. What it returns to is whoever left that stack.
 */
void coroutine_switch(void **leave, void *enter) __attribute__((visibility("hidden")));
void coroutine_first(void) __attribute__((visibility("hidden")));

#ifdef __x86_64__
enum { FRAME_WORDS = 7 };
__asm__(".text\n"
        ".globl coroutine_switch\n.hidden coroutine_switch\n"
        ".type coroutine_switch, @function\n"
        "coroutine_switch:\n"
        "    pushq %rbp\n    pushq %rbx\n    pushq %r12\n"
        "    pushq %r13\n    pushq %r14\n    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n    popq %r14\n    popq %r13\n"
        "    popq %r12\n    popq %rbx\n    popq %rbp\n"
        "    ret\n"
        ".size coroutine_switch, . - coroutine_switch\n");

/* The stack of a coroutine that has not begun: six registers, and where to return to. The ABI wants
 * the stack to be a multiple of 16 before a call, so 8 more at a function's first instruction. */
static void *first_frame(void *top)
{
    void **const frame = (void **)top - FRAME_WORDS - 1;

    for (int i = 0; i < FRAME_WORDS - 1; i++)
        frame[i] = NULL;
    frame[FRAME_WORDS - 1] = (void *)(uintptr_t)coroutine_first;
    frame[FRAME_WORDS] = NULL;
    return frame;
}
#else /* aarch64: x19 to x30 and the lower halves of v8 to v15 */
enum { FRAME_WORDS = 20 };
__asm__(".text\n"
        ".globl coroutine_switch\n.hidden coroutine_switch\n"
        ".type coroutine_switch, %function\n"
        "coroutine_switch:\n"
        "    sub sp, sp, #160\n"
        "    stp x19, x20, [sp]\n    stp x21, x22, [sp, #16]\n    stp x23, x24, [sp, #32]\n"
        "    stp x25, x26, [sp, #48]\n    stp x27, x28, [sp, #64]\n    stp x29, x30, [sp, #80]\n"
        "    stp d8, d9, [sp, #96]\n    stp d10, d11, [sp, #112]\n"
        "    stp d12, d13, [sp, #128]\n    stp d14, d15, [sp, #144]\n"
        "    mov x9, sp\n    str x9, [x0]\n"
        "    mov sp, x1\n"
        "    ldp x19, x20, [sp]\n    ldp x21, x22, [sp, #16]\n    ldp x23, x24, [sp, #32]\n"
        "    ldp x25, x26, [sp, #48]\n    ldp x27, x28, [sp, #64]\n    ldp x29, x30, [sp, #80]\n"
        "    ldp d8, d9, [sp, #96]\n    ldp d10, d11, [sp, #112]\n"
        "    ldp d12, d13, [sp, #128]\n    ldp d14, d15, [sp, #144]\n"
        "    add sp, sp, #160\n"
        "    ret\n"
        ".size coroutine_switch, . - coroutine_switch\n");

static void *first_frame(void *top)
{
    void **const frame = (void **)top - FRAME_WORDS;

    for (int i = 0; i < FRAME_WORDS; i++)
        frame[i] = NULL;
    frame[11] = (void *)(uintptr_t)coroutine_first; /* x30, the address to return to */
    return frame;
}
#endif

static void enter(struct coroutine *c)
{
    coroutine_switch(&c->resumer_stack, c->stack);
}

static void leave(struct coroutine *c)
{
    coroutine_switch(&c->stack, c->resumer_stack);
}
#else
static void coroutine_first(void);

static void prepare(struct coroutine *c, size_t page)
{
    getcontext(&c->context);
    c->context.uc_stack.ss_sp = (char *)c->memory + page;
    c->context.uc_stack.ss_size = c->bytes - page;
    makecontext(&c->context, coroutine_first, 0);
#ifdef __SANITIZE_THREAD__
    c->fiber = __tsan_create_fiber(0);
#endif
}

static void enter(struct coroutine *c)
{
#ifdef __SANITIZE_THREAD__
    c->resumer_fiber = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(c->fiber, 0);
#endif
    swapcontext(&c->resumer_context, &c->context);
}

static void leave(struct coroutine *c)
{
#ifdef __SANITIZE_THREAD__
    __tsan_switch_to_fiber(c->resumer_fiber, 0);
#endif
    swapcontext(&c->context, &c->resumer_context);
}
#endif

/* What every coroutine begins with, on its own stack. It never returns: there is nobody below. */
void coroutine_first(void)
{
    struct coroutine *const me = running;

    me->body(me->arg);
    me->has_returned = true;
    leave(me);
    abort(); /* resumed after its end: coroutine_resume() does not */
}

struct coroutine *coroutine_create(void (*body)(void *arg), void *arg, size_t stack_bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), least = 16 << 10;
    const size_t wanted = stack_bytes < least ? least : stack_bytes;
    struct coroutine *const c = calloc(1, sizeof *c);

    if (!c || wanted > SIZE_MAX - 2 * page) {
        free(c);
        errno = ENOMEM;
        return NULL;
    }
    c->body = body;
    c->arg = arg;
    c->bytes = page + (wanted + page - 1) / page * page;
    c->memory = mmap(NULL, c->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (c->memory == MAP_FAILED || mprotect(c->memory, page, PROT_NONE)) {
        if (c->memory != MAP_FAILED)
            munmap(c->memory, c->bytes);
        free(c);
        return NULL;
    }
#ifdef BY_HAND
    c->stack = first_frame((char *)c->memory + c->bytes);
#else
    prepare(c, page);
#endif
    return c;
}

void coroutine_destroy(struct coroutine *c)
{
    if (!c)
        return;
#ifdef __SANITIZE_THREAD__
    __tsan_destroy_fiber(c->fiber);
#endif
    munmap(c->memory, c->bytes);
    free(c);
}

bool coroutine_resume(struct coroutine *c)
{
    if (c->has_returned)
        return false;
    c->resumer = running;
    running = c;
    enter(c);
    running = c->resumer;
    return !c->has_returned;
}

void coroutine_yield(void)
{
    if (running)
        leave(running);
}

struct coroutine *coroutine_running(void)
{
    return running;
}

const char *coroutine_kind(void)
{
#if defined BY_HAND && defined __x86_64__
    return "x86-64";
#elif defined BY_HAND
    return "aarch64";
#else
    return "ucontext";
#endif
}
