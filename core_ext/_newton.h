/* Newton's method on the content function of a network, laid out for vector instructions.
 *
 * Every link has a pressure drop h(m) that never falls with its flow, so flows that balance at the nodes and
 * minimise the content (the sum of the integrals of h) solve the network. Newton eliminates to a weighted
 * graph Laplacian of the unknown pressures, which is factorised without a single subtraction: off-diagonal
 * magnitudes and the row's excess are kept instead of the diagonal, so conductances may span thirty decades
 * and the pivot of a part without pressure reference is exactly zero.
 *
 * Columns (unknown pressures) of one elimination level do not touch each other; eight of like shape form a
 * group, and the links and factor entries of a group lie side by side, lane by lane. A link belongs to the
 * column of its end that is eliminated first and flows positive out of it. Trees that hang on the rest by
 * one link are peeled: their flows follow from the injections alone and take no part in the iteration.
 * What lies where is decided by _program.pyx; this file allocates only what rare cases need.
 */
#ifndef TOPLOVOD_NEWTON_H
#define TOPLOVOD_NEWTON_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#include "_simd.h"
#include "_lanes.h"
#include "_net.h"

enum { NORMAL, CHORD, REFIT, LAWS, RESUMED };
/* where an iteration begins: flows as they are, flows from cold, laws as the last solve left them */
enum { FROM_FLOWS, FROM_COLD, FROM_LAWS };
enum { CONVERGED, TOO_MANY_STEPS, OVERFLOWED, NO_MEMORY, CYCLED };
/* links that `label` leaves out: none, those at a limit now, all that have one */
enum { NO_LINKS, HELD_LINKS, LIMITED_LINKS };
/* states of a regulator */
enum { OPEN, THROTTLING, SHUT };

#define LN10 2.302585092994045684
/* slope floor of the matrix, Pa/(kg/s): only the speed of convergence depends on it, never the solution */
#define LEAST_SLOPE 1e-6
/* slope of a link at its limit in the matrix, Pa/(kg/s); it only damps the pressure of parts that nothing
 * else holds, no flow comes of it */
#define LIMIT_SLOPE 1e15
/* share of change in the flows above which the next Newton step gains nothing from double precision */
#define QUICK_ABOVE 1e-3
#define RE_LAMINAR 2000.0
#define RE_TURBULENT 4000.0
/* Swamee-Jain at every Re is not monotone below about Re 20; linear below this */
#define RE_LINEAR 64.0

static void others(Net *n, int mode, double wall);
static void lanes_other(const Net *n, Lanes *e, int32_t slot);

/* Where the sweeps read and write, by value: a pointer that no store can reach need not be loaded again. */
typedef struct {
    Column *column;
    double *w, *y, *entry, *scratch;
    const double *q, *offset;
    const int32_t *row, *link, *target;
    int32_t widest;
} Arrays;

static inline Arrays arrays_of(const Net *n) {
    const Arrays a = {n->column, n->w,  n->y,    n->entry,  n->scratch, n->q,
                      n->offset, n->row, n->link, n->target, n->widest};
    return a;
}

/* What each column has to balance before anything is pushed to it; a fixed pressure does not change. */
static inline void begin_sums(Net *n) {
    typedef double Pair __attribute__((vector_size(16)));
    Column *column = n->column;
    for (int32_t c = 0, end = 8 * n->groups; c < end; ++c) {
        const Pair pair = {0.0, column[c].injection};
        __builtin_memcpy(column + c, &pair, sizeof pair);
    }
    for (int32_t c = 8 * n->groups; c < n->places; ++c) {
        column[c].excess = column[c].rhs = 0.0;
    }
}

#define BODY "_newton_body.h"
#include "_levels.h"

static void evaluate(Net *n, int mode, double wall) {
    DISPATCH(n->level, evaluate, n, mode, wall);
}
static void peeled_laws(Net *n) { DISPATCH(n->level, peeled_laws, n); }
static void peeled_drops(Net *n) { DISPATCH(n->level, peeled_drops, n); }
static void eliminate(Net *n) { DISPATCH(n->level, eliminate, n); }
static void substitute(Net *n) { DISPATCH(n->level, substitute, n); }
static void differences(Net *n, int32_t from) { DISPATCH(n->level, differences, n, from); }
static void publish_flows(const Net *n, double *flow) { DISPATCH(n->level, publish_flows, n, flow); }
static void publish_nodes(const Net *n, const double *outside, double *pressure, double *inflow) {
    DISPATCH(n->level, publish_nodes, n, outside, pressure, inflow);
}
static void lanes_eliminate(const Net *n, Lanes *e) {
    DISPATCH(n->level, lanes_eliminate, n, e);
}
static void lanes_sweep(const Net *n, Lanes *e, int mode, int substitute) {
    DISPATCH(n->level, lanes_sweep, n, e, mode, substitute);
}
static double imbalance(Net *n) {
    return DISPATCH(n->level, imbalance, n);
}

/* -- laws one at a time ------------------------------------------------------------------------------- */

static double swamee_jain_one(double re, double rough, double *slope) {
    double y = 5.74 * pow(re, -0.9), inside = rough + y, x = -2.0 / LN10 * log(inside), f = 1.0 / (x * x);
    *slope = -3.6 / LN10 * f * y / (inside * x * re);
    return f;
}

static double colebrook_one(double re, double rough, double *slope) {
    double a = 2.0 / LN10, b = 2.51 / re, x = 1.0 / sqrt(swamee_jain_one(re, rough, slope)), step, inside;
    for (int trial = 0; trial < 8; ++trial) {
        inside = rough + b * x;
        step = (x + a * log(inside)) / (1.0 + a * b / inside);
        x -= step;
        if (fabs(step) < 1e-15 * x) {
            break;
        }
    }
    inside = rough + b * x;
    /* dx/dRe from the implicit equation, then df = -2 x^-3 dx */
    *slope = -2.0 / (x * x * x) * (a * b * x / (re * inside)) / (1.0 + a * b / inside);
    return 1.0 / (x * x);
}

static double pipe_one(int form, double m, const double *p, int stride, double *slope) {
    double am = fabs(m), p0 = p[0], p1 = p[stride], p2 = p[2 * stride], p3 = p[3 * stride], re = p0 * am;
    double f, df, r;
    if (form == NIKURADSE) {
        r = 64.0 * p1 / p0;
        f = p3 * p1 + p2;
        *slope = r + 2.0 * f * am;
        return m * (r + f * am);
    }
    if (form == SWAMEE_JAIN_EVERYWHERE && re <= RE_LINEAR) {
        r = RE_LINEAR * swamee_jain_one(RE_LINEAR, p3, &df) * p1 / p0;
        *slope = r + 2.0 * p2 * am;
        return m * (r + p2 * am);
    }
    if (form != SWAMEE_JAIN_EVERYWHERE && re <= RE_LAMINAR) {
        r = 64.0 * p1 / p0;
        *slope = r + 2.0 * p2 * am;
        return m * (r + p2 * am);
    }
    if (form != SWAMEE_JAIN_EVERYWHERE && re < RE_TURBULENT) {
        double end = form == COLEBROOK ? colebrook_one(RE_TURBULENT, p3, &df) : swamee_jain_one(RE_TURBULENT, p3, &df);
        double end_slope = df * RE_LAMINAR, t = re / RE_LAMINAR - 1.0;
        double c = 3.0 * (end - 0.032) + 0.064 - end_slope, d = end_slope - 0.032 - 2.0 * (end - 0.032);
        f = 0.032 + t * (-0.032 + t * (c + t * d));
        df = (-0.032 + t * (2.0 * c + t * 3.0 * d)) / RE_LAMINAR;
    } else {
        f = form == COLEBROOK ? colebrook_one(re, p3, &df) : swamee_jain_one(re, p3, &df);
    }
    r = (f * p1 + p2) * am;
    *slope = 2.0 * r + df * p0 * p1 * am * am;
    return r * m;
}

/* Drop of one pipe by its four coefficients; for those who ask what another pipe would do. */
static double newton_pipe_drop(int form, double m, const double *p) {
    double slope;
    return pipe_one(form, m, p, 1, &slope);
}

static double quadratic_one(double m, double k, double linear_below, double *slope) {
    double am = fabs(m);
    if (am < linear_below) {
        *slope = k * linear_below;
        return k * linear_below * m;
    }
    *slope = 2.0 * k * am;
    return k * am * m;
}

