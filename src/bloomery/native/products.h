/* Products of small matrices of which the sums stay in registers. */

#pragma once

#include "vectors.h"

/* ROWS times COLUMNS sums, and a few vectors more, fill the registers. */
#ifdef __AVX512F__
enum { ROWS = 8, COLUMNS = 2 };
#else
enum { ROWS = 6, COLUMNS = 2 };
#endif

/* `count` vectors of out = start + a w, for ROWS rows; w is (inner, count). */
static inline void columns(const int count, int64_t inner, int64_t width, const REAL *a, int64_t stride, const REAL *w,
                           const REAL *start, REAL *out) {
    vec total[ROWS][COLUMNS];
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < count; c++) total[r][c] = start ? load(start + c * LANES) : (vec){0};
    for (int64_t k = 0; k < inner; k++, w += count * LANES)
        for (int r = 0; r < ROWS; r++)
            for (int c = 0; c < count; c++) total[r][c] += load(w + c * LANES) * a[r * stride + k];
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < count; c++) store(out + r * width + c * LANES, total[r][c]);
}

/* out = start + a w, for `rows` rows and up to the next multiple of ROWS; w is (inner, width), panels of COLUMNS vectors
 * one after the other. A panel stays in the first cache while all rows go by.
 */
static inline void product(int64_t rows, int64_t inner, int64_t width, const REAL *a, int64_t stride, const REAL *w,
                           const REAL *start, REAL *out) {
    int64_t n = 0;
    for (; n + COLUMNS * LANES <= width; n += COLUMNS * LANES)
        for (int64_t r = 0; r < rows; r += ROWS)
            columns(COLUMNS, inner, width, a + r * stride, stride, w + n * inner, start ? start + n : NULL,
                    out + r * width + n);
    for (; n < width; n += LANES)
        for (int64_t r = 0; r < rows; r += ROWS)
            columns(1, inner, width, a + r * stride, stride, w + n * inner, start ? start + n : NULL,
                    out + r * width + n);
}

/* How many columns of w from the n-th on lie together. */
static inline int64_t panel(int64_t n, int64_t width) { return n + COLUMNS * LANES <= width ? COLUMNS * LANES : LANES; }
