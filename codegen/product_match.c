/* Recognises C[..] = sum of A[..] * B[..] as matrix products and finds the largest one: a letter of A and C is a row,
 * of B and C a column, of A and B summed, of all three (or of C alone) a loop around. Then letters that lie behind
 * one another are counted as one index, so that the products become few and large:
 *
 *     q[b,i,h,e] = sum d: x[b,i,d] * W[d,h,e]      rows (b,i) packed over the whole batch, columns (h,e)
 *     s[b,h,i,j] = sum e: q[b,i,h,e] * k[b,j,h,e]  loops b, h; rows i, columns j
 *     gW[d,h,e]  = sum b,i: x[b,i,d] * gq[b,i,h,e] rows d, columns (h,e), summed (b,i) packed */
#include "product_match.h"
#include <string.h>

static bool has(const Product *p, int tensor, int letter)
{
    return p->dim[tensor][letter] >= 0;
}

/* Coefficient of a letter in an integer expression: -1, 0 or 1; 2 if it is anything else. */
static int coefficient(const Scalar *s, int letter)
{
    if (s->op == OP_LETTER) {
        return s->inum == letter;
    }
    if (!sc_uses_letter(s, letter)) {
        return 0;
    }
    int c = 2;
    if (s->op == OP_add || s->op == OP_sub) {
        int a = coefficient(s->args[0], letter), b = coefficient(s->args[1], letter);
        c = a == 2 || b == 2 ? 2 : s->op == OP_add ? a + b : a - b;
    } else if (s->op == OP_neg) {
        int a = coefficient(s->args[0], letter);
        c = a == 2 ? 2 : -a;
    } else if (s->op == OP_INJECT) {
        c = coefficient(s->args[0], letter);
        for (int i = 1; i < s->nargs; i++) {
            c = sc_uses_letter(s->args[i], letter) ? 2 : c;
        }
    }
    return c < -1 || c > 1 ? 2 : c;
}

static const Scalar *load_in(const Scalar *s)
{
    return s->op == OP_LOAD && s->type == TYPE_REAL && s->tensor->elem == ELEM_REAL && !s->at ? s : NULL;
}

/* Fills dim[t] and the strides. */
static bool read_operand(const Equation *e, Product *p, int t, const Tensor *tensor, Scalar *const *at,
                         const char **why)
{
    p->tensor[t] = tensor;
    p->at[t] = at;
    if (!tensor_layout(tensor, &p->layout[t], why)) {
        return false;
    }
    const Tensor *tensors[1] = {tensor};
    KernelInfo k = {.e = e, .ntensors = 1, .tensors = tensors, .layouts = &p->layout[t]};
    for (int l = 0; l < e->nletters; l++) {
        p->dim[t][l] = -1;
        for (int d = 0; d < tensor->ndim; d++) {
            if (sc_uses_letter(at[d], l)) {
                p->is_loop[l] = p->is_loop[l] || p->dim[t][l] >= 0 || coefficient(at[d], l) != 1;
                p->dim[t][l] = d;
            }
        }
        p->stride[t][l] = p->dim[t][l] >= 0 ? static_stride(&k, 0, p->dim[t][l]) : 0;
    }
    return true;
}

/* ---- rows of the batch --------------------------------------------------------------------------------------- */

/* The letters chain[0..n) (the example, its list, lists in it) count the rows of tensor t densely over the batch. */
static bool counts_rows(const Equation *e, const Product *p, int t, const int *chain, int n)
{
    const Tensor *tensor = p->tensor[t];
    const Layout *l = &p->layout[t];
    if (!tensor->per_example || l->batch_dims > 0 || l->nsig != (n > 1)) {
        return false;
    }
    for (int i = 0; i < n; i++) {
        int d = p->dim[t][chain[i]];
        if (d < 0 || p->at[t][d]->op != OP_LETTER || l->order[i] != d || tensor->dims[d] != e->letters[chain[i]].axis ||
            (i > 1 && l->parent[d] != l->order[i - 1])) {
            return false;
        }
    }
    return n == 1 || l->sig[0] == e->letters[chain[n - 1]].axis;
}

static bool in_conds(const Equation *e, int letter)
{
    for (int i = 0; i < e->nconds; i++) {
        if (sc_uses_letter(e->conds[i], letter)) {
            return true;
        }
    }
    return false;
}

