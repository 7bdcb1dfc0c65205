/* Sums whose innermost letter walks along rows of memory, of a known and moderate length, spelled out in vectors:
 *
 *   o[b,i,d] += a[b,i,m] * w[key[b,i,m],d]      MEMORY  the row of o stays in registers while m runs
 *   s[b,i,m]  = sum d: q[b,i,d] * w[key[b,i,m],d]   REGISTER  dots: as many m at a time as there are lanes; each sums
 *                                               into a vector of its own, a transposing tree adds across (lanes.h)
 *   h[key[b,i,m]]   += sum d: q[b,i,d] * w[b,i,m,d]     REGISTER  sums: one at a time, added to the cell
 *   w[key[b,i,m],d] += a[b,i,m] * q[b,i,d]      KEYED   q stays in registers while m runs. Where the table is cut into
 *                                               ranges of keys, each call first finds the m whose keys it owns
 *
 * What does not change while the loop outside the innermost one runs (q above) is loaded before that loop. Letters
 * before these two are ordinary loops of loops.c. Gathered rows need no prefetching by hand: there is no branch that
 * depends on them, so the processor runs ahead to the next ones by itself. */
#include "ahead.h"
#include "fault.h"
#include "loops.h"
#include <stdlib.h>

/* ---- which equations ---- */

static bool depends_first_at(const Nest *n, const Scalar *s, int level)
{
    unsigned set = sc_letters(s);
    for (int i = level + 1; i < n->n; i++) {
        if (set >> n->order[i] & 1) {
            return false;
        }
    }
    return set >> n->order[level] & 1;
}

/* Whether the tests of a level can be masks of its lanes. */
static bool tests_are_lanes(const KernelInfo *k, const Nest *n, int level, int *count)
{
    *count = 0;
    for (int i = 0; i < n->ntests; i++) {
        const Test *t = &n->tests[i];
        if (t->level != level || (t->bound >= 0 && level < n->n - 1)) {
            continue;
        }
        if (t->bound >= 0 || !lanes_can(t->s, n->order[level]) || !scalar_is_safe(k->e, t->s)) {
            return false;
        }
        ++*count;
    }
    return true;
}

static bool are_dots(const KernelInfo *k, const Nest *n, int lanes)
{
    const Equation *e = k->e;
    int level = n->n - 2, masked;
    if (level < 0 || n->nouter != n->n - 1 || n->order[level] == k->scan) {
        return false;
    }
    for (int i = 0; i <= level; i++) {
        if (!(n->outputs >> n->order[i] & 1)) {
            return false;
        }
    }
    int64_t size = axis_static_size(e->letters[n->order[level]].axis);
    return (k->scan < 0 || n->outputs >> k->scan & 1) && (size < 0 || 2 * size > lanes) &&
           access_ascends(e->dst, e->lhs, n->order[level]) && tests_are_lanes(k, n, level, &masked) &&
           (masked == 0 || scalar_is_safe(e, e->body));
}

void rows_choose(const KernelInfo *k, bool plain, Nest *n)
{
    const Equation *e = k->e;
    if (e->op != RED_SUM || e->dst->elem != ELEM_REAL || e->body->type != TYPE_REAL || n->n == 0 ||
        !k->target->avx2) { /* without cheap masks LLVM's scalar remainders are better */
        return;
    }
    int inner = n->order[n->n - 1], masked;
    if (n->mode == NEST_KEYED && k->key_dim >= 0 && n->n > 1) {
        const Scalar *key = e->lhs[k->key_dim];
        n->lists_keys = n->order[n->n - 2] != k->scan && depends_first_at(n, key, n->n - 2) && scalar_is_safe(e, key);
    }
    int lanes = target_lanes(k->target, k->real == DT_F64);
    int64_t size = axis_static_size(e->letters[inner].axis);
    int64_t most = (int64_t)lanes * (k->target->avx512 ? MAX_CHUNKS : MAX_CHUNKS / 2);
    if (size < 2 || size > most || e->letters[inner].parent >= 0 || !lanes_can(e->body, inner) ||
        !tests_are_lanes(k, n, n->n - 1, &masked) || (masked > 0 && !scalar_is_safe(e, e->body))) {
        return;
    }
    if (n->mode == NEST_REGISTER) {
        n->dots = !n->sums && are_dots(k, n, lanes);
        n->lanes = n->dots || n->sums ? lanes : 0;
        if (n->dots && plain && k->sole) { /* cells whose conditions fail are set to 0 */
            n->covers = true;
            for (int i = 0; i < n->ntests; i++) {
                n->covers = n->covers && n->tests[i].level >= n->n - 2 && n->tests[i].bound < 0;
            }
        }
    } else if ((n->mode == NEST_MEMORY || n->mode == NEST_KEYED) && access_ascends(e->dst, e->lhs, inner)) {
        /* The keys of a call are picked outside this loop: by a key that stands still in it. */
        const Scalar *key = k->key_dim >= 0 ? e->lhs[k->key_dim] : NULL;
        bool picks = !key || (!sc_uses_letter(key, inner) && (masked == 0 || scalar_is_safe(e, key)));
        n->lanes = picks ? lanes : 0;
    }
}

