/* Writes the Plan: everything the runtime needs, copied out of the graph into memory that the plan owns. */
#include "plan_build.h"
#include "initial.h"
#include <stdlib.h>
#include <string.h>

static char *text_of(Build *b, const char *s)
{
    return s ? arena_strdup(b->arena, s) : NULL;
}

static void build_axes(Build *b)
{
    const Graph *g = b->schedule->graph;
    Plan *p = b->plan;
    p->naxes = g->naxes;
    p->axes = arena_alloc(b->arena, (size_t)(g->naxes + 1) * sizeof *p->axes);
    p->batch_axis = g->batch->id;
    for (int i = 0; i < g->naxes; i++) {
        const Axis *a = g->axes[i];
        PlanAxis *x = &p->axes[i];
        x->name = text_of(b, a->name);
        x->vocab = text_of(b, a->vocab);
        x->size = a->size;
        x->min = a->min;
        x->parent = a->parent ? a->parent->id : -1;
        x->kind = a->kind == AXIS_FIXED    ? PAX_FIXED
                  : a->kind == AXIS_BATCH  ? PAX_BATCH
                  : a->kind == AXIS_RAGGED ? PAX_RAGGED
                  : a->kind == AXIS_TABLE  ? PAX_TABLE
                                           : PAX_SUM;
        x->nparts = a->nparts;
        for (int k = 0; k < a->nparts; k++) {
            x->parts[k] = a->parts[k]->id;
        }
        if (a->kind == AXIS_TABLE) {
            int64_t n = a->parent->size, *rows = arena_alloc(b->arena, (size_t)(n + 1) * sizeof *rows);
            for (int64_t k = 0; k < n; k++) {
                rows[k + 1] = rows[k] + a->sizes[k];
            }
            x->rows = rows;
        }
    }
}

static int plan_offsets(Build *b, int kind, int naxes, const Axis *const *axes)
{
    Plan *p = b->plan;
    for (int i = 0; i < p->noffsets; i++) {
        bool same = (int)p->offsets[i].kind == kind && p->offsets[i].naxes == naxes;
        for (int k = 0; same && k < naxes; k++) {
            same = p->offsets[i].axes[k] == axes[k]->id;
        }
        if (same) {
            return i;
        }
    }
    PlanOffsets o = {.naxes = naxes};
    if (kind == OFF_ROWS) {
        o.kind = OFF_ROWS;
    } else {
        o.kind = OFF_SIGNATURE;
    }
    for (int k = 0; k < naxes; k++) {
        o.axes[k] = axes[k]->id;
    }
    ARENA_PUSH(b->arena, p->offsets, p->noffsets, o);
    return p->noffsets - 1;
}

static DType dtype(const Build *b, Elem e)
{
    switch (e) {
    case ELEM_BOOL:
        return DT_BOOL;
    case ELEM_I32:
        return DT_I32;
    case ELEM_I64:
        return DT_I64;
    case ELEM_F32:
        return DT_F32;
    case ELEM_REAL:
        return b->o->real;
    }
    bug("unknown element type %d", (int)e);
}

static const char *const *copy_tags(Build *b, const char *const *tags)
{
    int n = 0;
    while (tags && tags[n]) {
        n++;
    }
    if (n == 0) {
        return NULL;
    }
    const char **copy = arena_alloc(b->arena, (size_t)(n + 1) * sizeof *copy);
    for (int i = 0; i < n; i++) {
        copy[i] = text_of(b, tags[i]);
    }
    return copy;
}

static void mark_used(const Scalar *s, void *ctx)
{
    if (s->op == OP_LOAD) {
        ((bool *)ctx)[s->tensor->id] = true;
    }
    for (int k = 0; s->op == OP_EXTERN && k < s->ext->nout; k++) {
        ((bool *)ctx)[s->ext->out[k]->id] = true;
    }
}

