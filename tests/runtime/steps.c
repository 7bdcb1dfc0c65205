/* Steps that the small model does not have: externs, scans over numbers, backwards; levels; states per
 * example, updates that cannot run in place, lists per field, memory that is used twice, and a loss that is no number.
 */
#include "runtime.h"
#include "test.h"
#include <math.h>

enum { F = 2 };
enum { AX_B, AX_T, AX_F, AX_O, AX_W, NAXES };
enum { OFF_B, OFF_T, OFF_O, OFF_OROWS, NOFFSETS };
enum {
    VALUE,
    FIELD,
    STATE,
    STATE_NEXT,
    P,
    P_NEXT,
    READER,
    STEPS_F,
    CHAIN,
    CHAIN_NEXT,
    COUNT,
    EXT,
    TMP1,
    TMP2,
    TMP3,
    LOSS,
    PAIRS,
    KNOWN,
    SEEN,
    NTENSORS
};

static void kernel_state(const KernelArgs *k) /* u', u, value; offsets T */
{
    float *next = k->tensors[0];
    const float *u = k->tensors[1], *value = k->tensors[2];
    for (int64_t b = k->lo; b < k->hi; b++) {
        float sum = u[b];
        for (int64_t r = k->offsets[0][b]; r < k->offsets[0][b + 1]; r++) {
            sum += value[r];
        }
        next[b] = sum;
    }
}

static void kernel_update(const KernelArgs *k) /* p', p */
{
    ((float *)k->tensors[0])[k->lo] = ((const float *)k->tensors[1])[k->lo] + 1;
}

static void kernel_reader(const KernelArgs *k) /* reader, p: after the update, and wants the value before it */
{
    ((float *)k->tensors[0])[k->lo] = ((const float *)k->tensors[1])[k->lo];
}

static void kernel_fixed(const KernelArgs *k) /* s[b,f] = s[b,f+1] + f + 1, backwards over F */
{
    float *s = k->tensors[0];
    for (int64_t b = k->lo; b < k->hi; b++) {
        s[b * F + k->t] = (k->t + 1 < k->last ? s[b * F + k->t + 1] : 0) + (float)k->t + 1;
    }
}

static void kernel_chain(const KernelArgs *k) /* c'[b] = 10 c[b] + 1, level by level */
{
    for (int64_t b = k->lo; b < k->hi; b++) {
        ((float *)k->tensors[0])[b] = 10 * ((const float *)k->tensors[1])[b] + 1;
    }
}

static void kernel_count(const KernelArgs *k) /* count += examples; chunks of one */
{
    *(float *)k->tensors[0] += (float)(k->hi - k->lo);
}

static void kernel_copy(const KernelArgs *k) /* out, in; rows */
{
    memcpy((float *)k->tensors[0] + k->lo, (const float *)k->tensors[1] + k->lo, (size_t)(k->hi - k->lo) * 4);
}

static void kernel_root(const KernelArgs *k) /* out, in; rows */
{
    for (int64_t r = k->lo; r < k->hi; r++) {
        ((float *)k->tensors[0])[r] = sqrtf(((const float *)k->tensors[1])[r]);
    }
}

static void kernel_loss(const KernelArgs *k) /* loss, tmp3; rows */
{
    for (int64_t r = k->lo; r < k->hi; r++) {
        *(float *)k->tensors[0] += logf(((const float *)k->tensors[1])[r]);
    }
}

static void kernel_seen(const KernelArgs *k) /* seen, u.known */
{
    for (int64_t b = k->lo; b < k->hi; b++) {
        ((float *)k->tensors[0])[b] = ((const uint8_t *)k->tensors[1])[b];
    }
}

static void kernel_pairs(const KernelArgs *k) /* pairs[b, c] = 10 b + c */
{
    for (int64_t b = k->lo; b < k->hi; b++) {
        for (int64_t c = 0; c < k->batch; c++) {
            ((float *)k->tensors[0])[b * k->batch + c] = (float)(10 * b + c);
        }
    }
}

static void user_function(const float *value, const float *p, float *out, int64_t rows)
{
    for (int64_t i = 0; i < rows; i++) {
        *out += value[i] * p[1];
    }
}