/* ---- chunks of the innermost loop ---- */

void rows_start(Loops *s)
{
    if (s->n.lanes == 0) {
        return;
    }
    Emit *x = s->x;
    int64_t size = axis_static_size(x->k->e->letters[s->n.order[s->n.n - 1]].axis);
    s->nchunks = (int)((size + s->n.lanes - 1) / s->n.lanes);
    size_t n = (size_t)s->nchunks * (size_t)(x->k->nnodes + 1);
    s->known = calloc(n, sizeof *s->known);
    s->known_level = calloc(n, sizeof *s->known_level);
    if (!s->known || !s->known_level) {
        bug("out of memory while emitting a kernel");
    }
    for (int c = 0; s->n.mode == NEST_MEMORY && c < s->nchunks; c++) {
        s->accs[c] = emit_local(x, LLVMVectorType(x->real, (unsigned)s->n.lanes), "acc");
    }
}

void rows_finish(Loops *s)
{
    free(s->known);
    free(s->known_level);
}

/* The positions of chunk c; binds the innermost letter to the first. */
static Lanes chunk(Loops *s, int c)
{
    Emit *x = s->x;
    int inner = s->n.order[s->n.n - 1];
    int64_t size = axis_static_size(x->k->e->letters[inner].axis), left = size - (int64_t)c * s->n.lanes - FAULT(36);
    x->letter[inner] = emit_i64(x, (int64_t)c * s->n.lanes);
    return (Lanes){.letter = inner,
                   .lanes = s->n.lanes,
                   .mask = left < s->n.lanes ? lanes_below(x, s->n.lanes, emit_i64(x, left)) : NULL,
                   .memo = s->known + (size_t)c * (size_t)x->k->nnodes};
}

/* l->mask where also the tests of the innermost loop hold; NULL: in all lanes. */
static LLVMValueRef tested(Loops *s, const Lanes *l)
{
    LLVMValueRef mask = l->mask;
    for (int i = 0; i < s->n.ntests; i++) {
        if (s->n.tests[i].level == s->n.n - 1) {
            LLVMValueRef v = lanes_value(s->x, l, s->n.tests[i].s);
            mask = mask ? LLVMBuildAnd(s->x->b, mask, v, "") : v;
        }
    }
    return mask;
}

static LLVMValueRef plus_lanes(Loops *s, const Lanes *l, LLVMValueRef old)
{
    Emit *x = s->x;
    const Scalar *body = x->k->e->body;
    if (body->op != OP_mul) {
        return LLVMBuildFAdd(x->b, old, lanes_value(x, l, body), "");
    }
    LLVMValueRef a = lanes_value(x, l, body->args[0]);
    return math_fma(x, a, lanes_value(x, l, body->args[1]), old);
}

void rows_hoist(Loops *s, int level)
{
    Emit *x = s->x;
    if (s->n.lanes == 0 || level >= s->n.n - 2) {
        return;
    }
    int inner = s->n.order[s->n.n - 1];
    unsigned bound = 1u << inner;
    for (int i = 0; i <= level; i++) {
        bound |= 1u << s->n.order[i];
    }
    for (int c = 0; c < s->nchunks; c++) {
        int mark = scope_enter(x);
        Lanes l = chunk(s, c);
        for (int i = 0; i < x->k->nnodes; i++) {
            const Scalar *v = x->k->nodes[i];
            if (v->op == OP_LETTER || v->type != TYPE_REAL || !x->safe[i] || !(x->letters[i] >> inner & 1) ||
                (x->letters[i] & ~bound) || l.memo[i] || !lanes_can(v, inner)) {
                continue;
            }
            l.memo[i] = lanes_value(x, &l, v);
            s->known_level[(size_t)c * (size_t)x->k->nnodes + (size_t)i] = level;
        }
        x->letter[inner] = NULL;
        scope_leave(x, mark);
    }
}

