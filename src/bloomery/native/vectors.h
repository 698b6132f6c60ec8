/* Vectors as wide as this processor's registers, and the few functions of them that the kernels need.
 *
 * Compile with REAL as float or double. Vectors wider than the registers would be right too, but five times slower: the
 * compiler then carries them through memory.
 */

#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(BYTES)
/* A test asks for the width of another processor. */
#elif defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
#ifdef USE_FLOAT
#define LANES (BYTES / 4)
#else
#define LANES (BYTES / 8)
#endif

typedef REAL vec __attribute__((vector_size(BYTES), aligned(BYTES)));
typedef REAL unaligned __attribute__((vector_size(BYTES), aligned(sizeof(REAL)), may_alias));
#ifdef USE_FLOAT
typedef int32_t integers __attribute__((vector_size(BYTES), aligned(BYTES)));
enum { MANTISSA = 23, BIAS = 127, EXP_TERMS = 8, TRIG_TERMS = 8 };
static const REAL LN2_HIGH = 0.693359375f, LN2_LOW = -2.12194440e-4f;
#else
typedef int64_t integers __attribute__((vector_size(BYTES), aligned(BYTES)));
enum { MANTISSA = 52, BIAS = 1023, EXP_TERMS = 14, TRIG_TERMS = 12 };
static const REAL LN2_HIGH = 6.93145751953125e-1, LN2_LOW = 1.42860682030941723212e-6;
#endif

/* How many numbers a vector holds: arrays that are read as vectors are padded to multiples of it. */
int64_t vector_lanes(void) { return LANES; }

/* Minus zero, not plus: that leaves every number as it is, and costs no addition. */
static inline vec broadcast(double value) { return (REAL)value - (vec){0}; }

static inline vec load(const REAL *from) { return *(const unaligned *)from; }

static inline void store(REAL *to, vec value) { *(unaligned *)to = value; }

/* A vector of lanes of x and y: lane e is the PLACE(e, ...)-th of both, one after the other. */
#define TWO(e, PLACE, ...) PLACE(e, __VA_ARGS__), PLACE((e) + 1, __VA_ARGS__)
#define FOUR(e, ...) TWO(e, __VA_ARGS__), TWO((e) + 2, __VA_ARGS__)
#define EIGHT(e, ...) FOUR(e, __VA_ARGS__), FOUR((e) + 4, __VA_ARGS__)
#if LANES == 16
#define EACH_LANE(...) EIGHT(0, __VA_ARGS__), EIGHT(8, __VA_ARGS__)
#elif LANES == 8
#define EACH_LANE(...) EIGHT(0, __VA_ARGS__)
#elif LANES == 4
#define EACH_LANE(...) FOUR(0, __VA_ARGS__)
#else
#define EACH_LANE(...) TWO(0, __VA_ARGS__)
#endif
#ifdef __clang__
#define SHUFFLE(x, y, ...) __builtin_shufflevector(x, y, EACH_LANE(__VA_ARGS__))
#else
#define SHUFFLE(x, y, ...) __builtin_shuffle(x, y, (integers){EACH_LANE(__VA_ARGS__)})
#endif

/* One step of `sums_of`: groups of 2 * SPAN lanes become groups of SPAN lanes, first those of x, then those of y. */
#define GROUP(e, SPAN, UP) ((e) / (SPAN) * 2 * (SPAN) + (e) % (SPAN) + (UP))
#define FOLD(x, y, SPAN) (SHUFFLE(x, y, GROUP, SPAN, 0) + SHUFFLE(x, y, GROUP, SPAN, SPAN))

/* One step of `transpose`: of every 2 * SPAN lanes of x, the upper half changes places with the lower half of y. */
#define LOWER(e, SPAN) ((e) & (SPAN) ? LANES + (e) - (SPAN) : (e))
#define UPPER(e, SPAN) ((e) & (SPAN) ? LANES + (e) : (e) + (SPAN))
#define SWAP(v, SPAN) \
    for (int k = 0; k < LANES; k++) \
        if (!(k & (SPAN))) { \
            const vec x = (v)[k], y = (v)[k + (SPAN)]; \
            (v)[k] = SHUFFLE(x, y, LOWER, SPAN); \
            (v)[k + (SPAN)] = SHUFFLE(x, y, UPPER, SPAN); \
        }

