/* A committee's atomic energies and their derivatives by the features, on one core.
 *
 * The same arithmetic as engines/hdnnp/model.py, which is where it is explained: this file only makes it fast. ROWS
 * atoms at a time go through all layers of a member, so that what lies between the layers stays in the cache.
 */

#include "vectors.h"

/* ROWS times COLUMNS sums, and a few vectors more, fill the registers. */
#ifdef __AVX512F__
enum { ROWS = 8, COLUMNS = 2, MOST_LAYERS = 8 };
#else
enum { ROWS = 6, COLUMNS = 2, MOST_LAYERS = 8 };
#endif
enum { SILU, TANH, LOGISTIC, REVERSE_LOGISTIC, SOFTPLUS, RELU, GAUSSIAN, COSINE, EXPONENTIAL, SQUARE, IDENTITY };

/* Networks of one element. Widths are padded with zeros to multiples of LANES; `widths[0]` belongs to the features. */
typedef struct {
    int64_t members, features, layers; /* hidden layers */
    int64_t widths[MOST_LAYERS + 1];
    int64_t activations[MOST_LAYERS];
    /* By member: forward, bias and backward of each hidden layer (see `product`); last weights; last bias; skip. */
    const REAL *weights;
    int64_t stride;      /* from member to member */
    const REAL *mean, *isolated, *inverse_magnitude, *middle, *inverse_half; /* (widths[0],) each; NULL: not wanted */
    double isolation;    /* SWITCH of the isolation switch */
} Networks;

/* `count` vectors of out = start + a w, for ROWS rows; w is (inner, count). What is summed stays in registers. */
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

/* out = start + a w, for ROWS rows; w is (inner, width), panels of COLUMNS vectors one after the other. */
static inline void product(int64_t inner, int64_t width, const REAL *a, int64_t stride, const REAL *w,
                           const REAL *start, REAL *out) {
    int64_t n = 0;
    for (; n + COLUMNS * LANES <= width; n += COLUMNS * LANES)
        columns(COLUMNS, inner, width, a, stride, w + n * inner, start ? start + n : NULL, out + n);
    for (; n < width; n += LANES)
        columns(1, inner, width, a, stride, w + n * inner, start ? start + n : NULL, out + n);
}

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
    return ROWS * (width + networks->widths[0]);
}

/* What is evaluated: all atoms, and where the results go. */
typedef struct {
    const Networks *elements;
    int64_t n_elements, n_atoms;
    const int64_t *species;  /* (atoms,) */
    REAL *energies;          /* (members, atoms) */
    int64_t *outermost;      /* which feature is outermost, (atoms,) */
    double *distances;       /* and how far: 0 in the middle of its range, 1 at its ends, (atoms,) */
    int64_t *rows;           /* room for as many as are evaluated at a time */
    REAL *work;
} Committee;

/* Energies and derivatives (members, of, features) of n atoms of one element, from features (of, features).
 *
 * `rows` are their places among these, and `first` that of the first of these among all atoms.
 */
