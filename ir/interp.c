/* The oracle's loops. Equations run component by component (order.c). One that is in no cycle runs as plain nested
 * loops over its letters. In a recurrence every cell is computed when it is first read: the letters that the cell
 * fixes are bound, the others looped over; so a recurrence needs no order. Its cells are asked for upwards and
 * downwards in turn, and a chain of reads that becomes too long is given up and tried again later, so that recursion
 * stays shallow whichever way the recurrence runs. */
#include "interp_private.h"

#include "random.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_CHAIN = 64 }; /* cells of a recurrence being computed inside one another */

/* How an equation's loops are nested; made when it first runs. */
struct Nest {
    int order[MAX_LETTERS]; /* letters as nested: parents outside */
    int outputs;            /* all output letters are bound from this depth on */
    int *conds_at;          /* number of bound letters at which cond k can be tested */
};

/* One evaluation of an equation: its letters, and where results go. */
typedef struct {
    const Equation *e;
    const Nest *nest;
    int64_t letter[MAX_LETTERS];
    bool fixed[MAX_LETTERS]; /* bound by the cell that is wanted */
    int64_t wanted;          /* the one cell to compute, or -1: all */
    Value *result;           /* of the wanted cell */
    bool present;            /* the wanted cell has a value */
    Value best;              /* ARGMAX: the maximum so far, of the wanted cell; NTH: how many tuples there were */
    Value *bests;            /* or of each cell */
    uint64_t stamp;          /* of the tuple of letters that memos belong to */
} Frame;

static Value eval(Interp *in, Frame *f, const Scalar *s);
static void demand(Interp *in, const Tensor *t, const int64_t *index, int64_t cell);

/* ---- scalars ---------------------------------------------------------------------------------------------- */

static const Value nothing; /* what a failed evaluation yields */

static void describe(Text *out, const Frame *f)
{
    text_printf(out, "in the equation of %s%s", f->e->dst->name, f->e->nletters > 0 ? ", at" : "");
    for (int k = 0; k < f->e->nletters; k++) {
        const char *name = f->e->letters[k].name;
        text_printf(out, " %s=%lld", name != NULL ? name : "?", (long long)f->letter[k]);
    }
}

/* Adds where it happened to the error just recorded. */
static void blame(Interp *in, const Frame *f)
{
    Text place = {0};
    describe(&place, f);
    text_printf(&in->error, " (%s)", place.s);
    text_free(&place);
}

static bool is_defined_here(const Interp *in, const Tensor *t)
{
    for (int e = in->first[t->id]; e >= 0; e = in->following[e]) {
        if (in->component[e] == in->running) {
            return true;
        }
    }
    return false;
}

static bool is_extremum(const Interp *in, const Tensor *t)
{
    for (int e = in->first[t->id]; e >= 0; e = in->following[e]) {
        Reduce op = in->g->equations[e]->op;
        if (op == RED_MAX || op == RED_MIN || op == RED_ARGMAX) {
            return true;
        }
    }
    return false;
}

/* Cells that may hold anything (Tensor.is_list). */
static bool is_behind_list(Interp *in, const Tensor *t, const int64_t *index)
{
    int64_t first[MAX_DIMS + 1], cell;
    int rank = t->dims[0]->kind == AXIS_BATCH;
    memcpy(first, index, (size_t)t->ndim * sizeof *first);
    first[rank] = 0;
    return interp_locate(in, t, first, &cell) && index[rank] > in->cells[t->id].values[cell].inum;
}

