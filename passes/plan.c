/* plan: the order in which equations run. Each strongly connected component is one group: a single equation, or a
 * recurrence that runs position by position along one axis.
 *
 * For a recurrence, every load inside the component is compared with the cell it helps to define: at the scan dim
 * its index is the defined position, one before it, or one after it (any earlier, any later: whatever the intervals
 * prove). All before: forwards; all after: backwards. Loads at the same position order the equations of one round,
 * which must be possible without a further cycle. */
#include "fault.h"
#include "intervals.h"
#include "units.h"

#include <string.h>

typedef struct {
    Graph *g;
    Equation **e;
    int n;
    const Order *order;
    int component;
    Equation ***defs;
} Cycle;

typedef enum { SHIFT_NONE, SHIFT_SAME, SHIFT_BEFORE, SHIFT_AFTER } Shift;

/* One load inside the cycle, for a choice of the scan axis. */
typedef struct {
    const Cycle *c;
    Axis *axis;
    const Equation *reader;
    Prover *facts;
    bool before, after, failed;
    bool *same; /* same[reader * n + definer]: read at the same position */
    int reader_number;
    const Scalar *where; /* the load that does not fit */
} Scan;

static int dim_of(const Tensor *t, const Axis *axis)
{
    for (int k = 0; k < t->ndim; k++) {
        if (t->dims[k] == axis) {
            return k;
        }
    }
    return -1;
}

static Shift shift_of(Scan *s, const Scalar *load)
{
    int from = dim_of(load->tensor, s->axis), to = dim_of(s->reader->dst, s->axis);
    if (from < 0 || to < 0) {
        return SHIFT_NONE;
    }
    const Scalar *read = load->args[from], *written = s->reader->lhs[to];
    if (read == written) {
        return SHIFT_SAME;
    }
    if (prover_at_least(s->facts, written, read, 1)) {
        return SHIFT_BEFORE;
    }
    if (prover_at_least(s->facts, read, written, 1)) {
        return SHIFT_AFTER;
    }
    return prover_at_least(s->facts, read, written, 0) && prover_at_least(s->facts, written, read, 0) ? SHIFT_SAME
                                                                                                      : SHIFT_NONE;
}

static bool is_inside(const Cycle *c, const Scalar *load)
{
    Equation **def = c->defs[load->tensor->id];
    for (; def && *def; def++) {
        if (c->order->component[(*def)->id] == c->component) {
            return true;
        }
    }
    return false;
}

static void look_at_load(Scan *s, const Scalar *load)
{
    const Cycle *c = s->c;
    if (s->failed || !is_inside(c, load)) {
        return;
    }
    Shift shift = shift_of(s, load);
    s->before |= shift == SHIFT_BEFORE;
    s->after |= shift == SHIFT_AFTER;
    if (shift == SHIFT_NONE || (s->before && s->after)) {
        s->failed = true;
        s->where = load;
    }
    for (int i = 0; shift == SHIFT_SAME && i < c->n; i++) {
        s->same[s->reader_number * c->n + i] |= c->e[i]->dst == load->tensor;
    }
}

/* Loads below a choice are compared under it: h[i - 1] where i > 0. */
static void look_at(Scan *s, const Scalar *x)
{
    if (s->failed || !x->nargs) {
        return;
    }
    look_at(s, x->args[0]);
    if (x->op == OP_select || x->op == OP_and || x->op == OP_or) {
        ProverMark mark = prover_mark(s->facts);
        prover_assume(s->facts, x->args[0], x->op != OP_or);
        look_at(s, x->args[1]);
        prover_release(s->facts, mark);
        if (x->op == OP_select) {
            prover_assume(s->facts, x->args[0], false);
            look_at(s, x->args[2]);
            prover_release(s->facts, mark);
        }
    } else {
        for (int i = 1; i < x->nargs; i++) {
            look_at(s, x->args[i]);
        }
    }
    if (x->op == OP_LOAD) {
        look_at_load(s, x);
    }
}

static bool fits(const Cycle *c, Axis *axis, Scan *s)
{
    *s = (Scan){.c = c, .axis = axis, .same = arena_alloc(c->g->arena, (size_t)c->n * (size_t)c->n)};
    for (int i = 0; i < c->n && !s->failed; i++) {
        const Equation *e = c->e[i];
        s->reader = e;
        s->reader_number = i;
        int k = dim_of(e->dst, axis);
        if (k < 0 || e->lhs[k]->op != OP_LETTER) {
            s->failed = true;
            break;
        }
        s->facts = prover_new(c->g, e, 0);
        for (int j = 0; j < e->nconds; j++) {
            look_at(s, e->conds[j]);
            prover_assume(s->facts, e->conds[j], true);
        }
        look_at(s, e->body);
        prover_free(s->facts);
    }
    return !s->failed && s->before != s->after;
}

