/* Drives the lanes of _lanes.h: scenarios in, Newton steps for all of them, solutions out one by one.
 *
 * Plain Newton steps only: a scenario that needs limits, the line search or another topology is left to
 * newton_solve, and so is one that does not settle.
 */

/* Share of change in the flows at which a scenario leaves its lane: the step in double precision that follows
 * then changes them by the square of this, or by what single precision left. */
#define SETTLED 5e-4f
#define MOST_LANE_STEPS 15

/* Zeroed room on a boundary of a cache line, in large pages where the system has them: a town's lanes fill
 * megabytes, and the columns a group reaches for lie anywhere in them. */
static void *roomy(size_t bytes) {
#ifdef MADV_HUGEPAGE
    const size_t page = (size_t)2 << 20;
    if (bytes >= page) {
        char *room = mmap(NULL, bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (room == MAP_FAILED) {
            return NULL;
        }
        (void)madvise(room, bytes + page, MADV_HUGEPAGE);
        return room;
    }
#endif
    return calloc(1, bytes + 64);
}

static char *first_in(void *room, size_t bytes) {
    size_t step = 64;
#ifdef MADV_HUGEPAGE
    step = bytes >= (size_t)2 << 20 ? (size_t)2 << 20 : step;
#else
    (void)bytes;
#endif
    return (char *)room + (step - (uintptr_t)room % step) % step;
}

static void lanes_free(Net *n) {
    Lanes *e = n->lanes;
    if (e != NULL) {
#ifdef MADV_HUGEPAGE
        if (e->bytes >= (size_t)2 << 20) {
            munmap(e->room, e->bytes + ((size_t)2 << 20));
            e->room = NULL;
        }
#endif
        free(e->room);
        free(e);
        n->lanes = NULL;
    }
}

static size_t rounded(size_t bytes) { return (bytes + 63) / 64 * 64; }

static size_t others_in_all(const Net *n) {
    return 8 * (size_t)(n->peeled_pipe_at - n->other_at + n->blocks - n->peeled_other_at);
}

/* What is filled in by table and can differ between scenarios of one topology, but for limits of quadratic links
 * and cold flows, which a scenario that comes out of its lane no longer needs. */
static size_t kept_bytes(const Net *n) {
    return rounded(sizeof(double) * (16 * (size_t)(n->limited_at - n->quad_at) + (size_t)n->imposed_links +
                                     (size_t)n->places + 2 * (size_t)(n->places - n->fixed_at)) +
                   sizeof(Other) * others_in_all(n));
}

static char *moved(char *kept, void *number, size_t bytes, int keep) {
    memcpy(keep ? (void *)kept : number, keep ? number : (void *)kept, bytes);
    return kept + bytes;
}

/* Keep the numbers filled in for a lane, or put them back. */
static void lanes_numbers(Net *n, int lane, int keep) {
    const size_t d = sizeof(double), fixed = (size_t)(n->places - n->fixed_at);
    char *at = n->lanes->kept + (size_t)lane * n->lanes->kept_bytes;
    at = moved(at, n->quad, d * 16 * (size_t)(n->limited_at - n->quad_at), keep);
    at = moved(at, n->imposed, d * (size_t)n->imposed_links, keep);
    at = moved(at, n->injection, d * (size_t)n->places, keep);
    at = moved(at, n->given_pa, d * fixed, keep);
    for (size_t i = 0; i < fixed; ++i) {
        at = moved(at, &n->column[n->fixed_at + i].pressure, d, keep);
    }
    (void)moved(at, n->other, sizeof(Other) * others_in_all(n), keep);
}

/* Make room for lanes of scenarios that have the same links open as stand there now; 0 when there is none or
 * such a network is not for lanes. */
static int lanes_open(Net *n) {
    const size_t columns = sizeof(LaneColumn) * (size_t)n->places, links = 32 * 8 * (size_t)n->peeled_pipe_at;
    const size_t entries = rounded(32 * (size_t)n->entries), quads = 64 * 8 * (size_t)(n->limited_at - n->quad_at);
    const size_t others = rounded(sizeof(Other) * 64 * (size_t)(n->peeled_pipe_at - n->other_at));
    const size_t scratch = rounded(32 * ((size_t)n->widest + 1)), open = rounded((size_t)n->links + 1);
    const size_t kept = kept_bytes(n);
    const size_t all = columns + 3 * links + entries + quads + others + scratch + SCENARIOS * kept + open;
    if (n->regulators || n->groups == 0) {
        return 0;
    }
    if (n->lanes == NULL) {
        Lanes *e = calloc(1, sizeof(Lanes));
        char *room = e == NULL ? NULL : roomy(all);
        if (room == NULL) {
            free(e);
            return 0;
        }
        e->room = room;
        e->bytes = all;
        room = first_in(room, all);
        e->column = (LaneColumn *)room;
        e->w = (float *)(room += columns);
        e->y = (float *)(room += links);
        e->q = (float *)(room += links);
        e->entry = (float *)(room += links);
        e->quad = (float *)(room += entries);
        e->other = (Other *)(room += quads);
        e->scratch = (float *)(room += others);
        e->kept = room += scratch;
        e->kept_bytes = kept;
        e->open = (int8_t *)(room + SCENARIOS * kept);
        n->lanes = e;
    }
    memcpy(n->lanes->open, n->open, (size_t)n->links);
    return 1;
}

/* Put the scenario filled in into a lane; 0 when it has to be solved alone. */
static int lanes_take(Net *n, int lane) {
    Lanes *e = n->lanes;
    if (memcmp(n->open, e->open, (size_t)n->links) != 0) {
        return 0;
    }
    connect(n);
    if (n->unreferenced) {
        return 0;
    }
    for (int32_t b = n->limited_at; b < n->other_at; ++b) {
        if (n->mask[b]) {
            return 0;
        }
    }
    const int32_t quads = n->limited_at - n->quad_at;
    for (int32_t b = 0; b < quads; ++b) {
        const double *p = n->quad + 16 * (int64_t)b;
        const float *cold = n->cold + 8 * (n->quad_at + b);
        float *to = e->quad + 128 * (int64_t)b + lane, *w = e->w + 64 * (int64_t)(n->quad_at + b) + lane;
        const unsigned there = n->mask[n->quad_at + b];
        for (int l = 0; l < 8; ++l) {
            to[16 * l] = (float)p[l];
            to[16 * l + 8] = (float)p[8 + l];
            w[8 * l] = there >> l & 1 ? cold[l] : 0.0f;
        }
    }
    for (int32_t i = 0; i < 8 * (n->peeled_pipe_at - n->other_at); ++i) {
        const int32_t slot = 8 * n->other_at + i;
        e->other[8 * i + lane] = n->other[i];
        e->w[8 * (int64_t)slot + lane] = n->mask[slot >> 3] >> (slot & 7) & 1 ? n->cold[slot] : 0.0f;
    }
    for (int32_t i = 0; i < 8 * n->alias_group; ++i) {
        e->column[i].injection[lane] = (float)n->column[i].injection;
    }
    for (int32_t i = 8 * n->alias_group; i < n->places; ++i) {
        e->column[i].pressure[lane] = n->column[i].pressure;
    }
    lanes_numbers(n, lane, 1);
    return 1;
}

static void spread(float *to, float x) {
    for (int l = 0; l < SCENARIOS; ++l) {
        to[l] = x;
    }
}

/* Laws at the flows all lanes begin with: those of `base`, or cold ones. */
static void lanes_begin(Net *n, const Net *base) {
    Lanes *e = n->lanes;
    const int32_t upto = base != NULL ? 8 * n->peeled_pipe_at : 8 * n->quad_at;
    for (int32_t slot = 0; slot < upto; ++slot) {
        int there = n->mask[slot >> 3] >> (slot & 7) & 1;
        spread(e->w + 8 * (int64_t)slot, !there ? 0.0f : base != NULL ? (float)base->q[slot] : n->cold[slot]);
    }
    for (int32_t i = 0; i < 8 * n->alias_group; ++i) {
        double p = base != NULL ? base->column[i].pressure : 0.0;
        for (int l = 0; l < SCENARIOS; ++l) {
            e->column[i].pressure[l] = p;
        }
    }
    /* what nobody owns may hold what an earlier failure left there */
    for (int32_t i = 8 * n->alias_group; i < n->places; ++i) {
        spread(e->column[i].excess, 0.0f);
        spread(e->column[i].rhs, 0.0f);
        spread(e->column[i].dx, 0.0f);
    }
    memset(e->entry + 8 * (int64_t)(n->entries - 8), 0, sizeof(float) * 64);
    e->spoiled = 0;
    lanes_sweep(n, e, base != NULL ? NORMAL : CHORD, 0);
}

/* A link whose law is evaluated alone, in every lane. */
static void lanes_other(const Net *n, Lanes *e, int32_t slot) {
    const Other *others = e->other + 8 * (int64_t)(slot - 8 * n->other_at);
    for (int l = 0; l < SCENARIOS; ++l) {
        const Other *o = others + l;
        float *w = e->w + 8 * (int64_t)slot + l, *y = e->y + 8 * (int64_t)slot + l;
        double slope, m = *w, own = o->direction * m;
        if (own > o->high || own < o->low) {
            e->spoiled |= (uint8_t)(1 << l);
        }
        double x = *y - o->direction * other_one(n, o, own, &slope);
        double conductance = 1.0 / (slope > LEAST_SLOPE ? slope : LEAST_SLOPE);
        *y = (float)conductance;
        *w = (float)(m + conductance * x);
        e->q[8 * (int64_t)slot + l] = (float)m;
    }
}

/* One Newton step in all lanes. Returns those that have settled, as bits; notes those that failed. */
static unsigned lanes_step(Net *n, int step, int cold) {
    Lanes *e = n->lanes;
    const int refit = cold && step == 0;
    unsigned settled = 0;
    lanes_eliminate(n, e);
    lanes_sweep(n, e, refit ? REFIT : NORMAL, 1);
    for (int l = 0; l < SCENARIOS; ++l) {
        if (!(e->carried[l] < 1e30f && e->changed[l] < 1e30f)) {
            e->spoiled |= (uint8_t)(1 << l);
        } else if (!refit && e->changed[l] <= SETTLED * e->carried[l]) {
            settled |= 1u << l;
        }
    }
    return settled & ~(unsigned)e->spoiled;
}

/* One step in double precision with the laws as the lane left them, where the stop is no finer than they are. */
static int lanes_last_step(Net *n, int lane, double tol_kg_s, double flow_tol) {
    const Lanes *e = n->lanes;
    for (int32_t slot = 0; slot < 8 * n->peeled_pipe_at; ++slot) {
        n->w[slot] = e->w[8 * (int64_t)slot + lane];
        n->y[slot] = e->y[8 * (int64_t)slot + lane];
    }
    eliminate(n);
    substitute(n);
    n->iterations += 1;
    if (!(n->changed <= flow_tol * n->carried)) {
        memcpy(n->q, n->w, sizeof(double) * 8 * (size_t)n->peeled_pipe_at);
        return TOO_MANY_STEPS;
    }
    n->quick = 0;
    evaluate(n, NORMAL, 0.0);
    n->residual_pressure_pa = n->worst;
    n->residual_mass_kg_s = imbalance(n);
    return n->clipped == 0 && n->residual_mass_kg_s <= tol_kg_s && n->total < 1e300 ? CONVERGED : TOO_MANY_STEPS;
}

/* Go on alone from where a lane came to, on the scenario's own numbers: at least one step, or one judgement, in
 * double precision. */
static int lanes_finish(Net *n, int lane, int steps, double tol_pa, double tol_kg_s, double flow_tol, int most) {
    const Lanes *e = n->lanes;
    int status = TOO_MANY_STEPS;
    lanes_numbers(n, lane, 0);
    connect(n);
    n->evaluated = 0;
    n->iterations = steps;
    n->robust = n->careful = n->limited_now = 0;
    n->slack = 0.5 * tol_pa;
    for (int32_t slot = 0; slot < 8 * n->peeled_pipe_at; ++slot) {
        n->q[slot] = e->q[8 * (int64_t)slot + lane];
    }
    for (int32_t i = 0; i < 8 * n->alias_group; ++i) {
        n->column[i].pressure = e->column[i].pressure[lane];
    }
    for (int32_t i = 0; i < 8 * (n->peeled_pipe_at - n->other_at); ++i) {
        Other *o = n->other + i;
        o->state = FREE;
        n->limited_now |= (n->mask[n->other_at + (i >> 3)] >> (i & 7) & 1) && (o->high < 1e300 || o->low > -1e300);
    }
    if (flow_tol > 1e-6) {
        status = lanes_last_step(n, lane, tol_kg_s, flow_tol);
    }
    if (status != CONVERGED) {
        take_up(n, 0);
        status = loop(n, MOST_LANE_STEPS, tol_pa, tol_kg_s, flow_tol, 0.0, 0, FROM_FLOWS);
    }
    if (status != CONVERGED) {
        /* a lane is a convenience; it must not be the reason of a failure */
        return newton_solve(n, 0, tol_pa, tol_kg_s, flow_tol, most, 0);
    }
    status = outwards(n);
    n->warm = status == CONVERGED;
    return status;
}