/* Pressure drop of a link of the general kind at flow m in its own direction, and its slope (never < 0). */
static double other_one(const Net *n, const Other *o, double m, double *slope) {
    const double *p = o->p;
    double am = fabs(m), r, s, df, gain;
    switch (o->kind) {
    case PIPE:
        return pipe_one(n->form, m, p, 1, slope);
    case QUADRATIC:
        return quadratic_one(m, p[0], p[1], slope);
    case REGULATOR:
        return quadratic_one(m, p[0], p[1], slope) + p[2];
    case FIXED: /* pressure gain */
        *slope = 0.0;
        return -p[0];
    case POWER: /* gain = p0 - p1 m^p2 */
        if (am <= 0.0) {
            *slope = p[2] == 1.0 ? p[1] : 0.0;
            return -p[0];
        }
        r = p[1] * pow(am, p[2] - 1.0);
        *slope = p[2] * r;
        return r * m - p[0];
    case CURVE: { /* first point, number of points, speed, +1 loss or -1 gain; outer segments extended */
        int32_t begin = (int32_t)p[0], i = begin, j = begin + (int32_t)p[1] - 1;
        s = p[2];
        r = am / s;
        while (j - i > 1) {
            int32_t k = (i + j) / 2;
            if (n->curve_flow[k] < r) {
                i = k;
            } else {
                j = k;
            }
        }
        df = (n->curve_dp[j] - n->curve_dp[i]) / (n->curve_flow[j] - n->curve_flow[i]);
        gain = n->curve_dp[i] + df * (r - n->curve_flow[i]);
        if (p[3] < 0.0) {
            *slope = -df * s;
            if (m >= 0.0) {
                return -s * s * gain;
            }
            /* a pump is only asked for m >= 0; the mirrored branch keeps the law monotone */
            i = begin;
            r = (n->curve_dp[i + 1] - n->curve_dp[i]) / (n->curve_flow[i + 1] - n->curve_flow[i]);
            return -s * s * (n->curve_dp[i] - r * n->curve_flow[i]) + df * s * am;
        }
        *slope = df * s;
        return m > 0.0 ? s * s * gain : m < 0.0 ? -s * s * gain : 0.0;
    }
    case HAZEN: /* coefficient, exponent, minor loss, flow below which it is linear */
        if (am < p[3]) {
            r = p[0] * pow(p[3], p[1] - 1.0);
            *slope = r + 2.0 * p[2] * am;
            return m * (r + p[2] * am);
        }
        r = p[0] * pow(am, p[1] - 1.0);
        *slope = p[1] * r + 2.0 * p[2] * am;
        return m * (r + p[2] * am);
    default:
        *slope = 0.0;
        return 0.0;
    }
}

/* Drop of the link in a slot at flow m out of its column, limits as walls when wall > 0. */
static double law_of(const Net *n, int32_t slot, double m, double wall, double *slope) {
    int32_t b = slot >> 3;
    if (b < n->quad_at || (b >= n->peeled_pipe_at && b < n->peeled_other_at)) {
        return pipe_one(n->form, m, parameter(n, slot, 0), 8, slope);
    }
    if (b < n->other_at) {
        const double *p = parameter(n, slot, 0);
        double edge = m;
        if (b >= n->limited_at && wall > 0.0) {
            edge = m > p[24] ? p[24] : m < p[16] ? p[16] : m;
        }
        double drop = quadratic_one(edge, p[0], p[8], slope);
        if (edge != m) {
            *slope = wall;
            drop += wall * (m - edge);
        }
        return drop;
    }
    const Other *o = other_of(n, slot);
    double own = o->direction * m, edge = own;
    if (wall > 0.0) {
        edge = own > o->high ? o->high : own < o->low ? o->low : own;
    }
    double drop = other_one(n, o, edge, slope);
    if (edge != own) {
        *slope = wall;
        drop += wall * (own - edge);
    }
    return o->direction * drop;
}

/* Flow of a law from which a shut link starts again under pressure x, in its own direction. */
static double fitting_flow(const Other *o, double x, double m) {
    if ((o->kind == QUADRATIC || o->kind == REGULATOR) && o->p[0] > 0.0) {
        return (x < 0.0 ? -1.0 : 1.0) * sqrt(fabs(x) / o->p[0]);
    }
    if (o->kind == POWER && o->p[1] > 0.0) {
        return pow(fabs(x) / o->p[1], 1.0 / o->p[2]);
    }
    return m;
}

/* How far a regulator's sensed pressure is above its setting, at the pressures as they are. */
static double excess_of(const Net *n, const Regulator *r) {
    double sensed = -r->setting_pa;
    if (r->place_a >= 0) {
        sensed += r->weight_a * (n->column[r->place_a].pressure - (n->level_pa ? n->level_pa[r->place_a] : 0.0));
    }
    if (r->place_b >= 0) {
        sensed += r->weight_b * (n->column[r->place_b].pressure - (n->level_pa ? n->level_pa[r->place_b] : 0.0));
    }
    return sensed;
}

static void others(Net *n, int mode, double wall) {
    for (int32_t slot = 8 * n->other_at; slot < 8 * n->peeled_pipe_at; ++slot) {
        Other *o = other_of(n, slot);
        if (mode != LAWS && !(n->mask[slot >> 3] >> (slot & 7) & 1)) {
            n->q[slot] = n->w[slot] = n->y[slot] = 0.0;
            continue;
        }
        double m = n->w[slot], dp = n->y[slot], slope, drop, x, miss;
        if (mode == LAWS) {
            drop = law_of(n, slot, m, 0.0, &slope);
            n->w[slot] = drop;
            n->y[slot] = slope;
            continue;
        }
        if (wall <= 0.0) {
            double own = o->direction * m;
            if (o->state == FREE && own > o->high) {
                own = o->high;
                o->state = AT_HIGH;
                n->clipped += 1;
            } else if (o->state == FREE && own < o->low) {
                own = o->low;
                o->state = AT_LOW;
                n->clipped += 1;
            } else if (o->state != FREE) {
                own = o->state == AT_HIGH ? o->high : o->low;
                drop = other_one(n, o, own, &slope);
                x = o->direction * dp - drop;
                if (o->state == AT_HIGH ? x < -n->slack : x > n->slack) {
                    o->state = FREE;
                    n->released += 1;
                    if (own == 0.0) {
                        own = fitting_flow(o, x, own);
                        own = own > o->high ? o->high : own < o->low ? o->low : own;
                        n->clipped += 1;
                    }
                }
            }
            m = o->direction * own;
        }
        drop = law_of(n, slot, m, wall, &slope);
        x = dp - drop;
        n->along -= o->state == FREE ? (m - n->q[slot]) * x : 0.0;
        n->q[slot] = m;
        if (o->state == FREE) {
            double y = 1.0 / (slope > LEAST_SLOPE ? slope : LEAST_SLOPE);
            n->y[slot] = y;
            n->w[slot] = m + y * x;
            miss = fabs(x);
        } else {
            n->y[slot] = 1.0 / LIMIT_SLOPE;
            n->w[slot] = m;
            miss = o->state * o->direction * -x;
            miss = miss > 0.0 ? miss : 0.0;
        }
        n->total += miss;
        if (!(miss <= n->worst)) {
            n->worst = miss;
        }
    }
}

/* Changes of pressure for eight right-hand sides at once, with the multipliers that eliminate() left.
 * x: (places, 8), right-hand sides of columns on entry, changes on return; other places must be zero. */
static void solve_eight(const Net *n, double *x) {
    for (int32_t g = 0; g < n->alias_group; ++g) {
        const Group *group = n->group + g;
        for (int l = 0; l < group->lanes; ++l) {
            double *t = x + 8 * (8 * (int64_t)g + l);
            for (int a = 0; a < group->entries; ++a) {
                double s = n->entry[8 * (int64_t)(group->entry_at + a) + l];
                double *to = x + 2 * (int64_t)n->row[8 * (int64_t)(group->row_at + a) + l];
                for (int k = 0; k < 8; ++k) {
                    to[k] += s * t[k];
                }
            }
            double inverse = n->column[8 * (int64_t)g + l].excess;
            for (int k = 0; k < 8; ++k) {
                t[k] *= inverse;
            }
        }
    }
    /* empty lanes push zeros to the places nobody owns */
    for (int32_t g = n->alias_group - 1; g >= 0; --g) {
        const Group *group = n->group + g;
        for (int l = 0; l < group->lanes; ++l) {
            double *t = x + 8 * (8 * (int64_t)g + l);
            for (int a = 0; a < group->entries; ++a) {
                double s = n->entry[8 * (int64_t)(group->entry_at + a) + l];
                const double *from = x + 2 * (int64_t)n->row[8 * (int64_t)(group->row_at + a) + l];
                for (int k = 0; k < 8; ++k) {
                    t[k] += s * from[k];
                }
            }
        }
    }
}

