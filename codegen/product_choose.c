/* What a matrix product needs before its kernel is emitted: how its work is cut, what its tiles keep, and its
 * precision. */
#include "product_choose.h"
#include "fault.h"
#include "product_amx.h"
#include "product_turned.h"
#include "units.h"

enum { REDUCE_ROWS = 512, LARGE_OUTPUT = 1 << 18, ITEM_FLOP = 4000000, MANY_COLUMNS = 2048, COLUMNS = 512 };

bool product_bounds(const Product *p, int letter)
{
    for (int i = 0; i < p->nbounds; i++) {
        if (p->bound[i].letter == letter || p->bound[i].by == letter) {
            return true;
        }
    }
    return false;
}

/* Multiply-adds of an index or loop; what is not known counts with half its bound. */
static double estimate(const Equation *e, int letter)
{
    int64_t n = axis_static_size(e->letters[letter].axis), bound = axis_bound(e->letters[letter].axis);
    return n >= 0 ? (double)n : bound > 0 ? 0.5 * (double)bound : 1;
}

static double flop_per_item(const KernelInfo *k, const Product *p)
{
    double flop = 2;
    for (int l = 0; l < k->e->nletters; l++) {
        bool is_row = false;
        for (int r = 0; r < 3; r++) {
            for (int i = 0; i < p->index[r].nrows; i++) {
                is_row = is_row || p->index[r].letter[i] == l;
            }
        }
        if (l != k->item && l != k->scan && !is_row) {
            flop *= estimate(k->e, l);
        }
    }
    for (int i = 0; i < p->nbounds; i++) {
        flop *= p->bound[i].by >= 0 ? 0.5 : 1;
    }
    return flop;
}

static int64_t clamp(double x, int64_t lo, int64_t hi)
{
    return x < (double)lo ? lo : x > (double)hi ? hi : (int64_t)x;
}

/* Scores of a catalogue for each example: a few rows, which one task would do, against so many columns that each task
 * has enough of them, and packs them alone. */
static bool cuts_columns(const KernelInfo *k, const Product *p)
{
    const ProductIndex *m = &p->index[INDEX_M], *n = &p->index[INDEX_N];
    bool by_example = m->n == 1 && k->e->letters[m->letter[0]].axis->kind == AXIS_BATCH;
    return by_example && k->row < 0 && k->scan < 0 && n->n == 1 && n->nrows == 0 && n->is_known &&
           n->size >= MANY_COLUMNS && !product_bounds(p, n->letter[0]) && !runs_in_levels(k->g);
}

static void choose_split(KernelInfo *k, const Product *p)
{
    const ProductIndex *m = &p->index[INDEX_M], *n = &p->index[INDEX_N], *sum = &p->index[INDEX_K];
    k->split = SPLIT_NONE;
    k->item = k->key_dim = -1;
    if (k->tile) {
        k->split = SPLIT_TILE;
        k->item = equation_tile_letter(k->e);
        return;
    }
    int batch = -1;
    for (int i = p->nouter - 1; i >= 0; i--) {
        int l = p->outer[i];
        if (k->e->letters[l].axis->kind == AXIS_BATCH && (batch < 0 || equation_is_output(k->e, l))) {
            batch = l;
        }
    }
    if (cuts_columns(k, p)) {
        k->split = SPLIT_FIXED;
        k->item = n->letter[0];
    } else if (m->is_listed && k->e->letters[m->letter[0]].axis->kind == AXIS_BATCH) {
        k->split = SPLIT_BATCH;
        k->item = m->letter[0];
    } else if (m->nrows > 0 || n->nrows > 0) {
        int rows = m->nrows > 0 ? INDEX_M : INDEX_N;
        k->split = p->index[rows].nrows > 1 ? SPLIT_ROWS : SPLIT_BATCH;
        k->item = product_deepest_row(p, rows);
    } else if (batch >= 0 && equation_is_output(k->e, batch)) {
        k->split = SPLIT_BATCH;
        k->item = batch;
    } else if (m->n == 1 && m->is_known && n->is_known && m->size >= 64 && m->size * n->size >= LARGE_OUTPUT &&
               !product_bounds(p, m->letter[0]) && batch < 0) {
        k->split = SPLIT_FIXED;
        k->item = m->letter[0];
    } else if (sum->nrows > 0 || batch >= 0) {
        k->split = SPLIT_REDUCE;
        k->item = sum->nrows > 0 ? product_deepest_row(p, INDEX_K) : batch;
    }
}

