/* The power spectrum's features, and forces contracted without a Jacobian, on one core.
 *
 * The same arithmetic as descriptors/expansion.py, which is where it is explained: this file only makes it fast. It is
 * compiled for one set of sizes, so that the compiler keeps what belongs to a neighbour in registers:
 *
 *     REAL       float or double          RADIAL       radial functions
 *     DEGREE     largest degree           TRIPLES      four-body terms of a channel
 *                                         FOUR_DEGREE  their largest degree
 *
 * CHUNK atoms at a time go all the way from neighbours to forces: what lies between stays in the cache.
 *
 * "Plain" are channels of a species and a radial function each, as tiles give them, and "mixed" what features know.
 */

#include "tiles.h"

#define FOUR_H ((FOUR_DEGREE + 1) * (FOUR_DEGREE + 1))
/* Their tiles, derivatives and weights are to fit into the second cache. */
enum { CHUNK = 192 / sizeof(REAL) };
/* So many members share what is read of a tile: as many as registers hold the sums of. */
#ifdef __AVX512F__
enum { TOGETHER = 2 };
#else
enum { TOGETHER = 1 };
#endif

/* A function of one degree for each: degrees are constants, so that sums over orders stay in registers. */
#define OF_DEGREE static inline __attribute__((always_inline)) void
#define AT_DEGREE(l, function, ...) if (l <= DEGREE) function(l, __VA_ARGS__)
#define EVERY_DEGREE(...) \
    do { \
        AT_DEGREE(0, __VA_ARGS__); AT_DEGREE(1, __VA_ARGS__); AT_DEGREE(2, __VA_ARGS__); \
        AT_DEGREE(3, __VA_ARGS__); AT_DEGREE(4, __VA_ARGS__); AT_DEGREE(5, __VA_ARGS__); \
        AT_DEGREE(6, __VA_ARGS__); AT_DEGREE(7, __VA_ARGS__); AT_DEGREE(8, __VA_ARGS__); \
    } while (0)

/* Where everything of one chunk lies. */
typedef struct {
    int64_t *rows, *lanes;
    vec *tiles, *steps, *gradients;
    REAL *moments, *slopes, *features, *derivatives;   /* of all atoms of the chunk */
    vec *turned, *columns;                             /* moments and features of LANES atoms, an atom to a lane */
    REAL *gathered, *wanted, *pushed, *own, *tension;  /* of one atom */
    REAL *plain, *unmixed;                             /* of one atom, where channels are mixed */
} Space;

static inline int64_t plain_channels(const Settings *settings) { return settings->species * RADIAL; }

static inline int64_t features_of(int64_t channels) {
    return channels * (1 + TRIPLES) + channels * (channels + 1) / 2 * (DEGREE + 1);
}

/* Place of the derivatives by the products of two channels, among all features. */
static inline int64_t pair_place(int64_t channels, int64_t a, int64_t b) {
    const int64_t low = a < b ? a : b, high = a < b ? b : a;
    return channels + (low * (2 * channels - low + 1) / 2 + high - low) * (DEGREE + 1);
}

/* Divide up what `work_bytes` asked for; the bytes that are used. */
static int64_t divide(const Settings *settings, int64_t members, int64_t most_tiles, void *base, Space *space) {
    const int64_t channels = settings->channels, size = features_of(channels), real = sizeof(REAL);
    const int64_t each = PAD(members);
    const int64_t plain = settings->mixing ? plain_channels(settings) : 0;
    int64_t used = 0;
    space->rows = take(base, &used, (CHUNK * settings->species + 1) * 8);
    space->lanes = take(base, &used, most_tiles * LANES * 8);
    space->tiles = take(base, &used, most_tiles * TILE * BYTES);
    space->steps = take(base, &used, most_tiles * (4 + 3 * members) * BYTES);
    space->gradients = take(base, &used, most_tiles * 3 * H * BYTES);
    space->moments = take(base, &used, CHUNK * channels * PADDED * real);
    space->slopes = take(base, &used, CHUNK * channels * TRIPLES * PADDED * real);
    space->features = take(base, &used, CHUNK * size * real);
    space->derivatives = take(base, &used, CHUNK * size * members * real);
    space->turned = take(base, &used, channels * PADDED * BYTES);
    space->columns = take(base, &used, size * BYTES);
    space->gathered = take(base, &used, size * each * real);
    space->wanted = take(base, &used, channels * PADDED * each * real);
    space->pushed = take(base, &used, LANES * 3 * each * real);
    space->own = take(base, &used, 3 * each * real);
    space->tension = take(base, &used, 9 * each * real);
    space->plain = take(base, &used, plain * PADDED * real);
    space->unmixed = take(base, &used, plain * PADDED * each * real);
    return used;
}

