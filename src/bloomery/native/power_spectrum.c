/* The power spectrum's features, and forces contracted without a Jacobian, on one core.
 *
 * The same arithmetic as descriptors/expansion.py, which is where it is explained: this file only makes it fast. It is
 * compiled for one set of sizes, so that the compiler keeps what belongs to a neighbour in registers:
 *
 *     REAL       float or double          RADIAL     radial functions
 *     DEGREE     largest degree           TRIPLES    four-body terms of a channel, FOUR_DEGREE their largest
 *
 * Neighbours of one species around one centre are worked on LANES at a time, padded with neighbours on the cutoff,
 * where every radial function and its slope vanish.
 */

#include "vectors.h"

#define H ((DEGREE + 1) * (DEGREE + 1))
#define PAD(size) (((size) + LANES - 1) / LANES * LANES)
#define PADDED PAD(H)
#define TILE (4 + 2 * RADIAL + 4 * H)

/* What does not change from call to call. */
typedef struct {
    int64_t species;          /* S */
    double cutoff, inner, width;
    const int32_t *triples;   /* (couplings, 4): which triple, and three harmonics */
    const double *gaunt;      /* (couplings,) */
    int64_t couplings;
} Settings;

/* How many features an atom has. */
static inline int64_t features_of(int64_t channels) {
    return channels * (1 + TRIPLES) + channels * (channels + 1) / 2 * (DEGREE + 1);
}

static double norms[DEGREE + 1][DEGREE + 1];

void initialise(void) {
    for (int l = 0; l <= DEGREE; l++)
        for (int m = 0; m <= l; m++) {
            double ratio = m ? 2.0 : 1.0;
            for (int k = l - m + 1; k <= l + m; k++) ratio /= k;
            norms[l][m] = sqrt(ratio);
        }
}

/* Real harmonics in Racah's norm and their tangential gradients; with Q_lm = d^m P_l / dz^m on the unit sphere. */
static inline void harmonics(vec x, vec y, vec z, vec inverse, vec *value, vec *gradient) {
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
                vec radial = x * dx + y * dy + z * dz;
                value[h] = p * planar;
                gradient[h] = (dx - x * radial) * inverse;
                gradient[H + h] = (dy - y * radial) * inverse;
                gradient[2 * H + h] = (dz - z * radial) * inverse;
            }
        }
}

/* Fill one tile from LANES vectors in place: units, distance, radial functions, slopes, harmonics, gradients. */
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
    harmonics(x, y, z, inverse, tile + 4 + 2 * RADIAL, tile + 4 + 2 * RADIAL + H);
}

/* Tiles that the rows (a centre and a species each) of some centres need; `rows` gets where each begins, (rows + 1). */
int64_t layout(const Settings *settings, int64_t n_atoms, const int64_t *starts, const int64_t *neighbours,
               const int64_t *species, int64_t *rows) {
    int64_t total = 0, counts[128];
    for (int64_t i = 0; i < n_atoms; i++) {
        memset(counts, 0, sizeof counts);
        if (settings->species == 1) counts[0] = starts[i + 1] - starts[i];
        else
            for (int64_t e = starts[i]; e < starts[i + 1]; e++) counts[species[neighbours[e]]]++;
        for (int64_t s = 0; s < settings->species; s++) {
            *rows++ = total;
            total += (counts[s] + LANES - 1) / LANES;
        }
    }
    *rows = total;
    return total;
}

/* Four-body terms of one channel, and their derivatives by the moments, (TRIPLES, PADDED). */
static void four_body(const Settings *settings, const REAL *c, double *values) {
    for (int t = 0; t < TRIPLES; t++) values[t] = 0;
    for (int64_t k = 0; k < settings->couplings; k++) {
        const int32_t *q = settings->triples + 4 * k;
        values[q[0]] += settings->gaunt[k] * (double)(c[q[1]] * c[q[2]] * c[q[3]]);
    }
}