/* Solve m (count x count, row by row, destroyed) x = b in place; 0 when it is singular. */
static int solve_dense(double *m, double *b, int count) {
    for (int i = 0; i < count; ++i) {
        int best = i;
        for (int j = i + 1; j < count; ++j) {
            best = fabs(m[j * count + i]) > fabs(m[best * count + i]) ? j : best;
        }
        if (!(fabs(m[best * count + i]) > 1e-12)) {
            return 0;
        }
        for (int k = 0; k < count && best != i; ++k) {
            double t = m[i * count + k];
            m[i * count + k] = m[best * count + k];
            m[best * count + k] = t;
        }
        double t = b[i];
        b[i] = b[best];
        b[best] = t;
        for (int j = i + 1; j < count; ++j) {
            double f = m[j * count + i] / m[i * count + i];
            for (int k = i; k < count; ++k) {
                m[j * count + k] -= f * m[i * count + k];
            }
            b[j] -= f * b[i];
        }
    }
    for (int i = count - 1; i >= 0; --i) {
        for (int k = i + 1; k < count; ++k) {
            b[i] -= m[i * count + k] * b[k];
        }
        b[i] /= m[i * count + i];
    }
    return 1;
}

/* How what regulators sense answers to what they take up: matrix[u][v], count x count, for the regulators in
 * `which`, from the multipliers of the last elimination. */
static void responses(Net *n, const int32_t *which, int count, double *x, double *matrix) {
    for (int begin = 0; begin < count; begin += 8) {
        memset(x, 0, sizeof(double) * 8 * (size_t)n->places);
        for (int k = 0; k < 8 && begin + k < count; ++k) {
            const Regulator *r = n->regulator + which[begin + k];
            double y = n->y[n->slot[r->link] >> 1];
            int32_t a = n->first[r->link], b = n->second[r->link];
            if (a < 8 * n->alias_group) {
                x[8 * (int64_t)a + k] += y;
            }
            if (b < 8 * n->alias_group) {
                x[8 * (int64_t)b + k] -= y;
            }
        }
        solve_eight(n, x);
        for (int u = 0; u < count; ++u) {
            const Regulator *r = n->regulator + which[u];
            for (int k = 0; k < 8 && begin + k < count; ++k) {
                matrix[u * count + begin + k] =
                    (r->place_a >= 0 ? r->weight_a * x[8 * (int64_t)r->place_a + k] : 0.0) +
                    (r->place_b >= 0 ? r->weight_b * x[8 * (int64_t)r->place_b + k] : 0.0);
            }
        }
    }
}

/* One Newton step for what the throttling regulators take up, along with all flows and pressures: the matrix
 * bordered by them is solved by way of the plain one. Their flows in w then carry the new drops.
 * Returns 0 when a regulator cannot influence what it senses. */
static int throttle(Net *n) {
    const int count = n->active_regulators;
    double *x = n->border, *matrix = x + 8 * (int64_t)n->places, *need = matrix + (int64_t)count * count;
    int32_t *which = (int32_t *)(need + count);
    int at = 0;
    for (int32_t i = 0; i < n->regulators; ++i) {
        if (n->regulator[i].state == THROTTLING) {
            which[at] = i;
            need[at++] = -excess_of(n, n->regulator + i);
        }
    }
    eliminate(n);
    /* the step without any change of the regulators: rhs is eliminated already, so substitute alone */
    memset(x, 0, sizeof(double) * (size_t)n->places);
    for (int32_t i = 0; i < 8 * n->alias_group; ++i) {
        x[i] = n->column[i].rhs;
    }
    for (int32_t g = n->alias_group - 1; g >= 0; --g) {
        const Group *group = n->group + g;
        for (int l = 0; l < group->lanes; ++l) {
            for (int a = 0; a < group->entries; ++a) {
                x[8 * (int64_t)g + l] += n->entry[8 * (int64_t)(group->entry_at + a) + l] *
                                         x[n->row[8 * (int64_t)(group->row_at + a) + l] / 4];
            }
        }
    }
    for (int u = 0; u < count; ++u) {
        const Regulator *r = n->regulator + which[u];
        need[u] -= (r->place_a >= 0 ? r->weight_a * x[r->place_a] : 0.0) +
                   (r->place_b >= 0 ? r->weight_b * x[r->place_b] : 0.0);
    }
    responses(n, which, count, x, matrix);
    if (!solve_dense(matrix, need, count)) {
        return 0;
    }
    for (int u = 0; u < count; ++u) {
        int32_t code = n->slot[n->regulator[which[u]].link], slot = code >> 1;
        Other *o = other_of(n, slot);
        o->p[2] += need[u];
        n->w[slot] -= o->direction * n->y[slot] * need[u];
    }
    return 1;
}

/* -- parts of the network ----------------------------------------------------------------------------- */

static int32_t find(Net *n, int32_t i) {
    while (n->root[i] != i) {
        n->root[i] = n->root[n->root[i]];
        i = n->root[i];
    }
    return i;
}

/* State of a link at its limits, in its own direction. */
static int state_of(const Net *n, int32_t e) {
    int32_t code = n->slot[e];
    if (code < 0 || n->kind[e] >= IMPOSED) {
        return FREE;
    }
    int32_t slot = code >> 1, b = slot >> 3;
    if (b >= n->limited_at && b < n->other_at) {
        const uint8_t *bits = n->at_limit + 2 * (int64_t)(b - n->limited_at);
        int state = (bits[0] >> (slot & 7) & 1) - (bits[1] >> (slot & 7) & 1);
        return code & 1 ? -state : state;
    }
    if ((b >= n->other_at && b < n->peeled_pipe_at) || b >= n->peeled_other_at) {
        return other_of(n, slot)->state;
    }
    return FREE;
}

/* Whether a link may ever be held at a limit. */
static int has_limits(const Net *n, int32_t e) {
    double low, high;
    int32_t b = n->slot[e] >> 4;
    get_limits(n, e, &low, &high);
    return (b >= n->limited_at && b < n->other_at) || isfinite(low) || isfinite(high);
}

/* Give every place the root of its connected part, and mark the parts that hold a fixed pressure. */
static void label(Net *n, int without) {
    for (int32_t i = 0; i < n->places; ++i) {
        n->root[i] = i;
    }
    for (int32_t e = 0; e < n->links; ++e) {
        if (!n->open[e] || n->kind[e] >= IMPOSED || (without == HELD_LINKS && state_of(n, e) != FREE) ||
            (without == LIMITED_LINKS && has_limits(n, e))) {
            continue;
        }
        int32_t a = find(n, n->first[e]), b = find(n, n->second[e]);
        /* the larger index wins: fixed places come last, so a part's root is fixed if any of it is */
        if (a < b) {
            n->root[a] = b;
        } else {
            n->root[b] = a;
        }
    }
    for (int32_t i = 0; i < n->places; ++i) {
        n->known[i] = find(n, i) >= n->fixed_at;
    }
}

/* Whether links held at a limit can part any node from all fixed pressures. Mostly not: a town's pipes have no
 * limits, and lead to them from everywhere. */
static int limits_part(Net *n) {
    if (n->parting < 0) {
        label(n, LIMITED_LINKS);
        n->parting = n->regulators > 0;
        for (int32_t i = 0; i < n->trash_at && !n->parting; ++i) {
            n->parting = n->node_of[i] >= 0 && !n->known[i];
        }
        label(n, NO_LINKS);
    }
    return n->parting;
}

static void free_limit(Net *n, int32_t slot) {
    int32_t b = slot >> 3;
    if (b >= n->limited_at && b < n->other_at) {
        n->at_limit[2 * (b - n->limited_at)] &= (uint8_t)~(1 << (slot & 7));
        n->at_limit[2 * (b - n->limited_at) + 1] &= (uint8_t)~(1 << (slot & 7));
    } else if ((b >= n->other_at && b < n->peeled_pipe_at) || b >= n->peeled_other_at) {
        other_of(n, slot)->state = FREE;
    }
}