static void of_element(const Committee *committee, const Networks *networks, int64_t n, int64_t first, int64_t of,
                       const REAL *values, REAL *derivatives) {
    const int64_t *rows = committee->rows;
    REAL *work = committee->work;
    const int64_t features = networks->features, width = networks->widths[0], layers = networks->layers;
    REAL *x = work, *relative = x + ROWS * width, *gradient = relative + ROWS * width, *next = gradient + ROWS * width;
    REAL *hidden[MOST_LAYERS + 1], *slopes[MOST_LAYERS + 1];
    for (int64_t l = 1; l <= layers; l++) {
        hidden[l] = next;
        slopes[l] = next + ROWS * networks->widths[l];
        next += 2 * ROWS * networks->widths[l];
    }
    for (int64_t begin = 0; begin < n; begin += ROWS) {
        const int64_t count = n - begin < ROWS ? n - begin : ROWS;
        REAL present[ROWS], absent[ROWS], most_absent = 0;
        memset(x, 0, (size_t)(ROWS * width) * sizeof(REAL));
        for (int64_t r = 0; r < count; r++) {
            const REAL *value = values + rows[begin + r] * features;
            for (int64_t f = 0; f < features; f++) x[r * width + f] = value[f] - networks->mean[f];
            if (networks->middle) {
                REAL furthest = -1;
                int64_t which = 0;
                for (int64_t f = 0; f < features; f++) {
                    const REAL away = value[f] - networks->middle[f];
                    relative[f] = (away < 0 ? -away : away) * networks->inverse_half[f];
                }
                for (int64_t f = 0; f < features; f++)
                    if (relative[f] > furthest) furthest = relative[f], which = f;
                committee->outermost[first + rows[begin + r]] = which;
                committee->distances[first + rows[begin + r]] = (double)furthest;
            }
            present[r] = 1;
            absent[r] = 0;
            if (networks->isolated) {
                double square = 0;
                for (int64_t f = 0; f < features; f++) {
                    const REAL away = (value[f] - networks->isolated[f]) * networks->inverse_magnitude[f];
                    square += (double)(away * away);
                }
                const double exponent = -square / ((double)features * networks->isolation);
                present[r] = (REAL)-expm1(exponent);
                absent[r] = (REAL)exp(exponent);
                if (absent[r] > most_absent) most_absent = absent[r];
            }
        }
        for (int64_t m = 0; m < networks->members; m++) {
            const REAL *w = networks->weights + m * networks->stride, *backward[MOST_LAYERS + 1];
            const REAL *below = x;
            for (int64_t l = 1; l <= layers; l++) {
                const int64_t from = networks->widths[l - 1], to = networks->widths[l];
                product(from, to, below, from, w, w + from * to, hidden[l]);
                for (int64_t k = 0; k < ROWS * to; k += LANES) {
                    vec value = load(hidden[l] + k), slope;
                    activate(networks->activations[l - 1], &value, &slope);
                    store(hidden[l] + k, value);
                    store(slopes[l] + k, slope);
                }
                backward[l] = w + from * to + to;
                w += 2 * from * to + to;
                below = hidden[l];
            }
            const int64_t last = networks->widths[layers];
            const REAL *skip = w + last + LANES;
            REAL energy[ROWS];
            for (int r = 0; r < ROWS; r++) {
                vec total = (vec){0};
                for (int64_t k = 0; k < last; k += LANES) total += load(hidden[layers] + r * last + k) * load(w + k);
                for (int64_t k = 0; k < width; k += LANES) total += load(x + r * width + k) * load(skip + k);
                energy[r] = sum(total) + w[last];
                for (int64_t k = 0; k < last; k += LANES)
                    store(slopes[layers] + r * last + k, load(slopes[layers] + r * last + k) * load(w + k));
            }
            for (int64_t l = layers; l > 1; l--) {
                const int64_t to = networks->widths[l - 1];
                product(networks->widths[l], to, slopes[l], networks->widths[l], backward[l], NULL, hidden[l - 1]);
                for (int64_t k = 0; k < ROWS * to; k += LANES)
                    store(slopes[l - 1] + k, load(slopes[l - 1] + k) * load(hidden[l - 1] + k));
            }
            product(networks->widths[1], width, slopes[1], networks->widths[1], backward[1], skip, gradient);
            for (int64_t r = 0; r < count; r++) {
                const int64_t atom = rows[begin + r];
                REAL *derivative = derivatives + (m * of + atom) * features, *g = gradient + r * width;
                committee->energies[m * committee->n_atoms + first + atom] = energy[r] * present[r];
                if (most_absent > 0) {
                    const REAL *value = values + atom * features;
                    const REAL pull = energy[r] * absent[r] * (REAL)(2 / (networks->isolation * (double)features));
                    for (int64_t f = 0; f < features; f++) {
                        const REAL inverse = networks->inverse_magnitude[f];
                        g[f] = present[r] * g[f] + pull * (value[f] - networks->isolated[f]) * inverse * inverse;
                    }
                }
                memcpy(derivative, g, (size_t)features * sizeof(REAL));
            }
        }
    }
}

/* Derivatives (members, n, features) of the atoms from `first` on, from features (n, features). */
void evaluate(const Committee *committee, int64_t first, int64_t n, const REAL *features, REAL *derivatives) {
    for (int64_t s = 0; s < committee->n_elements; s++) {
        int64_t count = 0;
        for (int64_t i = 0; i < n; i++)
            if (committee->species[first + i] == s) committee->rows[count++] = i;
        of_element(committee, committee->elements + s, count, first, n, features, derivatives);
    }
}
