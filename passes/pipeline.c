/* The pipeline: a table of passes in order, and the one loop around it. */
#include "rewrite.h"

#include <string.h>

static void pass_clean(Graph *g)
{
    pass_simplify(g);
}

const Pass pipeline[] = {
    {"infer", pass_infer, "first: value ranges of integers are what the other passes prove things from"},
    {"simplify", pass_simplify, "before batch: there is less to give a batch index to"},
    {"batch", pass_batch, "before differentiate: the adjoint of a param sums over the examples"},
    {"gather", pass_gather, "before differentiate: the gradient of what is gathered once is scattered once"},
    {"members", pass_members, "before prefix: each case of a sum gets a domain of its own"},
    {"prefix", pass_prefix, "before differentiate: gradients of sums over runs are sums over runs"},
    {"convolve", pass_convolve, "before differentiate: gradients of convolutions are convolutions"},
    {"lookup", pass_lookup, "before differentiate: gradients of sums with all rows of a table are products, too"},
    {"differentiate", pass_differentiate, "on expanded equations, one reduction each, before anything is fused"},
    {"optimize", pass_optimize, "the update reads what differentiate made"},
    {"clean", pass_clean, "derivatives leave equal equations, constants and ones behind"},
    {"split", pass_split, "before contract: blocks of a sum of axes are products where the whole is not"},
    {"recompute", pass_recompute,
     "before contract: what is computed again is inlined into adjoints, products stay bare"},
    {"resum", pass_resum, "after recompute, which makes bodies equal; before contract, which takes them apart"},
    {"contract", pass_contract,
     "before fuse-map: factors become values of their own, which are then not inlined again"},
    {"fuse-map", pass_fuse_map, "last of all rewrites: what still stands alone becomes a kernel"},
    {"fuse-stream", pass_fuse_stream, "on the kernels as they are: it only decides which of them run together"},
    {"fuse-sums", pass_fuse_sums, "after fuse-stream: what its clusters make is summed in them"},
    {"fuse-rows", pass_fuse_rows, "after fuse-stream: what its clusters leave between them"},
    {"remake", pass_remake, "after fuse-rows: what its clusters can make again"},
    {"share", pass_share, "after remake: clusters are what they stay, and what they compute alike is seen"},
    {"add-up", pass_add_up, "last: what adds to another's cells is no value by itself"},
};
const int npasses = (int)(sizeof pipeline / sizeof *pipeline);

static bool is_skipped(const char *list, const char *name)
{
    size_t n = strlen(name);
    while (list && *list) {
        size_t len = strcspn(list, ",");
        if (len == n && !strncmp(list, name, n)) {
            return true;
        }
        list += len;
        list += *list == ',';
    }
    return false;
}

/* Differentiation and what only makes sense after it. */
static bool is_for_training(const Pass *p)
{
    return p->run == pass_differentiate || p->run == pass_optimize || p->run == pass_recompute;
}

/* Before any pass that drops or inlines what nobody wants. */
static void want_grads(Graph *g)
{
    for (int i = 0; i < g->ntensors; i++) {
        Tensor *t = g->tensors[i];
        if (t->role == ROLE_PARAM && t->grad) {
            t->grad->is_output = true;
        }
    }
}

static void verify(const Graph *g, const char *after)
{
    Text why = {0};
    if (!graph_verify(g, &why)) {
        Text dump = {0};
        graph_print(g, &dump);
        bug("after %s: %s\n%s", after, why.s ? why.s : "?", dump.s ? dump.s : "");
    }
    text_free(&why);
}

bool pipeline_run(Graph *g, const PipelineOptions *o)
{
    if (o->verify) {
        verify(g, "lowering");
    }
    for (int i = 0; i < npasses; i++) {
        const Pass *p = &pipeline[i];
        if ((o->training || !is_for_training(p)) && !is_skipped(o->skip, p->name)) {
            p->run(g);
            if (o->grads_are_outputs && p->run == pass_differentiate) {
                want_grads(g);
            }
            if (diag_errors(g->diag)) {
                return false;
            }
            if (o->verify) {
                verify(g, p->name);
            }
        }
        if (o->dump) {
            o->dump(o->ctx, p->name, g);
        }
        if (o->stop && !strcmp(o->stop, p->name)) {
            break;
        }
    }
    return true;
}
