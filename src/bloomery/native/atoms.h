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
    int64_t members, each; /* each = PAD(members) */
    REAL *forces;
    double *virials;       /* NULL: not wanted */
    REAL *own, *tension;   /* (3, each) and (3, 3, each) */
} Sums;

/* Take derivatives (3, each) from numbers (3, members). */
static inline void subtract(const Sums *sums, const REAL *derivatives, REAL *from) {
    for (int q = 0; q < 3; q++, derivatives += sums->each, from += sums->members) {
        int64_t m = 0;
        for (; m + LANES <= sums->members; m += LANES) store(from + m, load(from + m) - load(derivatives + m));
        for (; m < sums->members; m++) from[m] -= derivatives[m];
    }
}

static inline void begin_centre(const Sums *sums) {
    memset(sums->own, 0, 3 * (size_t)sums->each * sizeof(REAL));
    memset(sums->tension, 0, 9 * (size_t)sums->each * sizeof(REAL));
}

/* Add what neighbour j gives, from the derivatives (3, each) of the centre's energies by the vector to it. */
static inline void add_neighbour(const Sums *sums, int64_t j, const REAL *vector, const REAL *derivatives) {
    const int64_t row = 3 * sums->each;
    for (int64_t k = 0; k < row; k += LANES) store(sums->own + k, load(sums->own + k) + load(derivatives + k));
    subtract(sums, derivatives, sums->forces + 3 * sums->members * j);
    for (int q = 0; q < 3 && sums->virials; q++) {
        REAL *tension = sums->tension + q * row;
        for (int64_t k = 0; k < row; k += LANES)
            store(tension + k, load(tension + k) + vector[q] * load(derivatives + k));
    }
}

static inline void end_centre(const Sums *sums, const Atoms *atoms, int64_t centre) {
    const int64_t members = sums->members;
    REAL *force = sums->forces + 3 * members * centre;
    for (int q = 0; q < 3; q++)
        for (int64_t m = 0; m < members; m++) force[q * members + m] += sums->own[q * sums->each + m];
    if (!sums->virials) return;
    double *virial = sums->virials + 9 * members * atoms->frames[centre];
    for (int q = 0; q < 9; q++)
        for (int64_t m = 0; m < members; m++) virial[q * members + m] += (double)sums->tension[q * sums->each + m];
}

/* Derivatives (members, n, F) of a model's energies by the features (n, F) of the atoms from `first` on. */
typedef void (*Model)(const void *context, int64_t first, int64_t n, const REAL *features, REAL *derivatives);