/* Rows to columns of LANES vectors, in place. */
static inline void transpose(vec *v) {
#if LANES > 8
    SWAP(v, 8)
#endif
#if LANES > 4
    SWAP(v, 4)
#endif
#if LANES > 2
    SWAP(v, 2)
#endif
    SWAP(v, 1)
}

/* Sums of LANES vectors, each in a lane of its own: as a tree, with two shuffles for each addition. */
static inline vec sums_of(const vec *v) {
    vec fold[LANES / 2];
    for (int k = 0; k < LANES / 2; k++) fold[k] = FOLD(v[2 * k], v[2 * k + 1], LANES / 2);
#if LANES > 8
    for (int k = 0; k < 4; k++) fold[k] = FOLD(fold[2 * k], fold[2 * k + 1], 4);
#endif
#if LANES > 4
    for (int k = 0; k < 2; k++) fold[k] = FOLD(fold[2 * k], fold[2 * k + 1], 2);
#endif
#if LANES > 2
    fold[0] = FOLD(fold[0], fold[1], 1);
#endif
    return fold[0];
}

/* Sum of the lanes. */
static inline REAL sum(vec value) {
#if LANES > 8
    value = FOLD(value, value, 8);
#endif
#if LANES > 4
    value = FOLD(value, value, 4);
#endif
#if LANES > 2
    value = FOLD(value, value, 2);
#endif
    return value[0] + value[1];
}

/* Lane by lane: where the mask (of a comparison) is set the first, else the second. */
static inline vec choose(integers mask, vec yes, vec no) {
    return (vec)(((integers)yes & mask) | ((integers)no & ~mask));
}

/* Terms up to x^(terms - 1), pairs at a time (Estrin's scheme): a chain of a quarter of the length of Horner's. */
static inline vec polynomial(const int terms, const double *coefficients, vec x) {
    vec part[8];
    for (int k = 0; k < terms / 2; k++) part[k] = (REAL)coefficients[2 * k] + (REAL)coefficients[2 * k + 1] * x;
    for (int n = terms / 2; n > 1; n = (n + 1) / 2) {
        x *= x;
        for (int k = 0; k < n / 2; k++) part[k] = part[2 * k] + part[2 * k + 1] * x;
        if (n % 2) part[n / 2] = part[n - 1];
    }
    return part[0];
}

/* exp(x) for x <= 0: Taylor's series on half an octave around a power of two. */
static inline vec exponential(vec x) {
    static const double reciprocal_factorials[14] = {
        1, 1, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800,
        1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800};
    const vec lowest = broadcast(-0.69 * (BIAS - 1));
    x = choose(x < lowest, lowest, x);
    /* So large that nothing stays behind the point: the whole part is in the last bits of the sum. */
    const REAL large = (REAL)(3 * (1LL << (MANTISSA - 1)));
    const vec shifted = x * (REAL)1.4426950408889634 + large, whole = shifted - large;
    const vec rest = (x - whole * LN2_HIGH) - whole * LN2_LOW;
    return polynomial(EXP_TERMS, reciprocal_factorials, rest) * (vec)(((integers)shifted + BIAS) << MANTISSA);
}

/* Cosine and sine of an angle in [0, pi]: Taylor's series around pi / 2. */
static inline void cosine_sine(vec angle, vec *cosine, vec *sine) {
    static const double odd[12] = {
        1, -1.0 / 6, 1.0 / 120, -1.0 / 5040, 1.0 / 362880, -1.0 / 39916800, 1.0 / 6227020800, -1.0 / 1307674368000,
        1.0 / 355687428096000, -1.0 / 121645100408832000, 1.0 / 51090942171709440000.0,
        -1.0 / 25852016738884976640000.0};
    static const double even[12] = {
        1, -1.0 / 2, 1.0 / 24, -1.0 / 720, 1.0 / 40320, -1.0 / 3628800, 1.0 / 479001600, -1.0 / 87178291200,
        1.0 / 20922789888000, -1.0 / 6402373705728000, 1.0 / 2432902008176640000.0, -1.0 / 1124000727777607680000.0};
    vec y = angle - (REAL)1.5707963267948966, square = y * y;
    *cosine = -y * polynomial(TRIG_TERMS, odd, square);
    *sine = polynomial(TRIG_TERMS, even, square);
}

static inline vec square_root(vec x) {
    for (int e = 0; e < LANES; e++) x[e] = (REAL)sqrt((double)x[e]);
    return x;
}