static void four_body_slopes(const Settings *settings, const REAL *c, REAL *slopes) {
    for (int t = 0; t < TRIPLES * PADDED; t++) slopes[t] = 0;
    for (int64_t k = 0; k < settings->couplings; k++) {
        const int32_t *q = settings->triples + 4 * k;
        const REAL factor = (REAL)settings->gaunt[k], x = c[q[1]], y = c[q[2]], z = c[q[3]];
        REAL *slope = slopes + q[0] * PADDED;
        slope[q[1]] += factor * y * z;
        slope[q[2]] += factor * x * z;
        slope[q[3]] += factor * x * y;
    }
}

/* Features (n_atoms, F) of some centres; tiles, lanes (which atom is in each lane, or -1) and moments are kept. */
void features(const Settings *settings, int64_t n_atoms, const int64_t *starts, const int64_t *neighbours,
              const int64_t *species, const double *vectors, const int64_t *rows, vec *tiles, int64_t *lanes,
              REAL *moments, REAL *values) {
    const int64_t n_species = settings->species, channels = n_species * RADIAL;
    const int64_t size = features_of(channels);
    for (int64_t i = 0; i < n_atoms; i++, values += size) {
        REAL *c = moments + i * channels * PADDED;
        memset(c, 0, channels * PADDED * sizeof(REAL));
        for (int64_t s = 0; s < n_species; s++) {
            int64_t first = rows[i * n_species + s], last = rows[i * n_species + s + 1], lane = first * LANES;
            if (first == last) continue;
            for (int64_t e = starts[i]; e < starts[i + 1]; e++) {
                int64_t j = neighbours[e];
                if (n_species > 1 && species[j] != s) continue;
                vec *tile = tiles + lane / LANES * TILE;
                for (int k = 0; k < 3; k++) tile[k][lane % LANES] = (REAL)vectors[3 * e + k];
                lanes[lane++] = j;
            }
            for (; lane < last * LANES; lane++) {
                vec *tile = tiles + lane / LANES * TILE;
                for (int k = 0; k < 3; k++) tile[k][lane % LANES] = k ? 0 : (REAL)settings->cutoff;
                lanes[lane] = -1;
            }
            vec sums[RADIAL][PADDED];
            memset(sums, 0, sizeof sums);
            for (int64_t t = first; t < last; t++) {
                vec *tile = tiles + t * TILE, *radial = tile + 4, *y = tile + 4 + 2 * RADIAL;
                fill(settings, tile);
                for (int h = 0; h < H; h++)
                    for (int n = 0; n < RADIAL; n++) sums[n][h] += radial[n] * y[h];
            }
            for (int n = 0; n < RADIAL; n++)
                for (int h = 0; h < PADDED; h += LANES) store(c + (s * RADIAL + n) * PADDED + h, sums_of(sums[n] + h));
        }
        REAL *value = values;
        for (int64_t a = 0; a < channels; a++) *value++ = c[a * PADDED];
        for (int64_t a = 0; a < channels; a++)
            for (int64_t b = a; b < channels; b++) {
                const REAL weight = a == b ? 1 : (REAL)1.4142135623730951, *ca = c + a * PADDED, *cb = c + b * PADDED;
                for (int l = 0; l <= DEGREE; l++) {
                    REAL total = 0;
                    for (int h = l * l; h < (l + 1) * (l + 1); h++) total += ca[h] * cb[h];
                    *value++ = weight * total;
                }
            }
        for (int64_t a = 0; a < channels; a++) {
            double found[TRIPLES + 1];
            four_body(settings, c + a * PADDED, found);
            for (int t = 0; t < TRIPLES; t++) *value++ = (REAL)found[t];
        }
    }
}

/* Place of the derivatives by the products of two channels, among all features. */
static inline int64_t pair_place(int64_t channels, int64_t a, int64_t b) {
    const int64_t low = a < b ? a : b, high = a < b ? b : a;
    return channels + (low * (2 * channels - low + 1) / 2 + high - low) * (DEGREE + 1);
}

