/* Plug flow of heat through pipes: their state, what one pipe does at a time, and the order of the nodes.
 *
 * Temperatures of water are kept as tags: the kelvins above the ground it had when it came in, with a reading
 * of the pipe's clock at that moment. The clock counts the exponent of cooling, so water has tag * exp(-(clock
 * now - clock then)) and standing still in a pipe costs nothing. A parcel is a length of pipe with a straight
 * profile of tags between two clock readings.
 *
 * A pipe holds, in the direction of flow: a wall node, the plug, a wall node of the same size. Most plugs are
 * one parcel (`tag`, `rise`, `x_in`, `x_out`) and go through _transport_body.h, several pipes at a time; the
 * others keep their parcels in a ring, oldest first, and `ringed` is all ones. `energy` is the exact content
 * of the plug above the ground, kg K. Nothing is checked and nothing allocated here.
 */
#ifndef TOPLOVOD_TRANSPORT_H
#define TOPLOVOD_TRANSPORT_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "_simd.h"

#if TOPLOVOD_X86
#include <immintrin.h>
#endif

#define STANDING_KG_S 1e-12 /* below this a pipe stands */
#define LONGEST_SPAN 2.0    /* of clock within a parcel that is not the result of a squeeze */
#define NOTHING_K 1e-9      /* parcels this close are one without fitting anything */
#define FREE 1e-11          /* share of a circle that is renewed, below which rounding would decide */
#define MOST_CUTS 64        /* of circles that are solved directly */
#define REAL_INFLOW 1e-9    /* share of a node's outflow below which an inflow is rounding of the flows */

enum { MIXES, FED, STANDS };

typedef struct {
    double mass, tag, rise, x_in, x_out; /* rise: tag at the inlet edge less tag at the outlet edge */
} Parcel;

typedef struct {
    int32_t pipes, padded, nodes, capacity, level;
    int32_t sorted, standing_nodes, back_edges, ground_still, summed_given;
    uint32_t steps;
    double merge_k, dt;
    double loss, entered, left, loss_by_base;
    /* given */
    const int32_t *from, *to, *slot_start, *slot_pipe;
    const double *plug_kg, *wall_kg, *share, *rate, *held_kg;
    double *node_temp, *inflow;
    /* of flow and step length */
    double *flow, *moved, *gone, *part, *filled, *pass_in, *pass_old, *take_in, *take_old;
    double *clock_step, *keep, *half, *through, *fresh;
    /* state */
    double *energy, *tag, *rise, *x_in, *x_out, *clock, *w_in, *w_out, *base, *base_next, *squeezed_k;
    int64_t *ringed;
    int32_t *head, *count;
    Parcel *ring;
    /* within a step */
    double *delivered, *retained, *offset, *gain, *fed;
    /* order of nodes */
    int32_t *up, *down, *order, *waiting, *in_start, *in_pipe, *in_node, *in_cut, *standing, *back;
    int8_t *sign, *turned;
    int8_t *kind;
    double *in_kg, *enters_kg, *leaves_kg, *inverse, *work, *cut, *system, *answer;
} Pipes;

static inline double larger(double a, double b) { return a > b ? a : b; }

static inline double smaller(double a, double b) { return a < b ? a : b; }

/* exp(-x); Taylor's series to degree 8 within 0.05, which is where most water is when it leaves a pipe. */
static inline double decay(double x) {
    if (x < 0.05 && x > -0.05) {
        const double s = x * x;
        const double even = 1.0 + s * (1.0 / 2 + s * (1.0 / 24 + s * (1.0 / 720 + s * (1.0 / 40320))));
        return even - x * (1.0 + s * (1.0 / 6 + s * (1.0 / 120 + s * (1.0 / 5040))));
    }
    return exp(x > 700.0 ? -700.0 : -x);
}

