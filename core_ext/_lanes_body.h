/* The sweeps over eight scenarios at once, for one instruction level; part of _newton_body.h. */

ALWAYS_INLINE F FN(load_f)(const float *p) {
    F v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
}

ALWAYS_INLINE void FN(store_f)(float *p, F v) { __builtin_memcpy(p, &v, sizeof v); }

ALWAYS_INLINE F FN(pick_f)(W mask, F yes, F no) { return (F)((mask & (W)yes) | (~mask & (W)no)); }

ALWAYS_INLINE F FN(absolute_f)(F v) { return (F)((W)v & ~(W)SPLATF(-0.0f)); }

ALWAYS_INLINE F FN(greater_f)(F a, F b) {
#if LEVEL == LEVEL_BASELINE
    return FN(pick_f)((W)(a > b), a, b);
#else
    return _mm256_max_ps(a, b);
#endif
}

ALWAYS_INLINE int FN(any_f)(W mask) {
#if LEVEL == LEVEL_BASELINE
    unsigned all = 0;
    for (int l = 0; l < 8; ++l) {
        all |= mask[l];
    }
    return all != 0;
#else
    return _mm256_movemask_ps((__m256)mask) != 0;
#endif
}

ALWAYS_INLINE F FN(root_f)(F v) {
#if LEVEL == LEVEL_BASELINE
    for (int l = 0; l < 8; ++l) {
        v[l] = sqrtf(v[l]);
    }
    return v;
#else
    return _mm256_sqrt_ps(v);
#endif
}

/* Where the sweeps read and write, by value: see Arrays. */
typedef struct {
    LaneColumn *column;
    float *w, *y, *q, *entry, *scratch;
    const float *quad;
    const double *offset, *pipe;
    const int32_t *row, *link, *target;
    const uint8_t *mask;
} FN(LaneArrays);

ALWAYS_INLINE FN(LaneArrays) FN(lane_arrays_of)(const Net *n, const Lanes *e) {
    const FN(LaneArrays) a = {e->column, e->w,    e->y,   e->q,    e->entry,  e->scratch, e->quad,
                              n->offset, n->pipe, n->row, n->link, n->target, n->mask};
    return a;
}

/* Rows hold four times a place. */
ALWAYS_INLINE LaneColumn *FN(lane_column)(const FN(LaneArrays) n, int32_t row) {
    return (LaneColumn *)((char *)n.column + (sizeof(LaneColumn) / 4) * (int64_t)row);
}

/* Fetch the later columns that a group reads or writes: they lie anywhere, and a town's lanes lie in the third
 * cache, whose latency is some twenty operations. */
ALWAYS_INLINE void FN(lanes_fetch)(const FN(LaneArrays) n, const Group *group, int outwards) {
    const int32_t *rows = n.row + 8 * (int64_t)group->row_at;
    for (int i = 0, count = 8 * group->entries; i < count; ++i) {
        const LaneColumn *column = FN(lane_column)(n, rows[i]);
        if (outwards) {
            __builtin_prefetch(column->pressure);
            __builtin_prefetch(column->dx);
        } else {
            __builtin_prefetch(column->excess, 1);
        }
    }
}

