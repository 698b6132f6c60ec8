/* Symmetry functions, and forces from their Jacobian, on one core.
 *
 * The same arithmetic as descriptors/acsf_values.py, which is where it is explained. Functions of one kind that differ
 * in the Gaussian or in the angular factor are all products of both, "terms"; what neighbours j and k do to a term t is
 *
 *     dt / dr_j = own_j r_j + across r_k    and    dt / dr_k = own_k r_k + across r_j
 *
 * PAIRS of neighbours at a time are made into tables, LANES of them together, and then added up, LANES terms together.
 */

#include "atoms.h"
#include "products.h"

enum { PAIRS = 64, CHUNK = 48, MOST_BYTES = 1 << 20 };
enum { COSINE, TANH, TANH_NORMALISED, EXPONENTIAL, POLYNOMIAL };

typedef struct {
    int64_t count;
    const double *eta, *shift, *cutoffs; /* (count,) each */
} Gaussians;

/* Terms exp(-eta (r - shift)^2) f(r) of the neighbours of one species. */
typedef struct {
    int64_t species;
    Gaussians gaussians;
    int64_t place;                       /* of the first of them among all terms of the centre */
} Radial;

/* Terms of pairs of neighbours of two species: a row of PAD(zetas lambdas) of them for each Gaussian. */
typedef struct {
    int64_t first, second, narrow;
    Gaussians gaussians;
    int64_t zetas, lambdas;
    const double *zeta, *lambda;
    int64_t place;
} Angular;

/* All of one element: its terms, which feature each one is part of (-1: of none), and with what weight. */
typedef struct {
    int64_t n_radial, n_angular;
    const Radial *radial;
    const Angular *angular;
    int64_t terms;                       /* a multiple of LANES */
    const int64_t *columns;
    const double *weights;
} Centre;

typedef struct {
    int64_t species, features;
    double cutoff;
    int64_t kind;                        /* of the cutoff function */
    double inner;                        /* share of the cutoff up to which it is one */
    int64_t order;                       /* of the polynomial, and its coefficients (order + 1,) */
    const double *coefficients;
    double factor;                       /* of its derivative; of tanh */
    const Centre *centres;
} Settings;

/* Where everything lies; K is the largest number of neighbours of an atom, and some more. */
typedef struct {
    int64_t chunk, most, stride;         /* atoms at a time, K, numbers between the Jacobians of two atoms */
    int64_t *edges, *begins, *pairs;     /* (chunk, K), (chunk, S + 1), (2, PAIRS) */
    REAL *places;                        /* of the neighbours, and their distances: (chunk, 4, K) */
    REAL *jacobian;                      /* (chunk, K, 4, terms): own, across in three directions */
    REAL *values;                        /* of the terms of one atom */
    REAL *gaussians, *slopes;            /* of the neighbours of one atom, (G, K) */
    REAL *between;                       /* square distances and scalar products of pairs, (2, PAIRS) */
    REAL *radial;                        /* of pairs, (4, G, PAIRS): the product, its three derivatives */
    REAL *angular;                       /* of pairs, (PAIRS, 2, PAD(H)): factors, their slopes */
    REAL *turns;                         /* of pairs, (3, PAIRS) */
    REAL *features, *derivatives;        /* of the chunk */
    REAL *wanted, *found, *pushed, *own, *tension;
} Space;

static int64_t most_neighbours(const Atoms *atoms, int64_t first, int64_t last) {
    int64_t most = 1;
    for (int64_t i = first; i < last; i++)
        if (atoms->starts[i + 1] - atoms->starts[i] > most) most = atoms->starts[i + 1] - atoms->starts[i];
    return PAD(most) + LANES; /* A vector may begin anywhere. */
}