/* Means of exp(2 z u) and of u exp(2 z u) for u in -1/2..1/2. */
static inline void means(double z, double *flat, double *slope) {
    const double s = z * z;
    if (s < 4e-4) {
        *flat = 1.0 + s * (1.0 / 6 + s * (1.0 / 120 + s * (1.0 / 5040)));
        *slope = z * (1.0 / 6 + s * (1.0 / 60 + s * (1.0 / 1680 + s * (1.0 / 90720))));
    } else if (s < 0.25) {
        *flat = 1.0 + s * (1.0 / 6 + s * (1.0 / 120 + s * (1.0 / 5040 + s * (1.0 / 362880 + s * (1.0 / 39916800 +
                s * (1.0 / 6227020800.0))))));
        *slope = z * (1.0 / 6 + s * (1.0 / 60 + s * (1.0 / 1680 + s * (1.0 / 90720 + s * (1.0 / 7983360 +
                 s * (1.0 / 1037836800.0))))));
    } else {
        const double large = exp(z), small = 1.0 / large;
        *flat = 0.5 * (large - small) / z;
        *slope = (0.5 * z * (large + small) - 0.5 * (large - small)) / (2.0 * s);
    }
}

/* Mean excess over the ground, now, of a parcel whose clock readings are x_in and x_out at its edges. */
static inline double mean_excess(double tag, double rise, double x_in, double x_out, double now) {
    const double z = 0.5 * (x_in - x_out), middle = now - 0.5 * (x_in + x_out);
    double flat, slope;
    if (fabs(z) > 300.0) { /* the younger edge alone has any heat left; keep the products finite */
        const double young = x_in > x_out ? x_in : x_out;
        const double there = x_in > x_out ? tag + 0.5 * rise : tag - 0.5 * rise;
        return decay(now - young) * there / (2.0 * fabs(z));
    }
    means(z, &flat, &slope);
    return decay(middle) * (tag * flat + rise * slope);
}

static inline Parcel *ring_at(const Pipes *n, int32_t p, int32_t i) {
    int32_t slot = n->head[p] + i;
    return n->ring + (int64_t)p * n->capacity + (slot >= n->capacity ? slot - n->capacity : slot);
}

static inline double parcel_energy(const Parcel *c, double now) {
    return c->mass * mean_excess(c->tag, c->rise, c->x_in, c->x_out, now);
}

/* What the plug of a pipe delivers from its content in this step, kg K per kg of it, and what stays. */
static void leave(Pipes *n, int32_t p) {
    const double gone = n->gone[p], now = n->clock[p], span = n->clock_step[p] * n->part[p];
    double out = 0.0, before = 0.0, left = gone;
    const double per_kg = gone > 0.0 ? span / gone : 0.0;
    if (!n->ringed[p]) {
        const double f = n->plug_kg[p] > 0.0 ? gone / n->plug_kg[p] : 0.0;
        const double tag = n->tag[p] - 0.5 * n->rise[p] * (1.0 - f), rise = n->rise[p] * f;
        const double xo = n->x_out[p], xi = xo + (n->x_in[p] - xo) * f;
        n->delivered[p] = mean_excess(tag, rise, xi - span, xo, now);
        n->retained[p] = n->energy[p] - gone * mean_excess(tag, rise, xi, xo, now);
        return;
    }
    /* parcels go in order of distance from the outlet; each one's clock runs on until it gets there */
    const int all = gone >= n->plug_kg[p];
    while (n->count[p] > 0 && (left > 0.0 || all)) {
        Parcel *c = ring_at(n, p, 0);
        const double take = all || c->mass <= left ? c->mass : left, f = take / c->mass;
        const double tag = c->tag - 0.5 * c->rise * (1.0 - f), rise = c->rise * f;
        const double xi = c->x_out + (c->x_in - c->x_out) * f;
        const double first = (gone - left) * per_kg, last = first + take * per_kg;
        out += take * mean_excess(tag, rise, xi - last, c->x_out - first, now);
        before += take * mean_excess(tag, rise, xi, c->x_out, now);
        left -= take;
        if (f < 1.0) {
            c->mass -= take;
            c->tag += 0.5 * c->rise * f;
            c->rise *= 1.0 - f;
            c->x_out = xi;
        } else {
            n->count[p] -= 1;
            n->head[p] = n->head[p] + 1 == n->capacity ? 0 : n->head[p] + 1;
        }
    }
    n->retained[p] = n->energy[p] - before;
    if (n->count[p] == 0) { /* nothing stayed: what rounding left behind goes along */
        out += n->retained[p];
        n->retained[p] = 0.0;
    }
    n->delivered[p] = gone > left ? out / (gone - left) : 0.0;
}

typedef struct {
    Parcel parcel;
    double low, high; /* range of the tags it was made of */
    double late;      /* part of the distance that comes from clocks which do not run on, K */
} Joint;

/* One straight profile for two neighbours, a nearer the inlet, of equal first moment, inside their range; the
 * largest distance between it and them, K. The tag is a first value only. */