/* As eliminate_group: one column at a time, eight scenarios of it at once. */
ALWAYS_INLINE void FN(lanes_eliminate_group)(const FN(LaneArrays) n, const int32_t g, const Group *group,
                                             const int d) {
    const int32_t *links = n.link + group->link_at;
    for (int l = 0; l < group->lanes; ++l) {
        const int32_t *rows = n.row + 8 * (int64_t)group->row_at + l;
        const int32_t *target = n.target + 8 * (int64_t)group->target_at + l;
        float *entry = n.entry + 64 * (int64_t)group->entry_at + 8 * l, *carried = n.scratch;
        LaneColumn *column = n.column + 8 * (int64_t)g + l;
        F ex = FN(load_f)(column->excess), zero = SPLATF(0.0f);
        F t = FN(load_f)(column->rhs) + FN(load_f)(column->injection);
        for (int a = 0; a < d; ++a) {
            FN(store_f)(carried + 8 * a, zero);
        }
        for (int b = 0; b < group->blocks; ++b) {
            const int64_t at = 8 * (int64_t)(links[2 * b] + l);
            const int a = links[2 * b + 1];
            F y = FN(load_f)(n.y + at), w = FN(load_f)(n.w + at);
            t = t - w;
            if (a < d) {
                FN(store_f)(entry + 64 * a, FN(load_f)(entry + 64 * a) + y);
                FN(store_f)(carried + 8 * a, FN(load_f)(carried + 8 * a) + w);
            } else {
                ex = ex + y;
            }
        }
        F sum = ex;
        for (int a = 0; a < d; ++a) {
            sum = sum + FN(load_f)(entry + 64 * a);
        }
        F inverse = (F)((W)(sum > zero) & (W)(SPLATF(1.0f) / sum));
        for (int a = 0; a < d; ++a) {
            LaneColumn *to = FN(lane_column)(n, rows[8 * a]);
            F s = FN(load_f)(entry + 64 * a) * inverse;
            FN(store_f)(to->excess, FMAF(s, ex, FN(load_f)(to->excess)));
            FN(store_f)(to->rhs, FN(load_f)(to->rhs) + FMAF(s, t, FN(load_f)(carried + 8 * a)));
            for (int b = a + 1; b < d; ++b) {
                float *p = n.entry + 8 * (int64_t)target[0];
                target += 8;
                FN(store_f)(p, FMAF(s, FN(load_f)(entry + 64 * b), FN(load_f)(p)));
            }
            FN(store_f)(entry + 64 * a, s);
        }
        FN(store_f)(column->rhs, t * inverse);
    }
}

static void FN(lanes_eliminate)(const Net *n, Lanes *e) {
    const FN(LaneArrays) arrays = FN(lane_arrays_of)(n, e);
    for (int32_t g = 0; g < n->alias_group; ++g) {
        const Group *group = n->group + g;
        if (g + 1 < n->alias_group) {
            FN(lanes_fetch)(arrays, group + 1, 0);
        }
        switch (group->entries) {
        case 1:
            FN(lanes_eliminate_group)(arrays, g, group, 1);
            break;
        case 2:
            FN(lanes_eliminate_group)(arrays, g, group, 2);
            break;
        case 3:
            FN(lanes_eliminate_group)(arrays, g, group, 3);
            break;
        case 4:
            FN(lanes_eliminate_group)(arrays, g, group, 4);
            break;
        default:
            FN(lanes_eliminate_group)(arrays, g, group, group->entries);
        }
    }
}

/* What a step makes of a link's drop and slope; m: flow they were evaluated at. */
ALWAYS_INLINE void FN(lanes_finish_link)(const FN(LaneArrays) n, int mode, int64_t at, F m, F drop, F slope) {
    F dp = FN(load_f)(n.y + at), y, w;
    if (mode == CHORD) {
        y = FN(absolute_f)(m) / FN(greater_f)(FN(absolute_f)(drop), SPLATF(1e-30f));
        w = y * dp;
    } else {
        y = SPLATF(1.0f) / FN(greater_f)(slope, SPLATF((float)LEAST_SLOPE));
        w = FMAF(y, dp - drop, m);
    }
    FN(store_f)(n.q + at, m);
    FN(store_f)(n.w + at, w);
    FN(store_f)(n.y + at, y);
}

ALWAYS_INLINE F FN(lanes_flow)(const FN(LaneArrays) n, int mode, int64_t at) {
    F m = FN(load_f)(n.w + at);
    if (mode == REFIT) {
        F size = FN(root_f)(FN(absolute_f)(m * FN(load_f)(n.q + at)));
        m = (F)((W)size | ((W)m & (W)SPLATF(-0.0f)));
    }
    return m;
}

