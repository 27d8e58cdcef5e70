#include "local/lib/bandwidth.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define HAVE_X86 1
#include <immintrin.h>
#endif

static void triad_plain(float *c, const float *a, const float *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        c[i] = a[i] + 3 * b[i];
}

static uint64_t read_plain(const uint64_t *words, size_t count)
{
    uint64_t all = 0;

    for (size_t i = 0; i < count; i++)
        all ^= words[i];
    return all;
}

#ifdef HAVE_X86
enum { LINE_FLOATS = 16, LINE_WORDS = 8 }; /* of a cache line, 64 bytes */

/* Elements before the first cache line of `address`. */
static size_t before_line(const void *address, size_t element_bytes, size_t count)
{
    const size_t before = (64 - (uintptr_t)address % 64) % 64 / element_bytes;

    return before < count ? before : count;
}

static void triad_sse2(float *c, const float *a, const float *b, size_t count)
{
    const __m128 three = _mm_set1_ps(3);

    for (size_t i = 0; i < count; i += 4) {
        const __m128 product = _mm_mul_ps(three, _mm_loadu_ps(b + i));
        _mm_stream_ps(c + i, _mm_add_ps(_mm_loadu_ps(a + i), product));
    }
}

__attribute__((target("avx")))
static void triad_avx(float *c, const float *a, const float *b, size_t count)
{
    const __m256 three = _mm256_set1_ps(3);

    for (size_t i = 0; i < count; i += 8) {
        const __m256 product = _mm256_mul_ps(three, _mm256_loadu_ps(b + i));
        _mm256_stream_ps(c + i, _mm256_add_ps(_mm256_loadu_ps(a + i), product));
    }
}

__attribute__((target("avx512f")))
static void triad_avx512(float *c, const float *a, const float *b, size_t count)
{
    const __m512 three = _mm512_set1_ps(3);

    for (size_t i = 0; i < count; i += 16) {
        const __m512 product = _mm512_mul_ps(three, _mm512_loadu_ps(b + i));
        _mm512_stream_ps(c + i, _mm512_add_ps(_mm512_loadu_ps(a + i), product));
    }
}

/* Several results side by side: one alone would wait for its last operation, not for memory. */
static uint64_t read_sse2(const uint64_t *words, size_t count)
{
    __m128i all[4] = { _mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128(),
                       _mm_setzero_si128() };
    uint64_t pair[2];

    for (size_t i = 0; i < count; i += LINE_WORDS)
        for (size_t k = 0; k < 4; k++)
            all[k] = _mm_xor_si128(all[k], _mm_loadu_si128((const void *)(words + i + 2 * k)));
    for (size_t k = 1; k < 4; k++)
        all[0] = _mm_xor_si128(all[0], all[k]);
    _mm_storeu_si128((void *)pair, all[0]);
    return pair[0] ^ pair[1];
}

__attribute__((target("avx512f")))
static uint64_t read_avx512(const uint64_t *words, size_t count)
{
    __m512i even = _mm512_setzero_si512(), odd = even;
    uint64_t lanes[LINE_WORDS];
    size_t i = 0;

    for (; i + 2 * LINE_WORDS <= count; i += 2 * LINE_WORDS) {
        even = _mm512_xor_si512(even, _mm512_loadu_si512(words + i));
        odd = _mm512_xor_si512(odd, _mm512_loadu_si512(words + i + LINE_WORDS));
    }
    if (i < count)
        even = _mm512_xor_si512(even, _mm512_loadu_si512(words + i));
    _mm512_storeu_si512(lanes, _mm512_xor_si512(even, odd));
    return read_plain(lanes, LINE_WORDS);
}
#endif

void bandwidth_triad(float *c, const float *a, const float *b, size_t count)
{
#ifdef HAVE_X86
    const size_t before = before_line(c, sizeof *c, count);
    const size_t lines = (count - before) / LINE_FLOATS * LINE_FLOATS;

    triad_plain(c, a, b, before);
    c += before;
    a += before;
    b += before;
    count -= before;
    if (__builtin_cpu_supports("avx512f"))
        triad_avx512(c, a, b, lines);
    else if (__builtin_cpu_supports("avx"))
        triad_avx(c, a, b, lines);
    else
        triad_sse2(c, a, b, lines);
    _mm_sfence(); /* such stores are seen by others only behind a fence */
    triad_plain(c + lines, a + lines, b + lines, count - lines);
#else
    triad_plain(c, a, b, count);
#endif
}

uint64_t bandwidth_read(const uint64_t *words, size_t count)
{
#ifdef HAVE_X86
    const size_t lines = count / LINE_WORDS * LINE_WORDS;
    const uint64_t rest = read_plain(words + lines, count - lines);

    if (__builtin_cpu_supports("avx512f"))
        return rest ^ read_avx512(words, lines);
    return rest ^ read_sse2(words, lines);
#else
    return read_plain(words, count);
#endif
}

const char *bandwidth_kind(void)
{
#ifdef HAVE_X86
    if (__builtin_cpu_supports("avx512f"))
        return "AVX-512";
    return __builtin_cpu_supports("avx") ? "AVX" : "SSE2";
#else
    return "plain";
#endif
}