static double fit(const Parcel *a, const Parcel *b, Joint *found) {
    Parcel *joint = &found->parcel;
    const double mass = a->mass + b->mass, f1 = a->mass / mass, f2 = 1.0 - f1;
    const double a_in = a->tag + 0.5 * a->rise, a_out = a->tag - 0.5 * a->rise;
    const double b_in = b->tag + 0.5 * b->rise, b_out = b->tag - 0.5 * b->rise;
    const double low = smaller(smaller(a_in, a_out), smaller(b_in, b_out));
    const double high = larger(larger(a_in, a_out), larger(b_in, b_out));
    const double mean = f1 * a->tag + f2 * b->tag, room = 2.0 * larger(smaller(high - mean, mean - low), 0.0);
    double rise = 6.0 * f1 * f2 * (a->tag - b->tag) + f1 * f1 * a->rise + f2 * f2 * b->rise;
    rise = larger(smaller(rise, room), -room);
    const double middle = mean + rise * (0.5 - f1), clock = a->x_in + (b->x_out - a->x_in) * f1;
    const double shape = larger(larger(fabs(mean + 0.5 * rise - a_in), fabs(middle - a_out)),
                              larger(fabs(middle - b_in), fabs(mean - 0.5 * rise - b_out)));
    const double late = larger(fabs(clock - a->x_out), fabs(clock - b->x_in));
    joint->mass = mass;
    joint->tag = mean;
    joint->rise = rise;
    joint->x_in = a->x_in;
    joint->x_out = b->x_out;
    found->low = low;
    found->high = high;
    found->late = late * larger(fabs(low), fabs(high));
    return larger(shape, found->late);
}

/* Give a joined parcel the energy of what it was made of, without leaving the range of their tags. */
static void settle(Joint *found, double energy, double now) {
    Parcel *joint = &found->parcel;
    const double z = 0.5 * (joint->x_in - joint->x_out), middle = now - 0.5 * (joint->x_in + joint->x_out);
    double flat, slope;
    if (fabs(z) > 300.0 || middle > 300.0) {
        return; /* nothing is left of its heat */
    }
    means(z, &flat, &slope);
    energy /= joint->mass * decay(middle);
    joint->tag = (energy - joint->rise * slope) / flat;
    const double room = 2.0 * larger(smaller(found->high - joint->tag, joint->tag - found->low), 0.0);
    if (fabs(joint->rise) > room) {
        joint->rise = copysign(room, joint->rise);
        joint->tag = (energy - joint->rise * slope) / flat;
    }
}

/* The same water with its excess of now as tags: a straight profile of equal energy within its range. */
static Parcel renewed(const Parcel *c, double now) {
    const double in = (c->tag + 0.5 * c->rise) * decay(now - c->x_in);
    const double out = (c->tag - 0.5 * c->rise) * decay(now - c->x_out);
    const double mean = mean_excess(c->tag, c->rise, c->x_in, c->x_out, now);
    const double room = 2.0 * larger(smaller(larger(in, out) - mean, mean - smaller(in, out)), 0.0);
    const Parcel fresh = {c->mass, mean, larger(smaller(in - out, room), -room), now, now};
    return fresh;
}

/* Join neighbours in a full ring, those closest to one straight profile first, until an eighth is free. */
static void squeeze(Pipes *n, int32_t p, double now) {
    const int32_t target = n->capacity - (n->capacity + 7) / 8;
    /* what the last squeeze of this pipe came to says where to begin */
    double limit = larger(larger(n->merge_k, 1e-6), 0.25 * n->squeezed_k[p]);
    while (n->count[p] > target) {
        int32_t kept = 0, count = n->count[p];
        for (int32_t i = 0; i < count; ++i) {
            Parcel *c = ring_at(n, p, i);
            Joint joint;
            if (kept > 0 && count - i + kept > target) {
                Parcel *b = ring_at(n, p, kept - 1);
                /* the error counts by the mass that has it */
                double error = fit(c, b, &joint);
                if (joint.late > 0.01) {
                    /* water of different age has no common clock: a joint tag would leave the range */
                    const Parcel young = renewed(c, now), old = renewed(b, now);
                    error = fit(&young, &old, &joint);
                }
                if (error * (c->mass + b->mass) <= limit * n->plug_kg[p]) {
                    settle(&joint, parcel_energy(c, now) + parcel_energy(b, now), now);
                    *b = joint.parcel;
                    continue;
                }
            }
            *ring_at(n, p, kept++) = *c;
        }
        n->count[p] = kept;
        n->squeezed_k[p] = limit;
        limit *= 2.0;
    }
}

