/* Random programs, compiled against interpreted, forward and backward.
 *
 *   test_random [--first N] [--count N] [--dtype f32|f64] [--cpu NAME] [--show SEED] [--cells MIN] [--stop FAILURES]
 *
 * Each program is compiled with all passes, every second one with every named value wanted (each equation stands
 * alone), the others with the loss and the gradients wanted (everything may fuse), and compared with the interpreter
 * of the plain graph. That one has the same gradient equations, so in f64 some cells of every gradient are also
 * compared with central differences of the loss. A histogram of what was seen is printed; with --cells each kind must
 * have been seen MIN times. */
#include "../support/oracle.h"
#include "codegen.h"
#include "generate.h"
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

typedef struct {
    int64_t first, count, cells, stop;
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

/* ---- central differences ---- */

static double loss_at(Session *s, const Batch *b, double *cell, double value)
{
    Error e = {0};
    *cell = value;
    return session_run(s, b, 3, &e) ? session_scalar(s, "loss") : NAN;
}

/* Steps of several widths: a maximum, a choice or a comparison may change between two points, but hardly ever between
 * the nearest. */
static bool agrees(Session *s, const Batch *b, double *cell, double gradient, double *want)
{
    static const double step[] = {1e-4, 1e-5, 1e-6, 1e-7}, tolerance[] = {1e-6, 1e-6, 1e-5, 1e-4};
    double at = *cell;
    bool close = false;
    for (int i = 0; i < 4 && !close; i++) {
        double up = loss_at(s, b, cell, at + step[i]), down = loss_at(s, b, cell, at - step[i]);
        *want = (up - down) / (2 * step[i]);
        close = fabs(*want - gradient) <= tolerance[i] * fmax(1, fabs(*want));
    }
    *cell = at;
    return close;
}

static void look_for_stop(const Scalar *s, void *found)
{
    *(bool *)found |= s->op == OP_stop;
}

/* The largest gradient of each param and one more; false with the first that is off in *c. Where a stop lets nothing
 * through, the gradient is not the derivative. */
static bool check_differences(Session *s, const Plan *plan, const Batch *b, const Graph *g, uint64_t seed,
                              Comparison *c)
{
    bool stopped = false;
    for (int i = 0; i < g->nequations; i++) {
        equation_walk(g->equations[i], look_for_stop, &stopped);
    }
    if (stopped) {
        return true;
    }
    for (int i = 0; i < g->ntensors; i++) {
        const Tensor *t = g->tensors[i];
        char name[256];
        Array grad;
        Error e = {0};
        int64_t n;
        double *cells = t->role == ROLE_PARAM && t->grad ? session_param(s, t->name, &n) : NULL;
        snprintf(name, sizeof name, "grad.%s", t->name);
        if (!cells || n == 0 || plan_find(plan, name) < 0) { /* what the loss does not need has none */
            continue;
        }
        if (!session_run(s, b, 3, &e) || !session_fetch(s, name, &grad, &e)) {
            snprintf(c->error, sizeof c->error, "%.200s: %.700s", name, e.text);
            return false;
        }
        const double *d = grad.data;
        int64_t at[2] = {0, (int64_t)((seed * 7 + (uint64_t)i) % (uint64_t)n)};
        for (int64_t k = 0; k < n; k++) {
            at[0] = fabs(d[k]) > fabs(d[at[0]]) ? k : at[0];
        }
        bool good = true;
        for (int k = 0; k < 2 && good; k++) {
            double want;
            good = agrees(s, b, &cells[at[k]], d[at[k]], &want);
            if (!good) {
                snprintf(c->error, sizeof c->error, "%s cell %lld: %.12g, differences say %.12g", name,
                         (long long)at[k], d[at[k]], want);
            }
        }
        free(grad.data);
        if (!good) {
            return false;
        }
    }
    return true;
}

/* ---- programs ---- */

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
    PipelineOptions plain_options = {.training = true,
                                     .grads_are_outputs = true,
                                     .verify = true,
                                     .skip = "simplify,prefix,lookup,split,clean,recompute,resum,contract,fuse-map"};
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
        if (s) {
            session_limit_tiles(s, (int64_t)(seed % 4)); /* 0: all of a list that is as short as these */
        }
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
            ok = ok && (o->real != DT_F64 || check_differences(s, plan, &b, plain, seed, &c));
        }
    }
    if (!ok || o->show) {
        printf("%s program %llu (%s): %s%s%s%s\n", ok ? "ok" : "FAIL", (unsigned long long)seed,
               everything ? "every value" : "fused", why.s ? why.s : "", e.text, c.error, c.error[0] ? "" : c.where);
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

static uint64_t current; /* program */

static void crashed(int number)
{
    char text[64] = "FAIL program ";
    int n = 13;
    char digits[24];
    int k = 0;
    for (uint64_t v = current; v > 0 || k == 0; v /= 10) {
        digits[k++] = (char)('0' + v % 10);
    }
    while (k > 0) {
        text[n++] = digits[--k];
    }
    memcpy(text + n, ": crashed\n", 10);
    if (write(STDOUT_FILENO, text, (size_t)n + 10) < 0) {
        _exit(2);
    }
    _exit(number == SIGPROF ? 3 : 1);
}

int main(int argc, char **argv)
{
    Options o = {.stop = 10, .count = 100, .real = DT_F64, .tolerance = 1e-10};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--first") == 0) {
            o.first = strtoll(value, NULL, 10);
        } else if (strcmp(argv[i], "--count") == 0) {
            o.count = strtoll(value, NULL, 10);
        } else if (strcmp(argv[i], "--cells") == 0) {
            o.cells = strtoll(value, NULL, 10);
        } else if (strcmp(argv[i], "--stop") == 0) {
            o.stop = strtoll(value, NULL, 10);
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
    signal(SIGSEGV, crashed);
    signal(SIGBUS, crashed);
    signal(SIGABRT, crashed);
    signal(SIGFPE, crashed);
    signal(SIGPROF, crashed);
    Error e = {0};
    Pool *pool = pool_new(1, &e);
    int64_t seen[SEEN_COUNT] = {0}, bad = 0;
    for (int64_t i = 0; pool && i < o.count; i++) {
        uint64_t seed = (uint64_t)(o.first + i);
        current = seed;
        /* A program takes a fraction of a second; of CPU: a busy machine is no hang. */
        setitimer(ITIMER_PROF, &(struct itimerval){.it_value.tv_sec = 60}, NULL);
        bad += !run_one(seed, seed % 2 == 0, &o, pool, seen);
        if (bad >= o.stop) {
            printf("stopped after %lld failures\n", (long long)bad);
            break;
        }
    }
    pool_free(pool);
    int thin = histogram(seen, o.cells);
    printf("%lld programs, %lld failed\n", (long long)o.count, (long long)bad);
    return bad || thin ? 1 : 0;
}
