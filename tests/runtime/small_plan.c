/* The hand-made model of small_plan.h: its tables and kernels. */
#include "small_plan.h"
#include "../../ir/random.h"

static void kernel_x(const KernelArgs *k) /* x, E, item; rows */
{
    float *x = k->tensors[0];
    const float *e = k->tensors[1];
    const int64_t *item = k->tensors[2];
    for (int64_t r = k->lo; r < k->hi; r++) {
        for (int d = 0; d < D; d++) {
            x[r * D + d] = e[item[r] * D + d];
        }
    }
}

static void kernel_u(const KernelArgs *k) /* u, x */
{
    float *u = k->tensors[0];
    const float *x = k->tensors[1];
    for (int64_t b = k->lo; b < k->hi; b++) {
        for (int64_t r = k->offsets[0][b]; r < k->offsets[0][b + 1]; r++) {
            for (int d = 0; d < D; d++) {
                u[b * D + d] += x[r * D + d];
            }
        }
    }
}

static void kernel_h(const KernelArgs *k) /* h, x; scan along T */
{
    float *h = k->tensors[0];
    const float *x = k->tensors[1];
    for (int64_t b = k->lo; b < k->hi; b++) {
        int64_t r = k->offsets[0][b] + k->t;
        if (r >= k->offsets[0][b + 1]) {
            continue;
        }
        for (int d = 0; d < D; d++) {
            h[r * D + d] = (k->t > 0 ? 0.5f * h[(r - 1) * D + d] : 0) + x[r * D + d];
        }
    }
}

static void kernel_z(const KernelArgs *k) /* z; offsets z, T */
{
    float *z = k->tensors[0];
    for (int64_t b = k->lo; b < k->hi; b++) {
        int64_t length = k->offsets[1][b + 1] - k->offsets[1][b];
        for (int64_t i = 0; i < length + D; i++) {
            z[k->offsets[0][b] + i] = (float)(i < length ? i : 100 + i - length);
        }
    }
}

static void kernel_n(const KernelArgs *k) /* n, tag; offsets T, rows of Y */
{
    int64_t *n = k->tensors[0];
    const int64_t *tag = k->tensors[1];
    for (int64_t b = k->lo; b < k->hi; b++) {
        for (int64_t r = k->offsets[0][b]; r < k->offsets[0][b + 1]; r++) {
            n[r] = 0;
            for (int64_t y = k->offsets[1][r]; y < k->offsets[1][r + 1]; y++) {
                n[r] += tag[y];
            }
        }
    }
}

static void kernel_a(const KernelArgs *k) /* a; offsets TT, T */
{
    float *a = k->tensors[0];
    for (int64_t b = k->lo; b < k->hi; b++) {
        int64_t length = k->offsets[1][b + 1] - k->offsets[1][b];
        float *block = a + k->offsets[0][b] * K;
        for (int64_t i = 0; i < length; i++) {
            for (int64_t c = 0; c < K; c++) {
                for (int64_t j = 0; j < length; j++) {
                    block[(i * K + c) * length + j] = (float)(100 * c + 10 * i + j); /* order: i, k, j */
                }
            }
        }
    }
}

static void kernel_neg(const KernelArgs *k) /* neg, row; offsets T */
{
    int64_t *neg = k->tensors[0];
    const int64_t *row = k->tensors[1];
    for (int64_t b = k->lo; b < k->hi; b++) {
        for (int64_t r = k->offsets[0][b]; r < k->offsets[0][b + 1]; r++) {
            for (int c = 0; c < K; c++) {
                uint64_t key = random_fold(random_fold(random_fold(k->keys[0], row[b]), r - k->offsets[0][b]), c);
                neg[r * K + c] = (int64_t)(random_uniform(key) * V);
            }
        }
    }
}

static void kernel_loss(const KernelArgs *k) /* loss, h; rows */
{
    float *loss = k->tensors[0];
    const float *h = k->tensors[1];
    for (int64_t i = k->lo * D; i < k->hi * D; i++) {
        loss[0] += h[i];
    }
}

static void kernel_grad(const KernelArgs *k) /* grad.E, item, x; rows */
{
    float *g = k->tensors[0];
    const int64_t *item = k->tensors[1];
    const float *x = k->tensors[2];
    for (int64_t r = k->lo; r < k->hi; r++) {
        for (int d = 0; d < D; d++) {
            g[item[r] * D + d] += x[r * D + d];
        }
    }
}

static void kernel_update(const KernelArgs *k) /* E', E, grad.E, lr */
{
    float *out = k->tensors[0];
    const float *e = k->tensors[1], *g = k->tensors[2], *lr = k->tensors[3];
    for (int64_t i = k->lo * D; i < k->hi * D; i++) {
        out[i] = e[i] - lr[0] * g[i];
    }
}