/* Finds the example's letter, and whether it and its lists can be rows of index `role` together. */
static void find_rows(const Equation *e, Product *p, int role)
{
    int t0 = role == INDEX_N ? PRODUCT_B : PRODUCT_A, t1 = role == INDEX_K ? PRODUCT_B : PRODUCT_C;
    for (int b = 0; b < e->nletters; b++) {
        if (e->letters[b].axis->kind != AXIS_BATCH || p->role[b] != role || p->is_loop[b] || in_conds(e, b)) {
            continue;
        }
        int chain[MAX_LETTERS] = {b}, n = 1;
        for (int l = 0; l < e->nletters; l++) {
            if (e->letters[l].parent == chain[n - 1] && p->role[l] == role && axis_is_ragged(e->letters[l].axis) &&
                !p->is_loop[l] && !in_conds(e, l)) {
                chain[n++] = l;
                l = -1;
            }
        }
        bool is_parent = false; /* of a letter that is not a row: its size needs the example */
        for (int l = 0; l < e->nletters; l++) {
            bool in_chain = false;
            for (int i = 0; i < n; i++) {
                in_chain = in_chain || chain[i] == l;
            }
            for (int i = 0; i < n; i++) {
                is_parent = is_parent || (!in_chain && e->letters[l].parent == chain[i]);
            }
        }
        if (!is_parent && counts_rows(e, p, t0, chain, n) && counts_rows(e, p, t1, chain, n)) {
            ProductIndex *x = &p->index[role];
            x->n = x->nrows = n;
            memcpy(x->letter, chain, sizeof chain);
            for (int i = 0; i < n; i++) {
                p->stride[t0][chain[i]] = p->layout[t0].fixed;
                p->stride[t1][chain[i]] = p->layout[t1].fixed;
            }
            return;
        }
    }
}

/* ---- indices -------------------------------------------------------------------------------------------------- */

static int64_t known_size(const Equation *e, int letter)
{
    return axis_static_size(e->letters[letter].axis);
}

/* Whether neighbours along the letter lie equally far apart in tensor t, with all other indices standing still. Not so
 * between examples of different lengths, nor between positions that have lists of their own in the tensor. */
static bool is_even(const Equation *e, const Product *p, int t, int letter)
{
    const Layout *l = &p->layout[t];
    int d = p->dim[t][letter];
    if (d < 0) {
        return true;
    }
    for (int i = 0; i < p->tensor[t]->ndim; i++) {
        if (l->parent[i] == d) {
            return false;
        }
    }
    return e->letters[letter].axis->kind != AXIS_BATCH;
}

/* The longest run that ends with letters[end - 1]: strides[..] are what one more letter outside would need. */
static ProductIndex run_before(const Equation *e, const Product *p, int t0, int t1, const int *letters, int end,
                               int64_t need[2])
{
    ProductIndex run = {.size = 1, .is_known = true};
    int first = end;
    bool open = true;
    need[0] = need[1] = 0;
    while (first > 0 && open) {
        int l = letters[first - 1];
        int64_t size = known_size(e, l), s0 = p->stride[t0][l], s1 = p->stride[t1][l];
        if (first < end && (in_conds(e, l) || s0 == 0 || s0 != need[0] || s1 != need[1])) {
            break;
        }
        first--;
        run.is_known = size >= 0;
        run.size *= size < 0 ? 1 : size;
        open = size >= 0 && s0 > 0 && s1 > 0 && !in_conds(e, l);
        need[0] = open ? s0 * size : 0;
        need[1] = open ? s1 * size : 0;
    }
    run.n = end - first;
    memcpy(run.letter, letters + first, (size_t)run.n * sizeof *letters);
    return run;
}

/* Collects the letters of a role into runs that count as one index and keeps the best run; the other letters become
 * loops. Best are the rows of the batch; then, for columns, what lies side by side in C; then the longest. */