static Value load(Interp *in, Frame *f, const Scalar *s)
{
    const Tensor *t = s->tensor;
    Cells *c = &in->cells[t->id];
    int64_t index[MAX_DIMS + 1], cell;
    for (int d = 0; d < s->nargs; d++) {
        index[d] = eval(in, f, s->args[d]).inum;
        if (in->failed || in->deferred) {
            return nothing;
        }
    }
    if (t->role != ROLE_VALUE && !c->given) {
        interp_fail(in, "%s is not given", t->name);
    } else {
        interp_locate(in, t, index, &cell);
    }
    if (in->failed) {
        return nothing;
    }
    if (c->owner[cell] == CELL_UNKNOWN && !c->given && in->running >= 0 && is_defined_here(in, t)) {
        demand(in, t, index, cell);
        if (in->failed || in->deferred) {
            return nothing;
        }
    }
    if (c->owner[cell] == CELL_COMPUTING) {
        interp_fail(in, "%s depends on itself", t->name);
        return nothing;
    }
    if (t->is_list && is_behind_list(in, t, index)) {
        interp_fail(in, "%s is read behind the last of a list", t->name);
        return nothing;
    }
    bool present = c->owner[cell] > 0 || c->owner[cell] == CELL_GIVEN;
    if (!present && t->role == ROLE_VALUE && ((in->strict && !c->total) || is_extremum(in, t))) {
        Text cell_name = {0};
        for (int d = 0; d < t->ndim; d++) {
            text_printf(&cell_name, "%s%lld", d > 0 ? ", " : "", (long long)index[d]);
        }
        interp_fail(in, "%s[%s] is read and nothing defines it", t->name, cell_name.s != NULL ? cell_name.s : "");
        text_free(&cell_name);
        return nothing;
    }
    return present ? c->values[cell] : nothing;
}

static Value axis_value(Interp *in, const Scalar *s, const Value *args)
{
    const Axis *a = s->axis;
    bool ragged = axis_is_ragged(a);
    Value v = nothing;
    if (s->op == OP_SIZE) {
        int64_t parents[MAX_DIMS];
        for (int k = ragged; k < s->nargs && k - ragged < MAX_DIMS; k++) {
            parents[k - ragged] = args[k].inum;
        }
        v.inum = interp_length(in, a, ragged ? args[0].inum : 0, s->nargs - ragged, parents);
        return v;
    }
    int64_t b = ragged ? args[1].inum : 0, begin = 0;
    for (int k = 0; k < a->nparts; k++) {
        int64_t n = interp_length(in, a->parts[k], b, 0, NULL);
        if (in->failed) {
            return nothing;
        }
        if (s->op == OP_INJECT && s->inum == k) {
            if (args[0].inum < 0 || args[0].inum >= n) {
                interp_fail(in, "part %s of axis %s has no position %lld", a->parts[k]->name, a->name,
                            (long long)args[0].inum);
            }
            v.inum = begin + args[0].inum;
            return v;
        }
        if (s->op != OP_INJECT && args[0].inum >= begin && args[0].inum < begin + n) {
            v.inum = s->op == OP_PART ? k : args[0].inum - begin;
            return v;
        }
        begin += n;
    }
    interp_fail(in, "axis %s has no index %lld", a->name, (long long)args[0].inum);
    return nothing;
}

static Value random_value(const Interp *in, const Scalar *s, const Value *args)
{
    uint64_t key = random_key(in->seed, in->step, s->name);
    for (int k = 0; k < s->nargs; k++) {
        key = random_fold(key, args[k].inum);
    }
    return (Value){.num = random_uniform(key)};
}

/* select, and, or: only the operand that decides is evaluated. */
static Value lazy(Interp *in, Frame *f, const Scalar *s)
{
    Value first = eval(in, f, s->args[0]);
    if (in->failed || in->deferred) {
        return nothing;
    }
    if (s->op == OP_select) {
        return eval(in, f, s->args[first.inum ? 1 : 2]);
    }
    return (first.inum != 0) == (s->op == OP_or) ? first : eval(in, f, s->args[1]);
}

static Value compute(Interp *in, Frame *f, const Scalar *s)
{
    Value args[MAX_LETTERS + 2] = {{0}}, v = nothing;
    if (s->nargs > MAX_LETTERS + 2) {
        interp_fail(in, "%s with %d arguments", op_info[s->op].name, s->nargs);
        return nothing;
    }
    for (int k = 0; k < s->nargs; k++) {
        args[k] = eval(in, f, s->args[k]);
        if (in->failed || in->deferred) {
            return nothing;
        }
    }
    switch (s->op) {
    case OP_SIZE:
    case OP_PART:
    case OP_LOCAL:
    case OP_INJECT:
        return axis_value(in, s, args);
    case OP_RAND:
        return random_value(in, s, args);
    case OP_STEP:
        for (int k = 0; k < s->ntable; k++) {
            v.inum += s->table[k] <= args[0].inum;
        }
        return v;
    default: {
        const char *wrong = value_apply(s, args, &v);
        if (wrong != NULL) {
            interp_fail(in, "%s", wrong);
        }
        return v;
    }
    }
}