/* As pipe_law, in single precision. */
ALWAYS_INLINE F FN(quick_pipe_law)(int form, F m, F p0, F p1, F p2, F f, F df, F *slope) {
    F am = FN(absolute_f)(m), re = p0 * am;
    F r = FMAF(f, p1, p2) * am;
    F drop = r * m;
    F s = FMAF(am * p1, df, r + r);
    W low = (W)(re < SPLATF((float)LEAST_RE(form)));
    if (FN(any_f)(low)) {
        if (form == SWAMEE_JAIN_EVERYWHERE) {
            F linear = SPLATF((float)RE_LINEAR) * f * p1 / p0;
            drop = FN(pick_f)(low, m * FMAF(p2, am, linear), drop);
            s = FN(pick_f)(low, FMAF(p2 + p2, am, linear), s);
        } else {
            F t = re * SPLATF((float)(1.0 / RE_LAMINAR)) - SPLATF(1.0f), end = f, end_slope = SPLATF(0.5f) * df;
            F c = SPLATF(3.0f) * (end - SPLATF(0.032f)) + SPLATF(0.064f) - end_slope;
            F d = end_slope - SPLATF(0.032f) - SPLATF(2.0f) * (end - SPLATF(0.032f));
            F ft = FMAF(t, FMAF(t, FMAF(t, d, c), SPLATF(-0.032f)), SPLATF(0.032f));
            F st = FMAF(t, FMAF(t, SPLATF(3.0f) * d, c + c), SPLATF(-0.032f)) * SPLATF((float)(1.0 / RE_LAMINAR));
            F rt = FMAF(ft, p1, p2) * am;
            F slope_t = FMAF(st * p0 * p1 * am, am, rt + rt);
            F linear = SPLATF(64.0f) * p1 / p0;
            W laminar = (W)(re <= SPLATF((float)RE_LAMINAR));
            F lower = FN(pick_f)(laminar, m * FMAF(p2, am, linear), rt * m);
            F lower_s = FN(pick_f)(laminar, FMAF(p2 + p2, am, linear), slope_t);
            drop = FN(pick_f)(low, lower, drop);
            s = FN(pick_f)(low, lower_s, s);
        }
    }
    *slope = s;
    return drop;
}

/* Two pipes that follow each other in a block, from slot on: two chains of operations side by side. */
ALWAYS_INLINE void FN(lanes_two_pipes)(const FN(LaneArrays) n, int form, int mode, int32_t slot) {
    const double *c = n.pipe + 32 * (int64_t)(slot >> 3) + (slot & 7);
    F m[2], f[2], df[2], re[2], rough[2], p0[2];
    TWICE {
        m[i] = FN(lanes_flow)(n, mode, 8 * (int64_t)(slot + i));
        p0[i] = SPLATF((float)c[i]);
        re[i] = FN(greater_f)(p0[i] * FN(absolute_f)(m[i]), SPLATF((float)LEAST_RE(form)));
        rough[i] = SPLATF((float)c[24 + i]);
    }
    if (form != NIKURADSE && mode != CHORD) {
        FN(quick_friction)(form, re, rough, f, df);
    }
    TWICE {
        const int32_t at = slot + i;
        F p1 = SPLATF((float)c[8 + i]), p2 = SPLATF((float)c[16 + i]), drop, slope, am = FN(absolute_f)(m[i]);
        if (!(n.mask[at >> 3] >> (at & 7) & 1)) {
            continue;
        }
        if (form == NIKURADSE) {
            F linear = SPLATF(64.0f) * p1 / p0[i], square = FMAF(rough[i], p1, p2);
            drop = m[i] * FMAF(square, am, linear);
            slope = FMAF(square + square, am, linear);
        } else if (mode == CHORD) {
            slope = FMAF(SPLATF(0.02f), p1, p2);
            drop = slope * am * m[i];
        } else {
            drop = FN(quick_pipe_law)(form, m[i], p0[i], p1, p2, f[i], df[i], &slope);
        }
        FN(lanes_finish_link)(n, mode, 8 * (int64_t)at, m[i], drop, slope);
    }
}