/* Divide up what `work_bytes` asked for; the bytes that are used. */
static int64_t divide(const Settings *settings, int64_t members, int64_t most, void *base, Space *space) {
    int64_t terms = LANES, gaussians = 1, factors = LANES, used = 0;
    for (int64_t s = 0; s < settings->species; s++) {
        const Centre *centre = settings->centres + s;
        if (centre->terms > terms) terms = centre->terms;
        for (int64_t g = 0; g < centre->n_radial; g++)
            if (centre->radial[g].gaussians.count > gaussians) gaussians = centre->radial[g].gaussians.count;
        for (int64_t g = 0; g < centre->n_angular; g++) {
            const Angular *angular = centre->angular + g;
            if (angular->gaussians.count > gaussians) gaussians = angular->gaussians.count;
            if (PAD(angular->zetas * angular->lambdas) > factors) factors = PAD(angular->zetas * angular->lambdas);
        }
    }
    const int64_t real = sizeof(REAL), each = PAD(members);
    space->most = most;
    space->stride = (4 * most + ROWS) * terms;
    space->chunk = MOST_BYTES / (space->stride * real);
    if (space->chunk < ROWS) space->chunk = ROWS;
    if (space->chunk > CHUNK) space->chunk = CHUNK;
    space->edges = take(base, &used, space->chunk * most * 8);
    space->begins = take(base, &used, space->chunk * (settings->species + 1) * 8);
    space->pairs = take(base, &used, 2 * PAIRS * 8);
    space->places = take(base, &used, space->chunk * 4 * most * real);
    space->jacobian = take(base, &used, space->chunk * space->stride * real);
    space->values = take(base, &used, terms * real);
    space->gaussians = take(base, &used, gaussians * most * real);
    space->slopes = take(base, &used, gaussians * most * real);
    space->between = take(base, &used, 2 * PAIRS * real);
    space->radial = take(base, &used, 4 * gaussians * PAIRS * real);
    space->angular = take(base, &used, PAIRS * 2 * factors * real);
    space->turns = take(base, &used, 3 * PAIRS * real);
    space->features = take(base, &used, space->chunk * settings->features * real);
    space->derivatives = take(base, &used, space->chunk * settings->features * members * real);
    space->wanted = take(base, &used, terms * each * real);
    space->found = take(base, &used, (4 * most + ROWS) * each * real);
    space->pushed = take(base, &used, 3 * each * real);
    space->own = take(base, &used, 3 * each * real);
    space->tension = take(base, &used, 9 * each * real);
    return used;
}

/* How many bytes the functions below need to work with. */
int64_t work_bytes(const Settings *settings, const Atoms *atoms, int64_t first, int64_t last, int64_t members) {
    Space space;
    return divide(settings, members, most_neighbours(atoms, first, last), NULL, &space);
}

/* -- functions of a distance -- */

static inline vec powers(vec base, int64_t exponent) {
    vec result = broadcast(1);
    for (; exponent; exponent >>= 1, base *= base)
        if (exponent & 1) result *= base;
    return result;
}

static inline void cut(const Settings *settings, vec r, double cutoff, vec *value, vec *slope) {
    const vec zero = {0}, one = broadcast(1);
    if (settings->kind == TANH || settings->kind == TANH_NORMALISED) {
        vec x = 1 - r * (REAL)(1 / cutoff);
        x = choose(x > 0, x, zero);
        const vec rest = exponential(-2 * x), tangent = (1 - rest) / (1 + rest), square = tangent * tangent;
        *value = (REAL)settings->factor * square * tangent;
        *slope = (REAL)(-3 * settings->factor / cutoff) * square * (1 - square);
        return;
    }
    const REAL rate = (REAL)(1 / (cutoff * (1 - settings->inner)));
    vec x = (r - (REAL)(settings->inner * cutoff)) * rate;
    x = choose(x > 0, choose(x < 1, x, one), zero);
    if (settings->kind == COSINE) {
        vec cosine, sine;
        cosine_sine((REAL)M_PI * x, &cosine, &sine);
        *value = (REAL)0.5 * (1 + cosine);
        *slope = (REAL)(-0.5 * M_PI) * sine;
    } else if (settings->kind == EXPONENTIAL) {
        vec rest = 1 - x * x;
        rest = choose(rest > (REAL)1e-9, rest, broadcast(1e-9));
        *value = exponential(1 - 1 / rest);
        *slope = -2 * x * *value / (rest * rest);
    } else {
        const vec near = choose(x < (REAL)0.5, x, 1 - x);
        vec total = broadcast(settings->coefficients[settings->order]);
        for (int64_t k = settings->order - 1; k >= 0; k--) total = total * near + (REAL)settings->coefficients[k];
        total *= powers(near, settings->order + 1);
        *value = choose(x < (REAL)0.5, 1 - total, total);
        *slope = (REAL)-settings->factor * powers(x * (1 - x), settings->order);
    }
    const integers inside = r < (REAL)cutoff;
    *value = choose(inside, *value, zero);
    *slope = choose(inside, *slope * rate, zero);
}

