/* How a matrix product runs, decided before its kernel is described; product.c emits what was decided. */
#ifndef HEDDLE_PRODUCT_CHOOSE_H
#define HEDDLE_PRODUCT_CHOOSE_H

#include "product_match.h"

/* The product as it was chosen: product_choose (internal.h) may have turned it. */
bool product_match_chosen(const KernelInfo *k, Product *p, const char **why);

bool product_bounds(const Product *p, int letter); /* whether a condition bounds the letter, or another by it */

/* Columns of a panel of B, and of a panel of what the tiles of an example keep. */
int product_panel_width(const KernelInfo *k, const Product *p);
int product_kept_width(const KernelInfo *k, const Product *p);

#endif