static int64_t most_tiles(const Settings *settings, const Atoms *atoms, int64_t first, int64_t last) {
    int64_t most = 0;
    for (int64_t i = first; i < last; i += CHUNK) {
        const int64_t found = count_tiles(settings, atoms, i, i + CHUNK < last ? i + CHUNK : last, NULL);
        if (found > most) most = found;
    }
    return most;
}

/* How many bytes the functions below need to work with. */
int64_t work_bytes(const Settings *settings, const Atoms *atoms, int64_t first, int64_t last, int64_t members) {
    Space space;
    return divide(settings, members, most_tiles(settings, atoms, first, last), NULL, &space);
}

/* Rows of so many numbers, `step` from row to row, to columns: `size` times LANES rows, `stride` from one to the next.
 *
 * There are `count` rows, and those up to LANES are zero. The last block begins where it ends with the row.
 */
static inline void to_columns(int64_t count, int64_t size, const REAL *rows, int64_t step, REAL *columns,
                              int64_t stride) {
    for (int64_t f = 0; f < size && size < LANES; f++)
        for (int64_t e = 0; e < LANES; e++) columns[f * stride + e] = e < count ? rows[e * step + f] : 0;
    for (int64_t f = 0; f < size && size >= LANES; f += LANES) {
        const int64_t begin = f + LANES <= size ? f : size - LANES;
        vec block[LANES];
        for (int e = 0; e < LANES; e++) block[e] = e < count ? load(rows + e * step + begin) : (vec){0};
        transpose(block);
        for (int k = 0; k < LANES; k++) store(columns + (begin + k) * stride, block[k]);
    }
}

/* The way back, for the first `count` rows. */
static inline void to_rows(int64_t count, int64_t size, const vec *columns, REAL *rows, int64_t step) {
    for (int64_t f = 0; f < size && size < LANES; f++)
        for (int64_t e = 0; e < count; e++) rows[e * step + f] = columns[f][e];
    for (int64_t f = 0; f < size && size >= LANES; f += LANES) {
        const int64_t begin = f + LANES <= size ? f : size - LANES;
        vec block[LANES];
        memcpy(block, columns + begin, sizeof block);
        transpose(block);
        for (int64_t e = 0; e < count; e++) store(rows + e * step + begin, block[e]);
    }
}

/* Moments of one atom, (channels, PADDED), from its tiles: two harmonics at a time with all radial functions. */
static void find_moments(int64_t n_tiles, const vec *tiles, REAL *moments) {
    vec sums[RADIAL][PADDED];
    for (int h = 0; h < H; h += 2) {
        const int next = h + 1 < H ? h + 1 : h;
        vec one[RADIAL] = {{0}}, other[RADIAL] = {{0}};
        for (int64_t t = 0; t < n_tiles; t++) {
            const vec *radial = tiles + t * TILE + 4, *y = radial + 2 * RADIAL, first = y[h], second = y[next];
            for (int n = 0; n < RADIAL; n++) one[n] += radial[n] * first, other[n] += radial[n] * second;
        }
        for (int n = 0; n < RADIAL; n++) sums[n][h] = one[n], sums[n][next] = other[n];
    }
    for (int n = 0; n < RADIAL; n++) {
        for (int h = H; h < PADDED; h++) sums[n][h] = (vec){0};
        for (int h = 0; h < PADDED; h += LANES) store(moments + n * PADDED + h, sums_of(sums[n] + h));
    }
}

/* Where the factors of a plain channel are, one for each mixed channel. */
static inline const REAL *factors(const Settings *settings, int l, int64_t a) {
    return settings->mixing + (l * plain_channels(settings) + a) * PAD(settings->channels);
}