static const int64_t widths[] = {0, 3, 5};
static PlanAxis axes[] = {
    [AX_B] = {.name = "B", .kind = PAX_BATCH, .parent = -1},
    [AX_T] = {.name = "T", .kind = PAX_RAGGED, .size = 9, .min = 1, .parent = -1},
    [AX_F] = {.name = "F", .kind = PAX_FIXED, .size = F, .parent = -1},
    [AX_O] = {.name = "O", .kind = PAX_RAGGED, .size = 3, .parent = AX_F},
    [AX_W] = {.name = "W", .kind = PAX_TABLE, .size = 5, .parent = AX_F, .rows = widths, .vocab = "words"},
};
static PlanOffsets offsets[] = {
    [OFF_B] = {OFF_SIGNATURE, 0, {0}},
    [OFF_T] = {OFF_SIGNATURE, 1, {AX_T}},
    [OFF_O] = {OFF_SIGNATURE, 1, {AX_O}},
    [OFF_OROWS] = {OFF_ROWS, 1, {AX_O}},
};
#define ROWS                                                                                                           \
    .per_example = true, .alias = -1, .ndim = 2, .dims = {AX_B, AX_T}, .order = {0, 1}, .offsets = OFF_T, .fixed = 1
#define ONE    .per_example = true, .ndim = 1, .dims = {AX_B}, .offsets = OFF_B, .fixed = 1
#define SHARED .offsets = -1, .ndim = 1, .dims = {AX_F}, .fixed = F
static PlanTensor tensors[] = {
    [VALUE] = {"value", DT_F32, PT_INPUT, ROWS},
    [FIELD] = {"field", DT_I64, PT_INPUT, .per_example = true, .alias = -1, .ndim = 3, .dims = {AX_B, AX_F, AX_O},
               .order = {0, 1, 2}, .offsets = OFF_O, .fixed = 1, .vocab = "words"},
    [STATE] = {"u", DT_F32, PT_STATE, ONE, .alias = -1, .init = {.kind = PINIT_CONST, .a = 100}},
    [STATE_NEXT] = {"u'", DT_F32, PT_OUTPUT, ONE, .alias = STATE},
    [P] = {"p", DT_F32, PT_PARAM, SHARED, .alias = -1, .init = {.kind = PINIT_CONST, .a = 2}},
    [P_NEXT] = {"p'", DT_F32, PT_VALUE, SHARED, .alias = P},
    [READER] = {"reader", DT_F32, PT_OUTPUT, SHARED, .alias = -1},
    [STEPS_F] = {"steps", DT_F32, PT_OUTPUT, .per_example = true, .alias = -1, .ndim = 2, .dims = {AX_B, AX_F},
                 .order = {0, 1}, .offsets = OFF_B, .fixed = F},
    [CHAIN] = {"c", DT_F32, PT_STATE, ONE, .alias = -1, .init = {.kind = PINIT_CONST, .a = 0}},
    [CHAIN_NEXT] = {"c'", DT_F32, PT_OUTPUT, ONE, .alias = -1},
    [COUNT] = {"count", DT_F32, PT_OUTPUT, .alias = -1, .offsets = -1, .fixed = 1},
    [EXT] = {"ext", DT_F32, PT_OUTPUT, ONE, .alias = -1},
    [TMP1] = {"tmp1", DT_F32, PT_VALUE, ROWS},
    [TMP2] = {"tmp2", DT_F32, PT_VALUE, ROWS},
    [TMP3] = {"tmp3", DT_F32, PT_VALUE, ROWS},
    [LOSS] = {"loss", DT_F32, PT_OUTPUT, .alias = -1, .offsets = -1, .fixed = 1, .file = "m.heddle", .line = 12},
    [PAIRS] = {"pairs", DT_F32, PT_OUTPUT, .per_example = true, .alias = -1, .ndim = 2, .dims = {AX_B, AX_B},
               .order = {0, 1}, .offsets = OFF_B, .fixed = 1, .batch_dims = 1},
    [KNOWN] = {"u.known", DT_BOOL, PT_INPUT, ONE, .alias = -1},
    [SEEN] = {"seen", DT_F32, PT_OUTPUT, ONE, .alias = -1},
};

#define CALL(f, how, out, in, ...)                                                                                     \
    .fn = f, .name = #f, .split = how, .ntensors = 2, .tensors = (int[]){out, in}, __VA_ARGS__