static PlanAxis axes[] = {
    [AX_B] = {.name = "B", .kind = PAX_BATCH, .parent = -1},
    [AX_T] = {.name = "T", .kind = PAX_RAGGED, .size = 5, .parent = -1},
    [AX_D] = {.name = "D", .kind = PAX_FIXED, .size = D, .parent = -1},
    [AX_V] = {.name = "V", .kind = PAX_FIXED, .size = V, .parent = -1, .vocab = "item"},
    [AX_Y] = {.name = "Y", .kind = PAX_RAGGED, .size = 4, .parent = AX_T},
    [AX_Z] = {.name = "Z", .kind = PAX_SUM, .parent = -1, .nparts = 2, .parts = {AX_T, AX_D}},
    [AX_K] = {.name = "K", .kind = PAX_FIXED, .size = K, .parent = -1},
};

static PlanOffsets offsets[] = {
    [OFF_B] = {OFF_SIGNATURE, 0, {0}},    [OFF_T] = {OFF_SIGNATURE, 1, {AX_T}},
    [OFF_Y] = {OFF_SIGNATURE, 1, {AX_Y}}, [OFF_YROWS] = {OFF_ROWS, 1, {AX_Y}},
    [OFF_Z] = {OFF_SIGNATURE, 1, {AX_Z}}, [OFF_TT] = {OFF_SIGNATURE, 2, {AX_T, AX_T}},
};

#define PER_EXAMPLE .per_example = true, .alias = -1
#define SHARED      .offsets = -1, .alias = -1
static PlanTensor tensors[] = {
    [ITEM] = {"item", DT_I64, PT_INPUT, PER_EXAMPLE, .ndim = 2, .dims = {AX_B, AX_T}, .order = {0, 1}, .offsets = OFF_T,
              .fixed = 1, .vocab = "item"},
    [TAG] = {"tag", DT_I64, PT_INPUT, PER_EXAMPLE, .ndim = 3, .dims = {AX_B, AX_T, AX_Y}, .order = {0, 1, 2},
             .offsets = OFF_Y, .fixed = 1, .vocab = "item"},
    [WEIGHT] = {"weight", DT_F32, PT_INPUT, PER_EXAMPLE, .ndim = 2, .dims = {AX_B, AX_D}, .order = {0, 1},
                .offsets = OFF_B, .fixed = D},
    [LR] = {"lr", DT_F32, PT_INPUT, SHARED, .fixed = 1},
    [ROW] = {"row", DT_I64, PT_INPUT, PER_EXAMPLE, .ndim = 1, .dims = {AX_B}, .order = {0}, .offsets = OFF_B,
             .fixed = 1},
    [PE] = {"E", DT_F32, PT_PARAM, SHARED, .ndim = 2, .dims = {AX_V, AX_D}, .order = {0, 1}, .fixed = V * D,
            .init = {.kind = PINIT_NORMAL, .a = 0, .b = 1}},
    [PR] = {"R", DT_F32, PT_PARAM, SHARED, .ndim = 2, .dims = {AX_D, AX_V}, .order = {0, 1}, .fixed = V * D,
            .init = {.kind = PINIT_ORTHOGONAL}},
    [X] = {"x", DT_F32, PT_OUTPUT, PER_EXAMPLE, .ndim = 3, .dims = {AX_B, AX_T, AX_D}, .order = {0, 1, 2},
           .offsets = OFF_T, .fixed = D},
    [U] = {"u", DT_F32, PT_OUTPUT, PER_EXAMPLE, .ndim = 2, .dims = {AX_B, AX_D}, .order = {0, 1}, .offsets = OFF_B,
           .fixed = D},
    [H] = {"h", DT_F32, PT_OUTPUT, PER_EXAMPLE, .ndim = 3, .dims = {AX_B, AX_T, AX_D}, .order = {0, 1, 2},
           .offsets = OFF_T, .fixed = D},
    [Z] = {"z", DT_F32, PT_OUTPUT, PER_EXAMPLE, .ndim = 2, .dims = {AX_B, AX_Z}, .order = {0, 1}, .offsets = OFF_Z,
           .fixed = 1},
    [N] = {"n", DT_I64, PT_OUTPUT, PER_EXAMPLE, .ndim = 2, .dims = {AX_B, AX_T}, .order = {0, 1}, .offsets = OFF_T,
           .fixed = 1},
    [A] = {"a", DT_F32, PT_OUTPUT, PER_EXAMPLE, .ndim = 4, .dims = {AX_B, AX_K, AX_T, AX_T}, .order = {0, 2, 1, 3},
           .offsets = OFF_TT, .fixed = K},
    [NEG] = {"neg", DT_I64, PT_OUTPUT, PER_EXAMPLE, .is_draw = true, .ndim = 3, .dims = {AX_B, AX_T, AX_K},
             .order = {0, 1, 2}, .offsets = OFF_T, .fixed = K, .vocab = "item"},
    [LOSS] = {"loss", DT_F32, PT_OUTPUT, SHARED, .fixed = 1},
    [GE] = {"grad.E", DT_F32, PT_OUTPUT, SHARED, .ndim = 2, .dims = {AX_V, AX_D}, .order = {0, 1}, .fixed = V * D},
    [E_NEXT] = {"E'", DT_F32, PT_VALUE, .offsets = -1, .alias = PE, .ndim = 2, .dims = {AX_V, AX_D}, .order = {0, 1},
                .fixed = V * D},
};

