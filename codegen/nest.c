/* Chooses the loop nest of an equation: the innermost letter by the cost of its memory accesses, the rest in the
 * order of dst's memory; and for each condition the loop that it narrows or in which it is tested.
 *
 *   o[b,i,h,e] sum= a[b,h,i,j] * v[b,j,h,e]  if j <= i        innermost e: a stays, v and o run along memory
 *   MEMORY:  for b  for i  for h { o[..] = 0;  for j in 0..i+1  for e  o[b,i,h,e] += ... }
 *
 *   s[b,h,i,j] sum= q[b,i,h,e] * k[b,j,h,e]  if j <= i        innermost e: q and k run along memory, s stays
 *   REGISTER: for b  for h  for i  for j in 0..i+1 { acc = 0;  for e  acc += ...;  s[..] = acc }
 *
 * A load may rely on conditions, and a condition on those before it, for being in range; so a condition that loads
 * something moves to an outer loop only if all conditions before it are tested there or further out. */
#include "nest.h"
#include "fault.h"
#include <string.h>

/* ---- costs ---- */

typedef struct {
    int letter;
    double cost;
    int n;
} Cost;

static void add_cost(const Scalar *s, void *ctx)
{
    Cost *c = ctx;
    if (s->op == OP_LOAD) {
        Access a = access_of(s->tensor, s->args, c->letter);
        c->cost += a == ACCESS_SAME ? 0.1 : a == ACCESS_ALONG ? 1 : 8;
    }
}

/* A condition fixes v by the other letters: innermost, its loop is a single step. */
static bool is_fixed_by(const Scalar *cond, int v)
{
    int64_t a, b;
    if (cond->op == OP_and) {
        return is_fixed_by(cond->args[0], v) || is_fixed_by(cond->args[1], v);
    }
    return cond->op == OP_eq && cond->args[0]->type == TYPE_INT && cond->args[1]->type == TYPE_INT &&
           affine_in(cond->args[0], v, &a) && affine_in(cond->args[1], v, &b) && (a - b == 1 || a - b == -1);
}

/* Cost of one tuple with letter v innermost. */
static double inner_cost(const KernelInfo *k, const Nest *n, int v, bool keyed)
{
    const Equation *e = k->e;
    Cost c = {v, 1, 0};
    sc_walk(e->body, add_cost, &c);
    for (int i = 0; i < e->nconds; i++) {
        sc_walk(e->conds[i], add_cost, &c);
    }
    Access a = access_of(e->dst, e->lhs, v);
    bool output = n->outputs >> v & 1;
    if (e->op == RED_NONE) {
        c.cost += a == ACCESS_ALONG ? 1 : 10;
    } else if (output || keyed) {
        c.cost += a == ACCESS_ALONG ? 2 : a == ACCESS_SAME ? 8 : 24;
    } else {
        c.cost += 0.5;
    }
    int64_t size = axis_static_size(e->letters[v].axis);
    if (size > 0 && size < 64) {
        int64_t lanes = (size + 15) / 16 * 16;
        c.cost *= (double)lanes / (double)size;
    }
    for (int i = 0; i < e->nconds; i++) {
        if (is_fixed_by(e->conds[i], v)) {
            c.cost /= size > 0 ? (double)size : 64;
        }
    }
    return c.cost;
}

/* ---- conditions ---- */

static int level_of(const Nest *n, const Scalar *s)
{
    unsigned set = sc_letters(s);
    int level = -1;
    for (int i = 0; i < n->n; i++) {
        if (set >> n->order[i] & 1) {
            level = i;
        }
    }
    return level;
}

static void note_load(const Scalar *s, void *found)
{
    if (s->op == OP_LOAD || s->op == OP_SIZE || s->op == OP_PART || s->op == OP_LOCAL || s->op == OP_INJECT) {
        *(bool *)found = true;
    }
}

static void find_bound(const KernelInfo *k, const Nest *n, Test *t)
{
    const Scalar *s = t->s;
    bool negated = false;
    while (s->op == OP_not) {
        s = s->args[0];
        negated = !negated;
    }
    if ((s->op != OP_lt && s->op != OP_le && (s->op != OP_eq || negated)) || t->level < 0 ||
        s->args[0]->type != TYPE_INT || s->args[1]->type != TYPE_INT) {
        return;
    }
    int v = n->order[t->level];
    int64_t p, q;
    if (v == k->scan || level_of(n, s) != t->level || !affine_in(s->args[0], v, &p) || !affine_in(s->args[1], v, &q)) {
        return;
    }
    t->a = negated ? s->args[1] : s->args[0];
    t->b = negated ? s->args[0] : s->args[1];
    t->strict = (s->op == OP_lt) != negated;
    int64_t coef = negated ? q - p : p - q;
    if (coef != 1 && coef != -1) {
        return;
    }
    t->coef = (int)coef;
    t->upper = (s->op == OP_eq && !FAULT(23)) || coef == 1;
    t->lower = s->op == OP_eq || coef == -1;
    t->strict = t->strict && s->op != OP_eq;
    t->bound = t->level;
}