/* A limit that was taken away cannot hold a flow. */
static void free_lost_limits(Net *n) {
    for (int32_t b = n->limited_at; b < n->other_at; ++b) {
        const double *p = n->limited + 32 * (int64_t)(b - n->limited_at);
        uint8_t *bits = n->at_limit + 2 * (int64_t)(b - n->limited_at);
        for (int l = 0; l < 8; ++l) {
            if (p[24 + l] > 1e300) {
                bits[0] &= (uint8_t)~(1 << l);
            }
            if (p[16 + l] < -1e300) {
                bits[1] &= (uint8_t)~(1 << l);
            }
        }
    }
    for (int32_t i = 0; i < 8 * (n->peeled_pipe_at - n->other_at); ++i) {
        Other *o = n->other + i;
        if ((o->state == AT_HIGH && o->high > 1e300) || (o->state == AT_LOW && o->low < -1e300)) {
            o->state = FREE;
        }
    }
}

/* What an imposed flow is; 0 for one that was silenced. */
static inline double imposed_flow(const Net *n, int32_t e) { return n->act[e] ? n->imposed[~n->slot[e]] : 0.0; }

/* Silence imposed flows and injections of parts that nothing can balance, with all that follows from it. */
static void silence(Net *n) {
    int again = 1;
    label(n, NO_LINKS);
    memset(n->dead, 0, (size_t)n->places);
    while (again) {
        again = 0;
        memset(n->sums, 0, sizeof(double) * 2 * (size_t)n->places);
        for (int32_t i = 0; i < n->places; ++i) {
            int32_t a = find(n, i);
            n->sums[2 * a] += n->inflow[i];
            n->sums[2 * a + 1] += fabs(n->inflow[i]);
        }
        for (int32_t e = 0; e < n->links; ++e) {
            if (n->kind[e] == IMPOSED && n->act[e]) {
                double m = imposed_flow(n, e);
                int32_t a = find(n, n->first[e]), b = find(n, n->second[e]);
                n->sums[2 * a] -= m;
                n->sums[2 * b] += m;
                n->sums[2 * a + 1] += fabs(m);
                n->sums[2 * b + 1] += fabs(m);
            }
        }
        for (int32_t i = 0; i < n->places; ++i) {
            if (n->root[i] == i && !n->known[i] && !n->dead[i] && fabs(n->sums[2 * i]) > 1e-9 * n->sums[2 * i + 1]) {
                n->dead[i] = 1;
                again = 1;
            }
        }
        if (!again) {
            break;
        }
        for (int32_t i = 0; i < n->places; ++i) {
            if (n->dead[find(n, i)]) {
                n->inflow[i] = 0.0;
            }
        }
        for (int32_t e = 0; e < n->links; ++e) {
            if (n->kind[e] == IMPOSED && n->act[e] &&
                (n->dead[find(n, n->first[e])] || n->dead[find(n, n->second[e])])) {
                n->act[e] = 0;
            }
        }
    }
}

/* What flows in from outside at every place: injections, but for parts that were silenced. */
static inline const double *inflow_of(const Net *n) { return n->unreferenced ? n->inflow : n->injection; }

/* Take note of links that opened or shut, then of everything that flows in from outside. */
static void connect(Net *n) {
    if (!n->labelled || memcmp(n->seen, n->open, (size_t)n->links) != 0) {
        for (int32_t e = 0; e < n->links; ++e) {
            n->act[e] = n->open[e] && n->kind[e] != PINNED;
            if (n->kind[e] < IMPOSED && n->seen[e] != n->open[e]) {
                int32_t slot = n->slot[e] >> 1;
                uint8_t bit = (uint8_t)(1 << (slot & 7));
                if (n->open[e]) {
                    n->mask[slot >> 3] |= bit;
                    /* a link that opens again starts from its cold flow, not from zero */
                    n->q[slot] = n->cold[slot];
                } else {
                    n->mask[slot >> 3] &= (uint8_t)~bit;
                    n->q[slot] = 0.0;
                }
                free_limit(n, slot);
                n->evaluated = 0;
            }
            n->seen[e] = n->open[e];
        }
        label(n, NO_LINKS);
        n->unreferenced = 0;
        for (int32_t i = 0; i < n->trash_at; ++i) {
            n->unreferenced += n->node_of[i] >= 0 && !n->known[i];
        }
        n->labelled = 1;
        n->parting = -1;
    } else if (n->unreferenced) {
        for (int32_t e = 0; e < n->links; ++e) {
            n->act[e] = n->open[e] && n->kind[e] != PINNED;
        }
    }
    if (n->unreferenced) {
        memcpy(n->inflow, n->injection, sizeof(double) * (size_t)n->places);
        silence(n);
    }
    const double *inflow = inflow_of(n);
    for (int32_t i = 0; i < n->places; ++i) {
        n->column[i].injection = inflow[i];
    }
    for (int32_t i = 0; i < n->imposed_links; ++i) {
        int32_t e = n->imposed_link[i];
        double m = n->act[e] ? n->imposed[i] : 0.0;
        n->column[n->first[e]].injection -= m;
        n->column[n->second[e]].injection += m;
    }
    /* peeled trees: what is injected at a node can only leave by its one link */
    const int32_t end = 8 * n->peeled_other_at;
    for (int32_t i = 0; i < n->peeled; ++i) {
        int32_t slot = n->peel_slot[i];
        double m = n->mask[slot >> 3] >> (slot & 7) & 1 ? n->column[n->peel_place[i]].injection : 0.0;
        if (slot < end) {
            n->stale[(slot >> 3) - n->peeled_pipe_at] |= n->q[slot] != m;
        }
        n->q[slot] = m;
        n->column[n->peel_parent[i]].injection += m;
    }
    /* columns that stand for a fixed place whose links end at another fixed place */
    for (int32_t i = 0; i < n->aliases; ++i) {
        n->column[n->alias_place[i]].pressure = n->column[n->alias_of[i]].pressure;
        n->column[n->alias_place[i]].injection = 0.0;
    }
}

/* -- iteration ---------------------------------------------------------------------------------------- */

/* Whether the link in a slot of the core is free to follow its law. */
static inline int follows(const Net *n, int32_t slot) {
    return (n->mask[slot >> 3] >> (slot & 7) & 1) && n->saved[slot] > 2.0 / LIMIT_SLOPE;
}

/* Derivative of the content along the step from q - step to q, `back` (0..1) steps before its end. */
static double slope_at(Net *n, double back, double wall) {
    const double *step = n->saved + 8 * (size_t)n->peeled_pipe_at;
    double along = 0.0, g;
    for (int32_t i = 0; i < 8 * n->peeled_pipe_at; ++i) {
        if (step[i] != 0.0) {
            along -= step[i] * (n->y[i] - law_of(n, i, n->q[i] - back * step[i], wall, &g));
        }
    }
    return along;
}

/* Step back to where the content stops falling along the last step (it is convex). */
static void shorten(Net *n, double slope0, double slope1, double wall, int strict) {
    double *step = n->saved + 8 * (size_t)n->peeled_pipe_at;
    double a = 0.0, b = 1.0, fa = slope0, fb = slope1, x = 1.0, top = strict ? 0.0 : -0.1 * slope0;
    int side = 0;
    differences(n, 0);
    for (int trial = 0; trial < 60; ++trial) {
        x = (a * fb - b * fa) / (fb - fa);
        if (!(x > a && x < b) || trial % 8 == 7) {
            x = 0.5 * (a + b);
        }
        double fx = slope_at(n, 1.0 - x, wall);
        if (fx <= top && fx >= 0.5 * slope0) {
            break;
        }
        if (fx > 0.0) {
            b = x;
            fb = fx;
            fa *= side == 1 ? 0.5 : 1.0;
            side = 1;
        } else {
            a = x;
            fa = fx;
            fb *= side == -1 ? 0.5 : 1.0;
            side = -1;
        }
    }
    for (int32_t i = 0; i < 8 * n->peeled_pipe_at; ++i) {
        n->w[i] = n->q[i] - (1.0 - x) * step[i];
    }
}

static double highest_pressure(const Net *n) {
    double highest = 0.0;
    for (int32_t i = 0; i < n->trash_at; ++i) {
        double p = fabs(n->column[i].pressure);
        highest = p > highest ? p : highest;
    }
    return highest;
}

/* Whether every law is met to the tolerance, or to the rounding of its own two pressures. */
static int rounded_only(const Net *n, double tol_pa) {
    for (int32_t e = 0; e < n->links; ++e) {
        int32_t slot = n->slot[e] >> 1;
        if (n->kind[e] >= IMPOSED || slot >= 8 * n->peeled_pipe_at || !(n->mask[slot >> 3] >> (slot & 7) & 1) ||
            state_of(n, e) != FREE) {
            continue;
        }
        double slope, a = n->column[n->first[e]].pressure, b = n->column[n->second[e]].pressure;
        double high = fabs(a) > fabs(b) ? fabs(a) : fabs(b), across = n->slot[e] & 1 ? b - a : a - b;
        double drop = law_of(n, slot, n->q[slot], 0.0, &slope) + (n->offset != NULL ? n->offset[slot] : 0.0);
        if (!(fabs(drop - across) <= tol_pa + 4e-15 * high)) {
            return 0;
        }
    }
    return 1;
}