static bool build_tensor(Build *b, const Tensor *t, Text *why)
{
    Plan *p = b->plan;
    Layout l;
    const char *reason;
    if (!tensor_layout(t, &l, &reason)) {
        text_printf(why, "%s: %s", t->name, reason);
        return false;
    }
    PlanTensor x = {.name = text_of(b, t->name),
                    .dtype = dtype(b, t->elem),
                    .per_example = t->per_example,
                    .is_draw = t->is_draw,
                    .ndim = t->ndim,
                    .fixed = l.fixed,
                    .batch_dims = l.batch_dims,
                    .tile_dim = t->tile_dim,
                    .alias = -1,
                    .vocab = text_of(b, t->vocab),
                    .tags = copy_tags(b, t->tags),
                    .line = t->span.line};
    x.role = t->role == ROLE_INPUT   ? PT_INPUT
             : t->role == ROLE_PARAM ? PT_PARAM
             : t->role == ROLE_STATE ? PT_STATE
             : t->is_output          ? PT_OUTPUT
                                     : PT_VALUE;
    if ((t->role == ROLE_INPUT || t->is_draw) && t->lo <= t->hi) { /* gathers were proven in range by it */
        x.is_bounded = true;
        x.lo = t->lo;
        x.hi = t->hi;
    }
    x.is_ascending = t->is_ascending; /* lists of runs are as long as that makes them */
    x.file = t->span.source ? text_of(b, source_path(t->span.source)) : NULL;
    for (int d = 0; d < t->ndim; d++) {
        x.dims[d] = t->dims[d]->id;
        x.order[d] = l.order[d];
    }
    x.offsets = t->per_example ? plan_offsets(b, OFF_SIGNATURE, l.nsig, l.sig) : -1;
    if ((t->role == ROLE_PARAM || t->role == ROLE_STATE) && !initial_values(t, b->arena, &x, why)) {
        return false;
    }
    b->tensor[t->id] = p->ntensors;
    ARENA_PUSH(b->arena, p->tensors, p->ntensors, x);
    return true;
}

/* Inputs, params, states and whatever a call reads or writes; values that were fused away have no place. */
static bool build_tensors(Build *b, Text *why)
{
    const Graph *g = b->schedule->graph;
    bool *used = arena_alloc(b->arena, (size_t)(g->ntensors + 1) * sizeof *used);
    for (int i = 0; i < b->ncalls; i++) {
        const Equation *e = b->calls[i].e;
        used[e->dst->id] = true;
        for (int d = 0; d < e->dst->ndim; d++) {
            sc_walk(e->lhs[d], mark_used, used);
        }
        for (int k = 0; k < e->nconds; k++) {
            sc_walk(e->conds[k], mark_used, used);
        }
        sc_walk(e->body, mark_used, used);
    }
    b->tensor = arena_alloc(b->arena, (size_t)(g->ntensors + 1) * sizeof *b->tensor);
    for (int i = 0; i < g->ntensors; i++) {
        const Tensor *t = g->tensors[i];
        b->tensor[i] = -1;
        if ((used[i] || t->is_output || t->role != ROLE_VALUE) && !build_tensor(b, t, why)) {
            return false;
        }
    }
    for (int i = 0; i < g->ntensors; i++) {
        if (b->tensor[i] >= 0 && b->alias[i] >= 0) {
            b->plan->tensors[b->tensor[i]].alias = b->tensor[b->alias[i]];
        }
    }
    b->plan->row = g->row ? b->tensor[g->row->id] : -1;
    b->plan->loss = g->loss ? b->tensor[g->loss->id] : -1;
    return true;
}

/* A guess at operations: one per node and tuple, with 64 for a list and the batch as one example. */
static double flop_guess(const KernelInfo *k)
{
    double n = k->nnodes > 0 ? k->nnodes : 1;
    for (int v = 0; v < k->e->nletters; v++) {
        const Axis *a = k->e->letters[v].axis;
        int64_t size = axis_static_size(a);
        if (v != k->item && a->kind != AXIS_BATCH) {
            n *= size >= 0 ? (double)size : a->kind == AXIS_TABLE ? (double)a->size / (double)a->parent->size : 64;
        }
    }
    return n;
}

/* Whether the tile's letter counts the rows of the result within an example. */
static bool writes_own_rows(const KernelInfo *k)
{
    const Layout *l = &k->layouts[0];
    const Tensor *t = k->e->dst;
    return k->tile && k->item >= 0 && !k->accumulate && t->per_example && t->ndim > 1 && l->order[0] == 0 &&
           k->e->lhs[l->order[1]] == k->tile && axis_same(t->dims[l->order[1]], k->e->letters[k->item].axis);
}