static void add_test(const KernelInfo *k, Nest *n, const Scalar *s, int *deepest)
{
    if (s->op == OP_and && n->ntests + k->e->nconds < MAX_TESTS / 2) {
        add_test(k, n, s->args[0], deepest);
        add_test(k, n, s->args[1], deepest);
        return;
    }
    if (n->ntests == MAX_TESTS) {
        n->too_many = true;
        return;
    }
    Test *t = &n->tests[n->ntests++];
    *t = (Test){.s = s, .level = level_of(n, s), .bound = -1};
    bool loads = false;
    sc_walk(s, note_load, &loads);
    if (!loads || *deepest < t->level) {
        find_bound(k, n, t);
    }
    if (loads && *deepest > t->level) {
        t->level = *deepest;
    }
    if (t->level > *deepest) {
        *deepest = t->level;
    }
}

/* ---- the order ---- */

static bool contains(const Nest *n, int letter)
{
    for (int i = 0; i < n->n; i++) {
        if (n->order[i] == letter) {
            return true;
        }
    }
    return false;
}

static void push(const KernelInfo *k, Nest *n, int letter)
{
    if (contains(n, letter)) {
        return;
    }
    if (k->e->letters[letter].parent >= 0) {
        push(k, n, k->e->letters[letter].parent); /* its size is read there */
    }
    n->pos[letter] = n->n;
    n->order[n->n++] = letter;
}

static bool is_ancestor(const Equation *e, int letter)
{
    for (int i = 0; i < e->nletters; i++) {
        if (e->letters[i].parent == letter) {
            return true;
        }
    }
    return false;
}

/* What stands at dim d of dst: the index, or what is inside an inject there. */
static const Scalar *position_at(const Equation *e, int d)
{
    return e->lhs[d]->op == OP_INJECT ? e->lhs[d]->args[0] : e->lhs[d];
}

/* The letter that stands there alone, or -1. */
static int letter_at(const Equation *e, int d)
{
    const Scalar *s = position_at(e, d);
    return s->op == OP_LETTER ? (int)s->inum : -1;
}

/* ---- lists of the ends of runs ---- */

/* (j + 1) mod B == 0: B, else 0. */
static int64_t block_of(const Scalar *s, int letter)
{
    bool zero = s->op == OP_eq && s->args[0]->op == OP_mod && sc_is_const(s->args[1], 0);
    const Scalar *at = zero ? s->args[0]->args[0] : NULL;
    int64_t coef;
    bool next = at && at->op == OP_add && affine_in(at, letter, &coef) && coef == 1 &&
                (sc_is_const(at->args[0], 1) || sc_is_const(at->args[1], 1)) &&
                (at->args[0]->op == OP_LETTER || at->args[1]->op == OP_LETTER);
    return next && s->args[0]->args[1]->op == OP_CONST ? s->args[0]->args[1]->inum : 0;
}

bool nest_tests_ends(const Equation *e, const Nest *n, const Test *t)
{
    return t->level == n->n - 1 && t->bound < 0 && t->s != e->conds[n->ends.cond];
}

enum { MOST_LISTED = 1 << 14, BLOCKS = 64 }; /* cells of a list; what the size of a block is a multiple of */

/* Whether the ends of runs are found by vectors in place of the innermost loop. */
static bool can_list_ends(const KernelInfo *k, Nest *n)
{
    const Equation *e = k->e;
    const RunEnds *r = &n->ends;
    int level = n->n - 1;
    if (e->dst->elem != ELEM_I32 || e->letters[equation_rank_letter(e)].axis->size > MOST_LISTED ||
        !equation_run_ends(e, &n->ends) || n->order[level] != r->letter || r->letter == k->item ||
        r->letter == k->scan || !scalar_is_safe(e, r->step) || !lanes_can(r->step->args[0], r->letter) ||
        !scalar_is_safe(e, e->body) || !lanes_can_knowing(e->body, r->letter, r->step)) {
        return false;
    }
    for (int i = 0; i < n->ntests; i++) {
        const Test *t = &n->tests[i];
        if (nest_tests_ends(e, n, t) && !(scalar_is_safe(e, t->s) && lanes_can_knowing(t->s, r->letter, r->step))) {
            return false;
        }
    }
    for (int i = 0; i < r->nothers; i++) {
        int64_t block = block_of(r->others[i], r->letter);
        Test t = {.s = r->others[i], .level = level, .bound = -1};
        find_bound(k, n, &t);
        if (block > 0 && block % BLOCKS == 0 && (n->block == 0 || n->block == block)) {
            n->block = block;
        } else if (t.bound == level && t.lower && scalar_is_safe(k->e, t.s)) {
            n->tails[n->ntails++] = t;
        } else {
            return false;
        }
    }
    return true;
}