/* Values, and derivatives over the distance, of all Gaussians at LANES distances: (count, stride). */
static inline void gaussians_at(const Settings *settings, const Gaussians *gaussians, vec r, int64_t stride,
                                REAL *values, REAL *slopes) {
    const vec inverse = 1 / r;
    vec value = {0}, slope = {0};
    for (int64_t n = 0; n < gaussians->count; n++) {
        if (n == 0 || gaussians->cutoffs[n] != gaussians->cutoffs[n - 1])
            cut(settings, r, gaussians->cutoffs[n], &value, &slope);
        const vec away = r - (REAL)gaussians->shift[n], steep = (REAL)gaussians->eta[n] * away;
        const vec gaussian = exponential(-steep * away);
        store(values + n * stride, gaussian * value);
        store(slopes + n * stride, gaussian * (slope - 2 * steep * value) * inverse);
    }
}

/* The same of the neighbours of one species. */
static void of_neighbours(const Settings *settings, const Gaussians *gaussians, int64_t begin, int64_t end,
                          const REAL *distances, int64_t stride, REAL *values, REAL *slopes) {
    for (int64_t k = begin; k < end; k += LANES)
        gaussians_at(settings, gaussians, load(distances + k), stride, values + k, slopes + k);
}

/* -- pairs of neighbours -- */

/* Tables of the pairs that were found; `between` has their square distances and scalar products. */
static void tabulate(const Settings *settings, const Angular *group, int64_t count, const REAL *places, Space *space) {
    const int64_t G = group->gaussians.count, most = space->most, factors = PAD(group->zetas * group->lambdas);
    REAL *radial = space->radial;
    for (int64_t p = 0; p < count; p += LANES) {
        vec r[2], square = load(space->between + p), dot = load(space->between + PAIRS + p);
        for (int side = 0; side < 2; side++)
            for (int e = 0; e < LANES; e++) r[side][e] = places[3 * most + space->pairs[side * PAIRS + p + e]];
        const vec inverse = 1 / (r[0] * r[1]), cosine = dot * inverse;
        store(space->turns + p, inverse);
        for (int side = 0; side < 2; side++)
            store(space->turns + (1 + side) * PAIRS + p, -cosine / (r[side] * r[side]));
        square = choose(square > (REAL)1e-12, square, broadcast(1e-12));
        if (group->narrow)
            gaussians_at(settings, &group->gaussians, square_root(square), PAIRS, radial + p, radial + 3 * G * PAIRS + p);
        for (int64_t g = 0; g < G; g++) {
            vec value[2], slope[2], between = broadcast(1), pull = broadcast(0);
            for (int side = 0; side < 2; side++)
                for (int e = 0; e < LANES; e++) {
                    const int64_t k = g * most + space->pairs[side * PAIRS + p + e];
                    value[side][e] = space->gaussians[k];
                    slope[side][e] = space->slopes[k];
                }
            if (group->narrow) {
                between = load(radial + g * PAIRS + p);
                pull = load(radial + (3 * G + g) * PAIRS + p);
            }
            store(radial + g * PAIRS + p, value[0] * value[1] * between);
            store(radial + (G + g) * PAIRS + p, slope[0] * value[1] * between);
            store(radial + (2 * G + g) * PAIRS + p, value[0] * slope[1] * between);
            store(radial + (3 * G + g) * PAIRS + p, value[0] * value[1] * pull);
        }
        for (int64_t z = 0; z < group->zetas; z++)
            for (int64_t l = 0; l < group->lambdas; l++) {
                const double zeta = group->zeta[z];
                const REAL lambda = (REAL)group->lambda[l], scale = (REAL)exp2(1 - zeta);
                vec base = 1 + lambda * cosine, power;
                base = choose(base > 0, base, (vec){0});
                if (zeta == floor(zeta) && zeta < 1e6) power = scale * powers(base, (int64_t)zeta - 1);
                else
                    for (int e = 0; e < LANES; e++) power[e] = scale * (REAL)pow((double)base[e], zeta - 1);
                const vec factor = power * base, slope = power * ((REAL)zeta * lambda);
                REAL *angular = space->angular + p * 2 * factors + z * group->lambdas + l;
                for (int e = 0; e < LANES; e++) {
                    angular[2 * e * factors] = factor[e];
                    angular[(2 * e + 1) * factors] = slope[e];
                }
            }
    }
}