/* Newton steps from the flows in w until both residuals are small.
 *
 * wall = 0 treats limits as an active set; wall > 0 treats them as penalties, where the line search on the
 * convex content makes it converge from anywhere. flow_tol > 0 stops when the flows changed by less than
 * that share of their sum. FROM_COLD: the first step goes through the origin of every law. */
static int loop(Net *n, int most, double tol_pa, double tol_kg_s, double flow_tol, double wall, int careful,
                int begin) {
    const int chord = begin == FROM_COLD;
    const size_t slots = 8 * (size_t)n->peeled_pipe_at;
    double slope0 = 0.0, slope1, mass = 0.0, unbalanced = INFINITY;
    int smooth = 0;
    n->slack = 0.5 * tol_pa;
    n->changed = 1.0;
    n->carried = chord ? 0.0 : 1.0;
    n->evaluated = 0;
    differences(n, begin == FROM_LAWS ? 8 * n->quad_at : 0);
    for (int trial = 0; trial <= most; ++trial) {
        int first_chord = chord && trial == 0;
        /* single precision steers as long as the next step is far from certifiable anyway; with flow_tol to
         * the end, which is then judged in double precision */
        n->quick = !careful && wall == 0.0 && !n->active_regulators && (flow_tol > 1e-6 || (trial > 0 && n->changed > QUICK_ABOVE * n->carried));
        evaluate(n, first_chord ? CHORD : chord && trial == 1 ? REFIT : begin == FROM_LAWS && trial == 0 ? RESUMED : NORMAL,
                 wall);
        if (!first_chord) {
            slope1 = n->along;
            if (careful && smooth && n->clipped == 0 && n->released == 0 && n->worst > tol_pa &&
                slope1 > -0.1 * slope0 && slope1 > 0.0 &&
                (unbalanced <= tol_kg_s || unbalanced * highest_pressure(n) <= 0.01 * slope1)) {
                for (size_t i = 0; i < slots; ++i) {
                    n->saved[slots + i] = follows(n, (int32_t)i) ? n->q[i] - n->saved[slots + i] : 0.0;
                }
                shorten(n, slope0, slope1, wall, trial > 20);
                evaluate(n, NORMAL, wall);
            }
            for (int32_t i = 0; i < n->regulators && n->active_regulators; ++i) {
                if (n->regulator[i].state == THROTTLING) {
                    double miss = fabs(excess_of(n, n->regulator + i));
                    n->worst = miss > n->worst || miss != miss ? miss : n->worst;
                }
            }
            n->residual_pressure_pa = n->worst;
            if (n->quick == 0 && n->clipped == 0 && n->worst <= tol_pa && n->total < 1e300) {
                n->residual_mass_kg_s = mass = imbalance(n);
                if (mass <= tol_kg_s) {
                    n->evaluated = n->active_regulators == 0 && wall == 0.0;
                    return CONVERGED;
                }
            } else if (n->quick == 0 && trial > 12 && n->clipped == 0 &&
                       n->total < 1e300 && n->worst <= 4e-15 * highest_pressure(n) && rounded_only(n, tol_pa)) {
                /* beyond some 10^9 Pa rounding alone is more than the tolerance */
                n->residual_mass_kg_s = mass = imbalance(n);
                if (mass <= tol_kg_s) {
                    n->evaluated = n->active_regulators == 0 && wall == 0.0;
                    return CONVERGED;
                }
            }
            if (!(n->worst < 1e300 && n->total < 1e300 && n->changed < 1e300)) {
                return OVERFLOWED;
            }
        }
        if (trial == most) {
            break;
        }
        if (n->active_regulators && !throttle(n)) {
            return CYCLED;
        }
        if (careful) {
            /* only between balanced flows is the content a merit function; what rounding leaves in wide short
             * pipes must be small beside its slope */
            unbalanced = first_chord ? INFINITY : imbalance(n);
            smooth = n->clipped == 0 && n->released == 0;
            memcpy(n->saved, n->y, sizeof(double) * slots);
            memcpy(n->saved + slots, n->q, sizeof(double) * slots);
        }
        eliminate(n);
        substitute(n);
        n->iterations += 1;
        if (careful) {
            slope0 = 0.0;
            for (size_t i = 0; i < slots; ++i) {
                if (follows(n, (int32_t)i)) {
                    double step = n->w[i] - n->q[i];
                    slope0 -= step * step / n->saved[i];
                }
            }
        }
        if (flow_tol > 0.0 && !n->active_regulators && n->clipped == 0 && n->changed <= flow_tol * n->carried) {
            n->quick = 0;
            evaluate(n, NORMAL, wall);
            n->residual_pressure_pa = n->worst;
            n->residual_mass_kg_s = mass = imbalance(n);
            if (n->clipped == 0 && n->released == 0 && mass <= tol_kg_s && n->total < 1e300) {
                n->evaluated = 1;
                return CONVERGED;
            }
            /* undo the evaluation: the next turn begins with it */
            memcpy(n->w, n->q, sizeof(double) * slots);
            differences(n, 0);
        }
    }
    n->residual_mass_kg_s = imbalance(n);
    return TOO_MANY_STEPS;
}

/* All limits free, cold flows, no pressures: where every attempt but a warm one begins. */
static void begin_cold(Net *n) {
    for (int32_t slot = 0, end = 8 * n->peeled_pipe_at; slot < end; ++slot) {
        n->q[slot] = n->cold[slot]; /* links that are shut are masked wherever flows are taken up */
    }
    memset(n->at_limit, 0, 2 * (size_t)(n->other_at - n->limited_at));
    for (int32_t i = 0; i < 8 * (n->peeled_pipe_at - n->other_at); ++i) {
        n->other[i].state = FREE;
    }
    for (int32_t i = 0; i < 8 * n->groups; ++i) {
        n->column[i].pressure = 0.0;
    }
    for (int32_t i = 0; i < n->aliases; ++i) {
        n->column[n->alias_place[i]].pressure = n->column[n->alias_of[i]].pressure;
    }
}

/* Flows into w, where an iteration takes them from: of the links from slot `from` on. */
static void take_up(Net *n, int32_t from) {
    memcpy(n->w + from, n->q + from, sizeof(double) * (size_t)(8 * n->peeled_pipe_at - from));
}

/* From cold with the line search; limits as soft walls that are made harder step by step, then exact. */
static int solve_carefully(Net *n, double tol_pa, double tol_kg_s, int most, int penalties) {
    double wall = 1e5;
    int status;
    if (n->saved == NULL) {
        n->saved = malloc(sizeof(double) * (16 * (size_t)n->peeled_pipe_at + 8));
        if (n->saved == NULL) {
            return NO_MEMORY;
        }
    }
    n->careful = 1;
    begin_cold(n);
    take_up(n, 0);
    if (!penalties) {
        return loop(n, most, tol_pa, tol_kg_s, 0.0, 0.0, 1, FROM_COLD);
    }
    n->robust = 1;
    while (wall < 1e14) {
        status = loop(n, most, 1e2 * tol_pa, 1e2 * tol_kg_s, 0.0, wall, 1,
                      wall == 1e5 ? FROM_COLD : FROM_FLOWS);
        take_up(n, 0);
        if (status == OVERFLOWED) {
            begin_cold(n);
            take_up(n, 0);
            break;
        }
        wall *= 30.0;
    }
    return loop(n, most, tol_pa, tol_kg_s, 0.0, 0.0, 1, FROM_FLOWS);
}

/* Pressures along the peeled trees, outwards. Returns the largest residual that rounding leaves, NaN where a
 * pressure is no finite number. */
static double descend(Net *n) {
    double worst = 0.0, all = 0.0;
    const int32_t end = 8 * n->peeled_other_at;
    peeled_drops(n);
    for (int32_t i = n->peeled - 1; i >= 0; --i) {
        int32_t slot = n->peel_slot[i];
        Column *c = n->column + n->peel_place[i];
        double drop, g, parent = n->column[n->peel_parent[i]].pressure;
        if (slot >= end) {
            drop = law_of(n, slot, n->q[slot], 0.0, &g);
        } else {
            drop = n->w[slot];
        }
        if (n->offset != NULL) {
            drop += n->offset[slot];
        }
        c->pressure = parent + drop;
        double miss = fabs((c->pressure - parent) - drop);
        worst = miss > worst ? miss : worst;
        all += c->pressure - c->pressure;
    }
    return worst + all;
}