/* A list: the letter that counts is no loop. */
static void choose_list(const KernelInfo *k, bool plain, Nest *n)
{
    const Equation *e = k->e;
    int rank = equation_rank_letter(e), deepest = -1;
    n->mode = NEST_LIST;
    if (k->item >= 0) {
        push(k, n, k->item);
    }
    for (int v = 0; v < e->nletters; v++) { /* output letters first */
        if (v != rank) {
            push(k, n, v);
        }
    }
    n->nouter = n->n - 1;
    for (int i = 0; i < e->nconds; i++) {
        add_test(k, n, e->conds[i], &deepest);
    }
    n->covers = plain && k->sole && !e->dst->is_output; /* all cells that are looked at: nobody reads behind a list */
    for (int i = 0; i < n->ntests; i++) {
        n->covers = n->covers && n->tests[i].level >= n->nouter;
    }
    n->by_runs = can_list_ends(k, n);
}

bool loops_by_rows(const KernelInfo *k)
{
    return (k->split == SPLIT_ROWS || k->split == SPLIT_REDUCE) && k->e->letters[k->item].axis->kind != AXIS_BATCH;
}

void nest_choose(const KernelInfo *k, Nest *n)
{
    int item = loops_by_rows(k) ? k->e->letters[k->item].parent : k->item;
    const Equation *e = k->e;
    const Tensor *dst = e->dst;
    memset(n, 0, sizeof *n);
    bool keyed = false, plain = true; /* plain: every dim of dst is a letter of its own */
    for (int d = 0; d < dst->ndim; d++) {
        int v = letter_at(e, d);
        if (v >= 0 && !(n->outputs >> v & 1)) {
            n->outputs |= 1u << v;
            plain = plain && e->lhs[d]->op == OP_LETTER;
        } else {
            plain = false;
            keyed = keyed || (position_at(e, d)->op != OP_CONST && e->op != RED_NONE);
        }
    }
    if (e->op == RED_NTH) {
        choose_list(k, plain, n);
        return;
    }
    unsigned all = (1u << e->nletters) - 1;
    if (e->op == RED_NONE) {
        n->outputs = all;
    }
    unsigned reduced = all & ~n->outputs;

    int inner = -1;
    double best = 0;
    for (int v = 0; v < e->nletters; v++) {
        bool output = n->outputs >> v & 1;
        if (v == item || v == k->scan || is_ancestor(e, v) ||
            (output && e->op != RED_NONE && e->op != RED_SUM && e->op != RED_ANY)) {
            continue;
        }
        double c = inner_cost(k, n, v, keyed);
        if (inner < 0 || c < best) {
            inner = v;
            best = c;
        }
    }
    bool inner_output = inner >= 0 && (n->outputs >> inner & 1), in_key = false;
    for (int d = 0; d < dst->ndim && inner >= 0; d++) {
        in_key = in_key || sc_uses_letter(e->lhs[d], inner);
    }
    bool row_first = keyed && inner >= 0 && !in_key && e->op == RED_SUM; /* what is added to a cell is itself a sum */
    n->mode = e->op == RED_NONE         ? NEST_MAP
              : keyed && !row_first     ? NEST_KEYED
              : inner_output && reduced ? NEST_MEMORY
                                        : NEST_REGISTER;

    /* item, outputs in memory order, reduced letters, the innermost */
    if (item >= 0) {
        push(k, n, item);
    }
    Layout l;
    const char *why;
    if (!tensor_layout(dst, &l, &why)) {
        for (int d = 0; d < dst->ndim; d++) {
            l.order[d] = d;
        }
    }
    for (int i = 0; i < dst->ndim; i++) {
        int v = letter_at(e, l.order[i]);
        if (v >= 0 && (n->outputs >> v & 1) && v != inner) {
            push(k, n, v);
        }
    }
    for (int v = 0; v < e->nletters; v++) {
        if ((n->outputs >> v & 1) && v != inner) {
            push(k, n, v);
        }
    }
    if (n->mode == NEST_REGISTER && inner_output) {
        push(k, n, inner);
    }
    n->nouter = n->n;
    for (int v = 0; v < e->nletters; v++) {
        if (v != inner) {
            push(k, n, v);
        }
    }
    n->nouter = row_first ? n->n : n->nouter;
    n->sums = row_first;
    if (inner >= 0) {
        push(k, n, inner);
    }
    int deepest = -1;
    for (int i = 0; i < e->nconds; i++) {
        add_test(k, n, e->conds[i], &deepest);
    }
    bool inner_tests = true, skips_cells = false;
    for (int i = 0; i < n->ntests; i++) {
        inner_tests = inner_tests && n->tests[i].level == n->n - 1;
        skips_cells = skips_cells || n->tests[i].level < n->nouter;
    }
    n->dense = n->mode == NEST_MAP && k->sole && plain && inner >= 0 && inner_tests;
    n->covers =
        plain && k->sole && (n->mode == NEST_MAP ? n->dense || n->ntests == 0 : n->mode != NEST_KEYED && !skips_cells);
    rows_choose(k, plain, n);
}