/* Put the water that came in at the inlet of a ringed pipe, or of one about to be. `now` is after the step. */
static void enter(Pipes *n, int32_t p, double tag, double now) {
    const double gone = n->gone[p], span = n->clock_step[p] * n->part[p];
    Parcel fresh = {gone, tag, 0.0, now, now - span};
    Joint joint;
    if (!n->ringed[p] && gone >= n->plug_kg[p]) {
        n->tag[p] = tag;
        n->rise[p] = 0.0;
        n->x_in[p] = now;
        n->x_out[p] = now - span;
        return;
    }
    if (!n->ringed[p]) {
        const double f = gone / n->plug_kg[p], xo = n->x_out[p];
        n->head[p] = 0;
        n->count[p] = 1;
        Parcel *c = ring_at(n, p, 0);
        c->mass = n->plug_kg[p] - gone;
        c->tag = n->tag[p] + 0.5 * n->rise[p] * f;
        c->rise = n->rise[p] * (1.0 - f);
        c->x_in = n->x_in[p];
        c->x_out = xo + (c->x_in - xo) * f;
        n->ringed[p] = -1;
    }
    if (gone > 0.0) {
        int joined = 0;
        if (n->count[p] > 0) {
            Parcel *c = ring_at(n, p, n->count[p] - 1);
            if (fit(&fresh, c, &joint) <= n->merge_k && fabs(joint.parcel.x_in - joint.parcel.x_out) <= LONGEST_SPAN) {
                settle(&joint, parcel_energy(c, now) + parcel_energy(&fresh, now), now);
                *c = joint.parcel;
                joined = 1;
            }
        }
        if (!joined) {
            if (n->count[p] == n->capacity) {
                squeeze(n, p, now);
            }
            n->count[p] += 1;
            *ring_at(n, p, n->count[p] - 1) = fresh;
        }
    }
    if (n->count[p] == 1) {
        const Parcel *c = ring_at(n, p, 0);
        n->tag[p] = c->tag;
        n->rise[p] = c->rise;
        n->x_in[p] = c->x_in;
        n->x_out[p] = c->x_out;
        n->ringed[p] = 0;
    }
}

/* The water is about to go the other way: what was the outlet is the inlet now. */
static void turn(Pipes *n, int32_t p) {
    double w = n->w_in[p], x = n->x_in[p];
    n->w_in[p] = n->w_out[p];
    n->w_out[p] = w;
    n->x_in[p] = n->x_out[p];
    n->x_out[p] = x;
    n->rise[p] = -n->rise[p];
    if (n->ringed[p]) {
        for (int32_t i = 0, j = n->count[p] - 1; i <= j; ++i, --j) {
            Parcel *a = ring_at(n, p, i), *b = ring_at(n, p, j), kept = *a;
            *a = *b;
            *b = kept;
        }
        for (int32_t i = 0; i < n->count[p]; ++i) {
            Parcel *c = ring_at(n, p, i);
            x = c->x_in;
            c->x_in = c->x_out;
            c->x_out = x;
            c->rise = -c->rise;
        }
    }
}

/* Temperature of a pipe's end, degC; at its from_node when `first`. */
static double end_temp(const Pipes *n, int32_t p, int first) {
    const int inlet = first != n->turned[p];
    if (n->wall_kg[p] > 0.0) {
        return n->base[p] + (inlet ? n->w_in[p] : n->w_out[p]);
    }
    double tag = n->tag[p], rise = n->rise[p], x = inlet ? n->x_in[p] : n->x_out[p];
    if (n->ringed[p]) {
        const Parcel *c = ring_at(n, p, inlet ? n->count[p] - 1 : 0);
        tag = c->tag;
        rise = c->rise;
        x = inlet ? c->x_in : c->x_out;
    }
    return n->base[p] + (tag + (inlet ? 0.5 : -0.5) * rise) * decay(n->clock[p] - x);
}

/* Order nodes so that water flows from earlier to later ones; note which pipes flow back in that order.
 * A loop of flow is opened at the node whose unsorted inlets hold the most water. */
