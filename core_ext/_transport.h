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
 *
 * Everything a step needs of a pipe lies at its place, eight pipes to a record, in the order in which the flow
 * reaches the nodes they begin at. So a block of pipes can deliver, feed the nodes and be filled again while
 * its records are in the first-level cache, and a node reads what arrives in the order it lies in memory.
 * Counted by callgrind at AVX2, one pipe in one steady step: 35 instructions to deliver, 42 to fill, 21 for the
 * node at its end; the rest is what the step looks at once.
 */
#ifndef TOPLOVOD_TRANSPORT_H
#define TOPLOVOD_TRANSPORT_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "_simd.h"

#define STANDING_KG_S 1e-12 /* below this a pipe stands */
#define LONGEST_SPAN 2.0    /* of clock within a parcel that is not the result of a squeeze */
#define NOTHING_K 1e-9      /* parcels this close are one without fitting anything */
#define FREE 1e-11          /* share of a circle that is renewed, below which rounding would decide */
#define MOST_CUTS 64        /* of circles that are solved directly */
#define REAL_INFLOW 1e-9    /* share of a node's outflow below which an inflow is rounding of the flows */

enum { PASSES, MIXES, FED, STANDS }; /* what happens in a node: PASSES has one inlet and no border */

typedef struct {
    double mass, tag, rise, x_in, x_out; /* rise: tag at the inlet edge less tag at the outlet edge */
} Parcel;

#define BLOCK 64 /* pipes taken through a step together: 13 kB of records; a multiple of eight */

/* Eight pipes at neighbouring places: what every step reads, and what it is made of. */
typedef struct {
    double tag[8], rise[8], x_in[8], x_out[8], clock[8], w_in[8], w_out[8], energy[8], base[8];
    int64_t ringed[8];
    /* of flow and step length */
    double moved[8], gone[8], part[8], filled[8], pass_in[8], pass_old[8], take_in[8], take_old[8];
    double clock_step[8], keep[8], half[8], through[8], fresh[8];
    /* given */
    double wall_kg[8], plug_kg[8];
} Eight;

typedef struct {
    double share[8], rate[8], held_kg[8];
} EightGiven;

#define AT(column, s) n->eight[(s) >> 3].column[(s) & 7]
#define GIVEN_AT(column, s) n->eight_given[(s) >> 3].column[(s) & 7]

/* A node, in the order of the flow. */
typedef struct {
    double inverse, in_kg;
    int32_t node, kind, place, up; /* of its only inlet, where it PASSES */
} Mix;