/* The peeled trees of a solution: CONVERGED, or OVERFLOWED where it does not reach their ends in finite numbers. */
static int outwards(Net *n) {
    if (n->peeled) {
        double miss = descend(n);
        if (!(miss < 1e300)) {
            return OVERFLOWED;
        }
        n->residual_pressure_pa = miss > n->residual_pressure_pa ? miss : n->residual_pressure_pa;
    }
    return CONVERGED;
}

/* Solve with the numbers, and the states of regulators, as they are. */
static int solve_as_is(Net *n, int warm, double tol_pa, double tol_kg_s, double flow_tol, int most,
                        int penalised) {
    int status = TOO_MANY_STEPS;
    n->iterations = 0;
    n->robust = n->careful = 0;
    connect(n);
    n->limited_now = 0;
    for (int32_t b = n->limited_at; b < n->other_at && !n->limited_now; ++b) {
        n->limited_now = n->mask[b] != 0;
    }
    for (int32_t slot = 8 * n->other_at; slot < 8 * n->peeled_pipe_at && !n->limited_now; ++slot) {
        const Other *o = other_of(n, slot);
        n->limited_now = (n->mask[slot >> 3] >> (slot & 7) & 1) && (o->high < 1e300 || o->low > -1e300);
    }
    if (n->active_regulators) {
        /* no content function: plain steps, from the last solution or from cold */
        for (int attempt = warm && n->warm ? 0 : 1; attempt < 2 && status != CONVERGED; ++attempt) {
            if (attempt == 1) {
                begin_cold(n);
            } else {
                free_lost_limits(n);
            }
            take_up(n, 0);
            status = loop(n, 60, tol_pa, tol_kg_s, 0.0, 0.0, 0, attempt == 1 ? FROM_COLD : FROM_FLOWS);
        }
        status = status == CONVERGED ? outwards(n) : status;
        n->warm = status == CONVERGED;
        return status;
    }
    if (!penalised) {
        int begin = !(warm && n->warm) ? FROM_COLD : n->evaluated ? FROM_LAWS : FROM_FLOWS;
        if (begin == FROM_COLD) {
            begin_cold(n);
        } else {
            free_lost_limits(n);
        }
        take_up(n, begin == FROM_LAWS ? 8 * n->quad_at : 0);
        status = loop(n, n->limited_now ? 30 : 15, tol_pa, tol_kg_s, flow_tol, 0.0, 0, begin);
        if (status != CONVERGED && begin != FROM_COLD) {
            /* a warm start is a convenience; it must not be the reason of a failure */
            begin_cold(n);
            take_up(n, 0);
            status = loop(n, n->limited_now ? 30 : 15, tol_pa, tol_kg_s, flow_tol, 0.0, 0, FROM_COLD);
        }
        if (status != CONVERGED) {
            status = solve_carefully(n, tol_pa, tol_kg_s, n->limited_now ? 40 : most, 0);
        }
    }
    if (status != CONVERGED && (n->limited_now || penalised)) {
        status = solve_carefully(n, tol_pa, tol_kg_s, most, 1);
    }
    status = status == CONVERGED ? outwards(n) : status;
    n->warm = status == CONVERGED;
    return status;
}

/* The state a regulator should have, given a solution for the one it has. */
static int state_wanted(const Net *n, const Regulator *r, double tol_pa) {
    const Other *o = other_of(n, n->slot[r->link] >> 1);
    double q = o->direction * n->q[n->slot[r->link] >> 1], above = excess_of(n, r);
    double across = n->column[n->first[r->link]].pressure - n->column[n->second[r->link]].pressure;
    int sensed = (r->place_a < 0 || n->known[r->place_a]) && (r->place_b < 0 || n->known[r->place_b]);
    switch (r->state) {
    case OPEN:
        /* kept from flowing back by its own check */
        return above > tol_pa && o->state == FREE ? THROTTLING : OPEN;
    case THROTTLING:
        return q < -1e-9 ? SHUT : o->p[2] < -tol_pa ? OPEN : THROTTLING;
    default:
        if (!sensed || !n->known[n->first[r->link]] || !n->known[n->second[r->link]]) {
            return THROTTLING;
        }
        return across > tol_pa && above < -tol_pa ? THROTTLING : SHUT;
    }
}

static void put_state(Net *n, Regulator *r, int state) {
    Other *o = other_of(n, n->slot[r->link] >> 1);
    r->state = (int8_t)state;
    o->low = state == OPEN ? 0.0 : -INFINITY;
    o->state = FREE;
    o->p[2] = 0.0;
}

static int room_for(Net *n, size_t count) {
    double *room = realloc(n->border, sizeof(double) * (8 * (size_t)n->places + count * count + 6 * count + 8));
    if (room == NULL) {
        return 0;
    }
    n->border = room;
    return 1;
}

/* What is wrong at a regulator whose drop is given, Pa: how far what it senses is from the setting, unless it
 * takes up nothing and need not, or lets nothing through and may not. */
static double grievance(const Net *n, const Regulator *r) {
    const Other *o = other_of(n, n->slot[r->link] >> 1);
    double above = excess_of(n, r);
    if (!r->wanted || !n->known[n->first[r->link]] || !n->known[n->second[r->link]]) {
        return 0.0;
    }
    if (above > 0.0) {
        return o->state == AT_LOW ? 0.0 : above;
    }
    return o->p[2] > 0.0 ? above : 0.0;
}

/* Solve for the pressures that regulators take up now; they are called open while these are given. */
static int solve_given_drops(Net *n, int warm, double tol_pa, double tol_kg_s, int most, int *steps) {
    /* finer than is asked for: what is sensed answers to every error */
    int status = solve_as_is(n, warm, 0.1 * tol_pa, tol_kg_s, 0.0, most, 0);
    *steps += n->iterations;
    return status;
}

/* Newton's method on the pressures taken up, from those there are. A few steps may lead uphill; when they stay
 * there, it goes back to the best place so far and takes shorter ones. */
static int newton_on_drops(Net *n, int rounds, double tol_pa, double tol_kg_s, int most, int *steps) {
    const int all = n->regulators;
    double best = INFINITY, share = 1.0;
    double *x = n->border, *matrix = x + 8 * (int64_t)n->places, *need = matrix + (int64_t)all * all;
    double *drop = need + all;
    int32_t *which = (int32_t *)(drop + all);
    int uphill = 0, status = solve_given_drops(n, 1, tol_pa, tol_kg_s, most, steps);
    for (int round = 0; status == CONVERGED && round < rounds && share > 1e-4; ++round) {
        double worst = 0.0, sum = 0.0;
        int count = 0;
        for (int i = 0; i < all; ++i) {
            double miss = fabs(grievance(n, n->regulator + i));
            worst = miss > worst ? miss : worst;
            sum += miss;
        }
        if (worst <= 0.9 * tol_pa) {
            for (int i = 0; i < all; ++i) {
                Regulator *r = n->regulator + i;
                Other *o = other_of(n, n->slot[r->link] >> 1);
                r->state = (int8_t)(o->state == AT_LOW && o->p[2] > 0.0 ? SHUT : o->p[2] > 0.0 ? THROTTLING : OPEN);
            }
            return CONVERGED;
        }
        if (sum < best) {
            best = sum;
            uphill = 0;
            for (int i = 0; i < all; ++i) {
                drop[i] = other_of(n, n->slot[n->regulator[i].link] >> 1)->p[2];
            }
        } else if (++uphill > 8) {
            uphill = 0;
            share *= 0.3;
            for (int i = 0; i < all; ++i) {
                other_of(n, n->slot[n->regulator[i].link] >> 1)->p[2] = drop[i];
            }
            status = solve_given_drops(n, 1, tol_pa, tol_kg_s, most, steps);
            continue;
        }
        eliminate(n);
        for (int i = 0; i < all; ++i) {
            const Regulator *r = n->regulator + i;
            Other *o = other_of(n, n->slot[r->link] >> 1);
            double miss = grievance(n, r);
            if (miss != 0.0 && o->state == FREE) {
                which[count] = i;
                need[count++] = -miss;
            } else if (miss < 0.0) {
                /* it lets nothing through, yet less than its setting arrives: ask of it what is there, less that */
                double across = n->column[n->first[r->link]].pressure - n->column[n->second[r->link]].pressure;
                o->p[2] = across + miss > 0.0 ? across + miss : 0.0;
            }
        }
        responses(n, which, count, x, matrix);
        for (int u = 0; u < count; ++u) {
            /* keep the matrix regular where a regulator hardly moves what it senses */
            matrix[u * count + u] -= 1e-9;
        }
        if (count && !solve_dense(matrix, need, count)) {
            return CYCLED;
        }
        for (int u = 0; u < count; ++u) {
            Other *o = other_of(n, n->slot[n->regulator[which[u]].link] >> 1);
            double next = o->p[2] + share * need[u];
            o->p[2] = next > 0.0 ? next : 0.0;
        }
        status = solve_given_drops(n, 1, tol_pa, tol_kg_s, most, steps);
    }
    return status == CONVERGED ? CYCLED : status;
}