static void sort_nodes(Pipes *n) {
    int32_t tail = 0, done = 0, scan = 0;
    memset(n->waiting, 0, sizeof(int32_t) * (size_t)n->nodes);
    for (int32_t p = 0; p < n->pipes; ++p) {
        if (n->sign[p]) {
            n->waiting[n->down[p]] += 1;
        }
    }
    for (int32_t k = 0; k < n->nodes; ++k) {
        if (n->waiting[k] == 0) {
            n->order[tail++] = k;
            n->waiting[k] = -1;
        }
    }
    while (tail < n->nodes || done < tail) {
        if (done == tail) {
            int32_t best = -1;
            double most = -1.0;
            for (int32_t k = scan; k < n->nodes; ++k) {
                if (n->waiting[k] < 0) {
                    scan += k == scan;
                    continue;
                }
                double least = 1e300;
                for (int32_t s = n->slot_start[k]; s < n->slot_start[k + 1]; ++s) {
                    const int32_t p = n->slot_pipe[s];
                    if (n->sign[p] && n->down[p] == k && n->waiting[n->up[p]] >= 0 && n->plug_kg[p] < least) {
                        least = n->plug_kg[p];
                    }
                }
                if (least > most) {
                    most = least;
                    best = k;
                }
            }
            n->order[tail++] = best;
            n->waiting[best] = -1;
        }
        const int32_t k = n->order[done++];
        for (int32_t s = n->slot_start[k]; s < n->slot_start[k + 1]; ++s) {
            const int32_t p = n->slot_pipe[s];
            if (n->sign[p] && n->up[p] == k && n->waiting[n->down[p]] > 0 && --n->waiting[n->down[p]] == 0) {
                n->order[tail++] = n->down[p];
                n->waiting[n->down[p]] = -1;
            }
        }
    }
    for (int32_t k = 0; k < n->nodes; ++k) {
        n->waiting[n->order[k]] = k;
    }
    int32_t at = 0, backs = 0, still = 0;
    for (int32_t k = 0; k < n->nodes; ++k) {
        const int32_t node = n->order[k];
        int flows = 0;
        n->in_start[k] = at;
        for (int32_t s = n->slot_start[node]; s < n->slot_start[node + 1]; ++s) {
            const int32_t p = n->slot_pipe[s];
            flows |= n->sign[p] != 0;
            int again = 0; /* a pipe from a node to itself stands in two slots */
            for (int32_t j = n->in_start[k]; n->up[p] == n->down[p] && j < at; ++j) {
                again |= n->in_pipe[j] == p;
            }
            if (n->sign[p] && n->down[p] == node && !again) {
                n->in_node[at] = n->up[p];
                n->in_cut[at] = -1;
                if (n->waiting[n->up[p]] >= k) {
                    n->in_cut[at] = backs;
                    n->back[backs++] = p;
                }
                n->in_pipe[at++] = p;
            }
        }
        if (!flows) {
            n->standing[still++] = node;
        }
    }
    n->in_start[n->nodes] = at;
    n->back_edges = backs;
    n->standing_nodes = still;
    n->sorted = 1;
}

/* What enters and leaves each node, in the order of the nodes. given: kg/s that enter by node, or NULL; what
 * the pipes take beyond that and beyond what they bring enters as well. */
static void sum_masses(Pipes *n, const double *given) {
    memset(n->in_kg, 0, sizeof(double) * (size_t)n->nodes);
    memset(n->leaves_kg, 0, sizeof(double) * (size_t)n->nodes);
    for (int32_t p = 0; p < n->pipes; ++p) {
        if (n->sign[p]) {
            n->in_kg[n->waiting[n->down[p]]] += n->moved[p];
            n->leaves_kg[n->waiting[n->up[p]]] += n->moved[p];
        }
    }
    for (int32_t k = 0; k < n->nodes; ++k) {
        const double out = n->leaves_kg[k], in = n->in_kg[k], missing = larger(out - in, 0.0);
        const double enters = given ? larger(given[n->order[k]] * n->dt, missing) : missing;
        const int fed = enters > REAL_INFLOW * (in + enters);
        const double mass = fed ? in + enters : in;
        n->enters_kg[k] = enters;
        n->leaves_kg[k] = larger(in + enters - out, 0.0);
        n->kind[k] = mass == 0.0 ? STANDS : fed ? FED : MIXES;
        n->inverse[k] = mass > 0.0 ? 1.0 / mass : 0.0;
    }
    n->summed_given = given != NULL;
}