ALWAYS_INLINE void FN(lanes_quadratic)(const FN(LaneArrays) n, int mode, int32_t slot, int32_t row) {
    const float *p = n.quad + 16 * (int64_t)row;
    F m = FN(lanes_flow)(n, mode, 8 * (int64_t)slot), am = FN(absolute_f)(m), lin = FN(load_f)(p + 8);
    F r = FN(load_f)(p) * FN(greater_f)(am, lin);
    F slope = FN(pick_f)((W)(am < lin), r, r + r);
    FN(lanes_finish_link)(n, mode, 8 * (int64_t)slot, m, r * m, slope);
}

/* Laws of one group's links, from the flows in w and the pressure differences in y. */
ALWAYS_INLINE void FN(lanes_laws)(const Net *net, Lanes *e, const FN(LaneArrays) n, int form, int mode,
                                  const Group *group) {
    const int32_t *links = n.link + group->link_at, quads = 8 * net->quad_at, end = 8 * net->limited_at;
    for (int b = 0; b < group->blocks; ++b) {
        const int32_t from = links[2 * b];
        const unsigned there = n.mask[from >> 3];
        if (from < quads) {
            for (int l = 0; l < 8; l += 2) {
                if (there >> l & 3) {
                    FN(lanes_two_pipes)(n, form, mode, from + l);
                }
            }
        } else {
            for (int l = 0; l < 8; ++l) {
                if (there >> l & 1) {
                    if (from < end) {
                        FN(lanes_quadratic)(n, mode, from + l, from + l - quads);
                    } else {
                        lanes_other(net, e, from + l);
                    }
                }
            }
        }
    }
}

ALWAYS_INLINE F FN(lanes_drop)(const FN(LaneArrays) n, int32_t slot, const V *p, const LaneColumn *far) {
    V drop[HALVES];
    EACH {
        drop[i] = p[i] - FN(load)(far->pressure + WIDTH * i);
        if (n.offset != NULL) {
            drop[i] = drop[i] - SPLAT(n.offset[slot]);
        }
    }
    return FN(narrow)(drop);
}

/* As substitute_group: changes of pressure, new flows and pressure differences; leaves factor and sums zero. */
ALWAYS_INLINE void FN(lanes_substitute_group)(const FN(LaneArrays) n, const int32_t g, const Group *group,
                                              const int d, F *changed, F *total) {
    const int32_t *links = n.link + group->link_at;
    for (int l = 0; l < group->lanes; ++l) {
        const int32_t *rows = n.row + 8 * (int64_t)group->row_at + l;
        float *entry = n.entry + 64 * (int64_t)group->entry_at + 8 * l;
        LaneColumn *column = n.column + 8 * (int64_t)g + l;
        F x = FN(load_f)(column->rhs), zero = SPLATF(0.0f);
        V p[HALVES];
        for (int a = 0; a < d; ++a) {
            x = FMAF(FN(load_f)(entry + 64 * a), FN(load_f)(FN(lane_column)(n, rows[8 * a])->dx), x);
            FN(store_f)(entry + 64 * a, zero);
        }
        FN(store_f)(column->excess, zero);
        FN(store_f)(column->rhs, zero);
        FN(store_f)(column->dx, x);
        FN(widen)(x, p);
        EACH {
            p[i] = FN(load)(column->pressure + WIDTH * i) + p[i];
            FN(store)(column->pressure + WIDTH * i, p[i]);
        }
        for (int b = 0; b < group->blocks; ++b) {
            const int32_t slot = links[2 * b] + l;
            const int64_t at = 8 * (int64_t)slot;
            if (!(n.mask[slot >> 3] >> (slot & 7) & 1)) {
                continue;
            }
            const LaneColumn *far = FN(lane_column)(n, rows[8 * links[2 * b + 1]]);
            F m = FMAF(FN(load_f)(n.y + at), x - FN(load_f)(far->dx), FN(load_f)(n.w + at));
            *changed = *changed + FN(absolute_f)(m - FN(load_f)(n.q + at));
            *total = *total + FN(absolute_f)(m);
            FN(store_f)(n.w + at, m);
            FN(store_f)(n.y + at, FN(lanes_drop)(n, slot, p, far));
        }
    }
}

