/* What a spec says decides how it runs, not how it is written: after names are changed, the sides of every product and
 * sum swapped, an intermediate of any one equation given a name, or any one short name that is read once replaced by
 * what it stands for, a spec becomes the same clusters, with operations within 10 % and moved bytes within 25 % (30 %
 * where rows run together, which leaves fewer of them). (A name may turn a value that was cheap enough to form again
 * into one that is kept, in memory or a tile at a time: fewer operations, more bytes, nearly the same time.) The same
 * clusters: as many tensors tiled in each as clusters are formed, and the same values made together once rows and sums
 * are gathered.
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
enum { BATCH = 4, LENGTH = 50, MOST_CLUSTERS = 64, SHORT = 12, FEW = 4000, STREAMED = 0, ALL = 1 };

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
    const char **names;
    int n;
} TextList;

/* A value of the spec, or the gradient of one, that is made by one equation. */
typedef struct {
    const char *name;
    int kernel;
} Made;

typedef struct {
    int n[2], tiled[2][MOST_CLUSTERS]; /* clusters: tensors that are never whole */
    int equations, kernels;            /* as lowered; of the schedule */
    char edited[64];                   /* what the edited equation defines */
    double flop, bytes[2];
    Made *made;
    int nmade;
} Shape;

static int descending(const void *a, const void *b)
{
    return *(const int *)b - *(const int *)a;
}

static void note_clusters(const Kernels *k, int passes, Shape *out)
{
    int *n = &out->n[passes];
    for (int i = 0; i < k->n; i++) {
        const KernelFacts *x = &k->kernels[i];
        if (strcmp(x->kind, "cluster") == 0 && *n < MOST_CLUSTERS) {
            out->tiled[passes][(*n)++] = kernel_virtual(k, x).n;
        }
    }
    qsort(out->tiled[passes], (size_t)*n, sizeof(int), descending);
}

/* names: of the spec's values. */
static void note_made(const Kernels *k, const TextList *names, Arena *keep, Shape *out)
{
    for (int i = 0; i < names->n; i++) {
        for (int gradient = 0; gradient < 2; gradient++) {
            const char *name = arena_printf(keep, "%s%s", gradient ? "grad." : "", names->names[i]);
            int kernel = -1, defs = 0;
            for (int e = 0; e < k->g->nequations; e++) {
                if (strcmp(k->g->equations[e]->dst->name, name) == 0) {
                    kernel = k->of[e];
                    defs++;
                }
            }
            if (defs == 1 && kernel >= 0) {
                ARENA_PUSH(keep, out->made, out->nmade, ((Made){name, kernel}));
            }
        }
    }
}

