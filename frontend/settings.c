/* The settings of `train` and `rank`: what the spec says beside equations.
 *
 *   optimizer adamw(lr = 1e-3, beta2 = 0.98)   group nodecay(decay = 0)   clip 5
 *   lr = 1e-3 * min(step / 100, 1)             batch 128   epochs 101     stream by user chunk 16
 *   keep best auc, stop after 2                metrics hr(at, 10, 50), auc(logit, lab), gauc(logit, lab by user)
 *
 * The learning rate stays an expression of step, epoch, misses; everything else is a constant and evaluated here.
 * Which optimizers and values there are is the optimizer table's business (passes/optimizer.def). */
#include "load.h"

#include <math.h>
#include <string.h>

static void remove_at(Stmts *list, int k)
{
    memmove(&list->v[k], &list->v[k + 1], (size_t)(list->n - 1 - k) * sizeof *list->v);
    list->n--;
}

/* The one setting of that name in a section, or NULL; a second one is an error. */
static Stmt *find_setting(Spec *s, SectionKind section, const char *name)
{
    Stmt *found = NULL;
    for (int k = 0; s->sections[section] != NULL && k < s->sections[section]->body.n; k++) {
        Stmt *stmt = s->sections[section]->body.v[k];
        if (stmt->kind != ST_SETTING || strcmp(stmt->setting->name, name) != 0) {
            continue;
        }
        if (found != NULL) {
            diag_report(s->diag, DIAG_ERROR, "E0060", stmt->span, "keep one of them", "'%s' is set twice", name);
        }
        found = stmt;
    }
    return found;
}

static double constant(Spec *s, const Expr *e, double otherwise)
{
    Value v;
    const Expr *bad;
    if (!spec_eval(s, NULL, e, &v, &bad) || v.is_list) {
        diag_report(s->diag, DIAG_ERROR, "E0061", e->span, "use numbers, hypers and numbered axes",
                    "this setting needs a constant number");
        return otherwise;
    }
    return v.num;
}

static int64_t count_of(Spec *s, SectionKind section, const char *name)
{
    Stmt *stmt = find_setting(s, section, name);
    if (stmt == NULL) {
        return 0;
    }
    double v = constant(s, stmt->setting->args[0], 1);
    if (!(v >= 1 && v <= 1e9 && v == floor(v))) {
        diag_report(s->diag, DIAG_ERROR, "E0062", stmt->setting->args[0]->span, NULL,
                    "'%s' is a number of at least 1, not %g", name, v);
        return 1;
    }
    return (int64_t)v;
}

/* ---- train ------------------------------------------------------------------------------------------------ */

/* name = value, ... of a call; *lr takes `lr`. */
static NamedValue *named_values(Spec *s, const Expr *call, int *n, const Expr **lr)
{
    NamedValue *values = NULL;
    *n = 0;
    for (int k = 0; k < call->nargs; k++) {
        const Arg *a = &call->args[k];
        if (a->name == NULL) {
            diag_report(s->diag, DIAG_ERROR, "E0063", a->span, "write beta2 = 0.98",
                        "the values of '%s' are given by name", call->name);
        } else if (lr != NULL && strcmp(a->name, "lr") == 0) {
            *lr = a->value;
        } else {
            NamedValue v = {a->name, constant(s, a->value, 0)};
            ARENA_PUSH(s->arena, values, *n, v);
        }
    }
    return values;
}

/* Reports names in a learning rate that no step can give it. */
static bool rate_is_known(const Spec *s, const Expr *e)
{
    double v;
    return setting_value(s, e, 1, 0, 0, &v);
}

static void load_optimizer(Spec *s, TrainSettings *t)
{
    Optimizer *o = t->values = arena_alloc(s->arena, sizeof *o);
    Stmt *optimizer = find_setting(s, SECTION_TRAIN, "optimizer"), *rate = find_setting(s, SECTION_TRAIN, "lr");
    t->optimizer = o->rule = "adamw";
    t->default_lr = 1e-3;
    if (optimizer != NULL) {
        const Expr *call = optimizer->setting->args[0];
        t->optimizer = o->rule = call->name;
        o->values = named_values(s, call, &o->nvalues, &t->lr);
    }
    if (rate != NULL) {
        if (t->lr != NULL) {
            diag_report(s->diag, DIAG_ERROR, "E0060", rate->span, "keep it there or here", "'lr' is set twice");
            diag_also(s->diag, "first in the optimizer, line %d", t->lr->span.line);
        }
        t->lr = rate->setting->args[0];
    }
    if (t->lr != NULL && !rate_is_known(s, t->lr)) {
        diag_report(s->diag, DIAG_ERROR, "E0064", t->lr->span, "it may use numbers, hypers, step, epoch and misses",
                    "the learning rate cannot be computed");
    }
    Stmt *clip = find_setting(s, SECTION_TRAIN, "clip");
    if (clip != NULL) {
        o->clip = constant(s, clip->setting->args[0], 0);
        if (!(o->clip >= 0) || !isfinite(o->clip)) {
            diag_report(s->diag, DIAG_ERROR, "E0062", clip->setting->args[0]->span, NULL,
                        "'clip' is a bound of at least 0, not %g", o->clip);
        }
    }
}