/* Add what the pairs give to the terms of their group and, if wanted, to the Jacobian. */
static void add_up(const Angular *group, int64_t count, const REAL *places, int64_t terms, const Space *space,
                   REAL *values, REAL *jacobian) {
    const int64_t G = group->gaussians.count, factors = PAD(group->zetas * group->lambdas), most = space->most;
    for (int64_t p = 0; p < count; p++) {
        const int64_t j = space->pairs[p], k = space->pairs[PAIRS + p];
        const REAL *angular = space->angular + p * 2 * factors, *turns = space->turns + p;
        for (int64_t g = 0; g < G; g++) {
            const REAL *radial = space->radial + g * PAIRS + p;
            const REAL product = radial[0], pull = radial[3 * G * PAIRS];
            const REAL stretch_j = radial[G * PAIRS] + pull, stretch_k = radial[2 * G * PAIRS] + pull;
            for (int64_t h = 0; h < factors; h += LANES) {
                const int64_t t = group->place + g * factors + h;
                const vec factor = load(angular + h), turn = product * load(angular + factors + h);
                store(values + t, load(values + t) + product * factor);
                if (!jacobian) continue;
                const vec across = turns[0] * turn - pull * factor;
                REAL *of_j = jacobian + 4 * j * terms + t, *of_k = jacobian + 4 * k * terms + t;
                store(of_j, load(of_j) + stretch_j * factor + turns[PAIRS] * turn);
                store(of_k, load(of_k) + stretch_k * factor + turns[2 * PAIRS] * turn);
                for (int q = 0; q < 3; q++) {
                    of_j += terms;
                    of_k += terms;
                    store(of_j, load(of_j) + across * places[q * most + k]);
                    store(of_k, load(of_k) + across * places[q * most + j]);
                }
            }
        }
    }
}

/* What is done with pairs as they are found, so many at a time. */
static void take_in(const Settings *settings, const Angular *group, int64_t count, const REAL *places, int64_t terms,
                    Space *space, REAL *values, REAL *jacobian) {
    tabulate(settings, group, count, places, space);
    add_up(group, count, places, terms, space, values, jacobian);
}

/* All pairs of a group. */
static void of_pairs(const Settings *settings, const Angular *group, const int64_t *begins, const REAL *places,
                     int64_t terms, Space *space, REAL *values, REAL *jacobian) {
    const int64_t most = space->most, factors = PAD(group->zetas * group->lambdas);
    const REAL *x = places, *y = x + most, *z = y + most;
    double furthest = 0;
    for (int64_t g = 0; g < group->gaussians.count; g++)
        if (group->gaussians.cutoffs[g] > furthest) furthest = group->gaussians.cutoffs[g];
    const REAL limit = group->narrow ? (REAL)(furthest * furthest) : (REAL)INFINITY;
    const int64_t sides[2] = {group->first, group->second};
    for (int side = 0; side < 1 + (group->first != group->second); side++)
        of_neighbours(settings, &group->gaussians, begins[sides[side]], begins[sides[side] + 1], places + 3 * most, most,
                      space->gaussians, space->slopes);
    memset(space->angular, 0, (size_t)(PAIRS * 2 * factors) * sizeof(REAL));
    memset(space->pairs, 0, sizeof(int64_t[2 * PAIRS]));
    memset(space->between, 0, sizeof(REAL[2 * PAIRS]));
    int64_t count = 0;
    for (int64_t j = begins[group->first]; j < begins[group->first + 1]; j++) {
        const int64_t begin = group->first == group->second ? j + 1 : begins[group->second];
        for (int64_t k = begin; k < begins[group->second + 1]; k += LANES) {
            const vec dx = load(x + k) - x[j], dy = load(y + k) - y[j], dz = load(z + k) - z[j];
            const vec square = dx * dx + dy * dy + dz * dz;
            const vec dot = load(x + k) * x[j] + load(y + k) * y[j] + load(z + k) * z[j];
            for (int e = 0; e < LANES && k + e < begins[group->second + 1]; e++) {
                if (!(square[e] < limit)) continue;
                space->pairs[count] = j;
                space->pairs[PAIRS + count] = k + e;
                space->between[count] = square[e];
                space->between[PAIRS + count] = dot[e];
                if (++count < PAIRS) continue;
                take_in(settings, group, count, places, terms, space, values, jacobian);
                count = 0;
            }
        }
    }
    take_in(settings, group, count, places, terms, space, values, jacobian);
}

