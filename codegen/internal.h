/* What the files of codegen/ share. The way of one equation:
 *
 *   describe.c   KernelInfo: the equation with its tensors, offsets and random streams abstracted to argument
 *                numbers, and a text that says everything the generated code depends on. Two equations with the same
 *                text (the same statement in layer 1 and in layer 7) are one function; the text is the cache key
 *   kernel.c     unique texts: found in the cache on disk, or emitted and compiled, several at a time
 *   loops.c      any equation as a loop nest        product.c   matrix products, register blocked
 *                                                       product_choose.c   how they are cut, what their tiles keep
 *                                                       product_amx.c   the same in bf16, on tile registers
 *                                                       product_turned.c   sums over tiles, kept transposed
 *   convolve.c   sums along a list by distance: calls of runtime/convolve.h
 *     rows.c   its sums along rows of memory, in vectors (lanes.c)
 *     runs.c   its step functions of an ascending input, run by run      tables.c   params that a step updates by rows
 *     spread.c   what they pick for each cell of a row, written out before the row
 *     tally.c   sums into cells that they pick
 *     ends_emit.c   lists of where these end, many positions at a time
 *     flat.c   without a sum, all in memory alike: one loop over elements
 *     emit.c       builder context, arguments, loops  address.c   sizes and addresses    scalar.c, math.c  values
 *   plan_build.c the Plan: tensors, steps, splits
 *
 * Emission may depend on nothing that the text does not show. */
#ifndef HEDDLE_CODEGEN_INTERNAL_H
#define HEDDLE_CODEGEN_INTERNAL_H

#include "codegen.h"
#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>

/* Digest of the sources that decide what a kernel text means: the build makes it (cmake/digest.cmake). */
extern const char codegen_version[];

/* ---- layout (layout.c): how a tensor lies in memory, a function of its shape and is_list. plan.h says what it means
 * ---- */

typedef struct {
    int order[MAX_DIMS];  /* dims, outermost first; a dim follows its parent dim directly */
    int parent[MAX_DIMS]; /* dim that holds the position at which this dim's size is read, or -1 */
    int nsig;             /* axes of the signature: what is ragged, ascending ids; a nested axis stands for its
                             elements in the whole example, its parent is not listed */
    const Axis *sig[PLAN_SIG];
    int64_t fixed;  /* product of the sizes known now */
    int batch_dims; /* dims besides the example whose size has the batch in it */
} Layout;

/* False (with a reason in *why) if the tensor cannot be laid out. */
bool tensor_layout(const Tensor *t, Layout *l, const char **why);
bool axis_same(const Axis *a, const Axis *b); /* the same indices: one axis, or two fixed ones of one size */

/* ---- kernel identity (describe.c) -------------------------------------------------------------------------- */

typedef struct {
    char cpu[64];
    char *features; /* owned */
    bool fma, avx2, avx512, amx;
    int vector_bits; /* 128, 256, 512 */
    bool quick;      /* CodegenOptions.quick */
} Target;

typedef struct {
    int kind; /* OFF_SIGNATURE or OFF_ROWS */
    int naxes;
    const Axis *axes[PLAN_SIG];
} OffsetInfo;

