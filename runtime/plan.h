/* The plan: what a compiled model is. The compiler writes one, the runtime executes it, and neither needs to know
 * how the other works: no IR and no LLVM here, plain data and function pointers only.
 *
 *   Plan ── axes ── signatures (prefix offsets over the examples)
 *     ├──── tensors (element type, dims, layout)
 *     └──── steps, in order: kernel calls, scans (a loop over a position around kernel calls), externs
 *
 * Layout. A per-example tensor lies example after example. Inside one example its other dims lie in `order`,
 * outermost first; the block of example b starts at element  sig(b) * fixed  where `fixed` is the product of its
 * dims that are the same for every example, and sig(b) the sum over the examples before b of the product of its
 * ragged dims. With one ragged dim that comes first this is "packed rows": row = offsets[b] + i.
 * A dim whose parent dim stands in the same tensor (a list per event, a vocabulary per field) and its parent form
 * one combined dim: its index is rows[parent row] + position. */
#ifndef HEDDLE_PLAN_H
#define HEDDLE_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PLAN_DIMS = 8, PLAN_SIG = 4, PLAN_PARTS = 16 };

/* Alignment of every tensor, and the bytes behind it that a kernel may read but not use. */
enum { TENSOR_ALIGN = 64, TENSOR_SLACK = 320 };

typedef enum { DT_BOOL, DT_I32, DT_I64, DT_F32, DT_F64 } DType;
extern const size_t dtype_size[];

/* How matrix products of an f32 run are computed; their sums are f32 in any case. BF16: operands rounded to bf16;
 * BF16X3: each split into two bf16 numbers, three products of them, nearly f32. Both need AMX (amx.h). */
typedef enum { PRODUCTS_F32, PRODUCTS_BF16, PRODUCTS_BF16X3 } Products;
extern const char *const products_name[]; /* f32, bf16, bf16x3 */

typedef enum { PAX_FIXED, PAX_BATCH, PAX_RAGGED, PAX_TABLE, PAX_SUM } PlanAxisKind;

typedef struct {
    const char *name;
    PlanAxisKind kind;
    int64_t size, min;   /* FIXED: size; RAGGED: bound and minimum; TABLE: total */
    int parent;          /* RAGGED nested in another axis, TABLE: that axis; -1: per example */
    const int64_t *rows; /* TABLE: offsets, parent size + 1 entries */
    int nparts;
    int parts[PLAN_PARTS];
    const char *vocab; /* or NULL */
} PlanAxis;

/* An int64 array the runtime computes per batch, or a constant table.
 *  OFF_SIGNATURE  batch + 1 entries: prefix sums over examples of the product of the sizes of `axes`
 *                 (no axes: 0, 1, 2 ...; one axis: the packed row offsets of that axis)
 *  OFF_ROWS       for a nested ragged axis: entry r = first row of the list that belongs to row r of its parent */
typedef struct {
    enum { OFF_SIGNATURE, OFF_ROWS } kind;
    int naxes;
    int axes[PLAN_SIG];
} PlanOffsets;

typedef enum { PT_INPUT, PT_PARAM, PT_STATE, PT_VALUE, PT_OUTPUT } PlanRole;

typedef struct {
    const char *name;
    DType dtype;
    PlanRole role;
    bool per_example;
    bool is_draw; /* a batch may give its values by name; they replace the computed ones */
    int ndim;
    int dims[PLAN_DIMS];  /* axes; dims[0] is the batch axis if per_example */
    int order[PLAN_DIMS]; /* memory order: dims numbers, outermost first; the batch dim first if there is one */
    int offsets;          /* per_example: signature of its ragged dims, index into Plan.offsets */
    int64_t fixed;        /* product of the sizes of its other dims that are known now */
    int batch_dims;       /* how many further dims range over the batch, or over it and more: times their sizes */
    int tile_dim;      /* VALUE of a step of tiles: this dim comes first in memory, and only the positions of one tile
                          exist at a time, in memory of the thread that works on it; 0: it is whole */
    bool in_rows;      /* VALUE of a step of rows: the same of the rows of one tile */
    int alias;         /* tensor whose storage this one shares (a param after its update), or -1 */
    const char *vocab; /* INPUT of ids */
    bool is_bounded;   /* integers a batch may give must lie in lo .. hi, both included */
    int64_t lo, hi;
    bool is_ascending; /* INPUT of a list of integers per example: no value may be less than the one before it */
    const char *const *tags;
    /* PARAM, STATE: what it starts as. Values depend on (seed, name, flat index) alone. */
    struct {
        enum { PINIT_CONST, PINIT_NORMAL, PINIT_UNIFORM, PINIT_TRUNC_NORMAL, PINIT_ORTHOGONAL, PINIT_GIVEN } kind;
        double a, b;         /* const: a; normal: mean a, std b; uniform: radius a; trunc_normal: std a */
        const double *scale; /* or NULL: per element value of a (const) or std or radius, row-major, where it depends on
                                the index */
        const char *text;
    } init;
    int line;
    const char *file;
} PlanTensor;