/* -- atoms -- */

/* Neighbours of the i-th atom of a chunk by species: places, distances, edges. */
static void sort_neighbours(const Settings *settings, const Atoms *atoms, int64_t centre, int64_t i, Space *space) {
    int64_t *begins = space->begins + i * (settings->species + 1), *edges = space->edges + i * space->most, count = 0;
    REAL *places = space->places + i * 4 * space->most;
    for (int64_t s = 0; s < settings->species; s++) {
        begins[s] = count;
        for (int64_t e = atoms->starts[centre]; e < atoms->starts[centre + 1]; e++) {
            if (atoms->species[atoms->neighbours[e]] != s) continue;
            double square = 0;
            for (int q = 0; q < 3; q++) {
                square += atoms->vectors[3 * e + q] * atoms->vectors[3 * e + q];
                places[q * space->most + count] = (REAL)atoms->vectors[3 * e + q];
            }
            places[3 * space->most + count] = (REAL)sqrt(square);
            edges[count++] = e;
        }
    }
    begins[settings->species] = count;
    for (; count < space->most; count++)
        for (int q = 0; q < 4; q++) places[q * space->most + count] = q % 3 ? 0 : (REAL)settings->cutoff;
}

/* Features (F,) of one atom of a chunk and, if wanted, its Jacobian. */
static void describe(const Settings *settings, const Atoms *atoms, int64_t atom, int64_t i, Space *space,
                     int with_jacobian, REAL *features) {
    const Centre *centre = settings->centres + atoms->species[atom];
    const int64_t terms = centre->terms, most = space->most;
    const int64_t *begins = space->begins + i * (settings->species + 1);
    REAL *places = space->places + i * 4 * most, *values = space->values;
    REAL *jacobian = with_jacobian ? space->jacobian + i * space->stride : NULL;
    sort_neighbours(settings, atoms, atom, i, space);
    const int64_t count = begins[settings->species];
    memset(values, 0, (size_t)terms * sizeof(REAL));
    if (jacobian) memset(jacobian, 0, (size_t)((4 * count + ROWS) * terms) * sizeof(REAL));
    for (int64_t g = 0; g < centre->n_radial; g++) {
        const Radial *group = centre->radial + g;
        const int64_t begin = begins[group->species], end = begins[group->species + 1];
        of_neighbours(settings, &group->gaussians, begin, end, places + 3 * most, most, space->gaussians, space->slopes);
        for (int64_t n = 0; n < group->gaussians.count; n++)
            for (int64_t k = begin; k < end; k++) {
                values[group->place + n] += space->gaussians[n * most + k];
                if (jacobian) jacobian[4 * k * terms + group->place + n] = space->slopes[n * most + k];
            }
    }
    for (int64_t g = 0; g < centre->n_angular; g++)
        of_pairs(settings, centre->angular + g, begins, places, terms, space, values, jacobian);
    for (int64_t f = 0; f < settings->features; f++) features[f] = 0;
    for (int64_t t = 0; t < terms; t++)
        if (centre->columns[t] >= 0) features[centre->columns[t]] += (REAL)centre->weights[t] * values[t];
}