static Value eval(Interp *in, Frame *f, const Scalar *s)
{
    if (s->op == OP_LETTER) {
        return (Value){.inum = f->letter[s->inum]};
    }
    if (s->op == OP_CONST) {
        if (s->type == TYPE_REAL || s->type == TYPE_F32) {
            return (Value){.num = s->num};
        }
        return (Value){.inum = s->inum};
    }
    if (in->stamp[s->id] == f->stamp) { /* an operand used twice is computed once per tuple of letters */
        return in->memo[s->id];
    }
    Value v;
    if (s->op == OP_LOAD) {
        v = load(in, f, s);
    } else if (s->op == OP_select || s->op == OP_and || s->op == OP_or) {
        v = lazy(in, f, s);
    } else {
        v = compute(in, f, s);
    }
    if (!in->failed && !in->deferred) {
        in->stamp[s->id] = f->stamp;
        in->memo[s->id] = v;
    }
    return v;
}

/* ---- one tuple of letters --------------------------------------------------------------------------------- */

static bool is_less(Type t, Value a, Value b)
{
    return t == TYPE_INT ? a.inum < b.inum : a.num < b.num;
}

static Value add(Type t, Value a, Value b)
{
    if (t == TYPE_INT) {
        return (Value){.inum = (int64_t)((uint64_t)a.inum + (uint64_t)b.inum)};
    }
    double sum = a.num + b.num;
    return (Value){.num = t == TYPE_F32 ? (double)(float)sum : sum};
}

/* Takes one more value into a result; `present` says whether there was one before. */
static void reduce(Frame *f, Value v, Value *result, bool present, Value *best)
{
    const Equation *e = f->e;
    Type t = e->body->type;
    switch (e->op) {
    case RED_NONE:
        *result = v;
        break;
    case RED_SUM:
        *result = present ? add(t, *result, v) : v;
        break;
    case RED_MAX:
        *result = !present || is_less(t, *result, v) ? v : *result;
        break;
    case RED_MIN:
        *result = !present || is_less(t, v, *result) ? v : *result;
        break;
    case RED_ARGMAX:
        if (!present || is_less(t, *best, v)) {
            *best = v;
            for (int k = 0; k < e->nletters; k++) {
                if (!equation_is_output(e, k)) {
                    result->inum = f->letter[k];
                }
            }
        }
        break;
    case RED_NTH: {
        int64_t seen = present ? best->inum : 0;
        if (!present) {
            result->inum = 0;
        }
        int rank = equation_rank_letter(e);
        int64_t at = f->letter[rank], room = e->letters[rank].axis->size - 1;
        best->inum = ++seen;
        if (at == 0) {
            result->inum = seen < room ? seen : room;
        } else if (at == seen) {
            *result = v;
        }
        break;
    }
    case RED_ANY:
        result->inum = (present && result->inum) || v.inum;
        break;
    }
}

/* The cell that the letters point at; false if it is not wanted or after an error. */
static bool target(Interp *in, Frame *f, int64_t *cell)
{
    const Tensor *t = f->e->dst;
    int64_t index[MAX_DIMS];
    for (int d = 0; d < t->ndim; d++) {
        index[d] = eval(in, f, f->e->lhs[d]).inum;
        if (in->failed || in->deferred) {
            return false;
        }
    }
    return interp_locate(in, t, index, cell) && (f->wanted < 0 || *cell == f->wanted);
}

static bool owns(Interp *in, const Frame *f, int64_t cell)
{
    int32_t owner = in->cells[f->e->dst->id].owner[cell];
    if (owner > 0 && owner != f->e->id + 1 && !f->e->adds) {
        interp_fail(in, "a cell of %s is defined by two equations", f->e->dst->name);
    } else if (owner > 0 && f->e->op == RED_NONE) {
        interp_fail(in, "a cell of %s is defined twice", f->e->dst->name);
    }
    return !in->failed;
}

