/* Products that gather a sum over all tiles of an example, with few columns and many rows: gradients of keys and
 * values,
 *
 *     gv[j, f] += sum over the tile's i of a[i, j] * go[i, f]        f < 50: 14 of the 64 lanes of a tile of C are idle
 *
 * are summed transposed, C' = B' A', rows f and lanes along j, which is long, in memory that the call keeps from tile
 * to tile and turns into C after the last one. Every element is the same chain of fused multiply-adds over ascending k,
 * so that no bit changes.
 *
 *     kept:  panel 0: columns 0..47 of C'     panel 1: 48..95      one behind another, `width` columns each
 *            ┌────────────────┐               ┌──────────────
 *            │ m rows         │               │
 *
 * A condition between k and column (j <= i) gives every value of k its own interval of columns. What the panel's whole
 * width takes part in runs at full speed; before and behind it lanes are masked per value of k, for all rows alike. */
#ifndef HEDDLE_PRODUCT_TURNED_H
#define HEDDLE_PRODUCT_TURNED_H

#include "product_micro.h"

int gemm_turned_width(const GemmTarget *t); /* columns of a panel */

/* Whether so many rows of C of so few columns, each a sum of so many values over all tiles, are better summed so: by
 * the lanes that idle and what the end costs. rows, sums: 0 if they have no bound. */
bool gemm_turned_pays(const GemmTarget *t, int64_t columns, double rows, double sums);

/* Elements that m rows of n columns of sums take (a multiple of a vector's). */
LLVMValueRef gemm_turned_size(const GemmTarget *t, LLVMBuilderRef b, LLVMValueRef m, LLVMValueRef n);

/* Adds a product to the sums at op->kept: rows of op->m, columns from kept_n0 (a multiple of the width) on of all_n;
 * op->a_m and b_n are 1. n_range, or NULL, is of a value of k: [out[0], out[1]) of the columns counted from kept_n0. */
void gemm_turned(const GemmTarget *t, LLVMBuilderRef b, const Gemm *op, LLVMValueRef all_n);

/* Writes or adds the sums at op->kept, m rows of n columns, to C at op->c, whose c_m is 1. */
void gemm_turned_end(const GemmTarget *t, LLVMBuilderRef b, const Gemm *op, bool adds);

/* All rows against one panel of columns; the parts of products that kernels share. */
LLVMValueRef gemm_turned_strip(GemmBuild *g, int nv, LLVMTypeRef *type);

#endif
