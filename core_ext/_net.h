/* The numbers of one network as the solver's kernel holds them, and where each is found.
 *
 * Shared by the kernel and by what fills in coefficients; it computes nothing.
 */
#ifndef TOPLOVOD_NET_H
#define TOPLOVOD_NET_H

#include <math.h>
#include <stdint.h>
#include <stddef.h>
#include <string.h>

/* kinds of links, as the solver names them */
enum { PIPE, QUADRATIC, FIXED, POWER, CURVE, HAZEN, REGULATOR, IMPOSED, PINNED };
enum { SWAMEE_JAIN, COLEBROOK, SWAMEE_JAIN_EVERYWHERE, NIKURADSE };
enum { FREE = 0, AT_HIGH = 1, AT_LOW = -1 };

/* 32 bytes, so that two neighbouring fields are one access.
 * excess: coupling to fixed pressures, then the inverse pivot; rhs: right-hand side, then change of pressure */
typedef struct {
    double excess, rhs, pressure, injection;
} Column;

/* Eight columns. row: their neighbours among later columns (`entries`), then fixed ones (`ground`), eight
 * lanes each; link: `blocks` pairs of a block of links and the position of its neighbour in row. */
typedef struct {
    int32_t lanes, entries, ground, blocks;
    int32_t entry_at, row_at, target_at, link_at;
} Group;

/* A link whose law is evaluated alone; direction: -1 when it counts against its own from-to. */
typedef struct {
    double p[6];
    double low, high;
    int8_t kind, direction, state;
} Other;

/* A valve that throttles until a pressure sensed somewhere meets its setting. It brings
 * weight_a p(place_a) + weight_b p(place_b) down to setting_pa, gauge; places below 0 sense nothing. Its Other
 * holds the law of the open valve (p[0], p[1]) and in p[2] the pressure it takes up beyond that. */
typedef struct {
    int32_t link, place_a, place_b;
    double weight_a, weight_b, setting_pa;
    int8_t wanted, state; /* wanted: may be open at all */
} Regulator;

typedef struct {
    /* shape: counts of groups, places, links; where the kinds of blocks begin, in the order they lie */
    int32_t groups, alias_group, places, fixed_at, trash_at, links, nodes, slots, entries, widest;
    int32_t quad_at, limited_at, other_at, peeled_pipe_at, peeled_pipe_shift, peeled_other_at, blocks;
    int32_t peeled, imposed_links, pinned_links, aliases, regulators, active_regulators;
    int form, level;
    /* the program */
    const Group *group;
    const int32_t *row, *link, *target;
    /* by link: 2 slot + (1 if it runs against its column), or the complement of its row among imposed links */
    const int32_t *slot;
    const int32_t *first, *second;  /* ends of links as places */
    const int32_t *place, *node_of; /* place of a node; node of a place, -1 for none */
    const int32_t *peel_place, *peel_parent, *peel_slot;
    const int8_t *kind;
    const int32_t *pinned, *imposed_link, *alias_place, *alias_of;
    const double *curve_flow, *curve_dp, *level_pa;
    /* numbers filled in by the caller */
    double *pipe, *quad, *limited, *imposed, *injection, *offset, *given_pa;
    float *cold;
    Other *other;
    Regulator *regulator;
    int8_t *open;
    /* state */
    Column *column;
    double *w, *y, *q, *entry, *scratch, *saved, *border;
    double *inflow;
    uint8_t *mask, *at_limit;
    uint8_t *stale; /* by block of peeled pipes: w does not hold their drops at q */
    int8_t *act, *seen, *known, *dead;
    int32_t *root;
    double *sums;
    int labelled, warm, limited_now, robust, careful, quick;
    int parting;   /* whether links held at a limit can part the network; below 0 when that is not known yet */
    int evaluated; /* w and y of pipes hold their laws at q and at the columns' pressures */
    int32_t unreferenced;
    int iterations, clipped, released;
    double worst, total, along, changed, carried, slack, pipes_worst, pipes_total;
    double residual_pressure_pa, residual_mass_kg_s;
    struct Lanes *lanes;
} Net;

/* Nothing of what the last solve knew about pipes holds any longer. */
static inline void forget_laws(Net *n) {
    n->evaluated = 0;
    memset(n->stale, 1, (size_t)(n->peeled_other_at - n->peeled_pipe_at));
}

/* Position of a parameter: field f of the link in a slot. */
static inline double *parameter(const Net *n, int32_t slot, int f) {
    int32_t b = slot >> 3, l = slot & 7;
    if (b < n->quad_at) {
        return n->pipe + 32 * (int64_t)b + 8 * f + l;
    }
    if (b < n->limited_at) {
        return n->quad + 16 * (int64_t)(b - n->quad_at) + 8 * f + l;
    }
    if (b < n->other_at) {
        return n->limited + 32 * (int64_t)(b - n->limited_at) + 8 * f + l;
    }
    if (b >= n->peeled_pipe_at && b < n->peeled_other_at) {
        return n->pipe + 32 * (int64_t)(b - n->peeled_pipe_shift) + 8 * f + l;
    }
    return NULL;
}

