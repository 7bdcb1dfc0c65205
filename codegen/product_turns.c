/* Which products of a cluster are summed transposed: product_turned.h says how. */
#include "product_match.h"
#include "product_turned.h"

bool product_turns(const KernelInfo *k, const Product *p, Product *turned)
{
    const Equation *e = k->e;
    const ProductIndex *sum = &p->index[INDEX_K], *m = &p->index[INDEX_M], *n = &p->index[INDEX_N];
    if (!k->tile || k->item < 0 || k->scan < 0 || k->products != PRODUCTS_F32 || equation_is_output(e, k->item) ||
        !e->dst->per_example || e->dst->tile_dim > 0 || sum->n != 1 || sum->nrows > 0 || sum->letter[0] != k->item ||
        m->is_listed || m->n != 1 || m->nrows > 0 || n->nrows > 0 || !n->is_known ||
        !product_is_plain(e, p, PRODUCT_C) || !product_match_turned(e, k->scan, p, turned)) {
        return false;
    }
    /* Lanes run along the rows of A and along those of C. */
    const int j = m->letter[0], f = n->letter[n->n - 1];
    if (p->stride[PRODUCT_A][j] != 1 || p->stride[PRODUCT_B][f] != 1 || p->stride[PRODUCT_C][f] != 1) {
        return false;
    }
    for (int i = 0; i < turned->nbounds; i++) {
        const ProductBound *b = &turned->bound[i];
        if (b->by < 0 && b->letter != k->item) {
            return false;
        }
    }
    for (int l = 0; l < e->nletters; l++) { /* whose sums lie one behind another */
        int parent = e->letters[l].parent;
        if (l != k->scan && p->dim[PRODUCT_C][l] >= 0 && (p->is_loop[l] || (parent >= 0 && parent != k->scan))) {
            return false;
        }
    }
    GemmTarget t;
    product_target(&t, k->target, NULL, k->real == DT_F64);
    /* A condition between rows and what is summed leaves half of each. */
    double part = turned->nbounds > 0 ? 0.5 : 1;
    int64_t rows = axis_bound(e->letters[j].axis), sums = axis_bound(e->letters[k->item].axis);
    return gemm_turned_pays(&t, n->size, rows > 0 ? part * (double)rows : 0, sums > 0 ? part * (double)sums : 0);
}