/* How far above its setting the pressure is that regulator r senses when it takes up `drop`, the others as they
 * are; never more than 0 where it lets nothing through, 0 where it cannot matter. NaN without a solution. */
static double excess_at(Net *n, const Regulator *r, double drop, double tol_pa, double tol_kg_s, int most,
                        int *steps) {
    Other *o = other_of(n, n->slot[r->link] >> 1);
    o->p[2] = drop;
    if (solve_given_drops(n, 1, tol_pa, tol_kg_s, most, steps) != CONVERGED) {
        return NAN;
    }
    if (!r->wanted || !n->known[n->first[r->link]] || !n->known[n->second[r->link]]) {
        return 0.0;
    }
    double above = excess_of(n, r);
    return o->state == AT_LOW && above > 0.0 ? 0.0 : above;
}

/* Let one regulator take up what it should while the others stay: what it senses falls with what it takes up.
 * Returns how far that moved it, Pa. */
static double settle(Net *n, const Regulator *r, double tol_pa, double tol_kg_s, int most, int *steps) {
    Other *o = other_of(n, n->slot[r->link] >> 1);
    const double before = o->p[2];
    double low = 0.0, high = before > 1e3 ? before : 1e3;
    double at_low = excess_at(n, r, low, tol_pa, tol_kg_s, most, steps), at_high;
    if (!(at_low > tol_pa)) {
        return before;
    }
    at_high = excess_at(n, r, high, tol_pa, tol_kg_s, most, steps);
    while (at_high > 0.0 && high < 1e10) {
        low = high;
        at_low = at_high;
        high *= 4.0;
        at_high = excess_at(n, r, high, tol_pa, tol_kg_s, most, steps);
    }
    for (int i = 0; i < 60 && fabs(at_high) > tol_pa && high - low > 1e-13 * high; ++i) {
        /* between the secant and the middle, so that neither end can stay for long */
        double x = i % 3 == 2 || !(at_low > at_high) ? 0.5 * (low + high)
                                                     : low + (high - low) * at_low / (at_low - at_high);
        double y = excess_at(n, r, x, tol_pa, tol_kg_s, most, steps);
        if (y > 0.0) {
            low = x;
            at_low = y;
        } else {
            high = x;
            at_high = y;
        }
    }
    (void)excess_at(n, r, high, tol_pa, tol_kg_s, most, steps);
    return fabs(high - before);
}

/* The sure way: every regulator takes up a given pressure, so that what remains has a content function and is
 * always solved; then the pressures taken up are sought, by Newton's method from none at all, and where that
 * fails from where the regulators come to when each settles after the other. */
static int solve_by_drops(Net *n, double tol_pa, double tol_kg_s, int most, int *steps) {
    const int all = n->regulators;
    if (!room_for(n, 2 * (size_t)all + 4)) {
        return NO_MEMORY;
    }
    n->active_regulators = 0;
    for (int i = 0; i < all; ++i) {
        Regulator *r = n->regulator + i;
        put_state(n, r, OPEN);
        n->open[r->link] = r->wanted;
    }
    int status = solve_given_drops(n, 0, tol_pa, tol_kg_s, most, steps);
    if (status == CONVERGED) {
        status = newton_on_drops(n, 400, tol_pa, tol_kg_s, most, steps);
    }
    if (status == CONVERGED) {
        return status;
    }
    double *settled = malloc(sizeof(double) * (size_t)all);
    if (settled == NULL) {
        return NO_MEMORY;
    }
    for (int i = 0; i < all; ++i) {
        put_state(n, n->regulator + i, OPEN);
        settled[i] = 0.0;
    }
    status = CYCLED;
    for (int sweep = 0; sweep < 30 && status != CONVERGED && *steps < 400000; ++sweep) {
        double moved = 0.0;
        for (int i = 0; i < all; ++i) {
            other_of(n, n->slot[n->regulator[i].link] >> 1)->p[2] = settled[i];
        }
        for (int i = 0; i < all; ++i) {
            double by = settle(n, n->regulator + i, tol_pa, tol_kg_s, most, steps);
            moved = by > moved ? by : moved;
        }
        for (int i = 0; i < all; ++i) {
            settled[i] = other_of(n, n->slot[n->regulator[i].link] >> 1)->p[2];
        }
        status = newton_on_drops(n, 40, tol_pa, tol_kg_s, most, steps);
        if (moved <= tol_pa) {
            break;
        }
    }
    free(settled);
    return status;
}

/* Solve with the numbers as they are. flow_tol = 0: to tol_pa and tol_kg_s at every element and node.
 * Regulators change state between solutions until each has the state its solution asks for: all that ask at
 * once, and when a set of states comes back, one at a time. */
static int newton_solve(Net *n, int warm, double tol_pa, double tol_kg_s, double flow_tol, int most,
                        int penalised) {
    int status = CYCLED, steps = 0, one_by_one = 0;
    uint64_t seen[64];
    int rounds = 0;
    if (n->regulators == 0) {
        return solve_as_is(n, warm, tol_pa, tol_kg_s, flow_tol, most, penalised);
    }
    for (int32_t i = 0; i < n->regulators && !(warm && n->warm); ++i) {
        put_state(n, n->regulator + i, OPEN);
    }
    for (; rounds < 64; ++rounds) {
        uint64_t states = 1469598103934665603ull;
        n->active_regulators = 0;
        for (int32_t i = 0; i < n->regulators; ++i) {
            Regulator *r = n->regulator + i;
            n->open[r->link] = r->wanted && r->state != SHUT;
            n->active_regulators += r->state == THROTTLING && r->wanted;
            if (!r->wanted && r->state != SHUT) {
                put_state(n, r, SHUT);
            }
            states = (states ^ (uint64_t)(r->state + 1)) * 1099511628211ull;
        }
        for (int k = 0; k < rounds; ++k) {
            one_by_one |= seen[k] == states;
        }
        seen[rounds] = states;
        if (n->active_regulators && !room_for(n, (size_t)n->active_regulators)) {
            return NO_MEMORY;
        }
        status = solve_as_is(n, warm || rounds > 0, tol_pa, tol_kg_s, flow_tol, most, penalised);
        steps += n->iterations;
        if (status != CONVERGED) {
            break;
        }
        int changes = 0;
        for (int32_t i = 0; i < n->regulators && !(one_by_one && changes); ++i) {
            Regulator *r = n->regulator + (one_by_one ? (i + rounds) % n->regulators : i);
            int state = r->wanted ? state_wanted(n, r, 10.0 * tol_pa) : SHUT;
            if (state != r->state) {
                put_state(n, r, state);
                changes += 1;
            }
        }
        if (changes == 0) {
            break;
        }
        status = CYCLED;
    }
    if (status != CONVERGED) {
        status = solve_by_drops(n, tol_pa, tol_kg_s, most, &steps);
    }
    n->iterations = steps;
    n->warm = status == CONVERGED;
    return status;
}

/* -- results ------------------------------------------------------------------------------------------ */

/* What is missing to balance at a fixed place, after imbalance(). */
static inline double missing(const Net *n, int32_t place) {
    return n->column[place].injection + n->column[place].rhs;
}

/* Copy the solution out in the caller's order, with 0.0 where the pressure is unknown. To be called after a
 * solve that converged: rhs then holds what is missing to balance. */