static void tuple(Interp *in, Frame *f)
{
    int64_t cell;
    if (!target(in, f, &cell)) {
        return;
    }
    Value v = eval(in, f, f->e->body);
    if (in->failed || in->deferred) {
        return;
    }
    if (f->wanted >= 0) {
        if (f->present && f->e->op == RED_NONE) {
            interp_fail(in, "a cell of %s is defined twice", f->e->dst->name);
        }
        reduce(f, v, f->result, f->present, &f->best);
        f->present = true;
    } else if (owns(in, f, cell)) {
        Cells *c = &in->cells[f->e->dst->id];
        reduce(f, v, &c->values[cell], c->owner[cell] > 0, f->bests != NULL ? &f->bests[cell] : NULL);
        c->owner[cell] = f->e->id + 1;
    }
}

/* A sum (or any) whose output letters satisfy the conditions on them alone is there, even over nothing. */
static void begin_sum(Interp *in, Frame *f)
{
    int64_t cell;
    Reduce op = f->e->op;
    if ((op != RED_SUM && op != RED_ANY) || in->cells[f->e->dst->id].total) {
        return;
    }
    if (!target(in, f, &cell)) {
        return;
    }
    Cells *c = &in->cells[f->e->dst->id];
    if (f->wanted >= 0) {
        if (!f->present) {
            *f->result = nothing;
        }
        f->present = true;
    } else if (owns(in, f, cell) && c->owner[cell] <= 0) {
        c->values[cell] = nothing;
        c->owner[cell] = f->e->id + 1;
    }
}

/* ---- loops ------------------------------------------------------------------------------------------------ */

/* Length of a letter's axis at its parents, which are bound. */
static int64_t letter_length(Interp *in, const Frame *f, int k)
{
    const Letter *l = &f->e->letters[k];
    int64_t parents[MAX_LETTERS];
    int n = axis_nparents(l->axis), p = l->parent;
    for (int d = n - 1; d >= 0; d--) {
        parents[d] = f->letter[p];
        p = f->e->letters[p].parent;
    }
    return interp_length(in, l->axis, p >= 0 ? f->letter[p] : 0, n, parents);
}

/* Depth letters are bound: tests the conditions that became decidable, then binds the next one. */
static void loop(Interp *in, Frame *f, int depth)
{
    const Equation *e = f->e;
    f->stamp = ++in->clock;
    for (int k = 0; k < e->nconds; k++) {
        if (f->nest->conds_at[k] == depth) {
            bool holds = eval(in, f, e->conds[k]).inum != 0;
            if (!holds || in->failed || in->deferred) {
                return;
            }
        }
    }
    if (depth == f->nest->outputs) {
        begin_sum(in, f);
    }
    if (depth == e->nletters) {
        tuple(in, f);
        return;
    }
    int k = f->nest->order[depth];
    int64_t n = letter_length(in, f, k);
    if (f->fixed[k]) {
        if (f->letter[k] >= 0 && f->letter[k] < n) {
            loop(in, f, depth + 1);
        }
        return;
    }
    for (int64_t i = 0; i < n && !in->failed && !in->deferred; i++) {
        f->letter[k] = i;
        loop(in, f, depth + 1);
    }
}

typedef struct {
    const int *bound_at; /* depth at which a letter is bound */
    int depth;
} Bound;

static void bound_letters(const Scalar *s, void *ctx)
{
    Bound *b = ctx;
    if (s->op == OP_LETTER && b->bound_at[s->inum] > b->depth) {
        b->depth = b->bound_at[s->inum];
    }
}

/* Nests the letters (as numbered, but parents outside) and finds where each condition can be tested: not before those
 * in front of it, because it may rely on them. */