/* The letter that is cut into tiles counts an index alone, is its outermost letter, or a loop. */
static bool can_tile(const KernelInfo *k, const Product *p)
{
    for (int r = 0; r < 3; r++) {
        for (int i = 0; i < p->index[r].n; i++) {
            if (p->index[r].letter[i] == k->item && (i > 0 || p->index[r].nrows > 0)) {
                return false;
            }
        }
    }
    return true;
}

static bool is_written_by(const Graph *g, int cluster, const Tensor *t)
{
    for (int i = 0; i < g->nequations; i++) {
        if (g->equations[i]->cluster == cluster && g->equations[i]->dst == t) {
            return true;
        }
    }
    return false;
}

static bool bounds_columns(const Product *p, bool by_row)
{
    for (int i = 0; i < p->nbounds; i++) {
        if (p->role[p->bound[i].letter] == INDEX_N && (p->bound[i].by >= 0) == by_row) {
            return true;
        }
    }
    return false;
}

/* Columns of a panel of B. What a condition leaves of them is not known now. */
int product_panel_width(const KernelInfo *k, const Product *p)
{
    GemmTarget g;
    product_target(&g, k->target, NULL, k->real == DT_F64);
    const ProductIndex *n = &p->index[INDEX_N];
    if (k->products != PRODUCTS_F32) {
        return AMX_ROWS;
    }
    bool whole = n->is_known && !bounds_columns(p, true) && !bounds_columns(p, false);
    return gemm_panel_width(&g, whole ? n->size : 0);
}

int product_kept_width(const KernelInfo *k, const Product *p)
{
    GemmTarget g;
    product_target(&g, k->target, NULL, k->real == DT_F64);
    return k->turns ? gemm_turned_width(&g) : product_panel_width(k, p);
}

/* Whether B is packed, and the same for all tiles of an example: whole letters of the example alone lead to it, and no
 * equation of the cluster writes it. */
static bool keeps_operand(const KernelInfo *k, const Product *p)
{
    const Equation *e = k->e;
    const Tensor *b = p->tensor[PRODUCT_B];
    if (!k->tile || k->item < 0 || k->scan < 0 || p->index[INDEX_M].is_listed || b->tile_dim > 0 ||
        is_written_by(k->g, e->cluster, b) || (bounds_columns(p, false) && !bounds_columns(p, true))) {
        return false;
    }
    for (int l = 0; l < e->nletters; l++) {
        int parent = e->letters[l].parent;
        if (l != k->scan && p->dim[PRODUCT_B][l] >= 0 &&
            (l == k->item || p->is_loop[l] || (parent >= 0 && parent != k->scan))) {
            return false;
        }
    }
    const ProductIndex *n = &p->index[INDEX_N], *sum = &p->index[INDEX_K];
    if (n->nrows > 0 || sum->nrows > 0 || p->stride[PRODUCT_C][n->letter[n->n - 1]] != 1 ||
        !product_is_plain(e, p, PRODUCT_B)) {
        return false;
    }
    if (k->products != PRODUCTS_F32) {
        return true;
    }
    GemmTarget g;
    product_target(&g, k->target, NULL, k->real == DT_F64);
    return gemm_packs(&g, p->stride[PRODUCT_B][n->letter[n->n - 1]] == 1, p->stride[PRODUCT_B][sum->letter[sum->n - 1]],
                      n->is_known ? n->size : 0);
}

/* Whether the last letter of an index lies side by side in a tensor. */
static bool is_beside(const Product *p, int tensor, int index)
{
    const ProductIndex *i = &p->index[index];
    return !i->is_listed && p->stride[tensor][i->letter[i->n - 1]] == 1;
}

/* Why a product stays in f32 where bf16 is asked for, or NULL: where rounding and packing into tiles would cost more
 * than the product, and shapes that packing does not know. */
