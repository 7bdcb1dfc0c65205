/* What a spec says decides how it runs, not how it is written: after names are changed, the sides of every product and
 * sum swapped, an intermediate of any one equation given a name, or any one short name that is read once replaced by
 * what it stands for, a spec becomes the same clusters, with operations within 10 % and moved bytes within 25 %. (A
 * name may turn a value that was cheap enough to form again into one that is kept: fewer operations, more bytes, nearly
 * the same time.)
 *
 *   test_edits MODELS_DIR SPEC          SPEC relative to MODELS_DIR, with each of its cases in specs.c */
#include "kernels.h"
#include "specs.h"
#include "uses.h"
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* SHORT: nodes of an expression. FEW: operations that are nothing; some cases are tiny. */
enum { BATCH = 4, LENGTH = 50, MOST_CLUSTERS = 64, SHORT = 12, FEW = 4000 };

typedef enum { AS_IT_IS, RENAMED, SWAPPED, NAMED, INLINED, EDITS } Edit;
static const char *const edit_name[] = {"as it is", "renamed", "sides swapped", "intermediate named", "name replaced"};

/* ---- the edits ---- */

static bool is_name(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '\'';
}

/* The graph read again from its text, with every value and letter under another name; what is quoted stays. */
static Graph *rename_all(Graph *g, Arena *arena, Diag *diag)
{
    for (int i = 0; i < g->nequations; i++) {
        for (int l = 0; l < g->equations[i]->nletters; l++) {
            g->equations[i]->letters[l].name = arena_printf(g->arena, "q%d", g->equations[i]->nletters - l);
        }
    }
    Text before = {0}, after = {0};
    graph_print(g, &before);
    for (const char *at = before.s, *end; *at; at = end) {
        end = at + 1;
        if (*at == '"') {
            end = strchr(end, '"') + 1;
        } else if (is_name(*at)) {
            while (is_name(*end)) {
                end++;
            }
        }
        const char *name = arena_printf(arena, "%.*s", (int)(end - at), at);
        const Tensor *t = is_name(*at) ? graph_find(g, name) : NULL;
        bool free = t && t->role == ROLE_VALUE && !t->is_output && !t->is_draw && t != g->loss;
        if (free) {
            text_printf(&after, "zz%d", g->ntensors - t->id);
        } else {
            text_printf(&after, "%s", name);
        }
    }
    Graph *renamed = graph_parse(arena, diag, "renamed", after.s);
    text_free(&before);
    text_free(&after);
    return renamed;
}

static Scalar *swap_sides(Graph *g, Scalar *s, void *ctx)
{
    (void)ctx;
    if ((s->op == OP_mul || s->op == OP_add) && s->type == TYPE_REAL) {
        Scalar *args[2] = {s->args[1], s->args[0]};
        return sc_rebuild(g, s, args);
    }
    return s;
}

static void note_letters(const Scalar *s, void *ctx)
{
    if (s->op == OP_LETTER) {
        *(unsigned *)ctx |= 1u << s->inum;
    }
}

/* Whether anything is read at all, and whether it is an example's own. */
static void note_load(const Scalar *s, void *ctx)
{
    bool *reads = ctx;
    reads[0] |= s->op == OP_LOAD || s->op == OP_RAND;
    reads[1] |= s->op == OP_RAND || s->op == OP_SELF || (s->op == OP_LOAD && s->tensor->per_example && !s->at) ||
                (s->op == OP_SIZE && axis_is_ragged(s->axis));
}

typedef struct {
    const Scalar *what;
    Scalar *name;
} Naming;

static Scalar *by_name(Graph *g, Scalar *s, void *ctx)
{
    (void)g;
    const Naming *n = ctx;
    return s == n->what ? n->name : s;
}

/* tmp[letters of the first side] = that side, where it is more than one load and no condition bounds its letters.
 * False: there is nothing to name. */