/* Mix in every node, downstream. What a pipe delivers is offset + gain * (temperature fed), kg degC.
 *
 * Invariant: when a node is visited, all nodes feeding it have their temperature. The pipes listed in `back`
 * break it; what they are fed stands in `cut` by their place in that list (`in_cut`, -1 for all others). With
 * water = 0 nothing but the cuts counts, which gives the derivative by one of them. */
ALWAYS_INLINE void sweep(Pipes *n, double *temp, const int circles, const double water) {
    double *fed = n->fed, entered = 0.0, left = 0.0;
    const double *offset = n->offset, *gain = n->gain, *inflow = n->inflow;
    const int32_t *in_start = n->in_start, *in_pipe = n->in_pipe, *in_node = n->in_node;
    for (int32_t k = 0; k < n->nodes; ++k) {
        const int32_t node = n->order[k];
        double heat = 0.0;
        for (int32_t j = in_start[k], end = in_start[k + 1]; j < end; ++j) {
            const int32_t p = in_pipe[j];
            const double t = circles && n->in_cut[j] >= 0 ? n->cut[n->in_cut[j]] : temp[in_node[j]];
            fed[p] = t;
            heat += circles ? water * offset[p] + gain[p] * t : offset[p] + gain[p] * t;
        }
        const double t = heat * n->inverse[k];
        if (n->kind[k] != MIXES) {
            if (n->kind[k] == STANDS) {
                continue;
            }
            double own = circles ? water * inflow[node] : inflow[node];
            if (own != own) {
                own = n->in_kg[k] > 0.0 ? heat / n->in_kg[k] : water * n->node_temp[node];
            }
            const double border = n->enters_kg[k] * own;
            temp[node] = (heat + border) * n->inverse[k];
            entered += border;
            left += n->leaves_kg[k] * temp[node];
            continue;
        }
        temp[node] = t;
        entered += n->enters_kg[k] * t;
        left += n->leaves_kg[k] * t;
    }
    n->entered = entered;
    n->left = left;
}

/* Solve the dense system a x = b of `size` unknowns in place, by elimination with pivots. An unknown that the
 * system leaves free takes what it was. */
static void eliminate(double *a, double *b, int32_t size, const double *was) {
    for (int32_t c = 0; c < size; ++c) {
        int32_t best = c;
        for (int32_t r = c + 1; r < size; ++r) {
            best = fabs(a[r * MOST_CUTS + c]) > fabs(a[best * MOST_CUTS + c]) ? r : best;
        }
        for (int32_t k = c; best != c && k < size; ++k) {
            const double kept = a[c * MOST_CUTS + k];
            a[c * MOST_CUTS + k] = a[best * MOST_CUTS + k];
            a[best * MOST_CUTS + k] = kept;
        }
        const double kept = b[c];
        b[c] = b[best];
        b[best] = kept;
        if (fabs(a[c * MOST_CUTS + c]) < FREE) {
            memset(a + c * MOST_CUTS, 0, sizeof(double) * (size_t)size);
            a[c * MOST_CUTS + c] = 1.0;
            b[c] = was[c];
        }
        for (int32_t r = c + 1; r < size; ++r) {
            const double share = a[r * MOST_CUTS + c] / a[c * MOST_CUTS + c];
            for (int32_t k = c; share != 0.0 && k < size; ++k) {
                a[r * MOST_CUTS + k] -= share * a[c * MOST_CUTS + k];
            }
            b[r] -= share * b[c];
        }
    }
    for (int32_t c = size - 1; c >= 0; --c) {
        for (int32_t k = c + 1; k < size; ++k) {
            b[c] -= a[c * MOST_CUTS + k] * b[k];
        }
        b[c] /= a[c * MOST_CUTS + c];
    }
}

/* Coldest and warmest of all that is mixed in this step: nothing mixed of it can lie outside. */
static void find_range(const Pipes *n, double *low, double *high) {
    *low = 1e300;
    *high = -1e300;
    for (int32_t k = 0; k < n->nodes; ++k) {
        const int32_t node = n->order[k];
        const double t = n->kind[k] == FED && n->inflow[node] == n->inflow[node] ? n->inflow[node] : n->node_temp[node];
        *low = smaller(*low, smaller(t, n->node_temp[node]));
        *high = larger(*high, larger(t, n->node_temp[node]));
    }
    for (int32_t p = 0; p < n->pipes; ++p) {
        const double own = n->moved[p] - n->gain[p];
        if (own > 1e-9 * n->moved[p]) {
            *low = smaller(*low, n->offset[p] / own);
            *high = larger(*high, n->offset[p] / own);
        }
    }
}