/* Pressure differences of one group's links, from the pressures as they stand. */
ALWAYS_INLINE void FN(lanes_differences)(const FN(LaneArrays) n, const int32_t g, const Group *group) {
    const int32_t *links = n.link + group->link_at;
    for (int l = 0; l < group->lanes; ++l) {
        const int32_t *rows = n.row + 8 * (int64_t)group->row_at + l;
        V p[HALVES];
        EACH p[i] = FN(load)(n.column[8 * (int64_t)g + l].pressure + WIDTH * i);
        for (int b = 0; b < group->blocks; ++b) {
            const int32_t slot = links[2 * b] + l;
            if (n.mask[slot >> 3] >> (slot & 7) & 1) {
                FN(store_f)(n.y + 8 * (int64_t)slot,
                            FN(lanes_drop)(n, slot, p, FN(lane_column)(n, rows[8 * links[2 * b + 1]])));
            }
        }
    }
}

static void FN(lanes_substitute)(const FN(LaneArrays) *arrays, const int32_t g, const Group *group, F *changed,
                                 F *total) {
    const FN(LaneArrays) n = *arrays;
    switch (group->entries) {
    case 1:
        FN(lanes_substitute_group)(n, g, group, 1, changed, total);
        break;
    case 2:
        FN(lanes_substitute_group)(n, g, group, 2, changed, total);
        break;
    case 3:
        FN(lanes_substitute_group)(n, g, group, 3, changed, total);
        break;
    case 4:
        FN(lanes_substitute_group)(n, g, group, 4, changed, total);
        break;
    default:
        FN(lanes_substitute_group)(n, g, group, group->entries, changed, total);
    }
}

/* From the last column to the first: what a step changes, and at once the laws at the new flows. The first pass
 * substitutes nothing. */
ALWAYS_INLINE void FN(lanes_outwards)(const Net *net, Lanes *e, int form, int mode, int substitute) {
    const FN(LaneArrays) n = FN(lane_arrays_of)(net, e);
    F changed = SPLATF(0.0f), total = SPLATF(0.0f);
    for (int32_t g = net->groups - 1; g >= 0; --g) {
        const Group *group = net->group + g;
        if (g > 0) {
            FN(lanes_fetch)(n, group - 1, 1);
        }
        if (substitute) {
            FN(lanes_substitute)(&n, g, group, &changed, &total);
        } else {
            FN(lanes_differences)(n, g, group);
        }
        FN(lanes_laws)(net, e, n, form, mode, group);
    }
    FN(store_f)(e->changed, changed);
    FN(store_f)(e->carried, total);
}

ALWAYS_INLINE void FN(lanes_sweep_of)(const Net *n, Lanes *e, int form, int mode, int substitute) {
    switch (mode) {
    case CHORD:
        FN(lanes_outwards)(n, e, form, CHORD, 0);
        break;
    case REFIT:
        FN(lanes_outwards)(n, e, form, REFIT, 1);
        break;
    default:
        FN(lanes_outwards)(n, e, form, NORMAL, substitute);
    }
}

static void FN(lanes_sweep)(const Net *n, Lanes *e, int mode, int substitute) {
    switch (n->form) {
    case SWAMEE_JAIN:
        FN(lanes_sweep_of)(n, e, SWAMEE_JAIN, mode, substitute);
        break;
    case COLEBROOK:
        FN(lanes_sweep_of)(n, e, COLEBROOK, mode, substitute);
        break;
    case SWAMEE_JAIN_EVERYWHERE:
        FN(lanes_sweep_of)(n, e, SWAMEE_JAIN_EVERYWHERE, mode, substitute);
        break;
    default:
        FN(lanes_sweep_of)(n, e, NIKURADSE, mode, substitute);
    }
}