typedef struct {
    const Equation *e;
    const Graph *g;
    DType real;
    const Target *target;
    /* How it runs. scan: the letter that stands still at args->t, or -1. item: the letter that [lo, hi) cuts
     * (bare or reduced), -1: none. key_dim: SPLIT_KEYS over the keys of this dim of dst: a call takes the tuples
     * whose index there lies in [lo, hi); else -1. */
    Split split;
    int item, key_dim, scan;
    int row;            /* of an equation in a cluster by rows: the letter that counts them; else -1 */
    const Scalar *tile; /* of an equation in a cluster: SPLIT_TILE, item is its letter, scan that of the example */
    bool sole;          /* no other equation writes dst: cells that fail the conds may be set to 0 */
    bool alone;         /* none but such that add to what this one has written */
    bool unread;        /* nobody looks at cells that no equation defines: they may hold anything */
    bool loose;         /* nor, when the call ends, at any that this one does not: a later one sets those it defines */
    bool accumulate;    /* adds into dst, which the runtime has zeroed or another has set, instead of setting it */
    bool adds_tiles;    /* and several tiles into the same cells */
    bool zero;          /* wants dst zeroed: it does not reach every cell */
    int64_t grain;
    bool keeps;               /* a product in tiles packs an operand once per example: PlanCall.keeps */
    bool convolves;           /* convolve_emit makes it: a call of runtime/convolve.h for each list */
    bool turns;               /* a product in tiles sums transposed, in memory that it keeps: PlanCall.ends */
    bool too_large;           /* has more conditions than a loop nest can take: reported as the user's mistake */
    bool is_product;          /* product_emit makes it; already vectorised, so it gets the short pipeline */
    Products asked, products; /* precision that the user wants and that it has */
    const char *why_f32;      /* why these differ, or NULL */
    /* Arguments, in the kernel's order. tensors[0] is dst. */
    int ntensors;
    const Tensor **tensors;
    Layout *layouts;
    bool *far; /* no call before this one in its group has touched it */
    int noffsets;
    OffsetInfo *offsets;
    int nkeys;
    const char **keys;
    bool *key_by_step;
    /* All scalars of lhs, conds and body in order of the first visit, args before users. */
    int nnodes;
    const Scalar **nodes;
    int nslots; /* hash table from a scalar to its index + 1 */
    int *slots;
    Text text;     /* the identity */
    char name[40]; /* hd_ and a hash of the identity */
} KernelInfo;

int kernel_tensor(const KernelInfo *k, const Tensor *t); /* argument number; bug() if it is none */
int kernel_offsets(const KernelInfo *k, int kind, int naxes, const Axis *const *axes);
int kernel_key(const KernelInfo *k, const char *stream, bool by_step);
int kernel_node(const KernelInfo *k, const Scalar *s); /* index into nodes; -1: none of its scalars */

/* ---- emission (emit.c) -------------------------------------------------------------------------------------- */

typedef struct {
    KernelInfo *k;
    const Target *target;
    LLVMContextRef ctx;
    LLVMModuleRef module;
    LLVMBuilderRef b;
    LLVMValueRef fn;
    LLVMTypeRef i1, i8, i16, i32, i64, f32, f64, real, ptr; /* real: type of TYPE_REAL in this run */
    LLVMBasicBlockRef entry;                                /* for allocas: emit_local */
    LLVMBasicBlockRef ret;                                  /* returns */
    LLVMValueRef *tensors;                                  /* base addresses, one per argument */
    LLVMValueRef *offsets;                                  /* addresses of int64 arrays */
    LLVMValueRef *keys;                                     /* i64 */
    LLVMValueRef batch, lo, hi, t, last;
    LLVMValueRef kept, phase;         /* of a kernel that keeps something, or has scratch memory */
    LLVMValueRef letter[MAX_LETTERS]; /* i64, bound by the loop nest; NULL: not yet */
    /* Values of nodes already emitted in a block that dominates the builder's position. */
    LLVMValueRef *memo;
    int *memo_log;
    int nlog;
    unsigned *letters;    /* per node: the letters it depends on */
    bool *safe;           /* per node: may be evaluated for every value of the letters, conds or not */
    LLVMValueRef *scopes; /* metadata: alias scope per tensor, and the list of all others */
    LLVMValueRef *noalias;
    LLVMValueRef invariant, all_scopes; /* metadata: an empty node; the list of all tensors' scopes */
} Emit;

/* Adds the function k->name to the module and leaves the builder inside it, arguments loaded. emit_finish returns. */
void emit_start(Emit *x, KernelInfo *k, const Target *target, LLVMModuleRef module);
void emit_finish(Emit *x);

LLVMTypeRef emit_type(const Emit *x, Type t);               /* BOOL i1, INT i64, REAL float or double, F32 float */
LLVMTypeRef emit_elem_type(const Emit *x, const Tensor *t); /* in memory: BOOL i8 */
unsigned emit_bytes(const Emit *x, LLVMTypeRef element);    /* of one in memory */
LLVMValueRef emit_i64(const Emit *x, int64_t v);
LLVMValueRef emit_number(const Emit *x, LLVMTypeRef type, double v);
LLVMValueRef emit_local(Emit *x, LLVMTypeRef type, const char *name); /* alloca in the entry block */
/* Calls an LLVM intrinsic that is overloaded over `noverload` types. */
LLVMValueRef emit_intrinsic(Emit *x, const char *name, int noverload, LLVMTypeRef *overload, int nargs,
                            LLVMValueRef *args);
