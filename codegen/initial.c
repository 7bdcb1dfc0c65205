/* Initial values of params: constants of the plan, evaluated here because the runtime knows no expressions. An
 * initialiser may depend on the index (a position, the size of a vocabulary); then every element has its own scale. */
#include "initial.h"
#include <math.h>

static int64_t I(double v)
{
    return (int64_t)v;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    if (b == 0) {
        return 0;
    }
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

static int64_t floor_mod(int64_t a, int64_t b)
{
    return b == 0 ? 0 : a - b * floor_div(a, b);
}

/* An expression over the letters of a param's dims; false if it needs more than that. */
static bool evaluate(const Scalar *s, const int64_t *letter, double *out)
{
    double v[3] = {0, 0, 0};
    if (s->op == OP_CONST) {
        *out = s->type == TYPE_REAL || s->type == TYPE_F32 ? s->num : (double)s->inum;
        return true;
    }
    if (s->op == OP_LETTER) {
        *out = (double)letter[s->inum];
        return true;
    }
    if (s->op == OP_SIZE && s->axis->kind == AXIS_FIXED) {
        *out = (double)s->axis->size;
        return true;
    }
    if (s->nargs > 3) {
        return false;
    }
    for (int i = 0; i < s->nargs; i++) {
        if (!evaluate(s->args[i], letter, &v[i])) {
            return false;
        }
    }
    if (s->op == OP_SIZE && s->axis->kind == AXIS_TABLE && s->nargs > 0) {
        *out = (double)s->axis->sizes[I(v[s->nargs - 1])];
        return true;
    }
    double a = v[0], b = v[1], c = v[2];
    switch (s->op) {
#define OP(name, nargs, rule, value, ...)                                                                              \
    case OP_##name:                                                                                                    \
        *out = (double)(value);                                                                                        \
        break;
#include "scalar.def"
#undef OP
    default:
        return false;
    }
    (void)b;
    (void)c;
    if (s->type == TYPE_F32) {
        *out = (float)*out;
    }
    return true;
}

/* Elements of a param: a table axis counts all its lists, so its parent counts once. */
static int64_t count(const Tensor *t)
{
    int64_t n = 1;
    for (int d = 0; d < t->ndim; d++) {
        n *= t->dims[d]->kind == AXIS_TABLE ? t->dims[d]->size : 1;
        bool has_table = false;
        for (int q = 0; q < t->ndim; q++) {
            has_table = has_table || (t->dims[q]->kind == AXIS_TABLE && t->dims[q]->parent == t->dims[d]);
        }
        n *= t->dims[d]->kind == AXIS_TABLE || has_table ? 1 : axis_static_size(t->dims[d]);
    }
    return n;
}

typedef struct {
    const Tensor *t;
    const Scalar *scale, *cond;
    int64_t letter[MAX_DIMS], at;
    double *out;
    bool failed;
} Walk;

static void walk(Walk *w, int d)
{
    if (d == w->t->ndim) {
        double v = 1, holds = 1;
        w->failed = w->failed || (w->cond && !evaluate(w->cond, w->letter, &holds)) ||
                    (holds != 0 && !evaluate(w->scale, w->letter, &v));
        w->out[w->at++] = holds != 0 ? v : 0;
        return;
    }
    const Axis *a = w->t->dims[d];
    int64_t n = axis_static_size(a);
    for (int q = 0; q < d && a->kind == AXIS_TABLE; q++) {
        if (w->t->dims[q] == a->parent) {
            n = a->sizes[w->letter[q]];
        }
    }
    for (int64_t i = 0; i < n; i++) {
        w->letter[d] = i;
        walk(w, d + 1);
    }
}

bool initial_values(const Tensor *t, Arena *arena, PlanTensor *p, Text *why)
{
    const Init *init = t->init;
    if (!init) {
        p->init.kind = t->role == ROLE_STATE ? PINIT_CONST : PINIT_GIVEN;
        return true;
    }
    p->init.text = init->text ? arena_strdup(arena, init->text) : NULL;
    p->init.kind = init->kind == INIT_CONST          ? PINIT_CONST
                   : init->kind == INIT_NORMAL       ? PINIT_NORMAL
                   : init->kind == INIT_UNIFORM      ? PINIT_UNIFORM
                   : init->kind == INIT_TRUNC_NORMAL ? PINIT_TRUNC_NORMAL
                                                     : PINIT_ORTHOGONAL;
    /* The scale: the std where a mean is given too. */
    bool normal = init->kind == INIT_NORMAL;
    const Scalar *scale = normal || (init->kind == INIT_TRUNC_NORMAL && init->b) ? init->b : init->a;
    int64_t none[MAX_DIMS] = {0};
    if (normal && init->a && !evaluate(init->a, none, &p->init.a)) {
        text_printf(why, "%s: the mean of its initial values is not a constant", t->name);
        return false;
    }
    if (!scale) {
        return true;
    }
    if (sc_letters(scale) == 0 && !init->cond) {
        double v;
        if (!evaluate(scale, none, &v)) {
            text_printf(why, "%s: its initial value is not a constant", t->name);
            return false;
        }
        if (normal) {
            p->init.b = v;
        } else {
            p->init.a = v;
        }
        return true;
    }
    Walk w = {.t = t, .scale = scale, .cond = init->cond};
    w.out = arena_alloc(arena, (size_t)count(t) * sizeof *w.out);
    walk(&w, 0);
    p->init.scale = w.out;
    if (w.failed) {
        text_printf(why, "%s: its initial values depend on more than its indices", t->name);
    }
    return !w.failed;
}