void rows_forget(Loops *s, int level)
{
    for (int i = 0; s->n.lanes && i < s->nchunks * s->x->k->nnodes; i++) {
        if (s->known[i] && s->known_level[i] == level) {
            s->known[i] = NULL;
        }
    }
}

/* ---- MEMORY and KEYED ---- */

void rows_start_cell(Loops *s)
{
    Emit *x = s->x;
    for (int c = 0; c < s->nchunks; c++) {
        int mark = scope_enter(x);
        Lanes l = chunk(s, c);
        LLVMValueRef v = LLVMConstNull(LLVMVectorType(x->real, (unsigned)l.lanes));
        if (x->k->accumulate) {
            v = lanes_load(x, 0, x->real, loops_destination(s), l.lanes, l.mask);
        }
        LLVMBuildStore(x->b, v, s->accs[c]);
        x->letter[l.letter] = NULL;
        scope_leave(x, mark);
    }
}

void rows_finish_cell(Loops *s)
{
    Emit *x = s->x;
    for (int c = 0; c < s->nchunks; c++) {
        int mark = scope_enter(x);
        Lanes l = chunk(s, c);
        LLVMTypeRef type = LLVMVectorType(x->real, (unsigned)l.lanes);
        lanes_store(x, 0, LLVMBuildLoad2(x->b, type, s->accs[c], ""), loops_destination(s), l.mask);
        x->letter[l.letter] = NULL;
        scope_leave(x, mark);
    }
}

/* Computes what all lanes share, once for all chunks: values that LLVM would make again for each where a branch decides
 * them. Only what every chunk computes in any case. */
static void share(Loops *s, const Scalar *v)
{
    if (v->op == OP_CONST || v->op == OP_LETTER) {
        return;
    }
    if (!sc_uses_letter(v, s->n.order[s->n.n - 1])) {
        emit_scalar(s->x, v);
        return;
    }
    bool decides = v->op == OP_select || v->op == OP_and || v->op == OP_or; /* the first alone is always needed */
    for (int i = 0; i < (decides ? 1 : v->nargs); i++) {
        share(s, v->args[i]);
    }
}

/* Whether the body is 0 in lanes whose loads are masked out. */
static bool is_zero_outside(const Scalar *body, int inner)
{
    return body->op == OP_mul && body->args[0]->op == OP_LOAD && body->args[1]->op == OP_LOAD &&
           sc_uses_letter(body->args[0], inner) && sc_uses_letter(body->args[1], inner);
}

/* The terms of the innermost loop, in as many sums as there are lanes. */
static LLVMValueRef sum_lanes(Loops *s)
{
    Emit *x = s->x;
    LLVMValueRef acc = LLVMConstNull(LLVMVectorType(x->real, (unsigned)s->n.lanes));
    share(s, x->k->e->body);
    for (int c = 0; c < s->nchunks; c++) {
        int mark = scope_enter(x);
        Lanes l = chunk(s, c);
        LLVMValueRef mask = tested(s, &l), v = plus_lanes(s, &l, acc);
        bool zero = mask == l.mask && is_zero_outside(x->k->e->body, l.letter);
        acc = mask && !zero ? LLVMBuildSelect(x->b, mask, v, acc, "") : v;
        x->letter[l.letter] = NULL;
        scope_leave(x, mark);
    }
    return acc;
}

/* The sum over the innermost loop, for loops.c to add to the cell. */
static void row_sum(Loops *s)
{
    Emit *x = s->x;
    LLVMTypeRef type = LLVMVectorType(x->real, (unsigned)s->n.lanes);
    LLVMValueRef args[2] = {emit_number(x, x->real, 0), sum_lanes(s)};
    LLVMValueRef sum = emit_intrinsic(x, "llvm.vector.reduce.fadd", 1, &type, 2, args);
    LLVMSetFastMathFlags(sum, LLVMFastMathAllowReassoc);
    LLVMBuildStore(x->b, sum, s->acc);
}