static void newton_publish(Net *n, double *flow, double *pressure, double *inflow, int8_t *known) {
    int any_limit = 0;
    publish_flows(n, flow);
    for (int32_t i = 0; i < n->imposed_links; ++i) {
        flow[n->imposed_link[i]] = imposed_flow(n, n->imposed_link[i]);
    }
    if (n->limited_now) {
        for (int32_t b = 0; b < 2 * (n->other_at - n->limited_at); ++b) {
            any_limit |= n->at_limit[b];
        }
        for (int32_t i = 0; i < 8 * (n->peeled_pipe_at - n->other_at); ++i) {
            any_limit |= n->other[i].state;
        }
    }
    const int parted = any_limit && limits_part(n);
    if (parted) {
        label(n, HELD_LINKS);
    }
    for (int32_t i = 0; i < n->aliases; ++i) {
        n->column[n->alias_of[i]].rhs += n->column[n->alias_place[i]].rhs;
    }
    const double *const outside = inflow_of(n);
    publish_nodes(n, outside, pressure, inflow);
    for (int32_t k = 0; k < n->nodes && n->level_pa != NULL; ++k) {
        pressure[k] -= n->level_pa[n->place[k]];
    }
    memset(known, 1, (size_t)n->nodes);
    for (int32_t k = 0; k < n->nodes && (parted || n->unreferenced); ++k) {
        known[k] = n->known[n->place[k]];
        pressure[k] = known[k] ? pressure[k] : 0.0;
    }
    for (int32_t i = n->fixed_at; i < n->trash_at; ++i) {
        pressure[n->node_of[i]] = n->given_pa[i - n->fixed_at];
        inflow[n->node_of[i]] -= missing(n, i);
    }
    /* a pinned source carries what leaves its supply node, shared evenly among those at the same node */
    for (int32_t a = 0; a < n->pinned_links; ++a) {
        int32_t e = n->pinned[a], supply = n->second[e], count = 0;
        for (int32_t b = 0; b < n->pinned_links; ++b) {
            count += n->second[n->pinned[b]] == supply && n->open[n->pinned[b]];
        }
        double need = outside[supply] - missing(n, supply) - n->injection[supply];
        flow[e] = n->open[e] && count ? need / count : 0.0;
    }
    for (int32_t a = 0; a < n->pinned_links; ++a) {
        int32_t e = n->pinned[a];
        inflow[n->node_of[n->second[e]]] -= flow[e];
        inflow[n->node_of[n->first[e]]] += flow[e];
    }
    if (parted) {
        label(n, NO_LINKS);
    }
}

/* Multipliers of the matrix at the last solution; valid until the next solve. */
static void newton_factor(Net *n) { eliminate(n); }

/* Begin where another network of the same layout stands: its solution, its states, the links it has open. What
 * the caller fills in by table may be overwritten too; it is to be filled in again where it differs. */
static void newton_take_state(Net *to, const Net *from) {
    size_t links = (size_t)from->links, places = (size_t)from->places;
    memcpy(to->column, from->column, sizeof(Column) * places);
    memcpy(to->q, from->q, sizeof(double) * (size_t)from->slots);
    memcpy(to->other, from->other,
           sizeof(Other) * 8 * (size_t)(from->peeled_pipe_at - from->other_at + from->blocks - from->peeled_other_at));
    memcpy(to->mask, from->mask, (size_t)from->blocks + 1);
    memcpy(to->at_limit, from->at_limit, 2 * (size_t)(from->other_at - from->limited_at));
    memcpy(to->open, from->open, links);
    memcpy(to->act, from->act, links);
    memcpy(to->seen, from->seen, links);
    memcpy(to->known, from->known, places);
    memcpy(to->dead, from->dead, places);
    memcpy(to->root, from->root, sizeof(int32_t) * places);
    memcpy(to->given_pa, from->given_pa, sizeof(double) * (size_t)(from->places - from->fixed_at));
    for (int32_t i = 0; i < from->regulators; ++i) {
        to->regulator[i].state = from->regulator[i].state;
    }
    forget_laws(to);
    to->labelled = from->labelled;
    to->parting = from->parting;
    to->unreferenced = from->unreferenced;
    to->warm = from->warm;
}

/* Of every link: 1 where it is held at a limit of its flow, 2 where it acts, 4 where it regulates or is shut by
 * what it regulates, 8 where it is meant to be open. */
static void newton_marks(const Net *n, uint8_t *marks) {
    for (int32_t e = 0; e < n->links; ++e) {
        marks[e] = (uint8_t)((n->act[e] ? 2 : 0) | (n->open[e] ? 8 : 0));
    }
    for (int32_t e = 0; e < n->links; ++e) {
        /* blocks of pipes and of plain quadratic links have no limits */
        if (n->slot[e] >> 4 >= n->limited_at) {
            marks[e] |= state_of(n, e) != FREE;
        }
    }
    for (int32_t i = 0; i < n->regulators; ++i) {
        const Regulator *r = n->regulator + i;
        marks[r->link] |= r->wanted && r->state != OPEN ? 4 : 0;
    }
}

/* As a link of the core: never infinite. */
static double peeled_conductance(const Net *n, int32_t slot) {
    double slope;
    (void)law_of(n, slot, n->q[slot], 0.0, &slope);
    return 1.0 / (slope > LEAST_SLOPE ? slope : LEAST_SLOPE);
}

/* Conductance of every link at the last solution, 0 where the flow cannot answer. */
static void newton_conductances(const Net *n, double *conductance) {
    for (int32_t e = 0; e < n->links; ++e) {
        int32_t slot = n->slot[e] >> 1;
        conductance[e] = 0.0;
        if (n->kind[e] < IMPOSED && slot >= 8 * n->peeled_pipe_at && (n->mask[slot >> 3] >> (slot & 7) & 1)) {
            conductance[e] = peeled_conductance(n, slot);
        }
        if (n->kind[e] < IMPOSED && slot < 8 * n->peeled_pipe_at && (n->mask[slot >> 3] >> (slot & 7) & 1) &&
            n->y[slot] > 2.0 / LIMIT_SLOPE) {
            conductance[e] = n->y[slot];
        }
    }
}

/* Changes of pressure at all nodes for up to eight changes of injection, both (nodes, count) row by row; x is
 * room for (places, 8). To be called after newton_factor. */
static void newton_respond(const Net *n, const double *injection, double *change, int count, double *x) {
    memset(x, 0, sizeof(double) * 8 * (size_t)n->places);
    for (int32_t k = 0; k < n->nodes; ++k) {
        int32_t place = n->place[k];
        for (int c = 0; c < count && place < n->fixed_at; ++c) {
            x[8 * (int64_t)place + c] = injection[(int64_t)k * count + c];
        }
    }
    /* peeled trees: inwards what is injected, outwards the pressures it takes */
    for (int32_t i = 0; i < n->peeled; ++i) {
        int32_t slot = n->peel_slot[i];
        for (int c = 0; c < count && (n->mask[slot >> 3] >> (slot & 7) & 1); ++c) {
            x[8 * (int64_t)n->peel_parent[i] + c] += x[8 * (int64_t)n->peel_place[i] + c];
        }
    }
    for (int32_t i = 8 * n->fixed_at; i < 8 * n->trash_at; ++i) {
        x[i] = 0.0;
    }
    solve_eight(n, x);
    for (int32_t i = n->peeled - 1; i >= 0; --i) {
        int32_t slot = n->peel_slot[i];
        int acts = n->mask[slot >> 3] >> (slot & 7) & 1;
        double slope = acts ? 1.0 / peeled_conductance(n, slot) : 0.0;
        for (int c = 0; c < count; ++c) {
            double *own = x + 8 * (int64_t)n->peel_place[i] + c;
            *own = acts ? x[8 * (int64_t)n->peel_parent[i] + c] + *own * slope : 0.0;
        }
    }
    for (int32_t k = 0; k < n->nodes; ++k) {
        int32_t place = n->place[k];
        for (int c = 0; c < count; ++c) {
            change[(int64_t)k * count + c] = place < n->fixed_at ? x[8 * (int64_t)place + c] : 0.0;
        }
    }
}

/* Drop and slope of every link at the given flows in its own direction, by the vector kernels. */
static void newton_laws(Net *n, const double *flow, double *drop, double *slope) {
    for (int32_t e = 0; e < n->links; ++e) {
        if (n->kind[e] < IMPOSED) {
            n->w[n->slot[e] >> 1] = n->slot[e] & 1 ? -flow[e] : flow[e];
        }
    }
    n->quick = 0;
    evaluate(n, LAWS, 0.0);
    peeled_laws(n);
    forget_laws(n);
    for (int32_t e = 0; e < n->links; ++e) {
        drop[e] = slope[e] = 0.0;
        if (n->kind[e] < IMPOSED) {
            int32_t slot = n->slot[e] >> 1;
            double sign = n->slot[e] & 1 ? -1.0 : 1.0;
            if (slot >= 8 * n->peeled_other_at) {
                drop[e] = sign * law_of(n, slot, sign * flow[e], 0.0, slope + e);
            } else {
                drop[e] = sign * n->w[slot];
                slope[e] = n->y[slot];
            }
        }
    }
}

#include "_lanes_run.h"
#endif