/* Attribute for loads of data that no kernel call writes (offsets, tables, inputs). */
void emit_mark_invariant(Emit *x, LLVMValueRef load);
/* Alias scopes: marks a load or store as one of tensor argument `n`, distinct from all other arguments. */
void emit_mark_tensor(Emit *x, LLVMValueRef access, int n);
/* Constant array in the module: i64 values. */
LLVMValueRef emit_table(Emit *x, int64_t n, const int64_t *v, const char *name);
/* One entry of a table of the node s and this kind, made when it is first needed. */
LLVMValueRef emit_table_entry(Emit *x, const Scalar *s, const char *kind, int64_t n, const int64_t *v, LLVMValueRef at);
LLVMBasicBlockRef emit_block(Emit *x, const char *name);        /* appended to the function */
LLVMValueRef emit_min(Emit *x, LLVMValueRef a, LLVMValueRef b); /* signed i64 */
LLVMValueRef emit_max(Emit *x, LLVMValueRef a, LLVMValueRef b);

/* for (i = lo; i < hi; i += step): a guarded do-while, as the vectoriser likes it. `next` is the block to branch to
 * for "continue"; the values memoised inside are forgotten at the end. */
typedef struct {
    LLVMValueRef i, hi, step;
    LLVMBasicBlockRef body, next, exit;
    int mark;
    bool inner; /* set before loop_end: to be vectorised, with masks instead of a scalar remainder where they are cheap
                 */
    int whole;  /* if not 0, too: rounds are a multiple of so many lanes, and no masks are needed */
    bool apart; /* not to be vectorised: what it writes lies far apart */
} Loop;
/* The range of the letter `item` in a call: [lo, hi), of which a part of a sum of axes may have a piece. */
void emit_item_range(Emit *x, LLVMValueRef *lo, LLVMValueRef *hi);
/* Returns from the call at once if the one position at which its equation runs lies outside the tile. */
void emit_item_guard(Emit *x);
void loop_begin(Emit *x, Loop *l, const char *name, LLVMValueRef lo, LLVMValueRef hi, int64_t step);
void loop_end(Emit *x, Loop *l);
/* A scope in which values may be memoised that do not dominate what follows it. */
int scope_enter(Emit *x);
void scope_leave(Emit *x, int mark);

/* ---- sizes and addresses (address.c) ------------------------------------------------------------------------ */

/* Size of an axis; at: indices of its ancestors, outermost first (example first), as OP_SIZE has them. */
LLVMValueRef emit_axis_size(Emit *x, const Axis *a, int n, LLVMValueRef *at);
LLVMValueRef emit_letter_size(Emit *x, int letter); /* at the bound parents */
/* Letters (bits) on which the size of a letter depends: its ancestors. */
unsigned letter_ancestors(const Equation *e, int letter);
/* The examples [first, end) that have rows among the call's [lo, hi), where the lists of axis a lie packed; and the
 * positions of one of them that are. */
void emit_row_examples(Emit *x, const Axis *a, LLVMValueRef *first, LLVMValueRef *end);
void emit_row_positions(Emit *x, const Axis *a, LLVMValueRef example, LLVMValueRef *lo, LLVMValueRef *hi);
/* Number of an element, given an index for each dim: i64. Strides between neighbours along a dim; a constant where
 * it is known. The innermost dim of the layout has stride 1. */
LLVMValueRef emit_element_index(Emit *x, int tensor, LLVMValueRef *index);
LLVMValueRef emit_element(Emit *x, int tensor, LLVMValueRef *index); /* its address */
LLVMValueRef emit_stride(Emit *x, int tensor, int dim, LLVMValueRef *index);
/* Stride of a dim where it is the same for all examples, else 0. */
int64_t static_stride(const KernelInfo *k, int tensor, int dim);
int64_t axis_static_size(const Axis *a); /* -1 where it differs */
bool axis_over_batch(const Axis *a);     /* the batch, or a sum with it among the parts */
/* Loads and stores of an element as its Type, marked with its alias scope. */
LLVMValueRef emit_load(Emit *x, int tensor, LLVMValueRef address);
void emit_store(Emit *x, int tensor, LLVMValueRef value, LLVMValueRef address);

/* ---- values (scalar.c, math.c) ------------------------------------------------------------------------------- */

/* The value of a scalar under the bound letters, at the builder's position; may add blocks where an operand must
 * only be evaluated when chosen. */