static bool name_intermediate(Graph *g, Equation *e)
{
    if ((e->body->op != OP_mul && e->body->op != OP_add) || e->body->type != TYPE_REAL || e->dst->is_draw) {
        return false;
    }
    int side = e->body->args[0]->nargs > 0 && e->body->args[0]->op != OP_LOAD ? 0 : 1;
    Scalar *s = e->body->args[side], *index[MAX_DIMS];
    unsigned set = 0, conds = 0;
    bool reads[2] = {false};
    sc_walk(s, note_letters, &set);
    sc_walk(s, note_load, reads);
    for (int i = 0; i < e->nconds; i++) {
        sc_walk(e->conds[i], note_letters, &conds);
    }
    for (int l = 0; l < e->nletters; l++) {
        int parent = e->letters[l].parent;
        set |= set >> l & 1 && parent >= 0 ? 1u << parent : 0;
    }
    if (s->nargs == 0 || s->op == OP_LOAD || s->type != TYPE_REAL || !reads[0] || set == 0 || set & conds ||
        e->nconds > 0) {
        return false;
    }
    Tensor proto = {.elem = ELEM_REAL,
                    .role = ROLE_VALUE,
                    .per_example = reads[1],
                    .name = arena_printf(g->arena, "named%d", e->id),
                    .lo = 0,
                    .hi = -1};
    Draft d = draft_from(g, e);
    for (int l = 0; l < e->nletters; l++) {
        d.gone[l] = !(set >> l & 1);
        if (set >> l & 1) {
            if (proto.ndim == MAX_DIMS) {
                return false;
            }
            proto.dims[proto.ndim] = e->letters[l].axis;
            d.e.lhs[proto.ndim] = index[proto.ndim] = sc_letter(g, l);
            proto.ndim++;
        }
    }
    d.e.dst = graph_tensor(g, proto);
    d.e.op = RED_NONE;
    d.e.body = s;
    draft_commit(&d);
    Naming naming = {s, sc_load(g, d.e.dst, proto.ndim, index)};
    e->body = sc_rewrite(g, e->body, by_name, &naming);
    graph_reorder(g);
    return true;
}

/* What stands for a name in place of the name, where one equation alone defines it and one reads it. */
static bool replace_name(Graph *g, const Equation *e)
{
    Uses u = uses_of(g);
    const Tensor *t = e->dst;
    if (u.pinned[t->id] || t->role != ROLE_VALUE || u.nreaders[t->id] != 1 || u.defs[t->id][1] || e->op != RED_NONE ||
        cost_of(e->body).nodes > SHORT || !can_inline(&u, e)) {
        return false;
    }
    return inline_into(&u, e, u.readers[t->id][0]);
}

/* NAMED, INLINED: in equation number `which`. NULL: the edit does not apply. */
static Graph *apply(Graph *g, Edit edit, int which, Arena *arena, Diag *diag)
{
    for (int i = 0; edit == SWAPPED && i < g->nequations; i++) {
        equation_rewrite(g, g->equations[i], swap_sides, NULL);
    }
    if (edit == NAMED && !name_intermediate(g, g->equations[which])) {
        return NULL;
    }
    if (edit == INLINED && !replace_name(g, g->equations[which])) {
        return NULL;
    }
    return edit == RENAMED ? rename_all(g, arena, diag) : g;
}

/* ---- what becomes of a spec ---- */

typedef struct {
    int n, tiled[MOST_CLUSTERS]; /* clusters: tensors that are never whole */
    int equations, kernels;      /* as lowered; of the schedule */
    char name[64];               /* what the edited equation defines */
    double flop, bytes;
} Shape;

static int descending(const void *a, const void *b)
{
    return *(const int *)b - *(const int *)a;
}

