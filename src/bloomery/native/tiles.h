/* Neighbours of one species around one centre, LANES at a time: a tile holds all that depends on one neighbour alone.
 *
 * The last tile is padded with neighbours on the cutoff, where every radial function and its slope vanish. Units,
 * distance, radial functions and their slopes, and harmonics are TILE vectors. Gradients of the harmonics are made when
 * they are wanted: that takes less time than to write and read them, as many as there are.
 */

#pragma once

#include "atoms.h"

#define H ((DEGREE + 1) * (DEGREE + 1))
#define PADDED PAD(H)
#define TILE (4 + 2 * RADIAL + H)

/* What does not change from call to call. */
typedef struct {
    int64_t species;          /* S */
    double cutoff, inner, width;
    const int32_t *triples;   /* (couplings, 4): which term, and three harmonics */
    const double *gaunt;      /* (couplings,) */
    int64_t couplings, channels;
    const REAL *mixing;       /* (DEGREE + 1, S RADIAL, PAD(channels)); NULL: there are S RADIAL channels, unmixed */
} Settings;

static double norms[DEGREE + 1][DEGREE + 1];

void initialise(void) {
    for (int l = 0; l <= DEGREE; l++)
        for (int m = 0; m <= l; m++) {
            double ratio = m ? 2.0 : 1.0;
            for (int k = l - m + 1; k <= l + m; k++) ratio /= k;
            norms[l][m] = sqrt(ratio);
        }
}

/* Real harmonics in Racah's norm, (H,), or their gradients, (3, H); with Q_lm = d^m P_l / dz^m on the unit sphere.
 *
 * Of a gradient only what is across the unit vector counts: `across` takes it from a sum of them.
 */
static inline __attribute__((always_inline)) void expand(const vec *unit, vec *value, vec *gradient) {
    const vec x = unit[0], y = unit[1], z = unit[2];
    vec q[DEGREE + 2][DEGREE + 2], c[DEGREE + 1], s[DEGREE + 1];
    c[0] = broadcast(1);
    s[0] = broadcast(0);
    for (int m = 1; m <= DEGREE; m++) {
        c[m] = x * c[m - 1] - y * s[m - 1];
        s[m] = x * s[m - 1] + y * c[m - 1];
    }
    double odd = 1;
    for (int m = 0; m <= DEGREE; m++) {
        if (m) odd *= 2 * m - 1;
        q[m][m] = broadcast(odd);
        q[m][m + 1] = broadcast(0);
        if (m < DEGREE) q[m + 1][m] = (REAL)(2 * m + 1) * z * q[m][m];
        for (int l = m + 2; l <= DEGREE; l++)
            q[l][m] = ((REAL)(2 * l - 1) * z * q[l - 1][m] - (REAL)(l + m - 1) * q[l - 2][m]) * (REAL)(1.0 / (l - m));
    }
    for (int l = 0; l <= DEGREE; l++)
        for (int m = 0; m <= l; m++) {
            vec f = broadcast(norms[l][m]), p = f * q[l][m], up = f * q[l][m + 1], less = p * (REAL)m;
            for (int imaginary = 0; imaginary <= (m > 0); imaginary++) {
                int h = l * l + l + (imaginary ? -m : m);
                vec planar = imaginary ? s[m] : c[m], dx, dy, dz = up * planar;
                if (m == 0) dx = dy = broadcast(0);
                else if (imaginary) dx = less * s[m - 1], dy = less * c[m - 1];
                else dx = less * c[m - 1], dy = -less * s[m - 1];
                if (value) value[h] = p * planar;
                else gradient[h] = dx, gradient[H + h] = dy, gradient[2 * H + h] = dz;
            }
        }
}

static void harmonics(const vec *unit, vec *value) { expand(unit, value, NULL); }

static void gradients(const vec *unit, vec *gradient) { expand(unit, NULL, gradient); }

/* What is across the unit vectors of a tile, over the distance. */
static inline void across(const vec *tile, vec *vector) {
    const vec along = vector[0] * tile[0] + vector[1] * tile[1] + vector[2] * tile[2];
    const vec inverse = 1 / tile[3];
    for (int k = 0; k < 3; k++) vector[k] = (vector[k] - along * tile[k]) * inverse;
}

/* Fill one tile from LANES vectors in place: units, distance, radial functions, slopes, harmonics. */
static inline void fill(const Settings *settings, vec *tile) {
    vec x = tile[0], y = tile[1], z = tile[2], square = x * x + y * y + z * z, distance, cosine, sine;
    distance = square_root(square);
    vec inverse = 1 / distance;
    tile[0] = x *= inverse;
    tile[1] = y *= inverse;
    tile[2] = z *= inverse;
    tile[3] = distance;
    REAL rate = (REAL)(M_PI / settings->cutoff), width = (REAL)(1 / settings->width);
    vec phase = rate * distance;
    phase = choose(phase < (REAL)M_PI, phase, broadcast(M_PI));
    cosine_sine(phase, &cosine, &sine);
    vec half = (REAL)0.5 * (1 + cosine), smooth = half * half, falling = -rate * sine * half;
    vec first = (distance - (REAL)settings->inner) * width;
    for (int n = 0; n < RADIAL; n++) {
        vec scaled = first - (REAL)n, gaussian = exponential((REAL)-0.5 * scaled * scaled);
        vec value = gaussian * smooth;
        tile[4 + n] = value;
        tile[4 + RADIAL + n] = gaussian * falling - value * scaled * width;
    }
    harmonics(tile, tile + 4 + 2 * RADIAL);
}

/* Tiles that the rows (an atom and a species each) of some atoms need; `rows` gets where each begins, (rows + 1). */
static int64_t count_tiles(const Settings *settings, const Atoms *atoms, int64_t first, int64_t last, int64_t *rows) {
    int64_t total = 0, counts[128];
    for (int64_t i = first; i < last; i++) {
        memset(counts, 0, sizeof counts);
        if (settings->species == 1) counts[0] = atoms->starts[i + 1] - atoms->starts[i];
        else
            for (int64_t e = atoms->starts[i]; e < atoms->starts[i + 1]; e++)
                counts[atoms->species[atoms->neighbours[e]]]++;
        for (int64_t s = 0; s < settings->species; s++) {
            if (rows) *rows++ = total;
            total += PAD(counts[s]) / LANES;
        }
    }
    if (rows) *rows = total;
    return total;
}

/* Fill the tiles of one row; `lanes` gets which atom is in each lane, or -1. */
static void fill_row(const Settings *settings, const Atoms *atoms, int64_t centre, int64_t species, int64_t n_tiles,
                     vec *tiles, int64_t *lanes) {
    int64_t lane = 0;
    for (int64_t e = atoms->starts[centre]; e < atoms->starts[centre + 1]; e++) {
        const int64_t j = atoms->neighbours[e];
        if (settings->species > 1 && atoms->species[j] != species) continue;
        vec *tile = tiles + lane / LANES * TILE;
        for (int k = 0; k < 3; k++) tile[k][lane % LANES] = (REAL)atoms->vectors[3 * e + k];
        lanes[lane++] = j;
    }
    for (; lane < n_tiles * LANES; lane++) {
        vec *tile = tiles + lane / LANES * TILE;
        for (int k = 0; k < 3; k++) tile[k][lane % LANES] = k ? 0 : (REAL)settings->cutoff;
        lanes[lane] = -1;
    }
    for (int64_t t = 0; t < n_tiles; t++) fill(settings, tiles + t * TILE);
}