LLVMValueRef emit_scalar(Emit *x, const Scalar *s);
LLVMValueRef emit_convert(Emit *x, LLVMValueRef v, Type from, Type to);
/* Whether s may be evaluated for every value of the letters: each index of a load is a letter over that very axis or
 * known to lie in it, so that the element exists whatever the conds say. */
bool scalar_is_safe(const Equation *e, const Scalar *s);
void emit_analyse(Emit *x); /* fills x->letters and x->safe, which says the same of every node */

/* One function of scalar.def over values of one LLVM type: float, double, or vectors of them. Straight-line code. */
LLVMValueRef math_exp(Emit *x, LLVMValueRef v);
LLVMValueRef math_log(Emit *x, LLVMValueRef v);
LLVMValueRef math_tanh(Emit *x, LLVMValueRef v);
LLVMValueRef math_sigmoid(Emit *x, LLVMValueRef v);
LLVMValueRef math_erf(Emit *x, LLVMValueRef v);
LLVMValueRef math_sin(Emit *x, LLVMValueRef v);
LLVMValueRef math_cos(Emit *x, LLVMValueRef v);
LLVMValueRef math_pow(Emit *x, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef math_fma(Emit *x, LLVMValueRef a, LLVMValueRef b,
                      LLVMValueRef c); /* a * b + c, fused where there is FMA */

/* ---- kernels ------------------------------------------------------------------------------------------------- */

/* loops.c: decides split, item, accumulate, zero for an equation (everything of KernelInfo that is a choice). */
void loops_choose(KernelInfo *k);
void loops_emit(Emit *x);

/* A sum of a product of two loads is a matrix product. product_choose returns false if the equation is not one that it
 * serves; else it sets the choices in *k (split, item, zero ...) before the text is made. */
bool product_choose(KernelInfo *k);
void product_emit(Emit *x);
double product_flop(const KernelInfo *k); /* per item, 0 if it is none */

/* convolve.c: the same for convolutions along lists (passes/convolution.h), which functions of the runtime compute. */
bool convolve_choose(KernelInfo *k);
void convolve_emit(Emit *x);
double convolve_flop(const KernelInfo *k);
/* Memory of the thread that it wants for each position of the longest list of *axis, and besides. */
void convolve_scratch_of(const KernelInfo *k, const Axis **axis, int64_t *row, int64_t *fixed);
typedef struct {
    const char *name;
    void (*fn)(void);
} Function;
/* The functions that kernels call, by symbol; ends with a NULL. */
extern const Function convolve_functions[];

/* ---- compilation (target.c, kernel.c, cache.c, jit.c) --------------------------------------------------------- */

bool target_init(Target *t, const char *cpu, Text *why);
void target_free(Target *t);
int target_lanes(const Target *t, bool is_double);               /* numbers in a vector register */
LLVMTargetMachineRef target_machine(const Target *t, Text *why); /* one per thread */
void target_attributes(const Target *t, LLVMContextRef ctx, LLVMValueRef fn);

const char *pipeline_for(const Target *t, bool is_product); /* LLVM's passes, as text */

/* One object file per kernel name; NULL dir: no cache. */
bool cache_read(const char *dir, const char *name, LLVMMemoryBufferRef *out);
void cache_write(const char *dir, const char *name, const void *data, size_t n);

typedef struct Jit Jit;
Jit *jit_new(Text *why);
bool jit_add(Jit *j, LLVMMemoryBufferRef object, Text *why); /* takes the buffer */
void *jit_find(Jit *j, const char *name, Text *why);
void jit_free(Jit *j);

/* product_parts.c: compiles, or finds in the cache, the functions that the products among these objects share. */
bool product_link_parts(int n, const LLVMMemoryBufferRef *objects, const CodegenOptions *o, const Target *t, Jit *jit,
                        Text *why);

/* Makes all distinct kernels among infos[0..n) executable: fn[i] is set for each. */
bool kernels_compile(int n, KernelInfo **infos, const CodegenOptions *o, const Target *t, Jit *jit, void **fn,
                     CodegenStats *stats, Text *why);

/* describe.c: fills arguments, nodes, text and name from e, g, real and the choices. touched: by tensor, whether a call
 * before this one in its group has; NULL: not known, and nothing counts as far. */
bool kernel_describe(KernelInfo *k, const bool *touched, const Target *target, Text *why);
void kernel_info_free(KernelInfo *k);

#endif
