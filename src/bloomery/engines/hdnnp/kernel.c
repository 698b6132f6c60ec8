/* A committee's atomic energies and their derivatives by the features, on one core.
 *
 * The same arithmetic as engines/hdnnp/model.py, which is where it is explained: this file only makes it fast. BLOCK
 * atoms at a time go through all layers of a member, so that what lies between the layers stays in the cache.
 */

#include "products.h"

enum { MOST_LAYERS = 8 };
/* So many atoms go through a member's layers before the next member's weights are read. */
enum { BLOCK = 6 * ROWS };
enum { SILU, TANH, LOGISTIC, REVERSE_LOGISTIC, SOFTPLUS, RELU, GAUSSIAN, COSINE, EXPONENTIAL, SQUARE, IDENTITY };

/* Networks of one element. Widths are padded with zeros to multiples of LANES; `widths[0]` belongs to the features. */
typedef struct {
    int64_t members, features, layers; /* hidden layers */
    int64_t widths[MOST_LAYERS + 1];
    int64_t activations[MOST_LAYERS];
    /* By member: forward, bias and backward of each hidden layer (see `product`); last weights; last bias; skip. */
    const REAL *weights;
    int64_t stride;      /* from member to member */
    /* Backward of the first hidden layer of all members, one below the other, over their number; behind it the mean of
     * skip: from all derivatives by that layer's inputs to the mean of those by the features. */
    const REAL *together;
    const REAL *mean, *isolated, *inverse_magnitude, *middle, *inverse_half; /* (widths[0],) each, or NULL */
    double isolation;    /* SWITCH of the isolation switch */
} Networks;

/* How many columns of a matrix of weights lie together. */
int64_t panel_width(void) { return COLUMNS * LANES; }

static inline vec logistic(vec x) {
    const vec rest = exponential(choose(x < 0, x, -x)), one = broadcast(1);
    return choose(x < 0, rest, one) / (1 + rest);
}

/* Value and derivative in place of x. */
static inline void activate(int64_t kind, vec *x, vec *slope) {
    vec value = *x;
    switch (kind) {
    case SILU: {
        const vec gate = logistic(*x);
        value = *x * gate;
        *slope = gate + value * (1 - gate);
        break;
    }
    case TANH:
        value = 2 * logistic(2 * *x) - 1;
        *slope = 1 - value * value;
        break;
    case LOGISTIC:
        value = logistic(*x);
        *slope = value * (1 - value);
        break;
    case REVERSE_LOGISTIC:
        value = logistic(-*x);
        *slope = value * (value - 1);
        break;
    case SOFTPLUS:
        *slope = logistic(*x);
        for (int e = 0; e < LANES; e++) {
            const double at = (double)(*x)[e];
            value[e] = (REAL)((at > 0 ? at : 0) + log1p(exp(-fabs(at))));
        }
        break;
    case RELU:
        *slope = choose(*x > 0, broadcast(1), broadcast(0));
        value *= *slope;
        break;
    case GAUSSIAN:
        value = exponential((REAL)-0.5 * *x * *x);
        *slope = -*x * value;
        break;
    case COSINE:
        for (int e = 0; e < LANES; e++) {
            value[e] = (REAL)cos((double)(*x)[e]);
            (*slope)[e] = (REAL)-sin((double)(*x)[e]);
        }
        break;
    case EXPONENTIAL:
        for (int e = 0; e < LANES; e++) value[e] = (REAL)exp(-(double)(*x)[e]);
        *slope = -value;
        break;
    case SQUARE:
        value = *x * *x;
        *slope = 2 * *x;
        break;
    default:
        *slope = broadcast(1);
    }
    *x = value;
}

/* How many numbers `evaluate` needs to work with. */
int64_t committee_work(const Networks *networks) {
    int64_t width = 0;
    for (int64_t l = 0; l <= networks->layers; l++) width += 2 * networks->widths[l];
    return BLOCK * (networks->widths[0] + width + networks->members * networks->widths[1]);
}

/* What is evaluated: all atoms, and where the results go. */
typedef struct {
    const Networks *elements;
    int64_t n_elements, n_atoms;
    int64_t averaged;        /* derivatives are of the mean energy alone, as of one member */
    const int64_t *species;  /* (atoms,) */
    REAL *energies;          /* (members, atoms) */
    int64_t *outermost;      /* which feature is outermost, (atoms,) */
    double *distances;       /* and how far: 0 in the middle of its range, 1 at its ends, (atoms,) */
    int64_t *rows;           /* room for as many as are evaluated at a time */
    REAL *work;
} Committee;

/* Some atoms of one element, no more than BLOCK: what all members share. */
typedef struct {
    int64_t count;
    const int64_t *rows;           /* places of the atoms among those that are evaluated */
    REAL *inputs;                  /* features less their mean, (BLOCK, widths[0]) */
    REAL *pulls;                   /* derivatives of the isolation switch over its rest, (BLOCK, widths[0]) */
    REAL present[BLOCK], absent[BLOCK]; /* the isolation switch, and what is missing to one */
    REAL most_absent;
} Block;

