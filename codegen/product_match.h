/* How an equation maps onto matrix products: which of its letters are rows, columns and summed, which are loops. */
#ifndef HEDDLE_PRODUCT_MATCH_H
#define HEDDLE_PRODUCT_MATCH_H

#include "internal.h"

enum { PRODUCT_A, PRODUCT_B, PRODUCT_C };        /* C[m, n] = sum over k of A[m, k] * B[k, n] */
enum { INDEX_M, INDEX_N, INDEX_K, INDEX_OUTER }; /* what a letter is */

/* Letters that lie behind one another in both tensors that have them, so that they count as one index: for the
 * packed rows of the batch first the example and its list, then letters of fixed sizes. Outermost first. */
typedef struct {
    int n, letter[MAX_LETTERS];
    int nrows;    /* the first nrows letters are the rows of the batch together: b, or b and i, or b, i and l */
    int64_t size; /* product of the sizes known now; the others (rows, or a ragged first letter) count at run time */
    bool is_known;
    bool is_listed; /* one letter whose elements do not lie evenly: each row's address is computed by itself */
} ProductIndex;

/* A condition between letters of the product: `of` < or <= something, or the other way round, solved for `letter`
 * (which stands in it with coefficient 1 or -1); `by` is the row it depends on, or -1: on outer letters alone. */
typedef struct {
    const Scalar *less, *more; /* less < more, or less <= more */
    bool is_strict;
    int letter, by, sign; /* sign: coefficient of letter in less - more */
} ProductBound;

typedef struct {
    const Tensor *tensor[3];
    Layout layout[3];
    Scalar *const *at[3];           /* index expressions by dim */
    int dim[3][MAX_LETTERS];        /* dim whose index moves with the letter, or -1 */
    int64_t stride[3][MAX_LETTERS]; /* elements between neighbours along it; 0: known at run time only */
    int role[MAX_LETTERS];          /* INDEX_* */
    bool is_loop[MAX_LETTERS];      /* moves an index otherwise than by one step of one dim: always a loop */
    ProductIndex index[3];          /* m, n, k */
    int nouter, outer[MAX_LETTERS]; /* loops around the product, outermost first; the scan letter is none of them */
    int nbounds;
    ProductBound bound[MAX_LETTERS];
    int nguards;
    const Scalar *guard[MAX_LETTERS]; /* conditions on outer letters and a listed row alone */
    bool adds;                        /* several products add into the same cells */
    bool is_partial;                  /* some cells of dst are not written */
} Product;

/* False, with a reason, if the equation is not such a product. */
bool product_match(const Equation *e, int scan, Product *p, const char **why);
/* A match p with the rows of C as columns and the columns as rows. Conditions between k and rows of p become such
 * between k and columns, bounds `by` the value of k; others than these, of one letter or two, are in the way. */
bool product_match_turned(const Equation *e, int scan, const Product *p, Product *turned);
/* Whether the product p of k, in a cluster, is better summed transposed (product_turned.h); *turned: what it then is.
 */
bool product_turns(const KernelInfo *k, const Product *p, Product *turned);
/* Whether a tensor's every index is a constant or a letter over the very axis of its dim, or over a part of that. */
bool product_is_plain(const Equation *e, const Product *p, int tensor);
int product_deepest_row(const Product *p, int index); /* letter that counts the rows of the batch, or -1 */

struct GemmTarget;
/* module: NULL before there is one, for questions about sizes alone. */
void product_target(struct GemmTarget *g, const Target *t, LLVMModuleRef module, bool is_double);

#endif
