/* Atoms with their neighbours, and how what neighbours do to each other is added up. */

#pragma once

#include "vectors.h"

#define PAD(size) (((size) + LANES - 1) / LANES * LANES)

/* All atoms with their neighbours; see neighbours.py. */
typedef struct {
    const int64_t *starts;     /* where the neighbours of each atom begin, (atoms + 1,) */
    const int64_t *neighbours;
    const double *vectors;     /* (pairs, 3) */
    const int64_t *species, *frames; /* (atoms,) */
} Atoms;

/* The next `bytes` of memory to work with; with NULL as base they are only counted. */
static inline void *take(char *base, int64_t *used, int64_t bytes) {
    void *found = base + *used;
    *used += (bytes + 63) / 64 * 64;
    return found;
}

/* Forces (atoms, 3, members) and virials (frames, 3, 3, members), and what one centre adds to its own. */
typedef struct {
    int64_t members, wide; /* wide = PAD(3 members) */
    REAL *forces;
    double *virials;       /* NULL: not wanted */
    REAL *own, *tension;   /* (wide,) and (3, wide) */
} Sums;

static inline void begin_centre(const Sums *sums) {
    memset(sums->own, 0, (size_t)sums->wide * sizeof(REAL));
    memset(sums->tension, 0, 3 * (size_t)sums->wide * sizeof(REAL));
}

/* Add what neighbour j gives, from the derivatives (wide,) of the centre's energies by the vector to it. */
static inline void add_neighbour(const Sums *sums, int64_t j, const REAL *vector, const REAL *derivatives) {
    REAL *own = sums->own, *other = sums->forces + 3 * sums->members * j;
    for (int64_t k = 0; k < sums->wide; k += LANES) store(own + k, load(own + k) + load(derivatives + k));
    for (int64_t k = 0; k < 3 * sums->members; k++) other[k] -= derivatives[k];
    if (!sums->virials) return;
    for (int q = 0; q < 3; q++) {
        REAL *tension = sums->tension + q * sums->wide;
        for (int64_t k = 0; k < sums->wide; k += LANES)
            store(tension + k, load(tension + k) + vector[q] * load(derivatives + k));
    }
}

static inline void end_centre(const Sums *sums, const Atoms *atoms, int64_t centre) {
    const int64_t each = 3 * sums->members;
    for (int64_t k = 0; k < each; k++) sums->forces[each * centre + k] += sums->own[k];
    for (int q = 0; q < 3 && sums->virials; q++)
        for (int64_t k = 0; k < each; k++)
            sums->virials[(3 * atoms->frames[centre] + q) * each + k] += (double)sums->tension[q * sums->wide + k];
}

/* Derivatives (members, n, F) of a model's energies by the features (n, F) of the atoms from `first` on. */
typedef void (*Model)(const void *context, int64_t first, int64_t n, const REAL *features, REAL *derivatives);
