/* heddle run: one batch, exactly as given, for comparing with any other framework. */
#include "checkpoint.h"
#include "command.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Outputs, the loss and (with --grads) every grad.PATH, fetched into a file. */
static bool write_outputs(Session *s, const Plan *plan, const char *path, Error *e)
{
    Array *arrays = calloc((size_t)plan->ntensors + 1, sizeof *arrays);
    int n = 0;
    bool ok = arrays || error_set(e, EXIT_RESOURCES, "out of memory");
    for (int i = 0; ok && i < plan->ntensors; i++) {
        const PlanTensor *t = &plan->tensors[i];
        if (t->role == PT_OUTPUT) {
            ok = session_fetch(s, t->name, &arrays[n], e);
            n += ok;
        }
    }
    ok = ok && tensor_file_write(path, n, arrays, NULL, e);
    for (int i = 0; i < n; i++) {
        free(arrays[i].data);
    }
    free(arrays);
    return ok;
}

/* The batch file's arrays as a Batch; the number of examples follows from any array over the batch. */
static bool read_batch(TensorFile *f, const Plan *plan, Batch *b, Error *e)
{
    int n = tensor_file_count(f);
    b->arrays = calloc((size_t)n + 1, sizeof *b->arrays);
    if (!b->arrays) {
        return error_set(e, EXIT_RESOURCES, "out of memory");
    }
    b->batch = -1;
    for (int i = 0; i < n; i++) {
        const Array *a = tensor_file_array(f, i);
        if (!a) {
            return error_set(e, EXIT_DATA, "array %d of the batch has an element type that no input has", i);
        }
        b->arrays[b->n++] = *a;
        const char *dot = strrchr(a->name, '.');
        int t = plan_find(plan, a->name);
        int64_t size = -1;
        if (dot && strcmp(dot, ".offsets") == 0 && a->ndim == 1) {
            for (int k = 0; k < plan->naxes; k++) {
                size_t len = (size_t)(dot - a->name);
                if (plan->axes[k].parent < 0 && strlen(plan->axes[k].name) == len &&
                    strncmp(plan->axes[k].name, a->name, len) == 0) {
                    size = a->dims[0] - 1;
                }
            }
        } else if (t >= 0 && plan->tensors[t].per_example && plan->tensors[t].role == PT_INPUT && a->ndim > 0) {
            bool ragged = plan->offsets[plan->tensors[t].offsets].naxes > 0;
            size = ragged ? -1 : a->dims[0];
        }
        if (size >= 0 && b->batch < 0) {
            b->batch = size;
        }
    }
    if (b->batch < 0) {
        return error_set(e, EXIT_DATA, "the batch has no array over examples: give offsets or an input per example");
    }
    return true;
}

int cmd_run(int argc, char **argv)
{
    const Command *self = command_named("run");
    Common common = {0};
    const char *weights = NULL, *batch = NULL, *out = NULL, *mode = "train";
    bool grads = false;
    Option options[MAX_OPTIONS] = {
        {"--weights", "W", OPT_TEXT, &weights, "params, a safetensors file"},
        {"--batch", "B", OPT_TEXT, &batch, "inputs by name, a safetensors file"},
        {"--out", "O", OPT_TEXT, &out, "where outputs go, a safetensors file"},
        {"--grads", NULL, OPT_FLAG, &grads, "also write grad.PATH for every param"},
        {"--mode", "train|rank", OPT_TEXT, &mode, "which section is run (train)"},
        {"--output", "NAME", OPT_LIST, &common.outputs, "one more output, such as score"},
    };
    int n = run_options(options, 6, &common);
    const char *spec;
    int code = parse_options(self, argc, argv, options, n, 1, 1, &spec);
    if (code >= 0) {
        return code;
    }
    if (!weights || !batch || !out) {
        return usage_error(self, "--weights, --batch and --out are all needed");
    }
    bool rank = strcmp(mode, "rank") == 0;
    if ((!rank && strcmp(mode, "train") != 0) || (rank && grads)) {
        return usage_error(self, rank ? "--grads needs --mode train" : "--mode is train or rank, not '%s'", mode);
    }
    Project *p = open_project(spec, &common, &code);
    if (!p) {
        return code;
    }
    Text report = {0};
    Error e = {0};
    Program *prog = NULL;
    Pool *pool = NULL;
    Session *s = NULL;
    Batch b = {0};
    TensorFile *wf = tensor_file_open(weights, &e);
    TensorFile *bf = wf ? tensor_file_open(batch, &e) : NULL;
    bool ok = bf != NULL;
    code = ok && !(project_vocabs_from_weights(p, wf, &report) && (prog = project_compile(p,
                                                                                          rank    ? PROGRAM_RANK
                                                                                          : grads ? PROGRAM_GRADS
                                                                                                  : PROGRAM_FORWARD,
                                                                                          &report)))
               ? fail_text(EXIT_SPEC, &report)
               : 0;
    if (code == 0) {
        ok = ok && (pool = pool_new((int)common.threads, &e)) &&
             (s = session_new(prog->plan, pool, (uint64_t)common.seed, &e)) &&
             project_weights(p, s, weights, &report, &e) && read_batch(bf, prog->plan, &b, &e) &&
             session_run(s, &b, 0, &e) && write_outputs(s, prog->plan, out, &e);
        code = ok ? 0 : fail_either(&report, &e);
    }
    free(b.arrays);
    session_free(s);
    pool_free(pool);
    program_free(prog);
    tensor_file_close(bf);
    tensor_file_close(wf);
    project_close(p);
    return code;
}
