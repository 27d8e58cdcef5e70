#include "hybrid/lib/stream.h"

#include <stdint.h>

static void scale_plain(double *to, const double *from, double factor, size_t count)
{
#pragma omp simd
    for (size_t i = 0; i < count; i++)
        to[i] = factor * from[i];
}

static void triad_plain(double *to, const double *x, const double *y, double factor, size_t count)
{
#pragma omp simd
    for (size_t i = 0; i < count; i++)
        to[i] = x[i] + factor * y[i];
}

static const struct stream plain = { "plain", scale_plain, triad_plain };

const struct stream *stream_ordinary(void)
{
    return &plain;
}

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

enum { LINE = 8 }; /* doubles of a cache line */

/* Elements before the first cache line of `to`. */
static size_t before_line(const double *to, size_t count)
{
    const size_t before = (64 - (uintptr_t)to % 64) % 64 / sizeof *to;

    return before < count ? before : count;
}

/* The functions of one width: whole cache lines by stores past the caches, what is left at both
 * ends by ordinary ones. Such stores are seen by others only behind a fence. */
#define WIDTH(name, isa, vector, set1, load, mul, add, stream)                                     \
    __attribute__((target(isa)))                                                                   \
    static void scale_##name(double *to, const double *from, double factor, size_t count)          \
    {                                                                                              \
        const size_t before = before_line(to, count);                                              \
        const size_t end = before + (count - before) / LINE * LINE;                                \
        const vector factors = set1(factor);                                                       \
                                                                                                   \
        scale_plain(to, from, factor, before);                                                     \
        for (size_t i = before; i < end; i += sizeof(vector) / sizeof(double))                     \
            stream(to + i, mul(factors, load(from + i)));                                          \
        _mm_sfence();                                                                              \
        scale_plain(to + end, from + end, factor, count - end);                                    \
    }                                                                                              \
                                                                                                   \
    __attribute__((target(isa)))                                                                   \
    static void triad_##name(double *to, const double *x, const double *y, double factor,          \
                             size_t count)                                                         \
    {                                                                                              \
        const size_t before = before_line(to, count);                                              \
        const size_t end = before + (count - before) / LINE * LINE;                                \
        const vector factors = set1(factor);                                                       \
                                                                                                   \
        triad_plain(to, x, y, factor, before);                                                     \
        for (size_t i = before; i < end; i += sizeof(vector) / sizeof(double))                     \
            stream(to + i, add(load(x + i), mul(factors, load(y + i))));                           \
        _mm_sfence();                                                                              \
        triad_plain(to + end, x + end, y + end, factor, count - end);                              \
    }

WIDTH(sse2, "sse2", __m128d, _mm_set1_pd, _mm_loadu_pd, _mm_mul_pd, _mm_add_pd, _mm_stream_pd)
WIDTH(avx, "avx", __m256d, _mm256_set1_pd, _mm256_loadu_pd, _mm256_mul_pd, _mm256_add_pd,
      _mm256_stream_pd)
WIDTH(avx512, "avx512f", __m512d, _mm512_set1_pd, _mm512_loadu_pd, _mm512_mul_pd, _mm512_add_pd,
      _mm512_stream_pd)

const struct stream *stream_past_caches(void)
{
    static const struct stream sse2 = { "SSE2", scale_sse2, triad_sse2 };
    static const struct stream avx = { "AVX", scale_avx, triad_avx };
    static const struct stream avx512 = { "AVX-512", scale_avx512, triad_avx512 };

    if (__builtin_cpu_supports("avx512f"))
        return &avx512;
    return __builtin_cpu_supports("avx") ? &avx : &sse2;
}
#else
const struct stream *stream_past_caches(void)
{
    return &plain;
}
#endif