static PlanCall fixed_calls[] = {{CALL(kernel_fixed, SPLIT_BATCH, STEPS_F, STEPS_F, .rows_of = -1)}};
static PlanCarry carries[] = {{CHAIN_NEXT, CHAIN}};
static PlanExtern ext = {.symbol = "user_function", .ntensors = 3, .nout = 1, .tensors = (int[]){VALUE, P, EXT}};
static PlanStep steps[] = {
    {.kind = STEP_CALL,
     .call = {.fn = kernel_state,
              .name = "kernel_state",
              .split = SPLIT_BATCH,
              .rows_of = -1,
              .ntensors = 3,
              .tensors = (int[]){STATE_NEXT, STATE, VALUE},
              .noffsets = 1,
              .offsets = (int[]){OFF_T}}},
    {.kind = STEP_CALL, .call = {CALL(kernel_copy, SPLIT_ROWS, TMP1, VALUE, .rows_of = OFF_T)}},
    {.kind = STEP_CALL, .call = {CALL(kernel_copy, SPLIT_ROWS, TMP2, TMP1, .rows_of = OFF_T)}},
    {.kind = STEP_CALL, .call = {CALL(kernel_copy, SPLIT_ROWS, TMP3, TMP2, .rows_of = OFF_T)}},
    {.kind = STEP_CALL,
     .call = {CALL(kernel_loss, SPLIT_REDUCE, LOSS, TMP3, .rows_of = OFF_T, .zero = true, .grain = 2)}},
    {.kind = STEP_EXTERN, .ext = &ext},
    {.kind = STEP_CALL, .call = {CALL(kernel_update, SPLIT_FIXED, P_NEXT, P, .rows_of = -1, .nitems = F, .grain = 1)}},
    {.kind = STEP_CALL, .call = {CALL(kernel_reader, SPLIT_FIXED, READER, P, .rows_of = -1, .nitems = F, .grain = 1)}},
    {.kind = STEP_SCAN, .ncalls = 1, .calls = fixed_calls, .scan_axis = AX_F, .backwards = true},
    {.kind = STEP_LEVELS, .nsteps = 2, .ncarries = 1, .carries = carries},
    {.kind = STEP_CALL, .call = {CALL(kernel_chain, SPLIT_BATCH, CHAIN_NEXT, CHAIN, .rows_of = -1)}},
    {.kind = STEP_CALL,
     .call = {CALL(kernel_count, SPLIT_REDUCE, COUNT, CHAIN, .rows_of = -1, .zero = true, .grain = 1)}},
    {.kind = STEP_CALL, .call = {CALL(kernel_seen, SPLIT_BATCH, SEEN, KNOWN, .rows_of = -1)}},
    {.kind = STEP_CALL, .call = {CALL(kernel_pairs, SPLIT_BATCH, PAIRS, PAIRS, .rows_of = -1)}},
};

/* tmp2 may lie where value lay, which nobody reads after tmp1. */
static PlanStep root_steps[] = {
    {.kind = STEP_CALL, .call = {CALL(kernel_copy, SPLIT_ROWS, TMP1, VALUE, .rows_of = OFF_T)}},
    {.kind = STEP_CALL, .call = {CALL(kernel_root, SPLIT_ROWS, TMP2, TMP1, .rows_of = OFF_T)}},
    {.kind = STEP_CALL, .call = {CALL(kernel_copy, SPLIT_ROWS, TMP3, TMP2, .rows_of = OFF_T)}},
    {.kind = STEP_CALL,
     .call = {CALL(kernel_loss, SPLIT_REDUCE, LOSS, TMP3, .rows_of = OFF_T, .zero = true, .grain = 2)}},
};

static const Plan plan = {.name = "steps",
                          .real = DT_F32,
                          .naxes = NAXES,
                          .axes = axes,
                          .noffsets = NOFFSETS,
                          .offsets = offsets,
                          .ntensors = NTENSORS,
                          .tensors = tensors,
                          .nsteps = sizeof steps / sizeof *steps,
                          .steps = steps,
                          .row = -1,
                          .loss = LOSS};

static float *values_of(Session *s, const char *name, int64_t count)
{
    Error e;
    Array a;
    int64_t n = 1;
    if (!session_fetch(s, name, &a, &e)) {
        printf("%s\n", e.text);
        exit(1);
    }
    for (int i = 0; i < a.ndim; i++) {
        n *= a.dims[i];
    }
    CHECK(n == count);
    return a.data;
}

static void expect(Session *s, const char *name, int64_t count, const float *expected)
{
    float *got = values_of(s, name, count);
    for (int64_t i = 0; i < count; i++) {
        CHECK_NEAR(got[i], expected[i], 1e-5);
    }
    free(got);
}

