/* Eight scenarios of one topology side by side: every number of a scenario lies in a lane of its own.
 *
 * The layout is that of _net.h, with eight numbers for each one there, so that elimination, substitution and
 * laws need neither gathers nor shuffles and find each index once for eight scenarios. No operation mixes lanes:
 * what a scenario comes to depends neither on its neighbours nor on its lane.
 *
 * Lanes are in single precision, but for the pressures: they only find the way to the solution, and what they
 * pass over and over has to stay in the caches. The last step and what is accepted belong to the kernel of
 * _newton.h, in double precision, on the scenario's own numbers.
 */
#ifndef TOPLOVOD_LANES_H
#define TOPLOVOD_LANES_H

#include "_net.h"

#define SCENARIOS 8

/* Three cache lines. Excess and rhs are zero between a substitution and the next elimination, which sums up in
 * them what earlier columns push; dx: the last change of pressure, zero at fixed pressures. */
typedef struct {
    float excess[SCENARIOS], rhs[SCENARIOS];
    double pressure[SCENARIOS];
    float dx[SCENARIOS], injection[SCENARIOS];
} LaneColumn;

typedef struct Lanes {
    LaneColumn *column;
    float *w, *y, *q;       /* (slots of the core, 8); all zero where a link is shut or missing */
    float *entry;           /* (entries, 8); zero between a substitution and the next elimination */
    float *quad;            /* (quadratic slots, 2, 8): coefficient, flow below which it is linear */
    float *scratch;         /* (widest, 8) */
    Other *other;           /* (others of the core, 8) */
    char *kept;             /* of every lane the numbers filled in, in double precision */
    size_t kept_bytes;
    int8_t *open;           /* which links every scenario here must have open */
    float changed[SCENARIOS], carried[SCENARIOS];
    uint8_t spoiled;        /* lanes that failed or ran into a limit, as bits */
    void *room;
    size_t bytes;
} Lanes;

#endif
