/* Vectors of 64 bytes and the few functions of them that the kernels need. Compile with REAL as float or double. */

#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>

#define LANES ((int)(64 / sizeof(REAL)))

typedef REAL vec __attribute__((vector_size(64), aligned(64)));
typedef REAL unaligned __attribute__((vector_size(64), aligned(sizeof(REAL)), may_alias));
#ifdef USE_FLOAT
typedef int32_t integers __attribute__((vector_size(64), aligned(64)));
enum { MANTISSA = 23, BIAS = 127, EXP_TERMS = 7, TRIG_TERMS = 7 };
static const REAL LN2_HIGH = 0.693359375f, LN2_LOW = -2.12194440e-4f;
#else
typedef int64_t integers __attribute__((vector_size(64), aligned(64)));
enum { MANTISSA = 52, BIAS = 1023, EXP_TERMS = 13, TRIG_TERMS = 11 };
static const REAL LN2_HIGH = 6.93145751953125e-1, LN2_LOW = 1.42860682030941723212e-6;
#endif

static inline vec broadcast(double value) { return (vec){0} + (REAL)value; }

static inline vec load(const REAL *from) { return *(const unaligned *)from; }

static inline void store(REAL *to, vec value) { *(unaligned *)to = value; }

/* Sum of the lanes: halves are added until one is left. */
static inline REAL sum(vec value) {
    typedef REAL half __attribute__((vector_size(32)));
    typedef REAL quarter __attribute__((vector_size(16)));
    union { vec whole; half part[2]; } first = {value};
    union { half whole; quarter part[2]; } second = {first.part[0] + first.part[1]};
    quarter last = second.part[0] + second.part[1];
    REAL result = last[0] + last[1];
#ifdef USE_FLOAT
    result += last[2] + last[3];
#endif
    return result;
}

/* One step of `sums_of`: groups of 2 * SPAN lanes become groups of SPAN lanes, first those of x, then those of y. */
#define LOW(e, SPAN) ((e) / (SPAN) * 2 * (SPAN) + (e) % (SPAN))
#define FOUR(e, SPAN, UP) LOW(e, SPAN) + UP, LOW(e + 1, SPAN) + UP, LOW(e + 2, SPAN) + UP, LOW(e + 3, SPAN) + UP
#ifdef USE_FLOAT
#define MASK(SPAN, UP) (integers){FOUR(0, SPAN, UP), FOUR(4, SPAN, UP), FOUR(8, SPAN, UP), FOUR(12, SPAN, UP)}
#else
#define MASK(SPAN, UP) (integers){FOUR(0, SPAN, UP), FOUR(4, SPAN, UP)}
#endif
#define FOLD(x, y, SPAN) (__builtin_shuffle(x, y, MASK(SPAN, 0)) + __builtin_shuffle(x, y, MASK(SPAN, SPAN)))

/* Sums of LANES vectors, each in a lane of its own: as a tree, with two shuffles for each addition. */
static inline vec sums_of(const vec *v) {
    vec fold[LANES / 2];
    for (int k = 0; k < LANES / 2; k++) fold[k] = FOLD(v[2 * k], v[2 * k + 1], LANES / 2);
    for (int k = 0; k < LANES / 4; k++) fold[k] = FOLD(fold[2 * k], fold[2 * k + 1], LANES / 4);
    for (int k = 0; k < LANES / 8; k++) fold[k] = FOLD(fold[2 * k], fold[2 * k + 1], LANES / 8);
#ifdef USE_FLOAT
    return FOLD(fold[0], fold[1], 1);
#else
    return fold[0];
#endif
}

/* Lane by lane: where the mask (of a comparison) is set the first, else the second. */
static inline vec choose(integers mask, vec yes, vec no) {
    return (vec)(((integers)yes & mask) | ((integers)no & ~mask));
}

/* exp(x) for x <= 0: Taylor's series on half an octave around a power of two. */
static inline vec exponential(vec x) {
    const vec lowest = broadcast(-0.69 * (BIAS - 1));
    x = choose(x < lowest, lowest, x);
    integers power = __builtin_convertvector(x * (REAL)1.4426950408889634 - (REAL)0.5, integers);
    vec whole = __builtin_convertvector(power, vec);
    vec rest = (x - whole * LN2_HIGH) - whole * LN2_LOW, result = broadcast(1);
    for (int k = EXP_TERMS; k > 0; k--) result = 1 + result * rest * (REAL)(1.0 / k);
    return result * (vec)((power + BIAS) << MANTISSA);
}

/* Cosine and sine of an angle in [0, pi]: Taylor's series around pi / 2. */
static inline void cosine_sine(vec angle, vec *cosine, vec *sine) {
    vec y = angle - (REAL)1.5707963267948966, square = y * y, s = broadcast(1), c = broadcast(1);
    for (int k = TRIG_TERMS; k > 0; k--) {
        s = 1 - s * square * (REAL)(1.0 / ((2 * k) * (2 * k + 1)));
        c = 1 - c * square * (REAL)(1.0 / ((2 * k - 1) * (2 * k)));
    }
    *cosine = -s * y;
    *sine = c;
}

static inline vec square_root(vec x) {
    for (int e = 0; e < LANES; e++) x[e] = (REAL)sqrt((double)x[e]);
    return x;
}