/* One degree of `by_moment`, of one channel and LANES members: the sums stay in registers. */
static inline __attribute__((always_inline)) void of_degree(const int l, int64_t channels, int64_t a, int64_t wide,
                                                            const REAL *c, const REAL *slopes, const REAL *given,
                                                            REAL *result) {
    vec total[2 * DEGREE + 1];
    for (int h = 0; h < 2 * l + 1; h++) total[h] = l ? (vec){0} : load(given + a * wide);
    for (int64_t b = 0; b < channels; b++) {
        const REAL *cb = c + b * PADDED + l * l;
        const vec slope = load(given + (pair_place(channels, a, b) + l) * wide) * (a == b ? 2 : (REAL)1.4142135623730951);
        for (int h = 0; h < 2 * l + 1; h++) total[h] += slope * cb[h];
    }
    if (l > 0 && l <= FOUR_DEGREE)
        for (int t = 0; t < TRIPLES; t++) {
            const vec slope = load(given + (pair_place(channels, channels, channels) + a * TRIPLES + t) * wide);
            const REAL *part = slopes + (a * TRIPLES + t) * PADDED + l * l;
            for (int h = 0; h < 2 * l + 1; h++) total[h] += slope * part[h];
        }
    for (int h = 0; h < 2 * l + 1; h++) store(result + (a * H + l * l + h) * wide, total[h]);
}

/* Chain rule from all members' derivatives by the features, (F, wide), to those by the moments: (channels, H, wide). */
static void by_moment(int64_t channels, int64_t wide, const REAL *c, const REAL *slopes, const REAL *given, REAL *result) {
#define OF_DEGREE(l) if (l <= DEGREE) of_degree(l, channels, a, wide, c, slopes, given + m, result + m)
    for (int64_t m = 0; m < wide; m += LANES)
        for (int64_t a = 0; a < channels; a++) {
            OF_DEGREE(0); OF_DEGREE(1); OF_DEGREE(2); OF_DEGREE(3); OF_DEGREE(4);
            OF_DEGREE(5); OF_DEGREE(6); OF_DEGREE(7); OF_DEGREE(8);
        }
}

/* Derivatives of one member's energy by the vectors to the neighbours of a tile, from those by the moments of their species. */
static inline void push(const vec *tile, const REAL *by_moment, int64_t wide, vec *result) {
    const vec *radial = tile + 4, *slope = radial + RADIAL, *y = slope + RADIAL, *across = y + H;
    vec along[RADIAL] = {{0}}, turn[3] = {{0}}, rise = {0};
    for (int h = 0; h < H; h++) {
        vec value = {0};
        for (int n = 0; n < RADIAL; n++) {
            const REAL w = by_moment[(n * H + h) * wide];
            along[n] += y[h] * w;
            value += radial[n] * w;
        }
        for (int k = 0; k < 3; k++) turn[k] += across[k * H + h] * value;
    }
    for (int n = 0; n < RADIAL; n++) rise += along[n] * slope[n];
    for (int k = 0; k < 3; k++) result[k] = turn[k] + rise * tile[k];
}

/* How many numbers `forces` needs to work with. */
int64_t forces_work(const Settings *settings, int64_t members) {
    const int64_t channels = settings->species * RADIAL, size = features_of(channels);
    return channels * TRIPLES * PADDED + (size + channels * H) * PAD(members) + (LANES + 4) * PAD(3 * members);
}

/* Add to the forces (atoms, 3, members) and, if asked for, to the virials (frames, 3, 3, members) what some centres give.
 *
 * `given` holds the derivatives of each member's energies by the features, (members, n_atoms, F). `centre` is the index
 * of the first centre among all atoms; `frames` the frame of each centre.
 */