#define LIST(...)                                                                                                      \
    (int[])                                                                                                            \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }
#define CALL(f, how, ...) .kind = STEP_CALL, .call = {.fn = f, .name = #f, .label = #f, .split = how, __VA_ARGS__}
static PlanCall scan_calls[] = {{.fn = kernel_h,
                                 .name = "kernel_h",
                                 .split = SPLIT_BATCH,
                                 .rows_of = -1,
                                 .ntensors = 2,
                                 .tensors = (int[]){H, X},
                                 .noffsets = 1,
                                 .offsets = (int[]){OFF_T}}};
static const char *neg_keys[] = {"neg"};
static bool neg_by_step[] = {false};

static PlanStep steps[] = {
    {CALL(kernel_x, SPLIT_ROWS, .rows_of = OFF_T, .grain = 2, .ntensors = 3, .tensors = LIST(X, PE, ITEM))},
    {CALL(kernel_u, SPLIT_BATCH, .rows_of = -1, .grain = 1, .zero = true, .ntensors = 2, .tensors = LIST(U, X),
          .noffsets = 1, .offsets = LIST(OFF_T))},
    {.kind = STEP_SCAN, .ncalls = 1, .calls = scan_calls, .scan_axis = AX_T},
    {CALL(kernel_z, SPLIT_BATCH, .rows_of = -1, .ntensors = 1, .tensors = LIST(Z), .noffsets = 2,
          .offsets = LIST(OFF_Z, OFF_T))},
    {CALL(kernel_n, SPLIT_BATCH, .rows_of = -1, .ntensors = 2, .tensors = LIST(N, TAG), .noffsets = 2,
          .offsets = LIST(OFF_T, OFF_YROWS))},
    {CALL(kernel_a, SPLIT_BATCH, .rows_of = -1, .ntensors = 1, .tensors = LIST(A), .noffsets = 2,
          .offsets = LIST(OFF_TT, OFF_T))},
    {CALL(kernel_neg, SPLIT_BATCH, .rows_of = -1, .ntensors = 2, .tensors = LIST(NEG, ROW), .noffsets = 1,
          .offsets = LIST(OFF_T), .nkeys = 1, .keys = neg_keys, .key_by_step = neg_by_step)},
    {CALL(kernel_loss, SPLIT_REDUCE, .rows_of = OFF_T, .grain = 1, .zero = true, .ntensors = 2,
          .tensors = LIST(LOSS, H))},
    {CALL(kernel_grad, SPLIT_REDUCE, .rows_of = OFF_T, .grain = 2, .zero = true, .ntensors = 3,
          .tensors = LIST(GE, ITEM, X))},
    {CALL(kernel_update, SPLIT_FIXED, .rows_of = -1, .nitems = V, .grain = 3, .ntensors = 4,
          .tensors = LIST(E_NEXT, PE, GE, LR))},
};

Plan small_plan(void)
{
    return (Plan){.name = "small",
                  .real = DT_F32,
                  .naxes = NAXES,
                  .axes = axes,
                  .noffsets = NOFFSETS,
                  .offsets = offsets,
                  .ntensors = NTENSORS,
                  .tensors = tensors,
                  .nsteps = sizeof steps / sizeof *steps,
                  .steps = steps,
                  .batch_axis = AX_B,
                  .row = ROW,
                  .loss = LOSS};
}

static int64_t t_offsets[] = {0, 2, 2, 5}, y_offsets[] = {0, 1, 3, 3, 4, 8};
static int32_t items[] = {1, 2, 3, 2, 9};
static int64_t tags[] = {5, 1, 2, 7, 1, 1, 1, 1};

Batch small_batch(void)
{
    static Array arrays[] = {
        {"T.offsets", DT_I64, 1, {4}, t_offsets},
        {"Y.offsets", DT_I64, 1, {6}, y_offsets},
        {"item", DT_I32, 1, {5}, items}, /* converted */
        {"tag", DT_I64, 1, {8}, tags},
    };
    return (Batch){.n = 4, .arrays = arrays, .batch = 3};
}
