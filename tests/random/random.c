/* Random programs, compiled against interpreted, forward and backward.
 *
 *   test_random [--first N] [--count N] [--dtype f32|f64] [--cpu NAME] [--show SEED] [--cells MIN]
 *
 * Each program is compiled with all passes twice, once with every named value wanted (each equation stands alone) and
 * once with the loss and the gradients wanted (everything may fuse), and compared with the interpreter of the plain
 * graph. A histogram of what was seen is printed; with --cells each kind must have been seen MIN times. */
#include "generate.h"
#include "../support/oracle.h"
#include "codegen.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    int64_t first, count, cells;
    DType real;
    const char *cpu;
    bool show;
    double tolerance;
} Options;

static void want_everything(Graph *g)
{
    for (int i = 0; i < g->ntensors; i++) {
        g->tensors[i]->is_output |= g->tensors[i]->role == ROLE_VALUE;
    }
}

/* One program one way; false with the reason printed. */
static bool run_one(uint64_t seed, bool everything, const Options *o, Pool *pool, int64_t *seen)
{
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    int64_t ignored[SEEN_COUNT] = {0};
    Graph *plain = generate_graph(arena, diag, seed, seen);
    Arena *other = arena_new();
    Graph *g = generate_graph(other, diag, seed, ignored);
    Text why = {0};
    Error e = {0};
    Comparison c = {0};
    if (everything) {
        want_everything(g);
    }
    PipelineOptions plain_options = {.training = true, .grads_are_outputs = true, .verify = true,
                                     .skip = "simplify,clean,recompute,contract,fuse-map"};
    PipelineOptions options = {.training = true, .grads_are_outputs = true, .verify = true};
    Schedule *schedule = NULL;
    Plan *plan = NULL;
    Session *s = NULL;
    Interp *in = NULL;
    bool ok = pipeline_run(plain, &plain_options) && pipeline_run(g, &options) && (schedule = pass_plan(g));
    if (!ok) {
        diag_print(diag, &why);
    }
    CodegenOptions co = {.real = o->real, .cpu = o->cpu, .threads = 1, .quick = true};
    CodegenStats stats;
    ok = ok && (plan = codegen_compile(schedule, &co, &stats, &why));
    if (ok) {
        Batch b = generate_batch(arena, plain, seed, everything ? seen : ignored);
        s = session_new(plan, pool, seed, &e);
        in = interp_new(plain, b.batch);
        interp_strict(in, true);
        interp_seed(in, seed, 3);
        ok = s && oracle_bind(in, plain, s, plan, &b, &c);
        if (ok && !interp_run(in)) {
            ok = false;
            snprintf(c.error, sizeof c.error, "interpreter: %s", interp_error(in));
        }
        ok = ok && session_run(s, &b, 3, &e);
        if (ok) {
            oracle_compare(in, plain, s, plan, &c);
            ok = !c.error[0] && c.worst <= o->tolerance;
        }
    }
    if (!ok || o->show) {
        printf("%s program %llu (%s): %s%s%s%s\n", ok ? "ok" : "FAIL", (unsigned long long)seed,
               everything ? "every value" : "fused", why.s ? why.s : "", e.text, c.error, c.where);
    }
    if (o->show) {
        Text t = {0};
        graph_print(plain, &t);
        printf("---- plain\n%s", t.s ? t.s : "");
        text_free(&t);
        graph_print(g, &t);
        printf("---- optimised\n%s", t.s ? t.s : "");
        text_free(&t);
    }
    interp_free(in);
    session_free(s);
    if (plan) {
        plan->destroy(plan);
    }
    text_free(&why);
    diag_free(diag);
    arena_free(other);
    arena_free(arena);
    return ok;
}

static int histogram(const int64_t *seen, int64_t cells)
{
    int thin = 0;
    for (int i = 0; i < SEEN_COUNT; i++) {
        bool low = seen[i] < cells;
        thin += low;
        printf("%8lld  %s%s\n", (long long)seen[i], seen_name[i], low ? "  (too few)" : "");
    }
    return thin;
}

int main(int argc, char **argv)
{
    Options o = {.count = 100, .real = DT_F64, .tolerance = 1e-10};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--first") == 0) {
            o.first = strtoll(value, NULL, 10);
        } else if (strcmp(argv[i], "--count") == 0) {
            o.count = strtoll(value, NULL, 10);
        } else if (strcmp(argv[i], "--cells") == 0) {
            o.cells = strtoll(value, NULL, 10);
        } else if (strcmp(argv[i], "--cpu") == 0) {
            o.cpu = value;
        } else if (strcmp(argv[i], "--dtype") == 0) {
            o.real = strcmp(value, "f32") == 0 ? DT_F32 : DT_F64;
            o.tolerance = o.real == DT_F32 ? 2e-3 : 1e-10;
        } else if (strcmp(argv[i], "--show") == 0) {
            o.first = strtoll(value, NULL, 10);
            o.count = 1;
            o.show = true;
        } else {
            fprintf(stderr, "unknown option %s\n", argv[i]);
            return 2;
        }
        i++;
    }
    Error e = {0};
    Pool *pool = pool_new(1, &e);
    int64_t seen[SEEN_COUNT] = {0}, bad = 0;
    for (int64_t i = 0; pool && i < o.count; i++) {
        uint64_t seed = (uint64_t)(o.first + i);
        bad += !run_one(seed, i % 2 == 0, &o, pool, seen);
        if (bad >= 10) {
            printf("stopped after 10 failures\n");
            break;
        }
    }
    pool_free(pool);
    int thin = histogram(seen, o.cells);
    printf("%lld programs, %lld failed\n", (long long)o.count, (long long)bad);
    return bad || thin ? 1 : 0;
}