static bool shape_of(const ModelOptions *o, Edit edit, int which, Shape *out)
{
    static const int64_t lengths[BATCH] = {LENGTH, LENGTH, LENGTH, LENGTH};
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    PipelineOptions all = {.training = true, .verify = edit < NAMED};
    Graph *g = model_lower(o, FORM_STEP, arena, diag);
    *out = (Shape){
        .equations = g ? g->nequations : 0,
    };
    if (g && edit >= NAMED) {
        snprintf(out->name, sizeof out->name, "%s", g->equations[which]->dst->name);
    }
    g = g ? apply(g, edit, which, arena, diag) : NULL;
    Schedule *s = g && pipeline_run(g, &all) ? pass_plan(g) : NULL;
    if (s) {
        Kernels k = kernels_of(s, 4, BATCH, lengths);
        out->kernels = k.n;
        for (int i = 0; i < k.n; i++) {
            const KernelFacts *x = &k.kernels[i];
            out->flop += kernel_flop(&k, x);
            out->bytes += kernel_bytes(&k, x);
            if (strcmp(x->kind, "cluster") == 0 && out->n < MOST_CLUSTERS) {
                out->tiled[out->n++] = kernel_virtual(&k, x).n;
            }
        }
        qsort(out->tiled, (size_t)out->n, sizeof *out->tiled, descending);
    } else if (diag_errors(diag) > 0) {
        Text why = {0};
        diag_print(diag, &why);
        printf("%s\n", why.s ? why.s : "not lowered");
        text_free(&why);
    }
    diag_free(diag);
    arena_free(arena);
    return s != NULL;
}

static void print_shape(const char *what, const Shape *x)
{
    printf("  %-20s %d kernels, %.6g operations, %.6g bytes moved, clusters:", what, x->kernels, x->flop, x->bytes);
    for (int i = 0; i < x->n; i++) {
        printf(" %d tiled;", x->tiled[i]);
    }
    printf("\n");
}

static bool near(double a, double b, double share)
{
    return fabs(a - b) <= share * (a > b ? a : b);
}

/* A name that is replaced may leave another value that exists a tile at a time. */
static bool same(const Shape *a, const Shape *b, Edit edit)
{
    return a->n == b->n && (edit == INLINED || memcmp(a->tiled, b->tiled, sizeof a->tiled) == 0) &&
           (near(a->flop, b->flop, 0.1) || fabs(a->flop - b->flop) < FEW) && near(a->bytes, b->bytes, 0.25);
}

static int check(const SpecCase *c, const ModelOptions *o, int *edits)
{
    Shape plain, edited;
    int failures = 0;
    if (!shape_of(o, AS_IT_IS, 0, &plain)) {
        return 1;
    }
    for (int edit = RENAMED; edit < EDITS; edit++) {
        for (int which = 0; which < (edit >= NAMED ? plain.equations : 1); which++) {
            bool applies = shape_of(o, (Edit)edit, which, &edited);
            *edits += applies;
            if (applies ? same(&plain, &edited, (Edit)edit) : edit >= NAMED) {
                continue;
            }
            printf("FAIL %s %s, equation %d: %s\n", c->spec, c->variant ? c->variant : "", which, edited.name);
            print_shape(edit_name[AS_IT_IS], &plain);
            print_shape(edit_name[edit], &edited);
            failures++;
        }
    }
    return failures;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: test_edits MODELS_DIR SPEC\n");
        return 2;
    }
    int failures = 0, cases = 0, edits = 0;
    for (int i = 0; i < nspec_cases; i++) {
        const SpecCase *c = &spec_cases[i];
        char path[1024], std[1024];
        if (strcmp(c->spec, argv[2]) != 0 || c->ranks) {
            continue;
        }
        snprintf(path, sizeof path, "%s/%s", argv[1], c->spec);
        snprintf(std, sizeof std, "%s/std", argv[1]);
        Define defines[16];
        ModelOptions o = {.spec = path, .std_dir = std, .variant = c->variant, .defines = defines, .real = DT_F32};
        for (; o.ndefines < 16 && c->defines[o.ndefines].name; o.ndefines++) {
            Define *d = &defines[o.ndefines];
            *d = c->defines[o.ndefines];
            d->value = strcmp(d->name, "T.max") == 0 ? "50" : strcmp(d->name, "N") == 0 ? "61" : d->value;
        }
        failures += check(c, &o, &edits);
        cases++;
    }
    printf("%s: %d edits of %d cases, %d of them changed something\n", argv[2], edits, cases, failures);
    return failures || cases == 0;
}