/* One degree of LANES mixed moments of one atom: species that are not among its neighbours have none. */
OF_DEGREE mix_degree(const int l, const Settings *settings, const int64_t *rows, int64_t first, const REAL *c,
                     REAL *mixed) {
    vec total[2 * DEGREE + 1] = {{0}};
    for (int64_t s = 0; s < settings->species; s++)
        for (int64_t a = s * RADIAL; a < (s + 1) * RADIAL && rows[s] < rows[s + 1]; a++) {
            const vec factor = load(factors(settings, l, a) + first);
            for (int h = 0; h < 2 * l + 1; h++) total[h] += factor * c[a * PADDED + l * l + h];
        }
    for (int e = 0; e < LANES && first + e < settings->channels; e++)
        for (int h = 0; h < 2 * l + 1; h++) mixed[(first + e) * PADDED + l * l + h] = total[h][e];
}

/* Moments (plain channels, PADDED) of one atom to (channels, PADDED). */
static void mix(const Settings *settings, const int64_t *rows, const REAL *c, REAL *mixed) {
    for (int64_t first = 0; first < settings->channels; first += LANES)
        EVERY_DEGREE(mix_degree, settings, rows, first, c, mixed);
}

/* Derivatives of the four-body terms of a channel by its moments. */
static void four_body_slopes(const Settings *settings, const vec *c, vec slopes[TRIPLES + 1][FOUR_H]) {
    memset(slopes, 0, sizeof(vec[TRIPLES + 1][FOUR_H]));
    for (int64_t k = 0; k < settings->couplings; k++) {
        const int32_t *q = settings->triples + 4 * k;
        const vec x = c[q[1]], y = c[q[2]], z = c[q[3]], scaled = x * (REAL)settings->gaunt[k];
        vec *slope = slopes[q[0]];
        slope[q[1]] += y * z * (REAL)settings->gaunt[k];
        slope[q[2]] += scaled * z;
        slope[q[3]] += scaled * y;
    }
}

/* Features of LANES atoms from their moments, and the slopes of the four-body terms of the first `count` of them. */
static void describe(const Settings *settings, int64_t channels, int64_t count, const vec *c, REAL *slopes,
                     vec *values) {
    for (int64_t a = 0; a < channels; a++) *values++ = c[a * PADDED];
    for (int64_t a = 0; a < channels; a++)
        for (int64_t b = a; b < channels; b++) {
            const REAL weight = a == b ? 1 : (REAL)1.4142135623730951;
            for (int l = 0; l <= DEGREE; l++) {
                vec product = {0};
                for (int h = l * l; h < (l + 1) * (l + 1); h++) product += c[a * PADDED + h] * c[b * PADDED + h];
                *values++ = weight * product;
            }
        }
    for (int64_t a = 0; a < channels && TRIPLES; a++) {
        vec found[TRIPLES + 1][FOUR_H];
        four_body_slopes(settings, c + a * PADDED, found);
        for (int t = 0; t < TRIPLES; t++) {
            vec total = {0}; /* A form of degree three is a third of what its slopes give. */
            for (int h = 0; h < FOUR_H; h++) total += c[a * PADDED + h] * found[t][h];
            *values++ = total * (REAL)(1.0 / 3);
            to_rows(count, FOUR_H, found[t], slopes + (a * TRIPLES + t) * PADDED, channels * TRIPLES * PADDED);
        }
    }
}

/* Features (n, F) of some atoms from their moments, and the slopes of the four-body terms. */
static void from_moments(const Settings *settings, int64_t n, const Space *space, REAL *values) {
    const int64_t channels = settings->channels, size = features_of(channels);
    for (int64_t i = 0; i < n; i += LANES) {
        const int64_t count = n - i < LANES ? n - i : LANES, each = channels * PADDED;
        to_columns(count, each, space->moments + i * each, each, (REAL *)space->turned, LANES);
        describe(settings, channels, count, space->turned, space->slopes + i * each * TRIPLES, space->columns);
        to_rows(count, size, space->columns, values + i * size, size);
    }
}