/* Mix where water goes round in circles: each is cut at a pipe, and the temperatures fed there come from the
 * linear system they are in. With more cuts than fit, sweeps are repeated until nothing changes. What rounding
 * leaves between fed and true temperatures counts as heat that entered. */
static void mix_circles(Pipes *n) {
    double *temp = n->work;
    int32_t unknowns = 0, unknown[MOST_CUTS];
    memcpy(temp, n->node_temp, sizeof(double) * (size_t)n->nodes);
    for (int32_t i = 0; i < n->back_edges; ++i) {
        n->cut[i] = temp[n->up[n->back[i]]];
        if (n->gain[n->back[i]] != 0.0) {
            if (unknowns < MOST_CUTS) {
                unknown[unknowns] = i;
            }
            unknowns += 1;
        }
    }
    if (unknowns > MOST_CUTS) {
        for (int32_t times = 0; times < 1000; ++times) {
            double most = 0.0;
            sweep(n, temp, 1, 1.0);
            for (int32_t i = 0; i < n->back_edges; ++i) {
                const double t = temp[n->up[n->back[i]]];
                most = larger(most, fabs(t - n->cut[i]));
                n->cut[i] = t;
            }
            if (most <= 1e-12) {
                break;
            }
        }
    } else if (unknowns > 0) {
        double kept[MOST_CUTS], *a = n->system, *b = n->answer;
        for (int32_t c = 0; c < unknowns; ++c) {
            kept[c] = n->cut[unknown[c]];
            n->cut[unknown[c]] = 0.0;
        }
        sweep(n, temp, 1, 1.0);
        for (int32_t r = 0; r < unknowns; ++r) {
            b[r] = temp[n->up[n->back[unknown[r]]]];
        }
        for (int32_t c = 0; c < unknowns; ++c) {
            memset(temp, 0, sizeof(double) * (size_t)n->nodes);
            n->cut[unknown[c]] = 1.0;
            sweep(n, temp, 1, 0.0);
            n->cut[unknown[c]] = 0.0;
            for (int32_t r = 0; r < unknowns; ++r) {
                a[r * MOST_CUTS + c] = (r == c) - temp[n->up[n->back[unknown[r]]]];
            }
        }
        eliminate(a, b, unknowns, kept);
        double low, high;
        find_range(n, &low, &high);
        for (int32_t c = 0; c < unknowns; ++c) {
            n->cut[unknown[c]] = larger(smaller(b[c], high), low);
        }
        memcpy(temp, n->node_temp, sizeof(double) * (size_t)n->nodes);
    }
    sweep(n, temp, 1, 1.0);
    memcpy(n->node_temp, temp, sizeof(double) * (size_t)n->nodes);
    for (int32_t i = 0; i < n->back_edges; ++i) {
        const int32_t p = n->back[i];
        const double t = n->node_temp[n->up[p]];
        if (n->gain[p] == 0.0) {
            n->fed[p] = t; /* delivers what it holds, whatever it is fed */
        } else {
            n->entered += n->moved[p] * (n->fed[p] - t);
        }
    }
}

/* A node nothing flows through shows the mean of the pipe ends around it. */
static void name_standing_nodes(Pipes *n) {
    for (int32_t k = 0; k < n->standing_nodes; ++k) {
        const int32_t node = n->standing[k];
        double total = 0.0;
        int ends = 0;
        for (int32_t s = n->slot_start[node]; s < n->slot_start[node + 1]; ++s) {
            const int32_t p = n->slot_pipe[s];
            if (n->plug_kg[p] > 0.0) {
                total += end_temp(n, p, n->from[p] == node);
                ends += 1;
            }
        }
        if (ends > 0) {
            n->node_temp[node] = total / ends;
        }
    }
}