static bool shape_after(const ModelOptions *o, Edit edit, int which, int passes, Arena *keep, Shape *out)
{
    static const int64_t lengths[BATCH] = {LENGTH, LENGTH, LENGTH, LENGTH};
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    TextList names = {0};
    PipelineOptions all = {
        .training = true, .verify = edit < NAMED, .skip = passes == STREAMED ? "fuse-sums,fuse-rows" : NULL};
    Graph *g = model_lower(o, FORM_STEP, arena, diag);
    out->equations = g ? g->nequations : 0;
    if (g && edit >= NAMED) {
        snprintf(out->edited, sizeof out->edited, "%s", g->equations[which]->dst->name);
    }
    for (int i = 0; g && i < g->ntensors; i++) {
        if (g->tensors[i]->role == ROLE_VALUE) {
            ARENA_PUSH(keep, names.names, names.n, arena_printf(keep, "%s", g->tensors[i]->name));
        }
    }
    g = g ? apply(g, edit, which, arena, diag) : NULL;
    Schedule *s = g && pipeline_run(g, &all) ? pass_plan(g) : NULL;
    if (s) {
        Kernels k = kernels_of(s, 4, BATCH, lengths);
        note_clusters(&k, passes, out);
        out->kernels = k.n;
        out->flop = 0;
        for (int i = 0; i < k.n; i++) {
            out->flop += kernel_flop(&k, &k.kernels[i]);
            out->bytes[passes] += kernel_bytes(&k, &k.kernels[i]);
        }
        if (passes == ALL) {
            note_made(&k, &names, keep, out);
        }
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

static bool shape_of(const ModelOptions *o, Edit edit, int which, Arena *keep, Shape *out)
{
    *out = (Shape){0};
    return shape_after(o, edit, which, STREAMED, keep, out) && shape_after(o, edit, which, ALL, keep, out);
}

static void print_shape(const char *what, const Shape *x)
{
    printf("  %-20s %d kernels, %.6g operations, %.6g bytes moved, clusters:", what, x->kernels, x->flop,
           x->bytes[ALL]);
    for (int i = 0; i < x->n[STREAMED]; i++) {
        printf(" %d tiled;", x->tiled[STREAMED][i]);
    }
    printf(" with rows and sums:");
    for (int i = 0; i < x->n[ALL]; i++) {
        printf(" %d tiled;", x->tiled[ALL][i]);
    }
    printf("\n");
}

static bool near(double a, double b, double share)
{
    return fabs(a - b) <= share * (a > b ? a : b);
}

static const Made *find_made(const Shape *x, const char *name)
{
    for (int i = 0; i < x->nmade; i++) {
        if (strcmp(x->made[i].name, name) == 0) {
            return &x->made[i];
        }
    }
    return NULL;
}

/* Of values that both make: those that run together in one run together in the other. */
static bool same_together(const Shape *a, const Shape *b, bool report)
{
    bool same = true;
    for (int i = 0; i < a->nmade; i++) {
        const Made *x = &a->made[i], *bx = find_made(b, x->name);
        for (int k = 0; k < i && bx; k++) {
            const Made *y = &a->made[k], *by = find_made(b, y->name);
            if (by && (x->kernel == y->kernel) != (bx->kernel == by->kernel)) {
                same = false;
                if (report) {
                    printf("  '%s' and '%s' run %s\n", y->name, x->name,
                           x->kernel == y->kernel ? "no longer together" : "together now");
                }
            }
        }
    }
    return same;
}

/* An intermediate that has got a name may be a tensor more that is a tile at a time, a name that is replaced one less;
 * what is stored under a name and formed again without it may be made among other rows. */
static bool same(const Shape *a, const Shape *b, Edit edit)
{
    bool tiled = a->n[STREAMED] == b->n[STREAMED] &&
                 (edit == INLINED || memcmp(a->tiled[STREAMED], b->tiled[STREAMED], sizeof a->tiled[STREAMED]) == 0);
    bool all = edit == INLINED || (edit == NAMED ? same_together(a, b, false)
                                                 : a->n[ALL] == b->n[ALL] &&
                                                       memcmp(a->tiled[ALL], b->tiled[ALL], sizeof a->tiled[ALL]) == 0);
    return tiled && all && (near(a->flop, b->flop, 0.1) || fabs(a->flop - b->flop) < FEW) &&
           near(a->bytes[STREAMED], b->bytes[STREAMED], 0.25) && near(a->bytes[ALL], b->bytes[ALL], 0.3);
}

static int check(const SpecCase *c, const ModelOptions *o, int *edits)
{
    Arena *keep = arena_new(), *own = NULL;
    Shape plain, edited;
    int failures = !shape_of(o, AS_IT_IS, 0, keep, &plain);
    for (int edit = RENAMED; edit < EDITS && plain.nmade > 0; edit++) {
        for (int which = 0; which < (edit >= NAMED ? plain.equations : 1); which++) {
            own = arena_new();
            bool applies = shape_of(o, (Edit)edit, which, own, &edited);
            *edits += applies;
            if (applies ? !same(&plain, &edited, (Edit)edit) : edit < NAMED) {
                printf("FAIL %s %s, equation %d: %s\n", c->spec, c->variant ? c->variant : "", which, edited.edited);
                print_shape(edit_name[AS_IT_IS], &plain);
                print_shape(edit_name[edit], &edited);
                same_together(&plain, &edited, true);
                failures++;
            }
            arena_free(own);
        }
    }
    arena_free(keep);
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
