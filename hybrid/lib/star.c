#include "hybrid/lib/star.h"

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#define HAVE_X86 1
#include <emmintrin.h>
#endif
#ifdef __GNUC__
#define ALWAYS_INLINE __attribute__((always_inline))
#define PREFETCH(address) __builtin_prefetch(address)
#else
#define ALWAYS_INLINE
#define PREFETCH(address) (void)(address)
#endif
#ifdef __clang__ /* gcc's -std=c17 implies it, and warns of the pragma */
#pragma STDC FP_CONTRACT OFF
#endif

struct star star_make(int radius)
{
    struct star star = { .radius = radius };
    const int sum = 7 * radius * (radius + 1) / 2;
    int parts = 1;

    while (parts <= sum)
        parts *= 2;
    star.unit = 1.0 / parts;
    star.centre = (parts - sum) * star.unit;
    for (int k = 1; k <= radius; k++) {
        const double weight = (radius + 1 - k) * star.unit;
        star.up[k] = weight;
        star.down[k] = 2 * weight;
        star.left[k] = 3 * weight;
        star.right[k] = weight;
    }
    return star;
}

double star_drift(const struct star *star, double row_slope, double column_slope)
{
    double drift = 0;

    for (int k = 1; k <= star->radius; k++)
        drift += k * (row_slope * (star->down[k] - star->up[k]) +
                      column_slope * (star->right[k] - star->left[k]));
    return drift;
}

int star_flops(const struct star *star)
{
    return 8 * star->radius + 1;
}

int star_bytes(bool stream)
{
#ifdef HAVE_X86
    return stream ? 16 : 24;
#else
    (void)stream;
    return 24;
#endif
}

/* ---- The kernel: a piece of one row ---- */

/* The four points that are k away from `at`. */
static inline ALWAYS_INLINE double add_terms(double sum, const struct star *star, int k,
                                             const double *at, ptrdiff_t stride)
{
    sum += star->up[k] * at[-k * stride];
    sum += star->down[k] * at[k * stride];
    sum += star->left[k] * at[-k];
    sum += star->right[k] * at[k];
    return sum;
}

/* `radius` is a constant where it is called, so the conditions cost nothing, and a vector of points
 * is worked on at a time: no loop over k stands in the way. */
static inline ALWAYS_INLINE void star_row(const struct star *star, const int radius,
                                          double *restrict out, const double *restrict in,
                                          ptrdiff_t stride, ptrdiff_t columns)
{
#pragma omp simd
    for (ptrdiff_t j = 0; j < columns; j++) {
        double sum = star->centre * in[j];
        if (radius >= 1)
            sum = add_terms(sum, star, 1, in + j, stride);
        if (radius >= 2)
            sum = add_terms(sum, star, 2, in + j, stride);
        if (radius >= 3)
            sum = add_terms(sum, star, 3, in + j, stride);
        if (radius >= 4)
            sum = add_terms(sum, star, 4, in + j, stride);
        out[j] = sum;
    }
}

/* The same for any radius: the terms in the same order, but the points of a piece side by side. */
static inline ALWAYS_INLINE void star_row_any(const struct star *star, double *restrict out,
                                              const double *restrict in, ptrdiff_t stride,
                                              ptrdiff_t columns)
{
    for (ptrdiff_t j = 0; j < columns; j++)
        out[j] = star->centre * in[j];
    for (int k = 1; k <= star->radius; k++) {
        const double up = star->up[k], down = star->down[k];
        const double left = star->left[k], right = star->right[k];
#pragma omp simd
        for (ptrdiff_t j = 0; j < columns; j++) {
            double sum = out[j] + up * in[j - k * stride];
            sum += down * in[j + k * stride];
            sum += left * in[j - k];
            out[j] = sum + right * in[j + k];
        }
    }
}

/* ---- Its way through the rows ---- */

enum {
    PIECE = 256,       /* points of a row at a time: they stay in the nearest cache */
    PIECE_STREAM = 32, /* few, so that requests for memory and computation take turns quickly */
    AHEAD = 2,         /* rows below the last one that is needed: asked for now, used soon */
    LINE = 8,          /* doubles of a cache line */
};

/* Past the caches: four stores of 16 bytes fill a line, which is then written as a whole. */
static inline ALWAYS_INLINE void store_past_caches(double *out, const double *piece, size_t count)
{
    size_t j = 0;

#ifdef HAVE_X86
    for (; j < count && (uintptr_t)(out + j) % 64 > 0; j++)
        out[j] = piece[j];
    for (; j + LINE <= count; j += LINE)
        for (size_t k = 0; k < LINE; k += 2)
            _mm_stream_pd(out + j + k, _mm_loadu_pd(piece + j + k));
#endif
    memcpy(out + j, piece + j, (count - j) * sizeof *out);
}

static inline ALWAYS_INLINE void star_rows(const struct star *given, const int radius, double *out,
                                           const double *in, ptrdiff_t stride, size_t rows,
                                           size_t columns, const bool stream)
{
    const struct star star = *given; /* no store to `out` can change it */
    const size_t most = stream ? PIECE_STREAM : PIECE;
    double piece[PIECE_STREAM];

    for (size_t i = 0; i < rows; i++, out += stride, in += stride)
        for (size_t j = 0; j < columns; j += most) {
            const size_t count = columns - j < most ? columns - j : most;
            double *const to = stream ? piece : out + j;

            for (size_t k = 0; k < count && stream; k += LINE)
                PREFETCH((const char *)(in + j + k) +
                         (star.radius + AHEAD) * stride * (ptrdiff_t)sizeof *in);
            if (radius > 0)
                star_row(&star, radius, to, in + j, stride, (ptrdiff_t)count);
            else
                star_row_any(&star, to, in + j, stride, (ptrdiff_t)count);
            if (stream)
                store_past_caches(out + j, piece, count);
        }
#ifdef HAVE_X86
    if (stream)
        _mm_sfence();
#endif
}

#define STAR_ARGUMENTS                                                                             \
    const struct star *star, double *out, const double *in, ptrdiff_t stride, size_t rows,         \
        size_t columns, bool stream

/* With the radius and the way of storing as constants, so that the compiler can use both. */
#define RADIUS(r)                                                                                  \
    if (stream)                                                                                    \
        star_rows(star, r, out, in, stride, rows, columns, true);                                  \
    else                                                                                           \
        star_rows(star, r, out, in, stride, rows, columns, false)

static inline ALWAYS_INLINE void star_step_inline(STAR_ARGUMENTS)
{
    switch (star->radius) {
    case 1: RADIUS(1); break;
    case 2: RADIUS(2); break;
    case 3: RADIUS(3); break;
    case 4: RADIUS(4); break;
    default: RADIUS(0); break;
    }
}

/* Binaries are for any x86: the same again for CPUs with wider vectors, chosen when it runs. */
#ifdef HAVE_X86
__attribute__((target("avx512f")))
static void star_step_avx512(STAR_ARGUMENTS)
{
    star_step_inline(star, out, in, stride, rows, columns, stream);
}

__attribute__((target("avx2")))
static void star_step_avx2(STAR_ARGUMENTS)
{
    star_step_inline(star, out, in, stride, rows, columns, stream);
}
#endif

void star_step(STAR_ARGUMENTS)
{
#ifdef HAVE_X86
    if (__builtin_cpu_supports("avx512f"))
        star_step_avx512(star, out, in, stride, rows, columns, stream);
    else if (__builtin_cpu_supports("avx2"))
        star_step_avx2(star, out, in, stride, rows, columns, stream);
    else
#endif
        star_step_inline(star, out, in, stride, rows, columns, stream);
}