void forces(const Settings *settings, int64_t n_atoms, int64_t centre, int64_t members, const int64_t *rows,
            const vec *tiles, const int64_t *lanes, const REAL *moments, const REAL *given, const int64_t *frames,
            REAL *result, double *virials, REAL *work) {
    const int64_t n_species = settings->species, channels = n_species * RADIAL;
    const int64_t size = features_of(channels), each = PAD(members), wide = PAD(3 * members);
    REAL *slopes = work, *gathered = slopes + channels * TRIPLES * PADDED, *wanted = gathered + size * each;
    REAL *pushed = wanted + channels * H * each, *own = pushed + LANES * wide, *tension = own + wide;
    memset(gathered, 0, (size_t)(size * each) * sizeof(REAL));
    for (int64_t i = 0; i < n_atoms; i++) {
        const REAL *c = moments + i * channels * PADDED;
        if (rows[i * n_species] == rows[(i + 1) * n_species]) continue;
        for (int64_t a = 0; a < channels; a++) four_body_slopes(settings, c + a * PADDED, slopes + a * TRIPLES * PADDED);
        for (int64_t m = 0; m < members; m++)
            for (int64_t f = 0; f < size; f++) gathered[f * each + m] = given[(m * n_atoms + i) * size + f];
        by_moment(channels, each, c, slopes, gathered, wanted);
        memset(own, 0, 4 * wide * sizeof(REAL));
        for (int64_t s = 0; s < n_species; s++)
            for (int64_t t = rows[i * n_species + s]; t < rows[i * n_species + s + 1]; t++) {
                const vec *tile = tiles + t * TILE;
                for (int64_t m = 0; m < members; m++) {
                    vec found[3];
                    push(tile, wanted + s * RADIAL * H * each + m, each, found);
                    for (int k = 0; k < 3; k++)
                        for (int e = 0; e < LANES; e++) pushed[e * wide + k * members + m] = found[k][e];
                }
                for (int e = 0; e < LANES; e++) {
                    const int64_t j = lanes[t * LANES + e];
                    if (j < 0) break;
                    const REAL *one = pushed + e * wide;
                    REAL *other = result + 3 * members * j;
                    for (int64_t k = 0; k < wide; k += LANES) store(own + k, load(own + k) + load(one + k));
                    for (int64_t k = 0; k < 3 * members; k++) other[k] -= one[k];
                    if (virials)
                        for (int q = 0; q < 3; q++) {
                            const REAL place = tile[3][e] * tile[q][e];
                            for (int64_t k = 0; k < wide; k += LANES)
                                store(tension + q * wide + k, load(tension + q * wide + k) + place * load(one + k));
                        }
                }
            }
        for (int64_t k = 0; k < 3 * members; k++) result[3 * members * (centre + i) + k] += own[k];
        if (virials)
            for (int q = 0; q < 3; q++)
                for (int64_t k = 0; k < 3 * members; k++)
                    virials[(3 * frames[i] + q) * 3 * members + k] += (double)tension[q * wide + k];
    }
}

/* How many numbers `changes` needs to work with, where a row has so many tiles at most. */
int64_t changes_work(const Settings *settings, int64_t members, int64_t most_tiles) {
    const int64_t wide = PAD(members);
    return settings->species * RADIAL * PADDED * (wide + TRIPLES) + wide + most_tiles * LANES * (4 + 3 * members);
}

/* The transpose of `forces`: what becomes of features as atoms move and frames are strained.
 *
 * `moves` (atoms, 3, members) and `strains` (frames, 3, 3, members) stand where forces and virials stood; the result is
 * (n_atoms, F, members).
 */