static void load_groups(Spec *s, Optimizer *o)
{
    const Stmts *body = &s->sections[SECTION_TRAIN]->body;
    for (int k = 0; k < body->n; k++) {
        if (body->v[k]->kind != ST_SETTING || strcmp(body->v[k]->setting->name, "group") != 0) {
            continue;
        }
        const Expr *call = body->v[k]->setting->args[0];
        o->groups = arena_grow(s->arena, o->groups, (size_t)o->ngroups, sizeof *o->groups);
        o->groups[o->ngroups].tag = call->name;
        o->groups[o->ngroups].values = named_values(s, call, &o->groups[o->ngroups].nvalues, NULL);
        o->ngroups++;
    }
}

/* Names that the loss adds up, possibly with constant factors: main + 0.1 * aux. */
static void find_losses(Spec *s, const Expr *e, TrainSettings *t)
{
    Value v;
    if (e->kind == EX_BINARY && (e->op == BIN_ADD || e->op == BIN_SUB)) {
        find_losses(s, e->a, t);
        find_losses(s, e->b, t);
    } else if (e->kind == EX_BINARY && e->op == BIN_MUL) {
        find_losses(s, spec_eval(s, NULL, e->a, &v, NULL) ? e->b : e->a, t);
    } else if (e->kind == EX_NAME && !e->has_bracket && !e->prime && e->at == NULL &&
               !spec_eval(s, NULL, e, &v, NULL)) {
        const char **names = (const char **)t->losses;
        ARENA_PUSH(s->arena, names, t->nlosses, e->name);
        t->losses = names;
    }
}

static void load_train(Spec *s)
{
    Stmt *section = s->sections[SECTION_TRAIN];
    TrainSettings *t = s->train = arena_alloc(s->arena, sizeof *t);
    load_optimizer(s, t);
    load_groups(s, t->values);
    t->batch = count_of(s, SECTION_TRAIN, "batch");
    t->epochs = count_of(s, SECTION_TRAIN, "epochs");
    Stmt *stream = find_setting(s, SECTION_TRAIN, "stream");
    if (stream != NULL) {
        t->stream_by = stream->setting->args[0]->name;
        t->chunk = (int64_t)constant(s, stream->setting->args[1], 1);
        if (t->chunk < 1) {
            diag_report(s->diag, DIAG_ERROR, "E0062", stream->setting->args[1]->span, NULL,
                        "'chunk' is a number of at least 1, not %g", (double)t->chunk);
        }
        const Stmt *key = spec_find(s, ST_INPUT, t->stream_by);
        if (key == NULL) {
            diag_report(s->diag, DIAG_ERROR, "E0065", stream->setting->args[0]->span, "name an input of the spec",
                        "there is no input '%s' to stream by", t->stream_by);
        } else if (key->decl->ndims > 0 || strcmp(key->input->type, "f32") == 0) {
            diag_report(s->diag, DIAG_ERROR, "E0065", stream->setting->args[0]->span, "name an id or a whole number",
                        "'%s' is no key: it %s", t->stream_by, key->decl->ndims > 0 ? "has axes" : "is a real number");
        }
    }
    Stmt *keep = find_setting(s, SECTION_TRAIN, "keep");
    if (keep != NULL) {
        t->keep_best = keep->setting->args[0]->name;
        t->stop_after = keep->setting->args[1] != NULL ? (int64_t)constant(s, keep->setting->args[1], 1) : 0;
    }
    for (int k = 0; k < section->body.n; k++) {
        Stmt *stmt = section->body.v[k];
        if (stmt->kind == ST_EQUATION && strcmp(stmt->name, "loss") == 0 && stmt->value != NULL) {
            find_losses(s, stmt->value, t);
        }
    }
}

bool setting_value(const Spec *s, const Expr *e, double step, double epoch, double misses, double *out)
{
    Binding c = {.name = "misses", .value = {.num = misses, .is_int = true}};
    Binding b = {.name = "epoch", .value = {.num = epoch, .is_int = true}, .next = &c};
    Binding a = {.name = "step", .value = {.num = step, .is_int = true}, .next = &b};
    Value v;
    if (!spec_eval(s, &a, e, &v, NULL) || v.is_list || !isfinite(v.num)) {
        return false;
    }
    *out = v.num;
    return true;
}