static void find_index(const Equation *e, Product *p, int role)
{
    int t0 = role == INDEX_N ? PRODUCT_B : PRODUCT_A, t1 = role == INDEX_K ? PRODUCT_B : PRODUCT_C;
    ProductIndex rows = p->index[role], runs[MAX_LETTERS + 1];
    int letters[MAX_LETTERS], n = 0, nruns = 0;
    for (int l = 0; l < e->nletters; l++) {
        bool is_row = false;
        for (int i = 0; i < rows.nrows; i++) {
            is_row = is_row || rows.letter[i] == l;
        }
        if (p->role[l] != role || is_row || p->is_loop[l] || !is_even(e, p, t0, l) || !is_even(e, p, t1, l)) {
            continue;
        }
        int i = n++; /* by stride, greatest first; an unknown one before all */
        while (i > 0 && p->stride[t1][letters[i - 1]] != 0 &&
               (p->stride[t1][l] == 0 || p->stride[t1][letters[i - 1]] < p->stride[t1][l])) {
            letters[i] = letters[i - 1];
            i--;
        }
        letters[i] = l;
    }
    int64_t need[2] = {0};
    for (int end = n; end > 0; end -= runs[nruns++].n) {
        runs[nruns] = run_before(e, p, t0, t1, letters, end, need);
    }
    if (rows.nrows > 0) {
        int l = rows.letter[0];
        if (nruns > 0 && need[0] > 0 && need[0] == p->stride[t0][l] && need[1] == p->stride[t1][l]) {
            ProductIndex *inner = &runs[nruns - 1];
            memcpy(rows.letter + rows.nrows, inner->letter, (size_t)inner->n * sizeof *inner->letter);
            rows.n = rows.nrows + inner->n;
            rows.size = inner->size;
            *inner = rows;
        } else {
            rows.size = 1;
            runs[nruns++] = rows;
        }
    }
    double most = -1;
    for (int i = 0; i < nruns; i++) {
        const ProductIndex *run = &runs[i];
        double value = run->nrows ? 1e18 : run->is_known ? (double)run->size : 100.0 * (double)run->size;
        if (role == INDEX_N && p->stride[PRODUCT_C][run->letter[run->n - 1]] == 1) {
            value += 1e15;
        }
        if (value > most) {
            most = value;
            p->index[role] = *run;
        }
    }
}

/* Rows that do not lie evenly: the examples at one position of a scan over lists of different lengths, rows found
 * through a gather, rows that a condition on data picks. One letter counts them, the example if it can; n and k must be
 * the same for all. */
static void find_list(const Equation *e, Product *p)
{
    int best = -1;
    for (int l = 0; l < e->nletters; l++) {
        bool is_parent = false;
        for (int i = 0; i < e->nletters; i++) {
            is_parent = is_parent || (e->letters[i].parent == l && p->role[i] != INDEX_OUTER);
        }
        if (p->role[l] == INDEX_M && !is_parent && (best < 0 || e->letters[best].axis->kind != AXIS_BATCH)) {
            best = l;
        }
    }
    if (best >= 0) {
        p->index[INDEX_M] = (ProductIndex){.n = 1, .letter = {best}, .size = 1, .is_listed = true};
    }
}

/* Adds the letters that are in no index to the loops, parents first. */
static bool find_loops(const Equation *e, int scan, Product *p, const char **why)
{
    unsigned inner = 0, bound = scan >= 0 ? 1u << scan : 0;
    for (int r = 0; r < 3; r++) {
        for (int i = 0; i < p->index[r].n; i++) {
            inner |= 1u << p->index[r].letter[i];
        }
    }
    for (int r = 0; r < 3; r++) {
        const ProductIndex *x = &p->index[r];
        for (int i = x->nrows; i < x->n; i++) {
            int parent = e->letters[x->letter[i]].parent;
            if (parent >= 0 && inner >> parent & 1) {
                *why = "the size of an index depends on another index of the product";
                return false;
            }
        }
    }
    for (bool more = true; more;) {
        more = false;
        for (int l = 0; l < e->nletters; l++) {
            int parent = e->letters[l].parent;
            if ((inner | bound) >> l & 1 || (parent >= 0 && !(bound >> parent & 1))) {
                continue;
            }
            if (!equation_is_output(e, l)) {
                p->adds = true;
            }
            p->outer[p->nouter++] = l;
            bound |= 1u << l;
            more = true;
        }
    }
    for (int l = 0; l < e->nletters; l++) {
        if (!((inner | bound) >> l & 1)) {
            *why = "the size of a loop depends on an index of the product";
            return false;
        }
        p->role[l] = inner >> l & 1 ? p->role[l] : INDEX_OUTER;
    }
    return true;
}

/* ---- conditions ----------------------------------------------------------------------------------------------- */

/* The index is the letter alone over its very axis, or over one part of a sum of axes. */
static bool is_letter(const Scalar *at, const Axis *of_dim, const Axis *of_letter)
{
    if (at->op == OP_INJECT) {
        return at->args[0]->op == OP_LETTER && axis_same(at->axis, of_dim) &&
               axis_same(of_dim->parts[at->inum], of_letter);
    }
    return at->op == OP_LETTER && axis_same(of_dim, of_letter);
}

/* Every index that moves with the letter is the letter alone: no condition keeps it in range. */
static bool is_plain(const Equation *e, const Product *p, int letter)
{
    for (int t = 0; t < 3; t++) {
        int d = p->dim[t][letter];
        if (d >= 0 && !is_letter(p->at[t][d], p->tensor[t]->dims[d], e->letters[letter].axis)) {
            return false;
        }
    }
    return true;
}