/* Others: those of the core lie before the peeled ones, both in the order of their slots. */
static inline Other *other_of(const Net *n, int32_t slot) {
    int32_t b = slot >> 3;
    int32_t i = b < n->peeled_pipe_at ? b - n->other_at : b - n->peeled_other_at + n->peeled_pipe_at - n->other_at;
    return n->other + 8 * (int64_t)i + (slot & 7);
}

/* Coefficients of a quadratic law: drop per flow squared, flow below which it is linear, flow to begin with. */
static inline void put_quadratic(Net *n, int32_t e, double k, double linear_below, double cold) {
    int32_t code = n->slot[e], slot = code >> 1;
    double *p = parameter(n, slot, 0);
    if (p != NULL) {
        p[0] = k;
        p[8] = linear_below;
    } else {
        Other *o = other_of(n, slot);
        o->p[0] = k;
        o->p[1] = linear_below;
    }
    n->cold[slot] = (float)(code & 1 ? -cold : cold);
}

/* Whether a link's quadratic law has this drop per flow squared and these limits of the flow in its own direction
 * already, so that putting them again would change nothing. 1.0 may be what a block holds from the beginning. */
static inline int has_quadratic(const Net *n, int32_t e, double k, double low, double high) {
    int32_t code = n->slot[e], slot = code >> 1, b = slot >> 3;
    if (k == 1.0 || b < n->quad_at || b >= n->other_at) {
        return 0;
    }
    const double *p = parameter(n, slot, 0);
    if (b < n->limited_at) {
        return p[0] == k && !isfinite(low) && !isfinite(high);
    }
    return p[0] == k && p[16] == (code & 1 ? -high : low) && p[24] == (code & 1 ? -low : high);
}

/* One coefficient of a law that is evaluated alone. */
static inline void put_other(Net *n, int32_t e, int field, double value) {
    other_of(n, n->slot[e] >> 1)->p[field] = value;
}

static inline void put_cold(Net *n, int32_t e, double cold) {
    int32_t code = n->slot[e];
    n->cold[code >> 1] = (float)(code & 1 ? -cold : cold);
}

/* Limits of a flow in its own direction; 0 when the link is laid out as one that none can act on. */
static inline int put_limits(Net *n, int32_t e, double low, double high) {
    int32_t code = n->slot[e], slot = code >> 1, b = slot >> 3;
    float *cold = n->cold + slot;
    if (b >= n->limited_at && b < n->other_at) {
        double *p = parameter(n, slot, 0);
        p[16] = code & 1 ? -high : low;
        p[24] = code & 1 ? -low : high;
        /* a start beyond a limit would only be clipped */
        *cold = *cold > p[24] ? (float)p[24] : *cold < p[16] ? (float)p[16] : *cold;
        return 1;
    }
    if ((b >= n->other_at && b < n->peeled_pipe_at) || b >= n->peeled_other_at) {
        Other *o = other_of(n, slot);
        if (isfinite(o->low) != isfinite(low) || isfinite(o->high) != isfinite(high)) {
            n->parting = -1;
        }
        o->low = low;
        o->high = high;
        return 1;
    }
    return !(isfinite(low) || isfinite(high));
}

/* Limits of a link in its own direction; infinite where none can act. */
static inline void get_limits(const Net *n, int32_t e, double *low, double *high) {
    int32_t code = n->slot[e], slot = code >> 1, b = slot >> 3;
    *low = -INFINITY;
    *high = INFINITY;
    if (code < 0 || n->kind[e] >= IMPOSED) {
        return;
    }
    if (b >= n->limited_at && b < n->other_at) {
        const double *p = parameter(n, slot, 0);
        *low = code & 1 ? -p[24] : p[16];
        *high = code & 1 ? -p[16] : p[24];
    } else if ((b >= n->other_at && b < n->peeled_pipe_at) || b >= n->peeled_other_at) {
        *low = other_of(n, slot)->low;
        *high = other_of(n, slot)->high;
    }
}

/* Pressure of a fixed place, as gauge pressure at its node. */
static inline void put_pressure(Net *n, int32_t place, double pressure_pa) {
    double reduced = pressure_pa + (n->level_pa != NULL ? n->level_pa[place] : 0.0);
    n->given_pa[place - n->fixed_at] = pressure_pa;
    n->evaluated &= n->column[place].pressure == reduced;
    n->column[place].pressure = reduced;
}
#endif