/* ---- metrics ---------------------------------------------------------------------------------------------- */

/* What each metric reads: hr(at, 10, 50), auc(logit, lab), gauc(logit, lab by user). */
static const struct {
    const char *name;
    int ntensors;
    bool has_cutoffs, has_key;
    const char *form;
} metric_forms[] = {
    {"hr", 1, true, false, "hr(at, 10, 50)"},
    {"ndcg", 1, true, false, "ndcg(at, 10, 50)"},
    {"mrr", 1, false, false, "mrr(at)"},
    {"auc", 2, false, false, "auc(logit, lab)"},
    {"gauc", 2, false, true, "gauc(logit, lab by user)"},
    {"logloss", 2, false, false, "logloss(logit, lab)"},
    {"mse", 2, false, false, "mse(guess, value)"},
};

static void load_metric(Spec *s, const Expr *call)
{
    int form = -1;
    for (int k = 0; k < (int)(sizeof metric_forms / sizeof *metric_forms); k++) {
        form = strcmp(metric_forms[k].name, call->name) == 0 ? k : form;
    }
    if (form < 0) {
        diag_report(s->diag, DIAG_ERROR, "E0066", call->op_span, "there are hr, ndcg, mrr, auc, gauc, logloss, mse",
                    "there is no metric '%s'", call->name);
        return;
    }
    MetricSetting m = {.name = call->name};
    bool ok = true;
    const char *key = NULL;
    for (int k = 0; k < call->nargs; k++) {
        const Arg *a = &call->args[k];
        int64_t cutoff;
        if (k < metric_forms[form].ntensors) {
            ok &= a->value->kind == EX_NAME && !a->value->has_bracket && a->name == NULL;
            m.tensors[m.ntensors++] = a->value->name;
        } else {
            ok &= m.ncutoffs < 8 && metric_forms[form].has_cutoffs && a->name == NULL &&
                  spec_eval_int(s, NULL, a->value, &cutoff) && cutoff >= 1;
            if (ok) {
                m.cutoffs[m.ncutoffs++] = cutoff;
            }
        }
        ok &= a->by == NULL || (k == call->nargs - 1 && metric_forms[form].has_key);
        key = a->by != NULL ? a->by : key;
    }
    ok &= m.ntensors == metric_forms[form].ntensors && (m.ncutoffs > 0) == metric_forms[form].has_cutoffs &&
          (key != NULL) == metric_forms[form].has_key;
    if (!ok) {
        diag_report(s->diag, DIAG_ERROR, "E0067", call->op_span,
                    arena_printf(s->arena, "it is written %s", metric_forms[form].form),
                    "'%s' does not fit these arguments", call->name);
        return;
    }
    if (key != NULL) {
        m.tensors[m.ntensors++] = key;
    }
    ARENA_PUSH(s->arena, s->metrics, s->nmetrics, m);
}

/* `keep best` may name a metric with its cutoff left out: hr is the first one. */
static void check_keep(Spec *s)
{
    Stmt *keep = find_setting(s, SECTION_TRAIN, "keep");
    for (int k = 0; keep != NULL && k < s->nmetrics; k++) {
        if (strcmp(s->metrics[k].name, s->train->keep_best) == 0) {
            return;
        }
    }
    if (keep != NULL) {
        diag_report(s->diag, DIAG_ERROR, "E0068", keep->setting->args[0]->span, "list it under rank: metrics ...",
                    "'%s' is no metric of this spec", s->train->keep_best);
    }
}

void load_settings(Spec *s)
{
    if (s->sections[SECTION_TRAIN] != NULL) {
        load_train(s);
    }
    Stmt *metrics = find_setting(s, SECTION_RANK, "metrics");
    for (int k = 0; metrics != NULL && k < metrics->setting->nargs; k++) {
        load_metric(s, metrics->setting->args[k]);
    }
    if (s->train != NULL) {
        check_keep(s);
    }
    for (int section = 0; section < SECTION_COUNT; section++) {
        Stmts *body = s->sections[section] != NULL ? &s->sections[section]->body : NULL;
        for (int k = body != NULL ? body->n - 1 : -1; k >= 0; k--) {
            if (body->v[k]->kind == ST_SETTING) {
                remove_at(body, k);
            }
        }
    }
}

const TrainSettings *spec_train(const Spec *s)
{
    return s->train;
}

int spec_metrics(const Spec *s, const MetricSetting **metrics)
{
    *metrics = s->metrics;
    return s->nmetrics;
}