static const Nest *prepare(Interp *in, const Equation *e)
{
    if (in->nests[e->id] != NULL) {
        return in->nests[e->id];
    }
    Nest *nest = calloc(1, sizeof *nest);
    int *conds_at = calloc((size_t)e->nconds + 1, sizeof *conds_at);
    if (nest == NULL || conds_at == NULL) {
        bug("the interpreter is out of memory");
    }
    nest->conds_at = conds_at;
    int bound_at[MAX_LETTERS] = {0};
    for (int depth = 0; depth < e->nletters; depth++) {
        int next = -1;
        for (int k = 0; k < e->nletters && next < 0; k++) {
            int p = e->letters[k].parent;
            if (bound_at[k] == 0 && (p < 0 || bound_at[p] > 0)) {
                next = k;
            }
        }
        nest->order[depth] = next;
        bound_at[next] = depth + 1;
        if (equation_is_output(e, next)) {
            nest->outputs = depth + 1;
        }
    }
    Bound b = {bound_at, 0};
    for (int k = 0; k < e->nconds; k++) {
        sc_walk(e->conds[k], bound_letters, &b);
        conds_at[k] = b.depth;
    }
    in->nests[e->id] = nest;
    return nest;
}

void interp_free_nests(Interp *in)
{
    for (int k = 0; k < in->g->nequations; k++) {
        if (in->nests[k] != NULL) {
            free(in->nests[k]->conds_at);
            free(in->nests[k]);
        }
    }
    free(in->nests);
}

static void run_all(Interp *in, const Equation *e)
{
    Frame f = {.e = e, .nest = prepare(in, e), .wanted = -1};
    if (e->op == RED_ARGMAX || e->op == RED_NTH) {
        f.bests = calloc((size_t)in->cells[e->dst->id].ncells + 1, sizeof *f.bests);
        if (f.bests == NULL) {
            bug("the interpreter is out of memory");
        }
    }
    loop(in, &f, 0);
    if (in->failed) {
        blame(in, &f);
    }
    free(f.bests);
}

/* ---- recurrences ------------------------------------------------------------------------------------------ */

/* Computes one cell by one of the equations that may define it: bare letters are bound by the cell. */
static bool run_cell(Interp *in, const Equation *e, const int64_t *index, int64_t cell, Value *result)
{
    Frame f = {.e = e, .nest = prepare(in, e), .wanted = cell, .result = result};
    for (int d = 0; d < e->dst->ndim; d++) {
        const Scalar *x = e->lhs[d];
        if ((x->op == OP_CONST && x->inum != index[d]) ||
            (x->op == OP_LETTER && f.fixed[x->inum] && f.letter[x->inum] != index[d])) {
            return false;
        }
        if (x->op == OP_LETTER) {
            f.fixed[x->inum] = true;
            f.letter[x->inum] = index[d];
        }
    }
    loop(in, &f, 0);
    if (in->failed && strstr(in->error.s, " (in the equation of ") == NULL) {
        blame(in, &f);
    }
    return f.present;
}

static void demand(Interp *in, const Tensor *t, const int64_t *index, int64_t cell)
{
    Cells *c = &in->cells[t->id];
    if (in->depth == MAX_CHAIN) {
        in->deferred = true;
        return;
    }
    in->depth++;
    c->owner[cell] = CELL_COMPUTING;
    int owner = CELL_ABSENT;
    Value result = nothing;
    for (int e = in->first[t->id]; e >= 0 && !in->failed && !in->deferred; e = in->following[e]) {
        Value v = nothing;
        if (in->component[e] != in->running || !run_cell(in, in->g->equations[e], index, cell, &v)) {
            continue;
        }
        if (owner > 0) {
            interp_fail(in, "a cell of %s is defined by two equations", t->name);
        }
        owner = e + 1;
        result = v;
    }
    c->owner[cell] = in->failed || in->deferred ? CELL_UNKNOWN : owner;
    c->values[cell] = result;
    in->depth--;
}

/* Asks for every cell of a tensor, upwards or downwards, and stops at one that had to be put off unless it is to try
 * all. Counts the cells that were computed; true if none was put off. */
static bool sweep(Interp *in, const Tensor *t, bool up, bool all, int64_t *computed)
{
    Cells *c = &in->cells[t->id];
    bool done = true;
    for (int64_t n = 0; n < c->ncells && (done || all) && !in->failed; n++) {
        int64_t cell = up ? n : c->ncells - 1 - n, index[MAX_DIMS], rest = cell;
        bool exists = c->owner[cell] == CELL_UNKNOWN;
        for (int d = 0; d < t->ndim && exists; d++) {
            index[d] = rest / c->stride[d];
            rest %= c->stride[d];
            exists = index[d] < interp_dim(in, t, d, index); /* else padding behind a list */
        }
        if (exists && !in->failed) {
            demand(in, t, index, cell);
            *computed += !in->deferred;
            done = done && !in->deferred;
            in->deferred = false;
        }
    }
    return done;
}