/* Which feature of an atom is outermost, the first of several, and how far. */
static void look_for_outermost(const Networks *networks, const REAL *value, int64_t *which, double *distance) {
    vec furthest = broadcast(-1);
    integers place, at = {0};
    for (int e = 0; e < LANES; e++) place[e] = e;
    for (int64_t f = 0; f < networks->widths[0]; f += LANES, place += LANES) {
        const vec from_middle = load(value + f) - load(networks->middle + f);
        const vec away = choose(from_middle < 0, -from_middle, from_middle) * load(networks->inverse_half + f);
        const integers further = away > furthest;
        furthest = choose(further, away, furthest);
        at = (place & further) | (at & ~further);
    }
    int best = 0;
    for (int e = 1; e < LANES; e++)
        if (furthest[e] > furthest[best] || (furthest[e] == furthest[best] && at[e] < at[best])) best = e;
    *which = at[best];
    *distance = (double)furthest[best];
}

/* Derivatives of the isolation switch of an atom over its rest; the negative logarithm of that. */
static double look_for_isolation(const Networks *networks, const REAL *value, REAL *pull) {
    const double steepness = 1 / (networks->isolation * (double)networks->features);
    vec square = {0};
    for (int64_t f = 0; f < networks->widths[0]; f += LANES) {
        const vec inverse = load(networks->inverse_magnitude + f);
        const vec away = (load(value + f) - load(networks->isolated + f)) * inverse;
        square += away * away;
        store(pull + f, (REAL)(2 * steepness) * away * inverse);
    }
    return (double)sum(square) * steepness;
}

/* Fill a block of which `count` and `rows` are set, from the features (of, features) of all that are evaluated. */
static void prepare(const Committee *committee, const Networks *networks, int64_t first, const REAL *values,
                    Block *block) {
    const int64_t features = networks->features, width = networks->widths[0];
    const int64_t whole = (block->count + ROWS - 1) / ROWS * ROWS;
    memset(block->inputs, 0, (size_t)(whole * width) * sizeof(REAL));
    block->most_absent = 0;
    for (int64_t r = 0; r < block->count; r++) {
        const int64_t atom = first + block->rows[r];
        REAL *input = block->inputs + r * width;
        memcpy(input, values + block->rows[r] * features, (size_t)features * sizeof(REAL));
        if (networks->middle)
            look_for_outermost(networks, input, committee->outermost + atom, committee->distances + atom);
        const double rest = networks->isolated ? expm1(-look_for_isolation(networks, input, block->pulls + r * width))
                                               : -1;
        block->present[r] = (REAL)-rest;
        block->absent[r] = (REAL)(1 + rest);
        if (block->absent[r] > block->most_absent) block->most_absent = block->absent[r];
        for (int64_t f = 0; f < width; f += LANES) store(input + f, load(input + f) - load(networks->mean + f));
    }
}

/* Where the hidden layers of a block lie. */
typedef struct {
    REAL *values[MOST_LAYERS + 1], *slopes[MOST_LAYERS + 1], *gradient;
    REAL *together; /* slopes of the first hidden layer of all members, (BLOCK, members widths[1]) */
} Layers;

/* Energies (rows,) of one member, and their derivatives by what goes into the activations of the first hidden layer in
 * `layers->slopes[1]`; if wanted, by the inputs (rows, widths[0]) in `layers->gradient`.
 */
static void member(const Networks *networks, int64_t rows, const REAL *w, const REAL *inputs, const Layers *layers,
                   int wanted, REAL *energies) {
    const int64_t hidden = networks->layers, *widths = networks->widths;
    const REAL *backward[MOST_LAYERS + 1], *below = inputs;
    for (int64_t l = 1; l <= hidden; l++) {
        const int64_t from = widths[l - 1], to = widths[l];
        product(rows, from, to, below, from, w, w + from * to, layers->values[l]);
        for (int64_t k = 0; k < rows * to; k += LANES) {
            vec value = load(layers->values[l] + k), slope;
            activate(networks->activations[l - 1], &value, &slope);
            store(layers->values[l] + k, value);
            store(layers->slopes[l] + k, slope);
        }
        backward[l] = w + from * to + to;
        w += 2 * from * to + to;
        below = layers->values[l];
    }
    const int64_t last = widths[hidden];
    const REAL *skip = w + last + LANES;
    REAL *slopes = layers->slopes[hidden];
    for (int64_t r = 0; r < rows; r++) {
        vec total = (vec){0};
        for (int64_t k = 0; k < last; k += LANES) total += load(below + r * last + k) * load(w + k);
        for (int64_t k = 0; k < widths[0]; k += LANES) total += load(inputs + r * widths[0] + k) * load(skip + k);
        energies[r] = sum(total) + w[last];
        for (int64_t k = 0; k < last; k += LANES)
            store(slopes + r * last + k, load(slopes + r * last + k) * load(w + k));
    }
    for (int64_t l = hidden; l > 1; l--) {
        REAL *under = layers->values[l - 1];
        product(rows, widths[l], widths[l - 1], layers->slopes[l], widths[l], backward[l], NULL, under);
        for (int64_t k = 0; k < rows * widths[l - 1]; k += LANES)
            store(layers->slopes[l - 1] + k, load(layers->slopes[l - 1] + k) * load(under + k));
    }
    if (wanted)
        product(rows, widths[1], widths[0], layers->slopes[1], widths[1], backward[1], skip, layers->gradient);
}

