/* The oracle: the meaning of a batched graph, computed with plain nested loops over dense arrays in double precision.
 * Slow, short, obviously right; everything generated is compared to it.
 *
 *   Interp *in = interp_new(g, 3);                        3 examples
 *   interp_offsets(in, T, 3, (int64_t[]){0, 4, 4, 9});    lists of 4, 0 and 5 events
 *   interp_set(in, x, n, values);                         inputs, params, states; packed, see below
 *   if (!interp_run(in)) puts(interp_error(in));
 *   interp_get(in, y, n, values);
 *   interp_free(in);
 *
 * Packed order of a tensor: only cells inside the lists exist, row after row: the batch outermost; then, if exactly
 * one of its lists (a ragged axis with the lists that stand in it counts as one) is there, that one, then the other
 * axes as declared; with several lists, or none, all axes as declared. This is the layout of runtime/plan.h.
 *
 * Functions return false after a mistake of the caller or of the graph; interp_error says which. A mistake is: a load
 * out of range, a cell of max, min or argmax that nothing reached and that is read, an integer division by zero, a
 * cell defined by two equations, a recurrence that does not end, and, when strict, the load of an absent cell. */
#ifndef HEDDLE_INTERP_H
#define HEDDLE_INTERP_H

#include "ir.h"

typedef struct Interp Interp;

Interp *interp_new(const Graph *g, int64_t batch); /* g: batched; borrowed until interp_free */
void interp_free(Interp *in);                      /* NULL is fine */
const char *interp_error(const Interp *in);        /* of the last call that failed; "" before one did */

/* Strict: loading an absent cell is a mistake, because front end and passes promise conditions that avoid it. Tensors
 * that are total by nature are exempt: adjoints ("grad." and whatever follows), keyed sums, and interp_total's. */
void interp_strict(Interp *in, bool strict);
void interp_total(Interp *in, const Tensor *t);

/* ---- the batch -------------------------------------------------------------------------------------------- */

/* Sizes come before values: setting one drops the values of every tensor that depends on such sizes.
 * Lists of a ragged axis: n of them, list k has offsets[k + 1] - offsets[k] elements. One list per example, or, for a
 * nested axis, one per row of its parent in packed order (set the parent's first; per example and position if the
 * parent is a fixed axis). */
bool interp_offsets(Interp *in, const Axis *a, int64_t n, const int64_t *offsets);
bool interp_size(Interp *in, const Axis *a, int64_t size); /* a vocabulary whose size the graph does not know */
void interp_seed(Interp *in, uint64_t seed, uint64_t step);

/* Gives a tensor's values in packed order. A VALUE given so is not computed (a random draw given by name). "row"
 * counts 0, 1, 2 ... if not given. Integers beyond 2^53 need the int form. */
bool interp_set(Interp *in, const Tensor *t, int64_t n, const double *values);
bool interp_set_int(Interp *in, const Tensor *t, int64_t n, const int64_t *values);
void interp_unset(Interp *in, const Tensor *t);

/* Calls the C function of an extern for one example: n tensors, inputs first, then outputs (zeroed), each the example's
 * own block; then nsizes sizes. False: it cannot. ir/ opens no libraries: who runs graphs with externs gives this. */
typedef bool (*InterpExtern)(void *ctx, const Extern *x, int n, double *const *tensors, int nsizes,
                             const int64_t *sizes);
void interp_externs(Interp *in, InterpExtern call, void *ctx);

/* ---- running ---------------------------------------------------------------------------------------------- */

bool interp_run(Interp *in);     /* all equations, from the values that are set; may be called again */
bool interp_advance(Interp *in); /* after a run: params and states become their next values */

/* ---- results ---------------------------------------------------------------------------------------------- */

int64_t interp_count(Interp *in, const Tensor *t);                       /* values in packed order; -1 after an error */
bool interp_get(Interp *in, const Tensor *t, int64_t n, double *values); /* absent cells: 0 */
bool interp_get_int(Interp *in, const Tensor *t, int64_t n, int64_t *values);
/* One cell by its indices, in the order of the tensor's dimensions; *present (may be NULL): whether it is there. */
bool interp_cell(Interp *in, const Tensor *t, const int64_t *index, double *value, bool *present);

#endif