/* Orders one round: definitions before uses at the same position. False if they go round. */
static bool sort_round(const Cycle *c, const Scan *s, Equation **out)
{
    bool *done = arena_alloc(c->g->arena, (size_t)c->n);
    for (int n = 0; n < c->n; n++) {
        int next = -1;
        for (int i = 0; i < c->n && next < 0; i++) {
            bool ready = !done[i];
            for (int j = 0; j < c->n && ready; j++) {
                ready = !s->same[i * c->n + j] || done[j];
            }
            next = ready ? i : -1;
        }
        if (next < 0) {
            return false;
        }
        done[next] = true;
        out[n] = c->e[next];
    }
    return true;
}

static void report(const Cycle *c, const Scan *s)
{
    const Equation *e = s->where && s->reader ? s->reader : c->e[0];
    Span at = s->where && s->where->span.source ? s->where->span : e->span;
    diag_report(c->g->diag, DIAG_ERROR, "E0230", at, "let it refer to its own past along one axis: x[i - 1] else ...",
                "'%s' is defined through itself, and not by its earlier or by its later values along one axis",
                e->dst->name);
}

static bool plan_scan(const Cycle *c, Group *group)
{
    Graph *g = c->g;
    Scan s = {0}, last = {0};
    const Tensor *t = c->e[0]->dst;
    for (int k = 0; k < t->ndim; k++) {
        bool fit = fits(c, t->dims[k], &s);
        Equation **sorted = arena_alloc(g->arena, (size_t)c->n * sizeof(Equation *));
        if (fit && sort_round(c, &s, sorted)) {
            *group = (Group){
                .is_scan = true, .backwards = s.after != FAULT(17), .axis = t->dims[k], .n = c->n, .equations = sorted};
            group->scan_letter = arena_alloc(g->arena, (size_t)c->n * sizeof(int));
            for (int i = 0; i < c->n; i++) {
                const Equation *e = sorted[i];
                group->scan_letter[i] = (int)e->lhs[dim_of(e->dst, group->axis)]->inum;
            }
            return true;
        }
        if (!last.where || s.before || s.after) {
            last = s;
        }
    }
    report(c, &last);
    return false;
}

static bool forbid_externs(Graph *g, Equation **e, int n)
{
    for (int i = 0; i < n; i++) {
        if (equation_is_extern(e[i])) {
            diag_report(g->diag, DIAG_ERROR, "E0194", e[i]->span, NULL,
                        "'%s' is the result of an extern and depends on itself: an extern takes whole tensors, once",
                        e[i]->dst->name);
            return false;
        }
    }
    return true;
}

static void plan_cluster(Graph *g, const Unit *unit, Group *group)
{
    *group = (Group){.is_cluster = true, .n = unit->n, .equations = unit->e};
    group->scan_letter = arena_alloc(g->arena, (size_t)group->n * sizeof(int));
    for (int i = 0; i < group->n; i++) {
        const Equation *e = group->equations[i];
        group->by_rows = e->by_rows;
        group->scan_letter[i] = e->by_rows ? -1 : equation_example_letter(e);
        if (e->by_rows) {
            group->axis = e->letters[equation_tile_letter(e)].axis;
        }
        if (e->dst->tile_dim > 0) {
            group->axis = e->dst->dims[e->dst->tile_dim];
        }
    }
}

Schedule *pass_plan(Graph *g)
{
    Units units = units_of(g);
    Schedule *s = arena_alloc(g->arena, sizeof *s);
    s->graph = g;
    s->groups = arena_alloc(g->arena, (size_t)(units.n + 1) * sizeof *s->groups);
    bool ok = true;
    for (int k = 0; k < units.n; k++) {
        Group *group = &s->groups[s->ngroups++];
        const Unit *unit = units.units[k];
        if (unit->cluster) {
            plan_cluster(g, unit, group);
            continue;
        }
        if (unit->is_cycle && !forbid_externs(g, unit->e, unit->n)) {
            ok = false;
            continue;
        }
        if (unit->is_cycle) {
            Cycle c = {g, unit->e, unit->n, &units.order, units.order.component[unit->e[0]->id], units.defs};
            ok = plan_scan(&c, group) && ok;
            continue;
        }
        *group = (Group){.n = 1, .equations = unit->e, .scan_letter = arena_alloc(g->arena, sizeof(int))};
        group->scan_letter[0] = -1;
    }
    if (ok) {
        schedule_levels(s);
    }
    return ok ? s : NULL;
}