static PlanCall build_call(Build *b, const Call *c, void *fn)
{
    const KernelInfo *k = &c->info;
    PlanCall x = {.name = text_of(b, k->name),
                  .split = k->split,
                  .rows_of = -1,
                  .grain = k->grain,
                  .zero = c->zero,
                  .adds = k->adds_tiles,
                  .own_rows = writes_own_rows(k),
                  .keeps = k->keeps,
                  .ends = k->turns,
                  .ntensors = k->ntensors,
                  .noffsets = k->noffsets,
                  .nkeys = k->nkeys,
                  .label = text_of(b, c->e->dst->name),
                  .line = c->e->span.line,
                  .equation = c->e->id,
                  .is_product = k->is_product,
                  .products = k->products,
                  .why_f32 = k->why_f32};
    *(void **)&x.fn = fn;
    if (k->split == SPLIT_FIXED || k->split == SPLIT_KEYS) {
        const Axis *a = k->key_dim >= 0 ? c->e->dst->dims[k->key_dim] : c->e->letters[k->item].axis;
        x.nitems = axis_static_size(a);
    }
    if (k->split == SPLIT_ROWS || k->split == SPLIT_REDUCE) { /* items are packed rows of the letter that is cut */
        const Axis *a = c->e->letters[k->item].axis;
        x.rows_of = a->kind == AXIS_BATCH ? -1 : plan_offsets(b, OFF_SIGNATURE, 1, &a);
    }
    x.tensors = arena_alloc(b->arena, (size_t)(k->ntensors + 1) * sizeof *x.tensors);
    for (int i = 0; i < k->ntensors; i++) {
        x.tensors[i] = b->tensor[k->tensors[i]->id];
    }
    x.offsets = arena_alloc(b->arena, (size_t)(k->noffsets + 1) * sizeof *x.offsets);
    for (int i = 0; i < k->noffsets; i++) {
        const OffsetInfo *o = &k->offsets[i];
        x.offsets[i] = plan_offsets(b, o->kind, o->naxes, o->axes);
    }
    x.keys = arena_alloc(b->arena, (size_t)(k->nkeys + 1) * sizeof *x.keys);
    x.key_by_step = arena_alloc(b->arena, (size_t)(k->nkeys + 1) * sizeof *x.key_by_step);
    for (int i = 0; i < k->nkeys; i++) {
        x.keys[i] = text_of(b, k->keys[i]);
        x.key_by_step[i] = k->key_by_step[i];
    }
    if (k->convolves) {
        const Axis *a;
        convolve_scratch_of(k, &a, &x.scratch_row, &x.scratch);
        x.scratch_of = a->id;
    }
    double flop = k->is_product ? product_flop(k) : k->convolves ? convolve_flop(k) : 0;
    x.flop_per_item = flop > 0 ? flop : flop_guess(k);
    return x;
}

/* One step for all results of a call, where the first of their equations stands. */
static void build_extern(Build *b, const Scalar *body, bool *done)
{
    const Extern *x = body->ext;
    if (done[x->id]) {
        return;
    }
    done[x->id] = true;
    PlanExtern *e = arena_alloc(b->arena, sizeof *e);
    const char *suffix = b->o->real == DT_F64 ? "_f64" : ""; /* what takes float must never be given double */
    *e = (PlanExtern){.library = text_of(b, x->library),
                      .symbol = arena_printf(b->arena, "%s%s", x->symbol, suffix),
                      .ntensors = body->nargs + x->nout,
                      .nout = x->nout};
    e->tensors = arena_alloc(b->arena, (size_t)e->ntensors * sizeof *e->tensors);
    for (int k = 0; k < e->ntensors; k++) {
        const Tensor *t = k < body->nargs ? body->args[k]->tensor : x->out[k - body->nargs];
        e->tensors[k] = b->tensor[t->id];
    }
    PlanStep step = {.kind = STEP_EXTERN, .ext = e};
    ARENA_PUSH(b->arena, b->plan->steps, b->plan->nsteps, step);
}