/* Take a changed flow into account before anything is computed from it; 1 when the order of nodes is void. */
static int redirect(Pipes *n, int32_t p, double flow) {
    const int8_t sign = (int8_t)(fabs(flow) < STANDING_KG_S ? 0 : flow > 0.0 ? 1 : -1);
    const int changed = sign != n->sign[p];
    n->flow[p] = flow;
    if (changed) {
        n->sign[p] = sign;
        if (sign && (sign < 0) != n->turned[p]) {
            n->turned[p] = (int8_t)(sign < 0);
            n->up[p] = sign > 0 ? n->from[p] : n->to[p];
            n->down[p] = sign > 0 ? n->to[p] : n->from[p];
            turn(n, p);
        }
    }
    return changed;
}

#define LEVEL LEVEL_BASELINE
#define FN(name) name##_baseline
#include "_transport_body.h"
#undef FN
#undef LEVEL

#if TOPLOVOD_X86
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define LEVEL LEVEL_AVX2
#define FN(name) name##_avx2
#include "_transport_body.h"
#undef FN
#undef LEVEL
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx2,fma,avx512f,avx512dq,avx512vl,avx512bw,prefer-vector-width=512")
#define LEVEL LEVEL_AVX512
#define FN(name) name##_avx512
#include "_transport_body.h"
#undef FN
#undef LEVEL
#pragma GCC pop_options

#define DISPATCH(function, ...) \
    (n->level == LEVEL_AVX512  ? function##_avx512(__VA_ARGS__) \
     : n->level == LEVEL_AVX2 ? function##_avx2(__VA_ARGS__) \
                              : function##_baseline(__VA_ARGS__))
#else
#define DISPATCH(function, ...) function##_baseline(__VA_ARGS__)
#endif

/* Advance by dt seconds. flow: kg/s in each pipe; inflow: degC by node, kept; NULL for what was given last;
 * given: kg/s that enter by node, or NULL; ground: degC by pipe. Returns -1; or the first pipe whose flow is
 * not finite; or -2 for an inflow that is infinite, and then nothing has changed. */
static int32_t transport_step(Pipes *n, double dt, const double *flow, const double *inflow, const double *given,
                              const double *ground) {
    if (inflow) {
        int endless = 0;
        for (int32_t k = 0; k < n->nodes; ++k) {
            endless |= fabs(inflow[k]) > 1e300;
        }
        if (endless) {
            return -2;
        }
    }
    const int retime = dt != n->dt;
    const int changed = memcmp(flow, n->flow, sizeof(double) * (size_t)n->pipes) != 0;
    if (changed) {
        for (int32_t p = 0; p < n->pipes; ++p) {
            if (!(fabs(flow[p]) < 1e300)) {
                return p;
            }
        }
        for (int32_t p = 0; p < n->pipes; ++p) {
            if (flow[p] != n->flow[p] && redirect(n, p, flow[p])) {
                n->sorted = 0;
            }
        }
    }
    if (inflow) {
        memcpy(n->inflow, inflow, sizeof(double) * (size_t)n->nodes);
    }
    n->dt = dt;
    if (changed || retime) {
        DISPATCH(prepare, n);
        if (!n->sorted) {
            sort_nodes(n);
        }
    }
    if (changed || retime || given || n->summed_given) {
        sum_masses(n, given);
    }
    /* while the ground warms or cools, the base that tags count from follows it as the water would */
    const int moving = !n->ground_still;
    if (moving) {
        n->ground_still = 1;
        n->loss_by_base = 0.0;
        for (int32_t p = 0; p < n->pipes; ++p) {
            const double behind = ground[p] - n->base[p], clock = n->clock_step[p];
            const double mean = clock > 1e-8 ? (1.0 - n->keep[p]) / clock : 1.0;
            n->base_next[p] = ground[p] - behind * n->keep[p];
            n->loss_by_base += n->held_kg[p] * (n->base_next[p] - n->base[p]);
            if (fabs(behind) > 1e-12 && n->base_next[p] != n->base[p]) {
                n->ground_still = 0;
            }
            /* what water that enters all through the step has to count from to have its true mean in the end */
            n->base[p] = ground[p] - behind * n->keep[p] / mean;
        }
    }
    DISPATCH(deliver, n);
    if (n->back_edges) {
        mix_circles(n);
    } else {
        sweep(n, n->node_temp, 0, 1.0);
    }
    n->loss = DISPATCH(fill, n);
    if (moving) {
        for (int32_t p = 0; p < n->pipes; ++p) {
            n->base[p] = n->base_next[p];
        }
        n->loss -= n->loss_by_base;
    }
    name_standing_nodes(n);
    return -1;
}

#endif