int main(void)
{
    Error e;
    void (*fn)(const float *, const float *, float *, int64_t) = user_function;
    memcpy(&ext.fn, &fn, sizeof ext.fn);
    Pool *pool = pool_new(3, &e);
    Session *s = session_new(&plan, pool, 1, &e);
    if (!s) {
        printf("%s\n", e.text);
        return 1;
    }
    int64_t t_offsets[] = {0, 2, 3, 7}, o_offsets[] = {0, 1, 2, 2, 4, 5, 5}, field[] = {2, 1, 0, 1, 0};
    float value[] = {1, 2, 3, 4, 5, 6, 7}, u[] = {0, 10, 20};
    Array arrays[] = {{"T.offsets", DT_I64, 1, {4}, t_offsets},
                      {"value", DT_F32, 1, {7}, value},
                      {"O.offsets", DT_I64, 1, {7}, o_offsets},
                      {"field", DT_I64, 1, {5}, field},
                      {"u", DT_F32, 1, {3}, u}};
    Batch b = {.n = 4, .arrays = arrays, .batch = 3};
    if (!session_run(s, &b, 0, &e)) {
        printf("%s\n", e.text);
        return 1;
    }
    expect(s, "u'", 3, (float[]){103, 103, 122});
    expect(s, "seen", 3, (float[]){0, 0, 0});
    expect(s, "reader", F, (float[]){2, 2}); /* the param before its update ... */
    expect(s, "p", F, (float[]){3, 3});      /* ... and after it */
    expect(s, "ext", 3, (float[]){6, 6, 44});
    expect(s, "steps", 3 * F, (float[]){3, 2, 3, 2, 3, 2});
    expect(s, "c'", 3, (float[]){1, 1, 1}); /* one level */
    expect(s, "count", 1, (float[]){3});
    expect(s, "pairs", 9, (float[]){0, 1, 2, 10, 11, 12, 20, 21, 22});
    CHECK_NEAR(session_scalar(s, "loss"), log(1.0 * 2 * 3 * 4 * 5 * 6 * 7), 1e-4);
    Array a;
    CHECK_ERROR(session_fetch(s, "tmp1", &a, &e), e, EXIT_USAGE, "'tmp1' is not an output");
    b.n = 5; /* the state is given */
    CHECK(session_run(s, &b, 0, &e));
    expect(s, "u'", 3, (float[]){3, 13, 42});
    expect(s, "seen", 3, (float[]){1, 1, 1});
    expect(s, "p", F, (float[]){4, 4});
    int64_t levels[] = {0, 1, 2, 3};
    Array with_levels[6];
    memcpy(with_levels, arrays, sizeof arrays);
    with_levels[5] = (Array){"levels", DT_I64, 1, {4}, levels};
    Batch l = {.n = 6, .arrays = with_levels, .batch = 3};
    CHECK(session_run(s, &l, 0, &e));
    expect(s, "c'", 3, (float[]){1, 11, 111});
    expect(s, "count", 1, (float[]){3});
    expect(s, "u'", 3, (float[]){3, 13, 42}); /* not in the levels */
    with_levels[5].dims[0] = 3;
    levels[1] = 2;
    levels[2] = 3;
    CHECK(session_run(s, &l, 0, &e));
    expect(s, "c'", 3, (float[]){1, 1, 11});
    levels[1] = 1;
    CHECK_ERROR(session_run(s, &l, 0, &e), e, EXIT_DATA, "level 1 has 2 examples after one with 1");
    levels[2] = 2;
    CHECK_ERROR(session_run(s, &l, 0, &e), e, EXIT_DATA, "'levels' runs from 0 to 2: the batch has examples 0 to 3");
    with_levels[5].dims[0] = 1;
    CHECK_ERROR(session_run(s, &l, 0, &e), e, EXIT_DATA, "'levels' has 1 entries");
    b.n = 4;
    field[1] = 2; /* the second field has two words only */
    CHECK_ERROR(session_run(s, &b, 0, &e), e, EXIT_DATA,
                "'field', row 1 (example 0, position 1 on axis 'O'): id 2 is outside vocabulary 'words'");
    field[1] = 1;
    value[4] = -1;
    CHECK_ERROR(session_run(s, &b, 4, &e), e, EXIT_NONFINITE,
                "the loss is not a number at step 4: it begins in 'loss' (m.heddle, line 12)");
    expect(s, "p", F, (float[]){6, 6}); /* nothing was updated */
    value[4] = 0;
    CHECK_ERROR(session_run(s, &b, 5, &e), e, EXIT_NONFINITE, "the loss is infinite at step 5: it begins in 'loss'");
    Plan root = plan;
    root.steps = root_steps;
    root.nsteps = sizeof root_steps / sizeof *root_steps;
    Session *r = session_new(&root, pool, 1, &e);
    value[4] = -1;
    CHECK_ERROR(session_run(r, &b, 6, &e), e, EXIT_NONFINITE,
                "the loss is not a number at step 6: it begins in 'tmp2'");
    session_free(r);
    t_offsets[1] = 0;
    CHECK_ERROR(session_run(s, &b, 0, &e), e, EXIT_DATA, "has 0 rows on axis 'T', which has at least 1");
    session_free(s);
    ext.fn = NULL;
    ext.library = "libnothing-of-that-name.so";
    CHECK_ERROR(session_new(&plan, pool, 1, &e) != NULL, e, EXIT_SPEC, "cannot be loaded");
    ext.library = "libm.so.6";
    CHECK_ERROR(session_new(&plan, pool, 1, &e) != NULL, e, EXIT_SPEC, "has no function 'user_function'");
    pool_free(pool);
    return report("steps");
}