bool product_is_plain(const Equation *e, const Product *p, int tensor)
{
    for (int d = 0; d < p->tensor[tensor]->ndim; d++) {
        const Scalar *at = p->at[tensor][d], *inner = at->op == OP_INJECT ? at->args[0] : at;
        if (inner->op != OP_CONST &&
            (inner->op != OP_LETTER || !is_letter(at, p->tensor[tensor]->dims[d], e->letters[inner->inum].axis))) {
            return false;
        }
    }
    return true;
}

/* turned: a condition on the summed index and a column is one on the column. */
static bool find_bound(const Equation *e, Product *p, const Scalar *cond, bool turned, const char **why)
{
    *why = "a condition is not an interval of a summed index or a column";
    bool negated = cond->op == OP_not;
    const Scalar *c = negated ? cond->args[0] : cond;
    if ((c->op != OP_lt && c->op != OP_le) || c->args[0]->type != TYPE_INT || c->args[1]->type != TYPE_INT) {
        return false;
    }
    ProductBound *x = &p->bound[p->nbounds];
    x->less = c->args[negated];
    x->more = c->args[!negated];
    x->is_strict = (c->op == OP_lt) != negated;
    int letters[2] = {-1, -1}, n = 0, role[2];
    for (int l = 0; l < e->nletters; l++) {
        if (p->role[l] == INDEX_OUTER || !sc_uses_letter(cond, l)) {
            continue;
        }
        const ProductIndex *index = &p->index[p->role[l]];
        if (n == 2 || index->n != 1 || index->nrows || index->is_listed) {
            return false;
        }
        role[n] = p->role[l];
        letters[n++] = l;
    }
    /* Solve for the summed index or the column; the row is what it depends on. */
    int given = turned ? INDEX_K : INDEX_M, solved = n == 2 && role[0] == given ? 1 : 0;
    if (n == 2 && (role[!solved] != given || role[solved] == role[!solved] || (turned && role[solved] != INDEX_N) ||
                   !is_plain(e, p, letters[0]) || !is_plain(e, p, letters[1]))) {
        return false;
    }
    x->letter = letters[solved];
    x->by = n == 2 ? letters[!solved] : -1;
    int a = coefficient(x->less, x->letter), b = coefficient(x->more, x->letter);
    if (a == 2 || b == 2 || (a - b != 1 && a - b != -1)) {
        return false;
    }
    x->sign = a - b;
    if (n == 1 && role[0] != INDEX_K) {
        p->is_partial = true;
    }
    if (n == 2 && role[solved] == INDEX_N) {
        p->is_partial = true;
    }
    p->nbounds++;
    return true;
}

static void note_load(const Scalar *s, void *found)
{
    *(bool *)found = *(bool *)found || s->op == OP_LOAD;
}

static bool find_conditions(const Equation *e, Product *p, bool turned, const char **why)
{
    bool k_by_row = false, n_by_row = false;
    for (int i = 0; i < e->nconds; i++) {
        bool is_inner = false;
        for (int l = 0; l < e->nletters; l++) {
            bool listed = p->index[INDEX_M].is_listed && p->index[INDEX_M].letter[0] == l;
            is_inner = is_inner || (p->role[l] != INDEX_OUTER && !listed && sc_uses_letter(e->conds[i], l));
        }
        if (p->nbounds == MAX_LETTERS || p->nguards == MAX_LETTERS) {
            *why = "too many conditions";
            return false;
        }
        if (!is_inner) {
            bool loads = false;
            sc_walk(e->conds[i], note_load, &loads);
            if (loads && p->nbounds > 0) {
                *why = "a condition is in range only where one on an index of the product holds";
                return false;
            }
            p->guard[p->nguards++] = e->conds[i];
            p->is_partial = true;
            continue;
        }
        if (!find_bound(e, p, e->conds[i], turned, why)) {
            return false;
        }
        const ProductBound *x = &p->bound[p->nbounds - 1];
        k_by_row = k_by_row || (x->by >= 0 && p->role[x->letter] == INDEX_K);
        n_by_row = n_by_row || (x->by >= 0 && p->role[x->letter] == INDEX_N);
    }
    *why = "conditions tie rows to columns and to the summed index at once";
    return !(k_by_row && n_by_row);
}

/* ---- the whole ------------------------------------------------------------------------------------------------- */

