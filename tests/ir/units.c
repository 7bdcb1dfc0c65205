/* What no text file can show: arenas, diagnostics, and what the scalar builders make. */
#include "ir_test.h"

#include "random.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

static int failures;

#define CHECK(cond)                                                                                                    \
    do {                                                                                                               \
        if (!(cond)) {                                                                                                 \
            printf("%s:%d: %s is false\n", __FILE__, __LINE__, #cond);                                                 \
            failures++;                                                                                                \
        }                                                                                                              \
    } while (0)

static void leave(void *ctx)
{
    longjmp(*(jmp_buf *)ctx, 1);
}

static void test_arena(void)
{
    Arena *a = arena_new();
    char *s = arena_printf(a, "%s-%d", "x", 3);
    CHECK(strcmp(s, "x-3") == 0);
    char *big = arena_alloc(a, 1 << 20);
    CHECK(big[0] == 0 && big[(1 << 20) - 1] == 0);
    CHECK(((uintptr_t)arena_alloc(a, 1) & 15) == 0);
    int *list = NULL, n = 0;
    for (int k = 0; k < 1000; k++) {
        ARENA_PUSH(a, list, n, k);
    }
    CHECK(n == 1000 && list[0] == 0 && list[999] == 999);
    jmp_buf out;
    arena_on_exhausted(a, leave, &out);
    arena_limit(a, arena_bytes(a) + 100);
    if (setjmp(out) == 0) {
        arena_alloc(a, 1000);
        CHECK(!"memory past the limit");
    }
    arena_free(a);
}

static void test_diag(void)
{
    Diag *d = diag_new();
    const Source *s = diag_source(d, "m.heddle", "axis T\n\tx[i] = \xcf\x83(y[d])\nz = 1\n");
    Text t = {0};
    diag_report(d, DIAG_WARNING, "W0203", (Span){s, 3, 1, 1}, NULL, "second %d", 2);
    diag_report(d, DIAG_ERROR, "E0104", (Span){s, 2, 14, 1}, "write sum[d]", "index '%s' is used but not bound", "d");
    diag_also(d, "path: %s", "x -> y");
    diag_report(d, DIAG_ERROR, "E0104", (Span){s, 2, 14, 1}, NULL, "the same again");
    diag_also(d, "never seen");
    diag_report(d, DIAG_ERROR, "E0402", (Span){.source = s}, NULL, "no line");
    diag_report(d, DIAG_NOTE, "N0001", (Span){0}, NULL, "no place");
    diag_report(d, DIAG_ERROR, "E0001", (Span){s, 2, 2, 100}, "all of it", "long");
    CHECK(diag_errors(d) == 3 && diag_warnings(d) == 1);
    diag_print(d, &t);
    const char *want = "m.heddle: error[E0402]: no line\n"
                       "m.heddle:2:2: error[E0001]: long\n"
                       "    2 | \tx[i] = \xcf\x83(y[d])\n"
                       "      | \t^^^^^^^^^^^^^^ all of it\n"
                       "m.heddle:2:14: error[E0104]: index 'd' is used but not bound\n"
                       "    2 | \tx[i] = \xcf\x83(y[d])\n"
                       "      | \t           ^ write sum[d]\n"
                       "      | path: x -> y\n"
                       "m.heddle:3:1: warning[W0203]: second 2\n"
                       "    3 | z = 1\n"
                       "      | ^\n"
                       "note[N0001]: no place\n";
    CHECK(strcmp(t.s, want) == 0);
    if (strcmp(t.s, want) != 0) {
        printf("%s", t.s);
    }
    text_free(&t);
    diag_clear(d);
    CHECK(diag_errors(d) == 0);
    diag_free(d);
}

static Scalar *parse(Graph *g, const char *text)
{
    const char *names[] = {"i", "j", "x", "y", "f"};
    Tensor *x = graph_find(g, "x"), *f = graph_find(g, "f");
    Scalar *i = sc_letter(g, 0), *values[] = {i, sc_letter(g, 1), sc_load(g, x, 1, &i), NULL, sc_load(g, f, 1, &i)};
    values[3] = sc_op(g, OP_tanh, values[2]);
    return scalar_parse(g, text, 5, names, values);
}

static void test_scalars(void)
{
    Arena *arena = arena_new();
    Diag *d = diag_new();
    Graph *g = graph_new(arena, d, "g");
    Axis *n = graph_axis(g, (Axis){.name = "N", .kind = AXIS_FIXED, .size = 4});
    Tensor *x = graph_tensor(g, (Tensor){.name = "x", .role = ROLE_INPUT, .elem = ELEM_REAL, .ndim = 1, .dims = {n}});
    graph_tensor(g, (Tensor){.name = "f", .role = ROLE_INPUT, .elem = ELEM_F32, .ndim = 1, .dims = {n}});
    Scalar *i = sc_letter(g, 0), *j = sc_letter(g, 1);

    CHECK(sc_op(g, OP_add, i, j) == sc_op(g, OP_add, i, j)); /* hash-consed */
    CHECK(sc_op(g, OP_add, i, j) != sc_op(g, OP_add, j, i));
    CHECK(sc_real(g, 0.0) != sc_real(g, -0.0));
    CHECK(graph_find(g, "x") == x && graph_find(g, "nobody") == NULL);

    /* constants and types */
    CHECK(parse(g, "2 + 3 * 4") == sc_int(g, 14));
    CHECK(parse(g, "-7 / 2")->type == TYPE_REAL && sc_is_const(parse(g, "-7 / 2"), -3.5));
    CHECK(parse(g, "idiv(-7, 2)") == sc_int(g, -4) && parse(g, "mod(-7, 2)") == sc_int(g, 1));
    CHECK(parse(g, "idiv(1, 0)")->op == OP_idiv);
    CHECK(parse(g, "2 < 3 and not 3 <= 2") == sc_bool(g, true));
    CHECK(parse(g, "true and i < j") == parse(g, "i < j"));
    CHECK(parse(g, "i > j") == parse(g, "j < i"));
    CHECK(parse(g, "x * i") == parse(g, "x * real(i)") && parse(g, "x * i")->type == TYPE_REAL);
    CHECK(parse(g, "x * select(i < j, 1, 0)") == parse(g, "x * select(i < j, 1.0, 0.0)"));
    CHECK(parse(g, "f * 0.301")->type == TYPE_F32 && parse(g, "f * x")->type == TYPE_REAL);
    CHECK(parse(g, "f * i")->type == TYPE_F32);
    CHECK(parse(g, "0.1f + 0.2f")->op == OP_add); /* f32 is computed where it runs */
    CHECK(parse(g, "trunc(i)") == i && parse(g, "i + 1")->type == TYPE_INT);
    CHECK(parse(g, "-9223372036854775808") == sc_int(g, INT64_MIN));
    CHECK(parse(g, "round(2.5)") == sc_int(g, 2));
    CHECK(parse(g, "trunc(1e300)")->op == OP_trunc);

    double v;
    CHECK(sc_evaluate(parse(g, "exp(1.0) + log(2.0)"), &v) && v == exp(1.0) + log(2.0));
    CHECK(sc_evaluate(parse(g, "0.1f * 3"), &v) && v == (double)(0.1f * 3.0f));
    CHECK(!sc_evaluate(parse(g, "x + 1"), &v) && !sc_evaluate(i, &v));
    CHECK(sc_evaluate(parse(g, "step(5; 1, 3, 5, 7)"), &v) && v == 3);

    /* substitution rebuilds, folds and keeps what does not change */
    Scalar *map[] = {sc_int(g, 2), NULL};
    CHECK(sc_substitute(g, parse(g, "i * i + 1"), 2, map) == sc_int(g, 5));
    CHECK(sc_substitute(g, j, 2, map) == j);
    CHECK(sc_uses_letter(parse(g, "y + i"), 0) && !sc_uses_letter(parse(g, "y + i"), 1));

    /* every derivative of the table is an expression over a, b, c, y */
    for (Op op = OP_STEP + 1; op < OP_COUNT; op++) {
        const char *names[] = {"a", "b", "c", "y"};
        Scalar *a = sc_load(g, x, 1, &i), *values[] = {a, a, a, a};
        values[0] = op == OP_select ? sc_bool(g, true) : a;
        for (int k = 0; k < 3; k++) {
            const char *text = op_info[op].derivative[k];
            CHECK(text == NULL || scalar_parse(g, text, 4, names, values) != NULL);
        }
    }
    CHECK(diag_errors(d) == 0);
    CHECK(scalar_parse(g, "1 +", 0, NULL, NULL) == NULL);
    CHECK(scalar_parse(g, "nobody(1)", 0, NULL, NULL) == NULL);
    CHECK(scalar_parse(g, "1 and 2", 0, NULL, NULL) == NULL);
    CHECK(diag_errors(d) == 3);
    arena_free(arena);
    diag_free(d);
}

static void test_random(void)
{
    uint64_t key = random_key(1, 2, "neg");
    CHECK(key == random_key(1, 2, "neg") && key != random_key(1, 3, "neg") && key != random_key(1, 2, "pos"));
    double sum = 0;
    for (int k = 0; k < 10000; k++) {
        double u = random_uniform(random_fold(key, k));
        CHECK(u >= 0 && u < 1);
        sum += u;
    }
    CHECK(fabs(sum / 10000 - 0.5) < 0.02);
}

int run_units(void)
{
    test_arena();
    test_diag();
    test_scalars();
    test_random();
    return failures;
}