/* What a kernel sees. Every array is in the kernel's own order, fixed when it was generated; equal kernels of
 * different layers are one function called with different arguments. */
typedef struct {
    void *const *tensors;
    const int64_t *const *offsets;
    const uint64_t *keys; /* random streams: key of (seed, step, name) */
    int64_t batch;        /* examples in the batch */
    int64_t lo, hi;       /* items of this call: see Split */
    int64_t t;            /* position of the scan around it */
    int64_t last;         /* scans: the number of positions; else 0 */
    void *kept;           /* calls that keep something: PlanCall.keeps; or their scratch memory */
    int64_t phase;        /* and what of it to do */
} KernelArgs;
typedef void (*Kernel)(const KernelArgs *);

/* How a kernel's work may be cut. Items are numbered from 0; a call does lo <= item < hi. The cut never depends on
 * the number of threads, so results do not either. */
typedef enum {
    SPLIT_NONE,  /* one call, lo = 0, hi = 1 */
    SPLIT_BATCH, /* items are examples; they write disjoint cells */
    SPLIT_ROWS,  /* items are packed rows of signature `rows_of` */
    SPLIT_FIXED, /* items are 0 .. nitems of a fixed axis; disjoint cells */
    SPLIT_TILE,  /* of a step of tiles: one call does positions lo <= item < hi of example t */
    SPLIT_KEYS,  /* items are the keys 0 .. nitems of a keyed sum: a call takes the tuples with its keys and must look
                    at all to find them. Every cell sums its tuples in order whatever the cut, so the runtime chooses
                    it: few large ranges, enough for all threads */
    SPLIT_REDUCE /* items are examples (or packed rows if rows_of >= 0): every chunk of `grain` items adds into a
                    private zeroed copy of tensors[0], the copies are then added in order */
} Split;

/* A call of a step of tiles may keep what all tiles of an example need, operands packed once, in memory of the thread.
 * Before the first tile of example t that a thread does, it is told to fill that memory. */
enum {
    PHASE_TILE,  /* the tile lo <= position < hi */
    PHASE_SIZE,  /* *(int64_t *)kept = bytes that it needs for example t; no tensor is read */
    PHASE_BEGIN, /* fill `kept` for example t */
    PHASE_END,   /* calls that have an end: after the last tile of example t, write what `kept` has become */
};

typedef struct {
    Kernel fn;
    const char *name; /* symbol */
    Split split;
    int64_t nitems; /* SPLIT_FIXED, SPLIT_KEYS */
    int rows_of;    /* index into Plan.offsets or -1 */
    int64_t grain;  /* REDUCE: items per chunk. Else: a hint, items per task */
    bool zero;      /* tensors[0] is zeroed before the (first) call; a tiled one before each tile */
    bool adds;      /* SPLIT_TILE: tiles of an example add into the same cells, so they run one after another */
    bool own_rows;  /* SPLIT_TILE: a tile writes cells at its own positions alone, which lie side by side */
    bool keeps;     /* SPLIT_TILE: it has phases */
    /* BATCH, REDUCE: bytes that it wants of memory of the thread, in KernelArgs.kept, and for each position of the
     * longest list of an axis; scratch 0: none. */
    int64_t scratch, scratch_row;
    int scratch_of;
    bool ends;    /* it keeps sums of all tiles of an example, and writes its result in the last phase */
    int ntensors; /* tensors[0] is the one written */
    int *tensors;
    int noffsets;
    int *offsets; /* into Plan.offsets */
    int nkeys;
    const char **keys; /* names of random streams */
    bool *key_by_step;
    const char *label; /* for profiles: the equation's name, */
    int line;
    int equation;        /* its number in the compiler's graph, */
    bool is_product;     /* and whether its kernel is a matrix product's, */
    Products products;   /* of which precision, */
    const char *why_f32; /* and why it is f32 in a plan of another precision */
    double flop_per_item;
} PlanCall;