typedef struct {
    int32_t pipes, padded, nodes, capacity, level;
    int32_t sorted, standing_nodes, back_edges, ground_still, summed_given, origin;
    uint32_t steps;
    double merge_k, dt;
    double loss, entered, left, loss_by_base;
    /* given */
    const int32_t *from, *to, *slot_start, *slot_pipe;
    double *node_temp, *inflow;
    /* by pipe as the caller counts them */
    double *flow, *squeezed_k;
    int32_t *head, *count, *place, *up, *down;
    int8_t *sign, *turned;
    Parcel *ring;
    /* by place; `pipe` is the caller's number, `up_at` the position of the node it begins at */
    Eight *eight;
    EightGiven *eight_given;
    int32_t *pipe, *up_at;
    double *base_next, *offset, *gain; /* a pipe delivers offset + gain * (temperature fed), kg degC */
    /* within a step, by place less `origin` */
    double *delivered, *retained, *fed;
    /* order of nodes: position by node, and by position what mixes there and its temperature */
    int32_t *order, *waiting, *in_start, *in_place, *in_up, *in_cut, *standing, *back;
    Mix *mix;
    double *temp, *enters_kg, *leaves_kg, *cut, *system, *answer, *moving;
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

/* What the plug at place s delivers from its content in this step, kg K per kg of it, and what stays. */
static void leave(Pipes *n, int32_t s) {
    const int32_t p = n->pipe[s];
    const double gone = AT(gone, s), now = AT(clock, s), span = AT(clock_step, s) * AT(part, s);
    double *delivered = n->delivered + (s - n->origin), *retained = n->retained + (s - n->origin);
    double out = 0.0, before = 0.0, left = gone;
    const double per_kg = gone > 0.0 ? span / gone : 0.0;
    if (!AT(ringed, s)) {
        const double f = AT(plug_kg, s) > 0.0 ? gone / AT(plug_kg, s) : 0.0;
        const double tag = AT(tag, s) - 0.5 * AT(rise, s) * (1.0 - f), rise = AT(rise, s) * f;
        const double xo = AT(x_out, s), xi = xo + (AT(x_in, s) - xo) * f;
        *delivered = mean_excess(tag, rise, xi - span, xo, now);
        *retained = AT(energy, s) - gone * mean_excess(tag, rise, xi, xo, now);
        return;
    }
    /* parcels go in order of distance from the outlet; each one's clock runs on until it gets there */
    const int all = gone >= AT(plug_kg, s);
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
    *retained = AT(energy, s) - before;
    if (n->count[p] == 0) { /* nothing stayed: what rounding left behind goes along */
        out += *retained;
        *retained = 0.0;
    }
    *delivered = gone > left ? out / (gone - left) : 0.0;
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
                if (error * (c->mass + b->mass) <= limit * AT(plug_kg, n->place[p])) {
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
static void enter(Pipes *n, int32_t s, double tag, double now) {
    const int32_t p = n->pipe[s];
    const double gone = AT(gone, s), span = AT(clock_step, s) * AT(part, s);
    Parcel fresh = {gone, tag, 0.0, now, now - span};
    Joint joint;
    if (!AT(ringed, s) && gone >= AT(plug_kg, s)) {
        AT(tag, s) = tag;
        AT(rise, s) = 0.0;
        AT(x_in, s) = now;
        AT(x_out, s) = now - span;
        return;
    }
    if (!AT(ringed, s)) {
        const double f = gone / AT(plug_kg, s), xo = AT(x_out, s);
        n->head[p] = 0;
        n->count[p] = 1;
        Parcel *c = ring_at(n, p, 0);
        c->mass = AT(plug_kg, s) - gone;
        c->tag = AT(tag, s) + 0.5 * AT(rise, s) * f;
        c->rise = AT(rise, s) * (1.0 - f);
        c->x_in = AT(x_in, s);
        c->x_out = xo + (c->x_in - xo) * f;
        AT(ringed, s) = -1;
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
        AT(tag, s) = c->tag;
        AT(rise, s) = c->rise;
        AT(x_in, s) = c->x_in;
        AT(x_out, s) = c->x_out;
        AT(ringed, s) = 0;
    }
}

/* The water is about to go the other way: what was the outlet is the inlet now. */
static void turn(Pipes *n, int32_t p) {
    const int32_t s = n->place[p];
    double w = AT(w_in, s), x = AT(x_in, s);
    AT(w_in, s) = AT(w_out, s);
    AT(w_out, s) = w;
    AT(x_in, s) = AT(x_out, s);
    AT(x_out, s) = x;
    AT(rise, s) = -AT(rise, s);
    if (AT(ringed, s)) {
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
    const int32_t s = n->place[p];
    if (AT(wall_kg, s) > 0.0) {
        return AT(base, s) + (inlet ? AT(w_in, s) : AT(w_out, s));
    }
    double tag = AT(tag, s), rise = AT(rise, s), x = inlet ? AT(x_in, s) : AT(x_out, s);
    if (AT(ringed, s)) {
        const Parcel *c = ring_at(n, p, inlet ? n->count[p] - 1 : 0);
        tag = c->tag;
        rise = c->rise;
        x = inlet ? c->x_in : c->x_out;
    }
    return AT(base, s) + (tag + (inlet ? 0.5 : -0.5) * rise) * decay(AT(clock, s) - x);
}

/* Bring columns of eight from the places `from` to those in order. */
static void permute(double *records, int32_t columns, int32_t pipes, const int32_t *from, double *moving) {
    for (int32_t c = 0; c < columns; ++c) {
        double *column = records + 8 * c;
        for (int32_t s = 0; s < pipes; ++s) {
            moving[s] = column[(int64_t)(from[s] >> 3) * 8 * columns + (from[s] & 7)];
        }
        for (int32_t s = 0; s < pipes; ++s) {
            column[(int64_t)(s >> 3) * 8 * columns + (s & 7)] = moving[s];
        }
    }
}

/* Give every pipe its place: by the position of the node its water comes from; those that stand behind. */
static void place_pipes(Pipes *n) {
    int32_t at = 0, moves = 0, *from = n->in_place;
    for (int32_t p = 0; p < n->pipes; ++p) {
        n->back[p] = 0;
    }
    for (int32_t k = 0; k < n->nodes; ++k) {
        const int32_t node = n->order[k];
        for (int32_t slot = n->slot_start[node]; slot < n->slot_start[node + 1]; ++slot) {
            const int32_t p = n->slot_pipe[slot];
            if (n->sign[p] && n->up[p] == node && !n->back[p]) {
                n->back[p] = 1;
                n->up_at[at] = k;
                n->pipe[at++] = p;
            }
        }
    }
    for (int32_t p = 0; p < n->pipes; ++p) {
        if (!n->back[p]) {
            n->up_at[at] = n->nodes - 1;
            n->pipe[at++] = p;
        }
    }
    for (int32_t s = 0; s < n->pipes; ++s) {
        from[s] = n->place[n->pipe[s]];
        moves |= from[s] != s;
    }
    if (moves) {
        permute((double *)n->eight, sizeof(Eight) / 64, n->pipes, from, n->moving);
        permute((double *)n->eight_given, sizeof(EightGiven) / 64, n->pipes, from, n->moving);
        for (int32_t s = 0; s < n->pipes; ++s) {
            n->place[n->pipe[s]] = s;
        }
    }
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
                    if (n->sign[p] && n->down[p] == k && n->waiting[n->up[p]] >= 0 && AT(plug_kg, n->place[p]) < least) {
                        least = AT(plug_kg, n->place[p]);
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
    place_pipes(n);
    int32_t at = 0, backs = 0, still = 0;
    for (int32_t k = 0; k < n->nodes; ++k) {
        const int32_t node = n->order[k];
        int flows = 0;
        n->in_start[k] = at;
        for (int32_t slot = n->slot_start[node]; slot < n->slot_start[node + 1]; ++slot) {
            const int32_t p = n->slot_pipe[slot];
            flows |= n->sign[p] != 0;
            int again = 0; /* a pipe from a node to itself stands in two slots */
            for (int32_t j = n->in_start[k]; n->up[p] == n->down[p] && j < at; ++j) {
                again |= n->in_place[j] == n->place[p];
            }
            if (n->sign[p] && n->down[p] == node && !again) {
                n->in_up[at] = n->waiting[n->up[p]];
                n->in_cut[at] = -1;
                if (n->in_up[at] >= k) {
                    n->in_cut[at] = backs;
                    n->back[backs++] = n->place[p];
                }
                n->in_place[at++] = n->place[p];
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
    for (int32_t k = 0; k < n->nodes; ++k) {
        n->leaves_kg[k] = 0.0;
    }
    for (int32_t s = 0; s < n->pipes; ++s) {
        n->leaves_kg[n->up_at[s]] += AT(moved, s);
    }
    for (int32_t k = 0; k < n->nodes; ++k) {
        Mix *m = n->mix + k;
        double in = 0.0;
        for (int32_t j = n->in_start[k]; j < n->in_start[k + 1]; ++j) {
            in += AT(moved, n->in_place[j]);
        }
        const double out = n->leaves_kg[k], missing = larger(out - in, 0.0);
        const double enters = given ? larger(given[n->order[k]] * n->dt, missing) : missing;
        const int fed = enters > REAL_INFLOW * (in + enters);
        const double mass = fed ? in + enters : in;
        m->node = n->order[k];
        m->in_kg = in;
        n->enters_kg[k] = enters;
        n->leaves_kg[k] = larger(in + enters - out, 0.0);
        m->kind = mass == 0.0 ? STANDS : fed ? FED : MIXES;
        m->inverse = mass > 0.0 ? 1.0 / mass : 0.0;
        if (m->kind == MIXES && n->in_start[k + 1] == n->in_start[k] + 1 && n->in_cut[n->in_start[k]] < 0) {
            m->kind = PASSES;
            m->place = n->in_place[n->in_start[k]];
            m->up = n->in_up[n->in_start[k]];
        }
    }
    n->summed_given = given != NULL;
}

/* Mix in the nodes from position `first` up to `end`, downstream, into `temp`.
 *
 * Invariant: when a node is visited, all nodes feeding it have their temperature. The pipes listed in `back`
 * break it; what they are fed stands in `cut` by their place in that list (`in_cut`, -1 for all others). With
 * water = 0 nothing but the cuts counts, which gives the derivative by one of them. Without circles the nodes
 * take their temperatures over at once. `entered` counts by how much what enters is warmer than its node. */
ALWAYS_INLINE void sweep(Pipes *n, int32_t first, int32_t end, const int circles, const double water) {
    double beside = 0.0, *temp = n->temp, *node_temp = n->node_temp;
    const double *offset = n->offset, *gain = n->gain;
    const Mix *m = n->mix + first;
    for (int32_t k = first; k < end; ++k, ++m) {
        double t;
        if (m->kind == PASSES) {
            const double own = offset[m->place];
            t = ((circles ? water * own : own) + gain[m->place] * temp[m->up]) * m->inverse;
        } else if (m->kind == STANDS) {
            continue;
        } else {
            double heat = 0.0;
            for (int32_t j = n->in_start[k], stop = n->in_start[k + 1]; j < stop; ++j) {
                const int32_t s = n->in_place[j];
                const double fed = circles && n->in_cut[j] >= 0 ? n->cut[n->in_cut[j]] : temp[n->in_up[j]];
                heat += circles ? water * offset[s] + gain[s] * fed : offset[s] + gain[s] * fed;
            }
            if (m->kind == FED) {
                double own = circles ? water * n->inflow[m->node] : n->inflow[m->node];
                if (own != own) {
                    own = m->in_kg > 0.0 ? heat / m->in_kg : water * node_temp[m->node];
                }
                t = (heat + n->enters_kg[k] * own) * m->inverse;
                beside += n->enters_kg[k] * (own - t);
            } else {
                t = heat * m->inverse;
            }
        }
        temp[k] = t;
        if (!circles) {
            node_temp[m->node] = t;
        }
    }
    n->entered += beside;
}

/* Mix everywhere; the cuts are known. */
static void sweep_circles(Pipes *n, const double water) {
    n->entered = 0.0;
    sweep(n, 0, n->nodes, 1, water);
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
        const double t = n->mix[k].kind == FED && n->inflow[node] == n->inflow[node] ? n->inflow[node] : n->node_temp[node];
        *low = smaller(*low, smaller(t, n->node_temp[node]));
        *high = larger(*high, larger(t, n->node_temp[node]));
    }
    for (int32_t s = 0; s < n->pipes; ++s) {
        const double moved = AT(moved, s), own = moved - n->gain[s];
        if (own > 1e-9 * moved) {
            *low = smaller(*low, n->offset[s] / own);
            *high = larger(*high, n->offset[s] / own);
        }
    }
}

/* Mix where water goes round in circles: each is cut at a pipe, and the temperatures fed there come from the
 * linear system they are in. With more cuts than fit, sweeps are repeated until nothing changes. What rounding
 * leaves between fed and true temperatures counts as heat that entered. */
static void mix_circles(Pipes *n) {
    double *temp = n->temp;
    int32_t unknowns = 0, unknown[MOST_CUTS];
    for (int32_t k = 0; k < n->nodes; ++k) {
        temp[k] = n->node_temp[n->order[k]];
    }
    for (int32_t i = 0; i < n->back_edges; ++i) {
        n->cut[i] = temp[n->up_at[n->back[i]]];
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
            sweep_circles(n, 1.0);
            for (int32_t i = 0; i < n->back_edges; ++i) {
                const double t = temp[n->up_at[n->back[i]]];
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
        sweep_circles(n, 1.0);
        for (int32_t r = 0; r < unknowns; ++r) {
            b[r] = temp[n->up_at[n->back[unknown[r]]]];
        }
        for (int32_t c = 0; c < unknowns; ++c) {
            memset(temp, 0, sizeof(double) * (size_t)n->nodes);
            n->cut[unknown[c]] = 1.0;
            sweep_circles(n, 0.0);
            n->cut[unknown[c]] = 0.0;
            for (int32_t r = 0; r < unknowns; ++r) {
                a[r * MOST_CUTS + c] = (r == c) - temp[n->up_at[n->back[unknown[r]]]];
            }
        }
        eliminate(a, b, unknowns, kept);
        double low, high;
        find_range(n, &low, &high);
        for (int32_t c = 0; c < unknowns; ++c) {
            n->cut[unknown[c]] = larger(smaller(b[c], high), low);
        }
        for (int32_t k = 0; k < n->nodes; ++k) {
            temp[k] = n->node_temp[n->order[k]];
        }
    }
    sweep_circles(n, 1.0);
    for (int32_t k = 0; k < n->nodes; ++k) {
        n->node_temp[n->order[k]] = temp[k];
    }
    for (int32_t s = 0; s < n->pipes; ++s) {
        n->fed[s] = temp[n->up_at[s]];
    }
    for (int32_t i = 0; i < n->back_edges; ++i) {
        const int32_t s = n->back[i];
        if (n->gain[s] != 0.0) { /* the others deliver what they hold, whatever they are fed */
            n->entered += AT(moved, s) * (n->cut[i] - n->fed[s]);
            n->fed[s] = n->cut[i];
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
            if (AT(plug_kg, n->place[p]) > 0.0) {
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

#define BODY "_transport_body.h"
#include "_levels.h"

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
        if (!n->sorted) {
            sort_nodes(n);
        }
        DISPATCH(n->level, prepare, n);
    }
    if (changed || retime || given || n->summed_given) {
        sum_masses(n, given);
    }
    /* while the ground warms or cools, the base that tags count from follows it as the water would */
    const int moving = !n->ground_still;
    if (moving) {
        n->ground_still = 1;
        n->loss_by_base = 0.0;
        for (int32_t s = 0; s < n->pipes; ++s) {
            const double there = ground[n->pipe[s]], base = AT(base, s);
            const double behind = there - base, clock = AT(clock_step, s), keep = AT(keep, s);
            const double mean = clock > 1e-8 ? (1.0 - keep) / clock : 1.0;
            n->base_next[s] = there - behind * keep;
            n->loss_by_base += GIVEN_AT(held_kg, s) * (n->base_next[s] - base);
            if (fabs(behind) > 1e-12 && n->base_next[s] != base) {
                n->ground_still = 0;
            }
            /* what water that enters all through the step has to count from to have its true mean in the end */
            AT(base, s) = there - behind * keep / mean;
        }
    }
    n->loss = DISPATCH(n->level, advance, n);
    if (moving) {
        for (int32_t s = 0; s < n->pipes; ++s) {
            AT(base, s) = n->base_next[s];
        }
        n->loss -= n->loss_by_base;
    }
    name_standing_nodes(n);
    return -1;
}

#endif
