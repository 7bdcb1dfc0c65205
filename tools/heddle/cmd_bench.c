/* heddle bench: training and inference steps on generated input, beside the machine's multiply-add peak measured in
 * the same run. Figures are medians over the steps. */
#include "command.h"
#include "count.h"
#include "generate_batch.h"
#include "load.h"
#include "peak.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Seconds: of the first step, medians of the timed ones, by the clock and by the CPU time of all threads. */
typedef struct {
    double first, wall, cpu;
} StepTime;

static double cpu_seconds(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           1e-6 * (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}

static bool time_steps(Session *s, const Batch *b, int64_t steps, bool training, bool profile, StepTime *out, Error *e)
{
    double *t = calloc((size_t)steps * 2, sizeof *t), *cpu = t ? t + steps : NULL;
    bool ok = t || error_set(e, EXIT_RESOURCES, "out of memory");
    for (int64_t i = -1; ok && i < steps; i++) {
        if (training) {
            session_set_scalar(s, "opt.lr", 1e-3);
        }
        double start = seconds_now(), used = cpu_seconds();
        ok = session_run(s, b, (uint64_t)(i + 1), e);
        double spent = seconds_now() - start;
        if (i < 0) {
            out->first = spent;
            if (profile) {
                session_profile_begin(s);
            }
        } else {
            t[i] = spent;
            cpu[i] = cpu_seconds() - used;
        }
    }
    if (ok && cpu) {
        qsort(t, (size_t)steps, sizeof *t, by_value);
        qsort(cpu, (size_t)steps, sizeof *cpu, by_value);
        out->wall = t[steps / 2];
        out->cpu = cpu[steps / 2];
    }
    free(t);
    return ok;
}

static int by_seconds(const void *a, const void *b)
{
    double x = ((const StepProfile *)a)->seconds, y = ((const StepProfile *)b)->seconds;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* The slowest calls of the timed steps: the mean and the least time of a call, and the share of the time all took. */
static void print_profile(const Session *s, int64_t top)
{
    const StepProfile *rows;
    int n = session_profile(s, &rows);
    StepProfile *sorted = malloc(((size_t)n + 1) * sizeof *sorted);
    double total = 0, least = 0;
    if (!sorted) {
        return;
    }
    memcpy(sorted, rows, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, by_seconds);
    for (int i = 0; i < n; i++) {
        total += sorted[i].seconds;
        least += sorted[i].least;
    }
    int64_t runs = n > 0 ? sorted[0].runs : 1;
    fprintf(stderr, " line   calls  share    ms a call   least ms  defines\n");
    for (int i = 0; i < n && i < top; i++) {
        const StepProfile *x = &sorted[i];
        if (x->runs == 0) { /* runs the steps after it, level by level */
            continue;
        }
        fprintf(stderr, "%5d  %6lld  %4.1f %%  %9.3f  %9.3f  %s\n", x->line, (long long)x->runs,
                100 * x->seconds / total, 1e3 * x->seconds / (double)x->runs, 1e3 * x->least, x->label);
    }
    fprintf(stderr, "                100 %%  %9.3f  %9.3f  all %d calls of a step\n", 1e3 * total / (double)runs,
            1e3 * least, n);
    free(sorted);
}

/* One way of running the spec, compiled, timed. */
static bool measure(Project *p, ProgramKind kind, const Load *load, int64_t steps, int64_t profile, Pool *pool,
                    uint64_t seed, double *compile, StepTime *time, Text *report, Error *e)
{
    Program *prog = project_compile(p, kind, report);
    Session *s = prog && load_fits(prog->plan, load, e) ? session_new(prog->plan, pool, seed, e) : NULL;
    Batch b = {0};
    bool ok = s && batch_generate(prog->plan, load->batch, load->lengths, seed, &b, e) &&
              time_steps(s, &b, steps, kind == PROGRAM_TRAIN, profile > 0, time, e);
    if (ok && profile > 0) {
        print_profile(s, profile);
    }
    *compile = prog ? prog->seconds + fmax(0, time->first - time->wall) : 0;
    generated_free(&b);
    session_free(s);
    program_free(prog);
    return ok;
}

int cmd_bench(int argc, char **argv)
{
    const Command *self = command_named("bench");
    Common common = {0};
    Load load = {.batch = 32};
    int64_t steps = 10, profile = 0;
    const char *lengths = "full:50";
    Option options[MAX_OPTIONS] = {
        {"--batch", "B", OPT_INT, &load.batch, "examples per step (32)"},
        {"--lengths", "L", OPT_TEXT, &lengths, "full:N, uniform:A:B or a file with one length per line (full:50)"},
        {"--steps", "K", OPT_INT, &steps, "timed steps (10)"},
        {"--data", "DATA", OPT_TEXT, &load.data,
         "data set that vocabularies and fields have their sizes from; rows are made up"},
        {"--profile", "N", OPT_INT, &profile, "also print the N slowest kernels on standard error"},
    };
    int n = json_option(options, run_options(options, 5, &common), &common);
    const char *spec;
    int code = parse_options(self, argc, argv, options, n, 1, 1, &spec);
    if (code >= 0) {
        return code;
    }
    if (load.batch == 0 || steps == 0) {
        return usage_error(self, "--batch and --steps are at least 1");
    }
    Error e = {0};
    if (!load_lengths(lengths, (uint64_t)common.seed, &load, &e)) {
        load_free(&load);
        return fail_error(&e);
    }
    Project *p = open_project(spec, &common, &code);
    if (!p) {
        load_free(&load);
        return code;
    }
    if (!load_sizes(&load, p, &e)) {
        load_free(&load);
        project_close(p);
        return fail_error(&e);
    }
    Text report = {0};
    double train_compile = 0, infer_compile = 0, flop = 0, executed = 0;
    StepTime train = {.wall = 1}, infer = {.wall = 1};
    Graph *written = project_written(p, &report);
    Graph *final = written ? project_graph(p, PROGRAM_TRAIN, NULL, &report) : NULL;
    Pool *pool = final ? pool_new((int)common.threads, &e) : NULL;
    bool ok = pool != NULL;
    if (ok) {
        flop = count_operations(written, load.batch, load.lengths);
        executed = count_operations(final, load.batch, load.lengths);
        ok = measure(p, PROGRAM_TRAIN, &load, steps, profile, pool, (uint64_t)common.seed, &train_compile, &train,
                     &report, &e) &&
             measure(p, PROGRAM_RANK, &load, steps, profile, pool, (uint64_t)common.seed, &infer_compile, &infer,
                     &report, &e);
    }
    if (!ok) {
        code = report.s ? fail_text(EXIT_SPEC, &report) : fail_error(&e);
    } else {
        struct rusage use;
        getrusage(RUSAGE_SELF, &use);
        double peak = peak_gflops(pool, p->options.real, 0.3), b = (double)load.batch;
        double gflops = flop / train.wall / 1e9, clock = peak_clock_ghz(pool, 0.1);
        if (!common.json) {
            printf(
                "training   %10.1f examples/s   %8.2f ms a step   %7.2f GFLOP/s, %.1f %% of the measured peak %.1f\n",
                b / train.wall, 1e3 * train.wall, gflops, 100 * gflops / peak, peak);
            printf("inference  %10.1f examples/s   %8.2f ms a batch\n", b / infer.wall, 1e3 * infer.wall);
            printf("compiled in %.3f s (training), %.3f s (inference); peak memory %.1f MiB\n", train_compile,
                   infer_compile, (double)use.ru_maxrss / 1024);
        } else {
            printf("{\"train_examples_per_s\":%.9g,\"infer_examples_per_s\":%.9g,\"train_flop\":%.17g,"
                   "\"executed_flop\":%.17g,\"gflops\":%.6g,\"peak_gflops\":%.6g,\"peak_rss_bytes\":%lld,"
                   "\"compile_s\":%.6g,\"infer_compile_s\":%.6g,\"threads\":%d,\"cpu\":\"%s\",\"lengths\":\"%s\","
                   "\"train_cpu_s\":%.6g,\"infer_cpu_s\":%.6g,\"clock_ghz\":%.4g}\n",
                   b / train.wall, b / infer.wall, flop, executed, gflops, peak, (long long)use.ru_maxrss * 1024,
                   train_compile, infer_compile, pool_threads(pool), peak_instructions(), lengths, train.cpu, infer.cpu,
                   clock);
        }
        code = 0;
    }
    pool_free(pool);
    load_free(&load);
    project_close(p);
    return code;
}