/* Rows of one tensor that become rows of another when a level begins. Both lie one example after another. */
typedef struct {
    int from, to;
} PlanCarry;

typedef struct {
    enum { STEP_CALL, STEP_SCAN, STEP_TILES, STEP_ROWS, STEP_EXTERN, STEP_LEVELS } kind;
    PlanCall call;
    /* ROWS: for each tile of rows (items of the calls, which are ROWS, or BATCH, and REDUCE over the same): each call
     * in order. A call reads what one before it in the step wrote at its own rows alone. Sums are added up per group of
     * rows and then in the order of the groups. */
    /* TILES: for each example, for each tile of positions of `tile_axis`: each call in order. Results that are the same
     * for all examples are summed per group of examples and then in the order of the groups, as with REDUCE; or, in a
     * step that is_whole, a tile goes through all examples, adding to the cells at its positions, which an axis counts
     * that is the same for all of them.
     * SCAN: for t = 0 .. longest - 1 (or down): each call in order with that t. Calls are split over the batch. */
    int ncalls;
    PlanCall *calls;
    int scan_axis; /* the axis of positions */
    bool backwards;
    int tile_axis;
    bool is_whole;
    struct PlanExtern *ext;
    /* LEVELS: the `nsteps` steps that follow run once for each level of the batch (array "levels": where each level's
     * examples begin, int64, levels + 1 entries), up or backwards down, on its examples alone. Before each but the
     * first to run, the carries copy: row r of the level that ran becomes row r of the level about to. Items of the
     * calls are examples or their rows. */
    int nsteps, ncarries;
    PlanCarry *carries;
} PlanStep;

bool step_is_tiled(const PlanStep *step); /* its calls run tile by tile: TILES, ROWS */

/* A user's C function, called once per example through libffi (runtime/extern.c). The symbol is the one for the plan's
 * precision. */
typedef struct PlanExtern {
    const char *library, *symbol;
    int ntensors, nout; /* the last nout tensors are written */
    int *tensors;
    void *fn;
} PlanExtern;

/* A param that a step reads and changes in few of its rows (dims[0], outermost in memory): gathers by id read it, its
 * gradient is made of keyed sums, and its update works row by row, so that the runtime may leave out the rows no id of
 * a step names and do their updates, with a gradient of 0, when a row is read again: runtime/table.c. */
typedef struct {
    int step;    /* of the plan: it reads or sums the rows that the ids name */
    int ids;     /* tensor of integers */
    int64_t add; /* id + add is the row */
    bool sums;   /* it sums into the gradient */
} PlanKeys;

typedef struct {
    int param;
    int64_t rows;
    int nstates, *states;   /* kept from step to step, of the same rows */
    int nvalues, *values;   /* of one step: the gradient and what is made of it; 0 in rows that no id names */
    int nscalars, *scalars; /* tensors without dims that the update reads: they differ from step to step */
    int nsteps, *steps;     /* the calls of the update, in order; items are rows */
    int nkeys;
    PlanKeys *keys;
    /* What an update with a gradient of 0 does to the param: something; nothing where all states are 0, which they
     * stay; nothing, nor to the states. */
    enum { REST_NEVER, REST_AT_ZERO, REST_ALWAYS } rest;
} PlanTable;

typedef struct Plan {
    const char *name;
    DType real; /* DT_F32 or DT_F64 */
    Products products;
    int naxes;
    PlanAxis *axes;
    int noffsets;
    PlanOffsets *offsets;
    int ntensors;
    PlanTensor *tensors;
    int nsteps;
    PlanStep *steps;
    int ntables;
    PlanTable *tables;
    int batch_axis;
    int row;     /* tensor: ids of the examples' rows (input "row"), or -1 */
    int loss;    /* tensor or -1 */
    void *owner; /* what keeps the memory and the code alive */
    void (*destroy)(struct Plan *);
} Plan;

int plan_find(const Plan *p, const char *name); /* tensor number or -1 */

#endif
