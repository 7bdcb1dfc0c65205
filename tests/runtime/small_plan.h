/* A model made by hand, whose kernels are plain C functions, so that the runtime is tested without a compiler.
 *
 *   axes     B batch, T ragged(max 5), D = 3, V = 10 ids, Y in T ragged(max 4), Z = T | D, K = 2
 *   inputs   item[T] of V, tag[T,Y] of V, weight[D], lr
 *   params   E[V,D], R[D,V] (orthogonal)
 *   values   x[T,D] = E[item[T],D]            rows          h[T,D] = 0.5 h[T-1,D] + x[T,D]     scan
 *            u[D] = sum[T] x                   batch         z[Z] = T: position, D: 100 + d     sum of axes
 *            n[T] = sum[Y] tag                 batch         a[K,T,T] = 100 k + 10 i + j         two ragged axes
 *            neg[T,K] = draw                   batch         loss = sum of all cells of h        reduction
 *            grad.E[item[T],D] += x[T,D]       reduction     E' = E - lr * grad.E                shares E's storage */
#ifndef HEDDLE_TESTS_SMALL_PLAN_H
#define HEDDLE_TESTS_SMALL_PLAN_H

#include "runtime.h"

enum { D = 3, V = 10, K = 2 };
enum { AX_B, AX_T, AX_D, AX_V, AX_Y, AX_Z, AX_K, NAXES };
enum { OFF_B, OFF_T, OFF_Y, OFF_YROWS, OFF_Z, OFF_TT, NOFFSETS };
enum { ITEM, TAG, WEIGHT, LR, ROW, PE, PR, X, U, H, Z, N, A, NEG, LOSS, GE, E_NEXT, NTENSORS };

Plan small_plan(void);
/* Examples of 2, 0 and 3 events. */
Batch small_batch(void);

#endif