/* Derivatives of an atom's energy: those of the networks times the isolation switch, and what the switch adds. */
static inline void switched(int64_t features, const REAL *gradient, REAL present, const REAL *pull, REAL push,
                            REAL *derivative) {
    for (int64_t f = 0; f < features && features < LANES; f++) derivative[f] = present * gradient[f] + push * pull[f];
    for (int64_t f = 0; f < features && features >= LANES; f += LANES) {
        const int64_t k = f + LANES <= features ? f : features - LANES;
        store(derivative + k, present * load(gradient + k) + push * load(pull + k));
    }
}

/* Write the derivatives of some energies by the features, `gradient` without the switch, to their places. */
static void deliver(const Networks *networks, const Block *block, const REAL *energies, const REAL *gradient,
                    REAL *derivatives) {
    const int64_t features = networks->features, width = networks->widths[0];
    for (int64_t r = 0; r < block->count; r++) {
        const REAL *own = gradient + r * width, *pull = block->pulls + r * width;
        REAL *derivative = derivatives + block->rows[r] * features;
        if (block->most_absent > 0)
            switched(features, own, block->present[r], pull, energies[r] * block->absent[r], derivative);
        else memcpy(derivative, own, (size_t)features * sizeof(REAL));
    }
}

/* Keep the slopes of a member's first hidden layer beside those of the others. */
static void keep_slopes(const Networks *networks, int64_t rows, int64_t m, const Layers *layers) {
    const int64_t own = networks->widths[1], all = networks->members * own;
    for (int64_t r = 0; r < rows; r++)
        memcpy(layers->together + r * all + m * own, layers->slopes[1] + r * own, (size_t)own * sizeof(REAL));
}

/* Energies and derivatives (members or 1, of, features) of n atoms of one element, from features (of, features).
 *
 * `committee->rows` are their places among these, and `first` that of the first of these among all atoms. The weights
 * of a member stay in the cache while a block goes through.
 */
static void of_element(const Committee *committee, const Networks *networks, int64_t n, int64_t first, int64_t of,
                       const REAL *values, REAL *derivatives) {
    const int64_t features = networks->features, width = networks->widths[0], members = networks->members;
    const int64_t beside = members * networks->widths[1];
    Block block = {.inputs = committee->work, .pulls = committee->work + BLOCK * width};
    Layers layers = {.gradient = block.pulls + BLOCK * width};
    layers.together = layers.gradient + BLOCK * width;
    REAL *next = layers.together + BLOCK * beside;
    for (int64_t l = 1; l <= networks->layers; l++) {
        layers.values[l] = next;
        layers.slopes[l] = next + BLOCK * networks->widths[l];
        next += 2 * BLOCK * networks->widths[l];
    }
    for (int64_t begin = 0; begin < n; begin += BLOCK) {
        block.count = n - begin < BLOCK ? n - begin : BLOCK;
        block.rows = committee->rows + begin;
        prepare(committee, networks, first, values, &block);
        REAL mean[BLOCK] = {0};
        for (int64_t m = 0; m < members; m++) {
            REAL energies[BLOCK];
            member(networks, block.count, networks->weights + m * networks->stride, block.inputs, &layers,
                   !committee->averaged, energies);
            for (int64_t r = 0; r < block.count; r++) {
                committee->energies[m * committee->n_atoms + first + block.rows[r]] = energies[r] * block.present[r];
                mean[r] += energies[r] / (REAL)members;
            }
            if (committee->averaged) keep_slopes(networks, (block.count + ROWS - 1) / ROWS * ROWS, m, &layers);
            else deliver(networks, &block, energies, layers.gradient, derivatives + m * of * features);
        }
        if (!committee->averaged) continue;
        product(block.count, beside, width, layers.together, beside, networks->together,
                networks->together + beside * width, layers.gradient);
        deliver(networks, &block, mean, layers.gradient, derivatives);
    }
}

/* Derivatives (members or 1, n, features) of the atoms from `first` on, from features (n, features). */
void evaluate(const Committee *committee, int64_t first, int64_t n, const REAL *features, REAL *derivatives) {
    for (int64_t s = 0; s < committee->n_elements; s++) {
        int64_t count = 0;
        for (int64_t i = 0; i < n; i++)
            if (committee->species[first + i] == s) committee->rows[count++] = i;
        of_element(committee, committee->elements + s, count, first, n, features, derivatives);
    }
}