/* The step before those of a run of levels; returns its number. */
static int begin_levels(Build *b, const Levels *l)
{
    const Graph *g = b->schedule->graph;
    PlanStep step = {.kind = STEP_LEVELS, .backwards = l->backwards};
    for (int i = 0; i < g->ntensors; i++) {
        const Tensor *t = g->tensors[i];
        if (t->is_carried && (!l->backwards || (t->pull && t->grad))) {
            const Tensor *from = l->backwards ? t->grad : t->next, *to = l->backwards ? t->pull : t;
            PlanCarry carry = {b->tensor[from->id], b->tensor[to->id]};
            ARENA_PUSH(b->arena, step.carries, step.ncarries, carry);
        }
    }
    ARENA_PUSH(b->arena, b->plan->steps, b->plan->nsteps, step);
    return b->plan->nsteps - 1;
}

/* Calls of a level work on its examples alone. */
static bool check_levels(const Build *b, int levels, Text *why)
{
    PlanStep *step = &b->plan->steps[levels];
    step->nsteps = b->plan->nsteps - 1 - levels;
    for (int k = levels + 1; k < b->plan->nsteps; k++) {
        const PlanStep *x = &b->plan->steps[k];
        int n = x->kind == STEP_SCAN ? x->ncalls : x->kind == STEP_CALL;
        for (int i = 0; i < n; i++) {
            const PlanCall *c = x->kind == STEP_SCAN ? &x->calls[i] : &x->call;
            if (c->split == SPLIT_NONE || c->split == SPLIT_FIXED || c->split == SPLIT_KEYS) {
                text_printf(why,
                            "line %d: '%s' lies between a state and its next value and works on all examples at once",
                            c->line, c->label);
                return false;
            }
        }
    }
    return true;
}

/* Whether a call of a cluster by rows is cut along them: a product may want it otherwise. */
static bool goes_by_rows(Build *b, const Group *group, const PlanCall *c)
{
    const Axis *a = group->axis;
    int rows = a->kind == AXIS_BATCH ? -1 : plan_offsets(b, OFF_SIGNATURE, 1, &a);
    return c->rows_of == rows && (c->split == SPLIT_REDUCE || c->split == (rows < 0 ? SPLIT_BATCH : SPLIT_ROWS));
}

static void end_rows(Build *b, PlanStep *step)
{
    if (step->ncalls == 1) {
        *step = (PlanStep){.kind = STEP_CALL, .call = step->calls[0]};
    }
    if (step->ncalls > 0 || step->kind == STEP_CALL) {
        ARENA_PUSH(b->arena, b->plan->steps, b->plan->nsteps, *step);
    }
    *step = (PlanStep){.kind = STEP_ROWS};
}

/* The calls of a cluster by rows, from call `at` on; those that are cut otherwise are steps of their own. */
static void build_rows(Build *b, const Group *group, int at, void **fn)
{
    PlanStep step = {.kind = STEP_ROWS};
    for (int j = 0; j < group->n; j++, at++) {
        PlanCall c = build_call(b, &b->calls[at], fn[at]);
        bool fits = goes_by_rows(b, group, &c);
        if (!fits) {
            end_rows(b, &step);
        }
        ARENA_PUSH(b->arena, step.calls, step.ncalls, c);
        b->step[at] = b->plan->nsteps;
        if (!fits) {
            end_rows(b, &step);
        }
    }
    end_rows(b, &step);
}