/* Features (last - first, F) of some atoms and, unless it is NULL, their Jacobian (edges of all atoms, 3, F). */
void jacobian(const Settings *settings, const Atoms *atoms, int64_t first, int64_t last, REAL *values, REAL *result,
              void *work) {
    Space space;
    divide(settings, 1, most_neighbours(atoms, first, last), work, &space);
    const int64_t F = settings->features;
    for (int64_t i = first; i < last; i++) {
        describe(settings, atoms, i, 0, &space, result != NULL, values + (i - first) * F);
        if (!result) continue;
        const Centre *centre = settings->centres + atoms->species[i];
        const int64_t terms = centre->terms;
        for (int64_t k = 0; k < space.begins[settings->species]; k++) {
            const REAL *found = space.jacobian + 4 * k * terms;
            for (int q = 0; q < 3; q++) {
                REAL *row = result + (3 * space.edges[k] + q) * F;
                memset(row, 0, (size_t)F * sizeof(REAL));
                for (int64_t t = 0; t < terms; t++)
                    if (centre->columns[t] >= 0)
                        row[centre->columns[t]] += (REAL)centre->weights[t] *
                            (found[t] * space.places[q * space.most + k] + found[(1 + q) * terms + t]);
            }
        }
    }
}

/* The features alone. */
void features(const Settings *settings, const Atoms *atoms, int64_t first, int64_t last, REAL *values, void *work) {
    jacobian(settings, atoms, first, last, values, NULL, work);
}

/* Forces on one centre and its neighbours from its Jacobian and the derivatives of each member by its features. */
static void push_all(const Settings *settings, const Atoms *atoms, int64_t atom, int64_t i, const REAL *given,
                     int64_t stride, const Space *space, const Sums *sums) {
    const Centre *centre = settings->centres + atoms->species[atom];
    const int64_t members = sums->members, each = PAD(members), most = space->most;
    const int64_t count = space->begins[i * (settings->species + 1) + settings->species];
    const REAL *places = space->places + i * 4 * most, *jacobian = space->jacobian + i * space->stride;
    REAL *wanted = space->wanted;
    for (int64_t n = 0; n < each; n += panel(n, each))
        for (int64_t t = 0; t < centre->terms; t++)
            for (int64_t m = n; m < n + panel(n, each); m++)
                *wanted++ = m < members && centre->columns[t] >= 0
                    ? (REAL)centre->weights[t] * given[m * stride + centre->columns[t]] : 0;
    product(4 * count, centre->terms, each, jacobian, centre->terms, space->wanted, NULL, space->found);
    begin_centre(sums);
    for (int64_t k = 0; k < count; k++) {
        const REAL *found = space->found + 4 * k * each;
        REAL vector[3];
        for (int q = 0; q < 3; q++) {
            vector[q] = places[q * most + k];
            for (int64_t m = 0; m < each; m += LANES)
                store(space->pushed + q * each + m, vector[q] * load(found + m) + load(found + (1 + q) * each + m));
        }
        add_neighbour(sums, atoms->neighbours[space->edges[i * most + k]], vector, space->pushed);
    }
    end_centre(sums, atoms, atom);
}

/* Add what some centres give to the forces (atoms, 3, members) and, if asked for, the virials (frames, 3, 3, members).
 *
 * The derivatives of each member's energies by the features come from a model or, where that is NULL, from `given`: all
 * atoms', (members, atoms, F), with `stride` numbers from member to member.
 */
void forces(const Settings *settings, const Atoms *atoms, int64_t first, int64_t last, int64_t members, Model model,
            const void *context, const REAL *given, int64_t stride, REAL *result, double *virials, void *work) {
    const int64_t F = settings->features;
    Space space;
    divide(settings, members, most_neighbours(atoms, first, last), work, &space);
    const Sums sums = {members, PAD(members), result, virials, space.own, space.tension};
    for (int64_t begin = first; begin < last; begin += space.chunk) {
        const int64_t n = last - begin < space.chunk ? last - begin : space.chunk;
        for (int64_t i = 0; i < n; i++) describe(settings, atoms, begin + i, i, &space, 1, space.features + i * F);
        if (model) model(context, begin, n, space.features, space.derivatives);
        for (int64_t i = 0; i < n; i++)
            if (model) push_all(settings, atoms, begin + i, i, space.derivatives + i * F, n * F, &space, &sums);
            else push_all(settings, atoms, begin + i, i, given + (begin + i) * F, stride, &space, &sums);
    }
}