/* Fill the tiles of a chunk, and find its atoms' moments, slopes and features. */
static void prepare(const Settings *settings, const Atoms *atoms, int64_t first, int64_t last, Space *space,
                    REAL *values) {
    const int64_t n_species = settings->species;
    count_tiles(settings, atoms, first, last, space->rows);
    for (int64_t i = 0; i < last - first; i++) {
        REAL *c = space->moments + i * settings->channels * PADDED, *plain = settings->mixing ? space->plain : c;
        const int64_t *rows = space->rows + i * n_species;
        for (int64_t s = 0; s < n_species; s++) {
            const int64_t count = rows[s + 1] - rows[s];
            vec *tiles = space->tiles + rows[s] * TILE;
            if (count) {
                fill_row(settings, atoms, first + i, s, count, tiles, space->lanes + rows[s] * LANES);
                find_moments(count, tiles, plain + s * RADIAL * PADDED);
            } else memset(plain + s * RADIAL * PADDED, 0, RADIAL * PADDED * sizeof(REAL));
        }
        if (settings->mixing) mix(settings, rows, plain, c);
    }
    from_moments(settings, last - first, space, values);
}

/* Features (last - first, F) of some atoms. */
void features(const Settings *settings, const Atoms *atoms, int64_t first, int64_t last, REAL *values, void *work) {
    Space space;
    divide(settings, 1, most_tiles(settings, atoms, first, last), work, &space);
    const int64_t size = features_of(settings->channels);
    for (int64_t i = first; i < last; i += CHUNK)
        prepare(settings, atoms, i, i + CHUNK < last ? i + CHUNK : last, &space, values + (i - first) * size);
}