static void run_recurrence(Interp *in, int component, const int *equations, int n)
{
    enum { PATIENCE = 6 };
    in->running = component;
    bool done = false;
    for (int round = 0, idle = 0; !done && !in->failed; round++) {
        int64_t computed = 0;
        done = true;
        for (int k = 0; k < n && !in->failed; k++) {
            const Tensor *t = in->g->equations[equations[k]]->dst;
            if (!in->cells[t->id].given) {
                done = sweep(in, t, round % 2 == 0, idle >= 2, &computed) && done;
            }
        }
        idle = computed > 0 ? 0 : idle + 1;
        if (!done && idle == PATIENCE) {
            interp_fail(in, "the recurrence of %s does not end", in->g->equations[equations[0]]->dst->name);
        }
    }
    in->running = -1;
}

/* ---- the run ---------------------------------------------------------------------------------------------- */

typedef struct {
    const Tensor *dst;
    bool found;
} SelfSearch;

static void look_for_self(const Scalar *s, void *ctx)
{
    SelfSearch *search = ctx;
    search->found = search->found || (s->op == OP_LOAD && s->tensor == search->dst);
}

static void give_rows(Interp *in)
{
    const Tensor *row = in->g->row;
    if (in->cells[row->id].given || row->ndim != 1) {
        return;
    }
    int64_t *ids = calloc((size_t)in->batch + 1, sizeof *ids);
    if (ids == NULL) {
        bug("the interpreter is out of memory");
    }
    for (int64_t b = 0; b < in->batch; b++) {
        ids[b] = b;
    }
    interp_set_int(in, row, in->batch, ids);
    free(ids);
}

static void run_component(Interp *in, int component, const int *equations, int n)
{
    const Equation *first = in->g->equations[equations[0]];
    SelfSearch self = {.dst = first->dst};
    equation_walk(first, look_for_self, &self);
    if (equation_is_extern(first)) {
        if (n > 1 || self.found) {
            interp_fail(in, "extern %s is part of a recurrence", first->body->ext->symbol);
        } else if (!in->cells[first->dst->id].given) {
            interp_run_extern(in, first);
        }
    } else if (n > 1 || self.found) {
        run_recurrence(in, component, equations, n);
    } else if (!in->cells[first->dst->id].given) {
        run_all(in, first);
    }
}

bool interp_run(Interp *in)
{
    const Graph *g = in->g;
    in->failed = in->deferred = false;
    in->depth = 0;
    if (!g->batched) {
        interp_fail(in, "the graph has no batch yet");
        return false;
    }
    give_rows(in);
    for (int k = 0; k < g->ntensors && !in->failed; k++) {
        const Tensor *t = g->tensors[k];
        if (t->role == ROLE_VALUE && !in->cells[k].given) {
            interp_unset(in, t);
            interp_allocate(in, t);
        }
    }
    /* The equations of each component, component after component: what it depends on has a smaller number. */
    int *sorted = calloc((size_t)g->nequations + 1, sizeof *sorted);
    int *begin = calloc((size_t)in->ncomponents + 2, sizeof *begin);
    if (sorted == NULL || begin == NULL) {
        bug("the interpreter is out of memory");
    }
    for (int e = 0; e < g->nequations; e++) {
        begin[in->component[e] + 2]++;
    }
    for (int c = 0; c < in->ncomponents; c++) {
        begin[c + 1] += begin[c];
    }
    for (int e = 0; e < g->nequations; e++) {
        sorted[begin[in->component[e] + 1]++] = e;
    }
    for (int c = 0; c < in->ncomponents && !in->failed; c++) {
        run_component(in, c, sorted + begin[c], begin[c + 1] - begin[c]);
    }
    free(sorted);
    free(begin);
    return !in->failed;
}