void rows_statement(Loops *s)
{
    if (s->n.mode == NEST_REGISTER) {
        row_sum(s);
        return;
    }
    Emit *x = s->x;
    const Equation *e = x->k->e;
    int outer = scope_enter(x);
    share(s, e->body);
    for (int d = 0; s->n.mode == NEST_KEYED && d < e->dst->ndim; d++) {
        share(s, e->lhs[d]);
    }
    for (int c = 0; c < s->nchunks; c++) {
        int mark = scope_enter(x);
        Lanes l = chunk(s, c);
        LLVMValueRef mask = tested(s, &l);
        if (s->n.mode == NEST_MEMORY) {
            LLVMTypeRef type = LLVMVectorType(x->real, (unsigned)l.lanes);
            LLVMValueRef old = LLVMBuildLoad2(x->b, type, s->accs[c], ""), v = plus_lanes(s, &l, old);
            /* lanes that are not there hold anything and are never stored */
            LLVMBuildStore(x->b, mask == l.mask ? v : LLVMBuildSelect(x->b, mask, v, old, ""), s->accs[c]);
        } else {
            LLVMValueRef cell = loops_destination(s);
            LLVMValueRef old = lanes_load(x, 0, x->real, cell, l.lanes, mask);
            lanes_store(x, 0, plus_lanes(s, &l, FAULT(21) ? LLVMConstNull(LLVMTypeOf(old)) : old), cell, mask);
        }
        x->letter[l.letter] = NULL;
        scope_leave(x, mark);
    }
    scope_leave(x, outer);
}

/* ---- REGISTER ---- */

typedef struct {
    Loops *s;
    int level;
    LLVMValueRef first, last;
} Dots;

/* The terms of row `i` of the block, in as many sums as there are lanes. Rows behind the last are the last again. */
static LLVMValueRef dot(void *ctx, int i)
{
    Dots *d = ctx;
    Loops *s = d->s;
    Emit *x = s->x;
    int row = s->n.order[d->level];
    int outer = scope_enter(x);
    x->letter[row] = i == 0 ? d->first : emit_min(x, LLVMBuildNSWAdd(x->b, d->first, emit_i64(x, i), ""), d->last);
    ahead_of_row(x, s->n.order[d->level + 1]);
    loops_hoist(s, d->level);
    LLVMValueRef sums = sum_lanes(s);
    scope_leave(x, outer);
    return sums;
}

void rows_dots(Loops *s, int level)
{
    Emit *x = s->x;
    const Equation *e = x->k->e;
    int row = s->n.order[level], lanes = s->n.lanes;
    LLVMValueRef lo, hi;
    loops_range(s, level, &lo, &hi);
    Loop block;
    loop_begin(x, &block, e->letters[row].name, lo, hi, lanes);
    Dots d = {.s = s, .level = level, .first = block.i, .last = LLVMBuildNSWSub(x->b, hi, emit_i64(x, 1), "")};
    LLVMValueRef sums = lanes_sums(x, lanes, dot, &d);
    x->letter[row] = block.i;
    Lanes l = {.letter = row, .lanes = lanes};
    l.mask = lanes_below(x, lanes, LLVMBuildNSWSub(x->b, hi, block.i, ""));
    LLVMValueRef holds = NULL;
    for (int i = 0; i < s->n.ntests; i++) {
        const Test *t = &s->n.tests[i];
        if (t->level == level && t->bound < 0) {
            LLVMValueRef v = lanes_value(x, &l, t->s);
            holds = holds ? LLVMBuildAnd(x->b, holds, v, "") : v;
        }
    }
    LLVMValueRef mask = l.mask;
    if (holds && s->n.covers) {
        sums = LLVMBuildSelect(x->b, holds, sums, LLVMConstNull(LLVMTypeOf(sums)), "");
    } else if (holds) {
        mask = LLVMBuildAnd(x->b, mask, holds, "");
    }
    LLVMValueRef cells = loops_destination(s);
    if (x->k->accumulate) {
        sums = LLVMBuildFAdd(x->b, lanes_load(x, 0, x->real, cells, lanes, mask), sums, "");
    }
    lanes_store(x, 0, sums, cells, mask);
    loop_end(x, &block);
    x->letter[row] = NULL;
}

/* ---- KEYED in ranges of keys ---- */

enum { WORD = 64 };

typedef struct {
    Loops *s;
    int level;
    LLVMValueRef first, end; /* of the positions looked at */
} Search;

/* One comparison, because lo <= hi: key - lo < hi - lo without signs. */
static LLVMValueRef in_range(Emit *x, LLVMValueRef key, LLVMValueRef lo, LLVMValueRef hi)
{
    return LLVMBuildICmp(x->b, LLVMIntULT, LLVMBuildSub(x->b, key, lo, ""), LLVMBuildSub(x->b, hi, lo, ""), "");
}