/* One degree of `by_moment`, of one channel and LANES members: the sums stay in registers. */
OF_DEGREE by_degree(const int l, int64_t channels, int64_t a, int64_t wide, const REAL *c, const REAL *slopes,
                    const REAL *given, REAL *result) {
    vec total[2 * DEGREE + 1];
    for (int h = 0; h < 2 * l + 1; h++) total[h] = l ? (vec){0} : load(given + a * wide);
    for (int64_t b = 0; b < channels; b++) {
        const REAL *cb = c + b * PADDED + l * l;
        const REAL weight = a == b ? 2 : (REAL)1.4142135623730951;
        const vec slope = load(given + (pair_place(channels, a, b) + l) * wide) * weight;
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
static void by_moment(int64_t channels, int64_t wide, const REAL *c, const REAL *slopes, const REAL *given,
                      REAL *result) {
    for (int64_t m = 0; m < wide; m += LANES)
        for (int64_t a = 0; a < channels; a++)
            EVERY_DEGREE(by_degree, channels, a, wide, c, slopes, given + m, result + m);
}

/* One degree of `unmix`, of one plain channel and LANES members. */
OF_DEGREE unmix_degree(const int l, const Settings *settings, int64_t a, int64_t wide, const REAL *given,
                       REAL *result) {
    vec total[2 * DEGREE + 1] = {{0}};
    const REAL *factor = factors(settings, l, a);
    for (int64_t k = 0; k < settings->channels; k++)
        for (int h = 0; h < 2 * l + 1; h++) total[h] += factor[k] * load(given + (k * H + l * l + h) * wide);
    for (int h = 0; h < 2 * l + 1; h++) store(result + (a * H + l * l + h) * wide, total[h]);
}

/* Chain rule from mixed moments, (channels, H, wide), to those of the species among the neighbours of one atom. */
static void unmix(const Settings *settings, const int64_t *rows, int64_t wide, const REAL *given, REAL *result) {
    for (int64_t m = 0; m < wide; m += LANES)
        for (int64_t s = 0; s < settings->species; s++)
            for (int64_t a = s * RADIAL; a < (s + 1) * RADIAL && rows[s] < rows[s + 1]; a++)
                EVERY_DEGREE(unmix_degree, settings, a, wide, given + m, result + m);
}

/* Derivatives of some members' energies by the vectors to a tile's neighbours, from those by their species' moments. */
static inline __attribute__((always_inline)) void push(const int count, const vec *tile, const vec *gradient,
                                                       const REAL *by_moment, int64_t wide, vec (*result)[LANES]) {
    const vec *radial = tile + 4, *slope = radial + RADIAL, *y = slope + RADIAL;
    vec along[TOGETHER][RADIAL] = {{{0}}}, turn[TOGETHER][3] = {{{0}}};
    for (int h = 0; h < H; h++) {
        vec value[TOGETHER] = {{0}};
        for (int n = 0; n < RADIAL; n++)
            for (int m = 0; m < count; m++) {
                const REAL w = by_moment[(n * H + h) * wide + m];
                along[m][n] += y[h] * w;
                value[m] += radial[n] * w;
            }
        for (int k = 0; k < 3; k++)
            for (int m = 0; m < count; m++) turn[m][k] += gradient[k * H + h] * value[m];
    }
    for (int m = 0; m < count; m++) {
        vec rise = {0};
        for (int n = 0; n < RADIAL; n++) rise += along[m][n] * slope[n];
        across(tile, turn[m]);
        for (int k = 0; k < 3; k++) result[k][m] = turn[m][k] + rise * tile[k];
    }
}

/* The same of all members, by neighbour: (LANES, 3, wide). */
static void push_tile(int64_t members, const vec *tile, const REAL *by_moment, int64_t wide, REAL *pushed) {
    vec gradient[3 * H];
    gradients(tile, gradient);
    for (int64_t first = 0; first < members; first += LANES) {
        const int64_t count = members - first < LANES ? members - first : LANES;
        vec found[3][LANES] = {{{0}}};
        for (int64_t m = 0; m < count; m += TOGETHER) {
            vec (*result)[LANES] = (vec (*)[LANES])(found[0] + m);
            if (m + TOGETHER <= count) push(TOGETHER, tile, gradient, by_moment + first + m, wide, result);
            else push(1, tile, gradient, by_moment + first + m, wide, result);
        }
        for (int k = 0; k < 3; k++) {
            transpose(found[k]);
            for (int e = 0; e < LANES; e++) store(pushed + (e * 3 + k) * wide + first, found[k][e]);
        }
    }
}

/* Forces on one centre and its neighbours, from the derivatives by its plain moments. */
static void push_all(const Settings *settings, const Atoms *atoms, int64_t centre, const int64_t *rows,
                     const REAL *by_moment, const Space *space, const Sums *sums) {
    const int64_t each = sums->each;
    begin_centre(sums);
    for (int64_t s = 0; s < settings->species; s++)
        for (int64_t t = rows[s]; t < rows[s + 1]; t++) {
            const vec *tile = space->tiles + t * TILE;
            push_tile(sums->members, tile, by_moment + s * RADIAL * H * each, each, space->pushed);
            for (int e = 0; e < LANES && space->lanes[t * LANES + e] >= 0; e++) {
                const REAL vector[3] = {tile[3][e] * tile[0][e], tile[3][e] * tile[1][e], tile[3][e] * tile[2][e]};
                add_neighbour(sums, space->lanes[t * LANES + e], vector, space->pushed + e * 3 * each);
            }
        }
    end_centre(sums, atoms, centre);
}

/* Add what some centres give to the forces (atoms, 3, members) and, if asked for, the virials (frames, 3, 3, members).
 *
 * The derivatives of each member's energies by the features come from a model or, where that is NULL, from `given`: all
 * atoms', (members, atoms, F), with `stride` numbers from member to member.
 */
void forces(const Settings *settings, const Atoms *atoms, int64_t first, int64_t last, int64_t members, Model model,
            const void *context, const REAL *given, int64_t stride, REAL *result, double *virials, void *work) {
    const int64_t n_species = settings->species, channels = settings->channels, size = features_of(channels);
    const int64_t each = PAD(members);
    Space space;
    divide(settings, members, most_tiles(settings, atoms, first, last), work, &space);
    const Sums sums = {members, each, result, virials, space.own, space.tension};
    for (int64_t begin = first; begin < last; begin += CHUNK) {
        const int64_t n = last - begin < CHUNK ? last - begin : CHUNK, step = model ? n * size : stride;
        prepare(settings, atoms, begin, begin + n, &space, space.features);
        if (model) model(context, begin, n, space.features, space.derivatives);
        for (int64_t i = 0; i < n; i++) {
            const int64_t *rows = space.rows + i * n_species;
            if (rows[0] == rows[n_species]) continue;
            const REAL *slope = model ? space.derivatives + i * size : given + (begin + i) * size;
            for (int64_t m = 0; m < members; m += LANES)
                to_columns(members - m, size, slope + m * step, step, space.gathered + m, each);
            by_moment(channels, each, space.moments + i * channels * PADDED,
                      space.slopes + i * channels * TRIPLES * PADDED, space.gathered, space.wanted);
            if (settings->mixing) unmix(settings, rows, each, space.wanted, space.unmixed);
            const REAL *plain = settings->mixing ? space.unmixed : space.wanted;
            push_all(settings, atoms, begin + i, rows, plain, &space, &sums);
        }
    }
}

/* How the moments of one species' channels change, (RADIAL, PADDED, wide), as the neighbours of a centre move. */
static void move_moments(int64_t members, int64_t count, const vec *tiles, const REAL *strain,
                         vec *steps, vec *slopes, REAL *moved) {
    const int64_t wide = PAD(members);
    vec *work = steps + 3 * members * count;
    for (int64_t t = 0; t < count; t++) gradients(tiles + t * TILE, slopes + t * 3 * H);
    for (int64_t m = 0; m < members && count; m++) {
        for (int64_t t = 0; t < count; t++) {
            const vec *tile = tiles + t * TILE, *given = steps + t * 3 * members + m;
            vec *step = work + 4 * t;
            step[3] = (vec){0};
            for (int k = 0; k < 3; k++) {
                vec strained = tile[0] * strain[k * members + m] + tile[1] * strain[(3 + k) * members + m] +
                               tile[2] * strain[(6 + k) * members + m];
                step[k] = given[k * members] + tile[3] * strained;
                step[3] += tile[k] * step[k];
            }
            across(tile, step);
        }
        vec sums[RADIAL][PADDED] = {{{0}}};
        for (int h = 0; h < H; h++) {
            vec found[RADIAL] = {{0}};
            for (int64_t t = 0; t < count; t++) {
                const vec *tile = tiles + t * TILE, *y = tile + 4 + 2 * RADIAL, *slope = slopes + t * 3 * H;
                const vec *step = work + 4 * t, rise = step[3] * y[h];
                const vec turn = slope[h] * step[0] + slope[H + h] * step[1] + slope[2 * H + h] * step[2];
                for (int n = 0; n < RADIAL; n++) found[n] += tile[4 + RADIAL + n] * rise + tile[4 + n] * turn;
            }
            for (int n = 0; n < RADIAL; n++) sums[n][h] = found[n];
        }
        for (int n = 0; n < RADIAL; n++)
            for (int h = 0; h < PADDED; h += LANES) {
                const vec found = sums_of(sums[n] + h);
                for (int e = 0; e < LANES; e++) moved[(n * PADDED + h + e) * wide + m] = found[e];
            }
    }
}

/* One degree of `mix_moved`, of one mixed channel and LANES members. */
OF_DEGREE mix_moved_degree(const int l, const Settings *settings, const int64_t *rows, int64_t k, int64_t wide,
                           const REAL *moved, REAL *mixed) {
    vec total[2 * DEGREE + 1] = {{0}};
    for (int64_t s = 0; s < settings->species; s++)
        for (int64_t a = s * RADIAL; a < (s + 1) * RADIAL && rows[s] < rows[s + 1]; a++) {
            const REAL factor = factors(settings, l, a)[k];
            for (int h = 0; h < 2 * l + 1; h++) total[h] += factor * load(moved + (a * PADDED + l * l + h) * wide);
        }
    for (int h = 0; h < 2 * l + 1; h++) store(mixed + (k * PADDED + l * l + h) * wide, total[h]);
}

/* Changes of the moments of one atom, from (plain channels, PADDED, wide) to (channels, PADDED, wide). */
static void mix_moved(const Settings *settings, const int64_t *rows, int64_t wide, const REAL *moved, REAL *mixed) {
    for (int64_t m = 0; m < wide; m += LANES)
        for (int64_t k = 0; k < settings->channels; k++)
            EVERY_DEGREE(mix_moved_degree, settings, rows, k, wide, moved + m, mixed + m);
}

/* Chain rule from changes of the moments to those of the features, (F, members). */
static void move_features(int64_t channels, int64_t members, const REAL *c, const REAL *slopes, const REAL *moved,
                          REAL *result) {
    const int64_t wide = PAD(members);
    for (int64_t m = 0; m < members; m += LANES) {
        const size_t bytes = (size_t)(members - m < LANES ? members - m : LANES) * sizeof(REAL);
        REAL *value = result + m;
        for (int64_t a = 0; a < channels; a++, value += members) memcpy(value, moved + a * PADDED * wide + m, bytes);
        for (int64_t a = 0; a < channels; a++)
            for (int64_t b = a; b < channels; b++) {
                const REAL weight = a == b ? 1 : (REAL)1.4142135623730951, *ca = c + a * PADDED, *cb = c + b * PADDED;
                const REAL *ma = moved + a * PADDED * wide + m, *mb = moved + b * PADDED * wide + m;
                for (int l = 0; l <= DEGREE; l++, value += members) {
                    vec change = {0};
                    for (int h = l * l; h < (l + 1) * (l + 1); h++)
                        change += load(ma + h * wide) * cb[h] + load(mb + h * wide) * ca[h];
                    change *= weight;
                    memcpy(value, &change, bytes);
                }
            }
        for (int64_t a = 0; a < channels; a++)
            for (int t = 0; t < TRIPLES; t++, value += members) {
                vec change = {0};
                for (int h = 0; h < FOUR_H; h++)
                    change += load(moved + (a * PADDED + h) * wide + m) * slopes[(a * TRIPLES + t) * PADDED + h];
                memcpy(value, &change, bytes);
            }
    }
}

/* The transpose of `forces`: what becomes of features as atoms move and frames are strained.
 *
 * `moves` (atoms, 3, members) and `strains` (frames, 3, 3, members) stand where forces and virials stood; the result is
 * all atoms', (atoms, F, members).
 */
void changes(const Settings *settings, const Atoms *atoms, int64_t first, int64_t last, int64_t members,
             const REAL *moves, const REAL *strains, REAL *result, void *work) {
    const int64_t n_species = settings->species, channels = settings->channels, size = features_of(channels);
    const int64_t wide = PAD(members);
    Space space;
    divide(settings, members, most_tiles(settings, atoms, first, last), work, &space);
    for (int64_t begin = first; begin < last; begin += CHUNK) {
        const int64_t n = last - begin < CHUNK ? last - begin : CHUNK;
        prepare(settings, atoms, begin, begin + n, &space, space.features);
        for (int64_t i = 0; i < n; i++) {
            const REAL *own = moves + 3 * members * (begin + i);
            const REAL *strain = strains + 9 * members * atoms->frames[begin + i];
            const int64_t *rows = space.rows + i * n_species;
            REAL *plain = settings->mixing ? space.unmixed : space.wanted;
            for (int64_t s = 0; s < n_species; s++) {
                const int64_t row = rows[s], count = rows[s + 1] - row, each = RADIAL * PADDED * wide;
                memset(plain + s * each, 0, (size_t)each * sizeof(REAL));
                for (int64_t lane = 0; lane < count * LANES; lane++) {
                    const int64_t j = space.lanes[row * LANES + lane];
                    const REAL *other = moves + 3 * members * (j < 0 ? begin + i : j);
                    REAL *step = (REAL *)(space.steps + lane / LANES * 3 * members) + lane % LANES;
                    for (int64_t k = 0; k < 3 * members; k++) step[k * LANES] = own[k] - other[k];
                }
                move_moments(members, count, space.tiles + row * TILE, strain, space.steps, space.gradients,
                             plain + s * each);
            }
            if (settings->mixing) mix_moved(settings, rows, wide, plain, space.wanted);
            move_features(channels, members, space.moments + i * channels * PADDED,
                          space.slopes + i * channels * TRIPLES * PADDED, space.wanted,
                          result + (begin + i) * size * members);
        }
    }
}