void changes(const Settings *settings, int64_t n_atoms, int64_t centre, int64_t members, int64_t most_tiles,
             const int64_t *rows, const vec *tiles, const int64_t *lanes, const REAL *moments, const int64_t *frames,
             const REAL *moves, const REAL *strains, REAL *result, vec *work) {
    const int64_t n_species = settings->species, channels = n_species * RADIAL;
    const int64_t size = features_of(channels), wide = PAD(members);
    vec *steps = work + 4 * most_tiles;              /* (tiles, 3, members): how each neighbour moves */
    REAL *moved = (REAL *)(steps + 3 * members * most_tiles); /* (channels, PADDED, wide): how the moments change */
    REAL *slopes = moved + channels * PADDED * wide, *total = slopes + channels * TRIPLES * PADDED;
    for (int64_t i = 0; i < n_atoms; i++, result += size * members) {
        const REAL *c = moments + i * channels * PADDED, *own = moves + 3 * members * (centre + i);
        const REAL *strain = strains + 9 * members * frames[i];
        memset(moved, 0, (size_t)(channels * PADDED * wide) * sizeof(REAL));
        for (int64_t s = 0; s < n_species; s++) {
            const int64_t first = rows[i * n_species + s], count = rows[i * n_species + s + 1] - first;
            for (int64_t lane = 0; lane < count * LANES; lane++) {
                const int64_t j = lanes[first * LANES + lane];
                const REAL *other = moves + 3 * members * (j < 0 ? centre + i : j);
                REAL *step = (REAL *)(steps + lane / LANES * 3 * members) + lane % LANES;
                for (int64_t k = 0; k < 3 * members; k++) step[k * LANES] = own[k] - other[k];
            }
            for (int64_t m = 0; m < members && count; m++) {
                for (int64_t t = 0; t < count; t++) {
                    const vec *tile = tiles + (first + t) * TILE, *given = steps + t * 3 * members + m;
                    vec *step = work + 4 * t;
                    step[3] = (vec){0};
                    for (int k = 0; k < 3; k++) {
                        vec strained = tile[0] * strain[k * members + m] + tile[1] * strain[(3 + k) * members + m] +
                                       tile[2] * strain[(6 + k) * members + m];
                        step[k] = given[k * members] + tile[3] * strained;
                        step[3] += tile[k] * step[k];
                    }
                }
                vec sums[RADIAL][PADDED] = {{{0}}};
                for (int h = 0; h < H; h++) {
                    vec found[RADIAL] = {{0}};
                    for (int64_t t = 0; t < count; t++) {
                        const vec *tile = tiles + (first + t) * TILE, *y = tile + 4 + 2 * RADIAL, *across = y + H;
                        const vec *step = work + 4 * t, rise = step[3] * y[h];
                        const vec turn = across[h] * step[0] + across[H + h] * step[1] + across[2 * H + h] * step[2];
                        for (int n = 0; n < RADIAL; n++)
                            found[n] += tile[4 + RADIAL + n] * rise + tile[4 + n] * turn;
                    }
                    for (int n = 0; n < RADIAL; n++) sums[n][h] = found[n];
                }
                for (int n = 0; n < RADIAL; n++)
                    for (int h = 0; h < PADDED; h += LANES) {
                        REAL found[LANES] __attribute__((aligned(64)));
                        store(found, sums_of(sums[n] + h));
                        for (int e = 0; e < LANES; e++) moved[((s * RADIAL + n) * PADDED + h + e) * wide + m] = found[e];
                    }
            }
        }
        REAL *value = result;
        for (int64_t a = 0; a < channels; a++, value += members)
            for (int64_t m = 0; m < members; m++) value[m] = moved[a * PADDED * wide + m];
        for (int64_t a = 0; a < channels; a++)
            for (int64_t b = a; b < channels; b++) {
                const REAL weight = a == b ? 1 : (REAL)1.4142135623730951, *ca = c + a * PADDED, *cb = c + b * PADDED;
                const REAL *ma = moved + a * PADDED * wide, *mb = moved + b * PADDED * wide;
                for (int l = 0; l <= DEGREE; l++, value += members)
                    for (int64_t k = 0; k < wide; k += LANES) {
                        vec change = {0};
                        for (int h = l * l; h < (l + 1) * (l + 1); h++)
                            change += load(ma + h * wide + k) * cb[h] + load(mb + h * wide + k) * ca[h];
                        store(total + k, change * weight);
                        const int64_t rest = members - k < LANES ? members - k : LANES;
                        memcpy(value + k, total + k, (size_t)rest * sizeof(REAL));
                    }
            }
        for (int64_t a = 0; a < channels; a++) {
            four_body_slopes(settings, c + a * PADDED, slopes);
            for (int t = 0; t < TRIPLES; t++, value += members)
                for (int64_t k = 0; k < wide; k += LANES) {
                    vec change = {0};
                    for (int h = 0; h < H; h++)
                        change += load(moved + (a * PADDED + h) * wide + k) * slopes[t * PADDED + h];
                    store(total + k, change);
                    const int64_t rest = members - k < LANES ? members - k : LANES;
                    memcpy(value + k, total + k, (size_t)rest * sizeof(REAL));
                }
        }
    }
}