/* What one step of rows makes and nobody else reads exists a tile at a time. */
static void keep_in_rows(Build *b)
{
    const Plan *p = b->plan;
    int *user = arena_alloc(b->arena, (size_t)(p->ntensors + 1) * sizeof *user); /* step + 1; -1: several */
    bool *made = arena_alloc(b->arena, (size_t)(p->ntensors + 1) * sizeof *made);
    for (int k = 0; k < p->nsteps; k++) {
        const PlanStep *x = &p->steps[k];
        const PlanCall *calls = x->kind == STEP_CALL ? &x->call : x->calls;
        int n = x->kind == STEP_CALL ? 1 : x->ncalls;
        for (int i = 0; i < n; i++) {
            made[calls[i].tensors[0]] = x->kind == STEP_ROWS;
            for (int j = 0; j < calls[i].ntensors; j++) {
                int *u = &user[calls[i].tensors[j]];
                *u = *u == 0 || *u == k + 1 ? k + 1 : -1;
            }
        }
        for (int j = 0; x->kind == STEP_EXTERN && j < x->ext->ntensors; j++) {
            user[x->ext->tensors[j]] = -1;
        }
    }
    for (int t = 0; t < p->ntensors; t++) {
        PlanTensor *x = &p->tensors[t];
        if (!made[t] || user[t] < 0 || x->role != PT_VALUE || !x->per_example || x->is_draw || x->batch_dims > 0 ||
            x->alias >= 0) {
            continue;
        }
        int rows = p->steps[user[t] - 1].calls[0].rows_of;
        x->in_rows = rows < 0 ? p->offsets[x->offsets].naxes == 0 : x->offsets == rows;
    }
}

static bool build_steps(Build *b, void **fn, Text *why)
{
    const Schedule *s = b->schedule;
    Plan *p = b->plan;
    bool *done = arena_alloc(b->arena, (size_t)s->graph->nexterns + 1);
    b->step = arena_alloc(b->arena, (size_t)(b->ncalls + 1) * sizeof *b->step);
    int at = 0, next = 0, levels = -1;
    for (int i = 0; i <= s->ngroups; i++) {
        if (levels >= 0 && i == s->levels[next - 1].first + s->levels[next - 1].n) {
            if (!check_levels(b, levels, why)) {
                return false;
            }
            levels = -1;
        }
        if (next < s->nlevels && i == s->levels[next].first) {
            levels = begin_levels(b, &s->levels[next++]);
            if (s->levels[next - 1].n == 0) {
                levels = -1; /* copies alone */
            }
        }
        if (i == s->ngroups) {
            break;
        }
        const Group *group = &s->groups[i];
        if (!group->is_scan && !group->is_cluster) {
            for (int j = 0; j < group->n; j++, at++) {
                if (equation_is_extern(b->calls[at].e)) {
                    build_extern(b, b->calls[at].e->body, done);
                    b->step[at] = p->nsteps - 1;
                    continue;
                }
                b->step[at] = p->nsteps;
                PlanStep step = {.kind = STEP_CALL, .call = build_call(b, &b->calls[at], fn[at])};
                ARENA_PUSH(b->arena, p->steps, p->nsteps, step);
            }
            continue;
        }
        if (group->by_rows) {
            build_rows(b, group, at, fn);
            at += group->n;
            continue;
        }
        PlanStep step = {.kind = group->is_cluster ? STEP_TILES : STEP_SCAN, .backwards = group->backwards};
        *(group->is_cluster ? &step.tile_axis : &step.scan_axis) = group->axis->id;
        step.calls = arena_alloc(b->arena, (size_t)(group->n + 1) * sizeof *step.calls);
        for (int j = 0; j < group->n; j++, at++) {
            const Equation *e = b->calls[at].e;
            step.is_whole |=
                group->is_cluster && e->dst->tile_dim == 0 && !e->dst->per_example && is_too_large_to_copy(e->dst);
            b->step[at] = p->nsteps;
            step.calls[step.ncalls++] = build_call(b, &b->calls[at], fn[at]);
        }
        ARENA_PUSH(b->arena, p->steps, p->nsteps, step);
    }
    for (; at < b->ncalls; at++) { /* params whose update could not run in place */
        b->step[at] = p->nsteps;
        PlanStep step = {.kind = STEP_CALL, .call = build_call(b, &b->calls[at], fn[at])};
        ARENA_PUSH(b->arena, p->steps, p->nsteps, step);
    }
    return true;
}

bool build_plan(Build *b, void **fn, Text *why)
{
    b->plan->name = text_of(b, b->schedule->graph->name);
    b->plan->real = b->o->real;
    b->plan->products = b->o->products;
    build_axes(b);
    if (!build_tensors(b, why)) {
        return false;
    }
    if (!build_steps(b, fn, why)) {
        return false;
    }
    keep_in_rows(b);
    build_tables(b);
    return true;
}