/* Bit i: the key at position first + i is in range, and what tests can be made of vectors hold. */
static LLVMValueRef find_vectors(Search *g)
{
    Loops *s = g->s;
    Emit *x = s->x;
    int letter = s->n.order[g->level];
    x->letter[letter] = g->first;
    Lanes lanes = {.letter = letter, .lanes = WORD};
    lanes.mask = lanes_below(x, WORD, LLVMBuildNSWSub(x->b, g->end, g->first, ""));
    LLVMValueRef key = lanes_int(x, &lanes, x->k->e->lhs[x->k->key_dim]), bound[2] = {x->lo, x->hi};
    for (int w = 0; w < 2; w++) { /* of the type that the keys have in memory: they are sizes of a dim */
        bound[w] = LLVMBuildTrunc(x->b, bound[w], LLVMGetElementType(LLVMTypeOf(key)), "");
        bound[w] = lanes_splat(x, bound[w], WORD);
    }
    LLVMValueRef in = LLVMBuildAnd(x->b, in_range(x, key, bound[0], bound[1]), lanes.mask, "");
    for (int i = 0; i < s->n.ntests; i++) {
        const Test *t = &s->n.tests[i];
        if (t->level == g->level && t->bound < 0 && lanes_can(t->s, letter) && scalar_is_safe(x->k->e, t->s)) {
            in = LLVMBuildAnd(x->b, in, lanes_value(x, &lanes, t->s), "");
            s->is_listed[i] = true;
        }
    }
    return LLVMBuildBitCast(x->b, in, x->i64, "");
}

/* The same one by one, without branches. */
static LLVMValueRef find_scalars(Search *g)
{
    Emit *x = g->s->x;
    LLVMValueRef found = emit_local(x, x->i64, "found");
    LLVMBuildStore(x->b, emit_i64(x, 0), found);
    Loop l;
    loop_begin(x, &l, "key", g->first, g->end, 1);
    x->letter[g->s->n.order[g->level]] = l.i;
    LLVMValueRef in = in_range(x, emit_scalar(x, x->k->e->lhs[x->k->key_dim]), x->lo, x->hi);
    LLVMValueRef bit =
        LLVMBuildShl(x->b, LLVMBuildZExt(x->b, in, x->i64, ""), LLVMBuildSub(x->b, l.i, g->first, ""), "");
    LLVMBuildStore(x->b, LLVMBuildOr(x->b, LLVMBuildLoad2(x->b, x->i64, found, ""), bit, ""), found);
    loop_end(x, &l);
    return LLVMBuildLoad2(x->b, x->i64, found, "");
}

/* Looks at a word of keys at a time, then runs from one set bit to the next. */
void rows_listed(Loops *s, int level)
{
    Emit *x = s->x;
    const Equation *e = x->k->e;
    int letter = s->n.order[level];
    LLVMValueRef lo, hi, left = emit_local(x, x->i64, "left");
    loops_range(s, level, &lo, &hi);
    Loop word;
    loop_begin(x, &word, "word", lo, hi, WORD);
    Search g = {.s = s, .level = level, .first = word.i};
    g.end = emit_min(x, hi, LLVMBuildNSWAdd(x->b, word.i, emit_i64(x, WORD), ""));
    int mark = scope_enter(x);
    LLVMValueRef found = lanes_can(e->lhs[x->k->key_dim], letter) ? find_vectors(&g) : find_scalars(&g);
    scope_leave(x, mark);
    LLVMBuildStore(x->b, found, left);

    LLVMBasicBlockRef head = emit_block(x, "more"), body = emit_block(x, e->letters[letter].name);
    LLVMBasicBlockRef done = LLVMCreateBasicBlockInContext(x->ctx, "looked");
    LLVMBuildBr(x->b, head);
    LLVMPositionBuilderAtEnd(x->b, head);
    LLVMValueRef bits = LLVMBuildLoad2(x->b, x->i64, left, ""), zero = emit_i64(x, 0);
    LLVMBuildCondBr(x->b, LLVMBuildICmp(x->b, LLVMIntNE, bits, zero, ""), body, done);
    LLVMPositionBuilderAtEnd(x->b, body);
    mark = scope_enter(x);
    LLVMBuildStore(x->b, LLVMBuildAnd(x->b, bits, LLVMBuildSub(x->b, bits, emit_i64(x, 1), ""), ""), left);
    LLVMValueRef at = emit_intrinsic(x, "llvm.cttz", 1, &x->i64, 2, (LLVMValueRef[]){bits, LLVMConstInt(x->i1, 1, 0)});
    x->letter[letter] = LLVMBuildNSWAdd(x->b, word.i, at, "");
    loops_require(s, level, head);
    loops_hoist(s, level);
    loops_level(s, level + 1);
    LLVMBuildBr(x->b, head);
    scope_leave(x, mark);
    LLVMAppendExistingBasicBlock(x->fn, done);
    LLVMPositionBuilderAtEnd(x->b, done);
    loop_end(x, &word);
    x->letter[letter] = NULL;
}
