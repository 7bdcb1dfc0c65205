/* heddle explain: the graph after a pass, or a summary of what every equation became, or its kernels timed. */
#include "command.h"
#include "explain.h"
#include "generate_batch.h"
#include "kernel_report.h"
#include "load.h"
#include "peak.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

/* What the profile's times are made of: with one thread its own time, else the clock's. */
static double step_clock(const Pool *pool)
{
    struct timespec t;
    clock_gettime(pool_threads(pool) == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static Machine measure_machine(Pool *pool, DType real, Products products)
{
    enum { FAR_BYTES = 128 << 20, NEAR_BYTES = 256 << 10 };
    return (Machine){.gflops = peak_gflops(pool, real, 0.2),
                     .bf16 = products != PRODUCTS_F32 ? peak_bf16_gflops(pool, 0.2) : 0,
                     .memory = peak_read_gbs(pool, FAR_BYTES, 0.2),
                     .near = peak_read_gbs(pool, NEAR_BYTES, 0.05),
                     .threads = pool_threads(pool)};
}

/* Runs the steps; the first one is not counted. */
static bool run_steps(Session *s, const Batch *b, int64_t steps, bool training, const Pool *pool, double *seconds,
                      Error *e)
{
    double start = 0;
    for (int64_t i = 0; i <= steps; i++) {
        if (training) {
            session_set_scalar(s, "opt.lr", 1e-3);
        }
        if (i == 1) {
            session_profile_begin(s);
            start = step_clock(pool);
        }
        if (!session_run(s, b, (uint64_t)i, e)) {
            return false;
        }
    }
    *seconds = (step_clock(pool) - start) / (double)steps;
    return true;
}

static int explain_kernels(Project *p, const char *spec, bool rank, const Common *common, const Load *load,
                           int64_t steps)
{
    Error e = {0};
    Text report = {0}, out = {0};
    Program *prog = project_compile(p, rank ? PROGRAM_RANK : PROGRAM_TRAIN, &report);
    Pool *pool = prog ? pool_new((int)common->threads, &e) : NULL;
    Session *s =
        pool && load_fits(prog->plan, load, &e) ? session_new(prog->plan, pool, (uint64_t)common->seed, &e) : NULL;
    Batch b = {0};
    KernelRun run = {.steps = steps, .spec = spec};
    bool ok = s && batch_generate(prog->plan, load->batch, load->lengths, (uint64_t)common->seed, &b, &e) &&
              run_steps(s, &b, steps, !rank, pool, &run.seconds, &e);
    if (ok) {
        run.machine = measure_machine(pool, p->options.real, p->options.products);
        Kernels k = kernels_of(prog->schedule, p->options.real == DT_F64 ? 8 : 4, load->batch, load->lengths);
        kernels_plan(&k, prog->plan);
        kernel_report(&k, s, &run, common->json, &out);
        fputs(out.s ? out.s : "", stdout);
    }
    text_free(&out);
    generated_free(&b);
    session_free(s);
    pool_free(pool);
    int code = ok ? 0 : report.s ? fail_text(EXIT_SPEC, &report) : fail_error(&e);
    program_free(prog);
    return code;
}

int cmd_explain(int argc, char **argv)
{
    const Command *self = command_named("explain");
    Common common = {0};
    const char *after = NULL;
    bool train = false, rank = false, kernels = false;
    Load load = {.batch = 0};
    const char *lengths = NULL;
    int64_t steps = 0;
    Option options[MAX_OPTIONS] = {
        {"--after", "PASS", OPT_TEXT, &after, "print the graph after a pass: lower, infer, simplify, batch ..."},
        {"--train", NULL, OPT_FLAG, &train, "the training step with adjoints and updates (default)"},
        {"--rank", NULL, OPT_FLAG, &rank, "the rank section"},
        {"--kernels", NULL, OPT_FLAG, &kernels,
         "run some steps: each kernel's work and time beside the machine's limit"},
        {"--batch", "B", OPT_INT, &load.batch, "of --kernels: examples per step (32)"},
        {"--lengths", "L", OPT_TEXT, &lengths,
         "of --kernels: full:N, uniform:A:B or a file with one length per line (full:50)"},
        {"--steps", "K", OPT_INT, &steps, "of --kernels: timed steps (10)"},
        {"--data", "DATA", OPT_TEXT, &load.data,
         "data set that vocabularies and fields have their sizes from; rows are made up"},
    };
    int n = json_option(options, run_options(options, 8, &common), &common);
    const char *spec;
    int code = parse_options(self, argc, argv, options, n, 1, 1, &spec);
    if (code >= 0) {
        return code;
    }
    if (!kernels && (load.batch > 0 || lengths || steps > 0 || common.threads > 0 || common.seed != 0 || common.cpu ||
                     common.no_cache || common.products)) {
        return usage_error(self,
                           "--batch, --lengths, --steps, --threads, --seed, --cpu, --no-cache and --products belong to "
                           "--kernels: nothing else is compiled or run");
    }
    if (kernels && after) {
        return usage_error(self, "--kernels and --after are two different reports: ask for one");
    }
    bool known = !after || strcmp(after, "lower") == 0;
    for (int i = 0; i < npasses && !known; i++) {
        known = strcmp(after, pipeline[i].name) == 0;
    }
    if (!known) {
        Text names = {0};
        for (int i = 0; i < npasses; i++) {
            text_printf(&names, ", %s", pipeline[i].name);
        }
        code = usage_error(self, "there is no pass '%s'; there are lower%s", after, names.s);
        text_free(&names);
        return code;
    }
    Project *p = open_project(spec, &common, &code);
    if (!p) {
        return code;
    }
    Error e = {0};
    if (!load_sizes(&load, p, &e)) {
        load_free(&load);
        project_close(p);
        return fail_error(&e);
    }
    if (kernels) {
        load.batch = load.batch > 0 ? load.batch : 32;
        code = load_lengths(lengths ? lengths : "full:50", (uint64_t)common.seed, &load, &e)
                   ? explain_kernels(p, spec, rank, &common, &load, steps > 0 ? steps : 10)
                   : fail_error(&e);
        load_free(&load);
        project_close(p);
        return code;
    }
    Text report = {0}, out = {0};
    Graph *g = project_graph(p, rank ? PROGRAM_RANK : PROGRAM_TRAIN, after, &report);
    bool ok = g != NULL;
    if (ok && after) {
        graph_print(g, &out);
    } else if (ok && !explain_graph(g, spec, p->options.real == DT_F64 ? 8 : 4, common.json, &out)) {
        diag_print(p->diag, &report);
        ok = false;
    }
    fputs(ok && out.s ? out.s : "", stdout);
    text_free(&out);
    load_free(&load);
    project_close(p);
    return ok ? 0 : fail_text(EXIT_SPEC, &report);
}