static const char *why_f32(const KernelInfo *k, const Product *p)
{
    enum { LEAST = 16 };
    bool bounded = false;
    if (k->scan >= 0 && !k->tile) {
        return "a step of a recurrence would round its weights again at every position";
    }
    for (int r = 0; r < 3; r++) {
        const ProductIndex *i = &p->index[r];
        if (i->n == 0 || (i->is_known && i->nrows == 0 && i->size < LEAST)) {
            return "fewer than 16 rows, columns or summed values fill too little of a tile";
        }
    }
    for (int i = 0; i < p->nbounds; i++) {
        bounded = bounded || p->bound[i].by >= 0;
    }
    bool a = is_beside(p, PRODUCT_A, INDEX_K) || is_beside(p, PRODUCT_A, INDEX_M);
    bool b = is_beside(p, PRODUCT_B, INDEX_K) || is_beside(p, PRODUCT_B, INDEX_N);
    bool turns = !bounded && !p->index[INDEX_M].is_listed;
    bool c = is_beside(p, PRODUCT_C, INDEX_N) || (turns && is_beside(p, PRODUCT_C, INDEX_M));
    return a && b && c ? NULL : "in an operand or the result neither index lies side by side";
}

bool product_choose(KernelInfo *k)
{
    Product p, turned;
    const char *why;
    if (!product_match(k->e, k->scan, &p, &why)) {
        return false;
    }
    const ProductIndex *m = &p.index[INDEX_M], *n = &p.index[INDEX_N];
    if ((m->is_known && m->size < 3) || (n->is_known && n->size < 3)) {
        return false; /* most lanes or rows of every tile would be empty */
    }
    choose_split(k, &p);
    if (k->tile ? !can_tile(k, &p) : k->scan >= 0 && k->split != SPLIT_BATCH) {
        return false; /* a scan is cut over its examples, each with all its positions */
    }
    bool sums_positions = (k->scan >= 0 && !equation_is_output(k->e, k->scan)) ||
                          (k->tile && k->item >= 0 && !equation_is_output(k->e, k->item) && !FAULT(39));
    k->accumulate = k->split == SPLIT_REDUCE || sums_positions || (p.adds && !FAULT(29));
    k->zero = k->accumulate || ((p.is_partial || !k->alone) && !k->unread);
    if (k->asked != PRODUCTS_F32) {
        k->why_f32 = why_f32(k, &p);
        k->products = k->why_f32 ? PRODUCTS_F32 : k->asked;
    }
    double flop = flop_per_item(k, &p);
    int64_t least = k->products == PRODUCTS_F32 ? 192 : 512; /* rows per packing of B */
    if (k->split == SPLIT_REDUCE) {
        k->grain = p.index[INDEX_K].nrows > 0 ? REDUCE_ROWS : clamp(20 * ITEM_FLOP / flop, 1, 16);
    } else {
        /* Whole tiles; and enough rows to be worth reading, perhaps packing, all of B for them. */
        k->grain = clamp(ITEM_FLOP / flop,
                         m->nrows > 1 || k->split == SPLIT_FIXED ? least
                         : m->nrows > 0                          ? 48
                                                                 : 1,
                         1536);
        k->grain = k->split == SPLIT_FIXED && k->item == n->letter[0] ? COLUMNS
                   : k->grain > 48                                    ? k->grain / 48 * 48
                                                                      : k->grain;
    }
    k->is_product = true;
    k->turns = product_turns(k, &p, &turned);
    k->keeps = k->turns || keeps_operand(k, &p);
    k->zero = k->zero && !(k->turns && k->sole && !p.is_partial); /* what was kept is written whole */
    return true;
}

/* The product as it was chosen. */
bool product_match_chosen(const KernelInfo *k, Product *p, const char **why)
{
    Product plain;
    return k->turns ? product_match(k->e, k->scan, &plain, why) && product_match_turned(k->e, k->scan, &plain, p)
                    : product_match(k->e, k->scan, p, why);
}

double product_flop(const KernelInfo *k)
{
    Product p;
    const char *why;
    return k->is_product && product_match_chosen(k, &p, &why) ? flop_per_item(k, &p) : 0;
}