static bool match_as(const Equation *e, int scan, const Scalar *a, const Scalar *b, bool list, bool turned, Product *p,
                     const char **why)
{
    memset(p, 0, sizeof *p);
    if (scan >= 0) {
        p->role[scan] = INDEX_OUTER;
    }
    if (!read_operand(e, p, PRODUCT_A, a->tensor, a->args, why) ||
        !read_operand(e, p, PRODUCT_B, b->tensor, b->args, why) ||
        !read_operand(e, p, PRODUCT_C, e->dst, e->lhs, why)) {
        return false;
    }
    for (int l = 0; l < e->nletters; l++) {
        int in = has(p, PRODUCT_A, l) | has(p, PRODUCT_B, l) << 1 | has(p, PRODUCT_C, l) << 2;
        if (l == scan) {
            continue;
        }
        static const int role[8] = {-1, -1, -1, INDEX_K, INDEX_OUTER, INDEX_M, INDEX_N, INDEX_OUTER};
        if (role[in] < 0) {
            *why = "a summed letter is not in both factors";
            return false;
        }
        p->role[l] = role[in];
    }
    for (int d = 0; d < e->dst->ndim; d++) {
        const Scalar *at = e->lhs[d];
        p->is_partial = p->is_partial || at->op != OP_LETTER || !axis_same(e->letters[at->inum].axis, e->dst->dims[d]);
    }
    for (int r = 0; r < 3; r++) {
        if (r == INDEX_M && list) {
            find_list(e, p);
        } else {
            find_rows(e, p, r);
            find_index(e, p, r);
        }
    }
    if (p->index[INDEX_M].n == 0 || p->index[INDEX_N].n == 0 || p->index[INDEX_K].n == 0) {
        *why = "one factor has no index of its own";
        return false;
    }
    if (list && e->letters[p->index[INDEX_M].letter[0]].axis->kind == AXIS_BATCH &&
        (p->stride[PRODUCT_A][p->index[INDEX_K].letter[p->index[INDEX_K].n - 1]] == 0 ||
         p->stride[PRODUCT_C][p->index[INDEX_N].letter[p->index[INDEX_N].n - 1]] == 0)) {
        *why = "the examples that are its rows are laid out differently";
        return false;
    }
    return find_loops(e, scan, p, why) && find_conditions(e, p, turned, why);
}

static bool match(const Equation *e, int scan, const Scalar *a, const Scalar *b, bool list, Product *p,
                  const char **why)
{
    return match_as(e, scan, a, b, list, false, p, why);
}

static int64_t last_stride(const Product *p, int tensor, int index)
{
    const ProductIndex *x = &p->index[index];
    return p->stride[tensor][x->letter[x->n - 1]];
}

bool product_match(const Equation *e, int scan, Product *p, const char **why)
{
    *why = "not a sum of a product of two tensors";
    if (e->op != RED_SUM || e->body->op != OP_mul || e->dst->elem != ELEM_REAL) {
        return false;
    }
    const Scalar *a = load_in(e->body->args[0]), *b = load_in(e->body->args[1]);
    if (!a || !b) {
        return false;
    }
    for (int d = 0; d < e->dst->ndim; d++) {
        for (int l = 0; l < e->nletters; l++) {
            if (!equation_is_output(e, l) && sc_uses_letter(e->lhs[d], l)) {
                *why = "the key of a sum is computed";
                return false;
            }
        }
    }
    const char *other;
    if (!match(e, scan, a, b, false, p, why)) { /* a condition may need the other factor's rows, or a list of rows */
        return match(e, scan, b, a, false, p, &other) || match(e, scan, a, b, true, p, &other) ||
               match(e, scan, b, a, true, p, &other);
    }
    /* Rows of the batch are rows; else columns are what lies side by side in C. */
    bool swap = p->index[INDEX_N].nrows > 0 || (!p->index[INDEX_M].nrows && last_stride(p, PRODUCT_C, INDEX_N) != 1 &&
                                                last_stride(p, PRODUCT_C, INDEX_M) == 1);
    if (swap) {
        Product q;
        if (match(e, scan, b, a, false, &q, &other)) {
            *p = q;
        } else if (p->index[INDEX_N].nrows > 0) {
            *why = other;
            return false;
        }
    }
    return true;
}

bool product_match_turned(const Equation *e, int scan, const Product *p, Product *turned)
{
    const Scalar *a = load_in(e->body->args[0]), *b = load_in(e->body->args[1]);
    bool as_written = p->at[PRODUCT_A] == a->args;
    const char *why;
    return match_as(e, scan, as_written ? b : a, as_written ? a : b, false, true, turned, &why);
}

int product_deepest_row(const Product *p, int index)
{
    const ProductIndex *x = &p->index[index];
    return x->nrows ? x->letter[x->nrows - 1] : -1;
}
