/* Pairs of atoms in an order of their own, and those of them that are close. See neighbours.py. */

#include "vectors.h"

/* It is said where numbers are rounded: a compiler could choose otherwise at the end of a loop than within. */
static inline double scalar_product(double x, double y, double z, double u, double v, double w) {
    return fma(z, w, fma(y, v, x * u));
}

static inline void find_offset(const int32_t *shift, const double *cell, double *offset) {
    for (int k = 0; k < 3; k++)
        offset[k] = scalar_product(shift[0], shift[1], shift[2], cell[k], cell[3 + k], cell[6 + k]);
}

/* Sort places of pairs by one of their atoms; what is equal keeps its order. `begins` is room for (atoms + 1,). */
static void sort_by(int64_t atoms, int64_t count, const int64_t *pairs, const int64_t *given, int64_t *begins,
                    int64_t *sorted) {
    memset(begins, 0, (size_t)(atoms + 1) * sizeof *begins);
    for (int64_t e = 0; e < count; e++) begins[pairs[2 * e] + 1]++;
    for (int64_t i = 0; i < atoms; i++) begins[i + 1] += begins[i];
    for (int64_t e = 0; e < count; e++) {
        const int64_t place = given ? given[e] : e;
        sorted[begins[pairs[2 * place]]++] = place;
    }
}

static int comes_later(const int32_t *shift, const int32_t *other) {
    int k = 0;
    while (k < 2 && shift[k] == other[k]) k++;
    return shift[k] > other[k];
}

/* Pairs (count, 2) and shifts (count, 3) of one frame, sorted by centre, neighbour and shift.
 *
 * `both` (2, count) gets centres and neighbours, `offsets` (count, 3) what the shifts are in space. `work` is room for
 * 2 count + atoms + 1 numbers.
 */
void arrange(int64_t atoms, int64_t count, const int64_t *pairs, const int32_t *shifts, const double *cell,
             int64_t *both, double *offsets, int64_t *work) {
    int64_t *by_neighbour = work, *order = work + count, *begins = work + 2 * count;
    sort_by(atoms, count, pairs + 1, NULL, begins, by_neighbour);
    sort_by(atoms, count, pairs, by_neighbour, begins, order);
    for (int64_t e = 1; e < count; e++)
        for (int64_t k = e; k > 0; k--) {
            const int64_t here = order[k], before = order[k - 1];
            if (pairs[2 * here] != pairs[2 * before] || pairs[2 * here + 1] != pairs[2 * before + 1] ||
                !comes_later(shifts + 3 * before, shifts + 3 * here)) break;
            order[k] = before;
            order[k - 1] = here;
        }
    for (int64_t e = 0; e < count; e++) {
        both[e] = pairs[2 * order[e]];
        both[count + e] = pairs[2 * order[e] + 1];
        find_offset(shifts + 3 * order[e], cell, offsets + 3 * e);
    }
}

/* Those of `count` pairs that are closer than the cutoff, in the same order: how many, and their vectors.
 *
 * `shortest` is lowered to the least square of a distance.
 */
int64_t within(int64_t count, const int64_t *pairs, const double *offsets, const double *positions, double cutoff,
               int64_t *kept, double *vectors, double *shortest) {
    const int64_t *centres = pairs, *neighbours = pairs + count;
    int64_t found = 0;
    for (int64_t e = 0; e < count; e++) {
        const double *from = positions + 3 * centres[e], *to = positions + 3 * neighbours[e], *offset = offsets + 3 * e;
        const double x = to[0] - from[0] + offset[0], y = to[1] - from[1] + offset[1], z = to[2] - from[2] + offset[2];
        kept[found] = centres[e];
        kept[count + found] = neighbours[e];
        vectors[3 * found] = x;
        vectors[3 * found + 1] = y;
        vectors[3 * found + 2] = z;
        const double square = scalar_product(x, y, z, x, y, z);
        if (square < *shortest) *shortest = square;
        found += square < cutoff * cutoff;
    }
    return found;
}
