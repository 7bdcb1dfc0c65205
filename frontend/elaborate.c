/* spec_lower: the loaded spec as a graph of one example, in one mode.
 *
 *   inputs ─► statements of the file and of the sections, entered with their positions ─► elaborated on demand, in
 *   textual order ─► states linked to their next values ─► labels, proofs ─► outputs marked, the rest pruned */
#include "elab.h"

#include <string.h>

/* ---- messages ----------------------------------------------------------------------------------------------- */

char *fmt(Elab *E, const char *format, ...)
{
    Text t = {0};
    va_list ap;
    va_start(ap, format);
    text_vprintf(&t, format, ap);
    va_end(ap);
    char *s = arena_strdup(E->arena, t.s != NULL ? t.s : "");
    text_free(&t);
    return s;
}

static bool reported_before(Elab *E, const char *code, Span at)
{
    for (int k = 0; k < E->nreported; k++) {
        const struct Reported *r = &E->reported[k];
        if (strcmp(r->code, code) == 0 && r->at.source == at.source && r->at.line == at.line && r->at.col == at.col) {
            return true;
        }
    }
    ARENA_PUSH(E->arena, E->reported, E->nreported, ((struct Reported){code, at}));
    return false;
}

bool mistake(Elab *E, const char *code, Span at, const char *remedy, const char *format, ...)
{
    E->nmistakes++;
    if (!reported_before(E, code, at)) {
        va_list ap;
        va_start(ap, format);
        diag_vreport(E->diag, DIAG_ERROR, code, at, remedy, format, ap);
        va_end(ap);
    }
    return false;
}

void caution(Elab *E, const char *code, Span at, const char *remedy, const char *format, ...)
{
    Spec *spec = E->spec;
    for (int k = 0; k < spec->nwarned; k++) {
        const struct Warned *w = &spec->warned[k];
        if (strcmp(w->code, code) == 0 && w->at.source == at.source && w->at.line == at.line && w->at.col == at.col) {
            return;
        }
    }
    ARENA_PUSH(spec->arena, spec->warned, spec->nwarned, ((struct Warned){code, at}));
    va_list ap;
    va_start(ap, format);
    diag_vreport(E->diag, DIAG_WARNING, code, at, remedy, format, ap);
    va_end(ap);
}

const char *called_like(Elab *E, const Stmt *macro)
{
    Text t = {0};
    text_printf(&t, "write %s", macro->name);
    for (int k = 0; macro->kind == ST_FN && k < macro->nletters; k++) {
        text_printf(&t, "%s%s%s", k == 0 ? "[" : ",", macro->letters[k], k == macro->nletters - 1 ? "]" : "");
    }
    for (int k = 0; k < macro->nparams; k++) {
        const Decl *d = &macro->params[k];
        text_printf(&t, "%s%s%s%s", k == 0 ? "(" : ", ", d->name, d->value != NULL ? " = " : "",
                    d->value != NULL ? expr_text(E, d->value) : "");
    }
    const char *text = fmt(E, "%s%s", t.s, macro->nparams == 0 ? "()" : ")");
    text_free(&t);
    return text;
}

const char *letter_of_axis(Elab *E, const Axis *a)
{
    const AxisInfo *info = axis_info(E, a);
    if (info == NULL || info->stmt == NULL || info->stmt->axis->nletters == 0) {
        return NULL;
    }
    return fmt(E, "use a letter of %s: %s", info->name, info->stmt->axis->letters[0]);
}

const char *expr_text(Elab *E, const Expr *e)
{
    Text t = {0};
    expr_print(e, &t);
    const char *s = arena_strdup(E->arena, t.s != NULL ? t.s : "");
    text_free(&t);
    return s;
}

/* ---- names of tensors ----------------------------------------------------------------------------------------- */

const char *join_path(Elab *E, const char *path, const char *name)
{
    return path == NULL || path[0] == '\0' ? name : fmt(E, "%s.%s", path, name);
}

const char *fresh_name(Elab *E, const char *base, const char *suffix)
{
    for (int k = 1;; k++) {
        const char *name = fmt(E, "%s.%s%d", base, suffix, k);
        if (graph_find(E->g, name) == NULL) {
            return name;
        }
    }
}

void name_tensor(Elab *E, Tensor *t, Sym *sym)
{
    while (E->nof_tensor <= t->id) {
        ARENA_PUSH(E->arena, E->of_tensor, E->nof_tensor, NULL);
    }
    E->of_tensor[t->id] = sym;
}

Sym *sym_of_tensor(Elab *E, const Tensor *t)
{
    return t->id < E->nof_tensor ? E->of_tensor[t->id] : NULL;
}

/* ---- the optimizer -------------------------------------------------------------------------------------------- */

static void take_optimizer(Elab *E)
{
    const TrainSettings *t = spec_train(E->spec);
    if (t == NULL || t->values == NULL || E->g->loss == NULL) {
        return;
    }
    E->g->optimizer = t->values;
    for (int k = 0; k < t->values->ngroups; k++) {
        bool used = false;
        for (int m = 0; m < E->g->ntensors; m++) {
            const char *const *tags = E->g->tensors[m]->tags;
            for (int j = 0; tags != NULL && tags[j] != NULL; j++) {
                used = used || strcmp(tags[j], t->values->groups[k].tag) == 0;
            }
        }
        if (!used) {
            caution(E, "W0301", E->spec->sections[SECTION_TRAIN]->span, NULL,
                    "no param carries @%s, which a group names", t->values->groups[k].tag);
        }
    }
}

/* ---- the loss ------------------------------------------------------------------------------------------------- */

static void take_loss(Elab *E)
{
    Entity *e = scope_find(E->file, "loss", 1 << 30);
    Stmt *train = E->spec->sections[SECTION_TRAIN];
    if (e == NULL) {
        if (train != NULL) {
            mistake(E, "E0320", train->span, "write loss = mean[batch] ...", "the train section defines no loss");
        }
        return;
    }
    Sym *s = entity_sym(E, e);
    if (s == NULL || s->bad) {
        return;
    }
    if (s->ndim > 0) {
        mistake(E, "E0321", s->span, "write loss = mean[batch, ...] ...", "the loss must be one number; it has %d ax%s",
                s->ndim, s->ndim == 1 ? "is" : "es");
        return;
    }
    if (s->t->per_example) {
        mistake(E, "E0321", s->span, "write loss = mean[batch] ...",
                "the loss must be one number; this is one per example");
        return;
    }
    if (s->t->elem != ELEM_REAL) {
        mistake(E, "E0321", s->span, NULL, "the loss must be a real number");
        return;
    }
    E->g->loss = s->t;
    s->t->is_output = true;
}

/* ---- all of it ------------------------------------------------------------------------------------------------ */

static void check_names(Elab *E)
{
    /* Names, letters and members share one namespace. */
    for (int k = 0; k < E->spec->items.n; k++) {
        Stmt *a = E->spec->items.v[k];
        for (int m = 0; m < k; m++) {
            Stmt *b = E->spec->items.v[m];
            bool both_axes = a->kind == ST_AXIS && b->kind == ST_AXIS;
            if (a->kind == ST_INPUT && b->kind == ST_INPUT && strcmp(a->name, b->name) == 0) {
                mistake(E, "E0120", a->span, "use another name", "'%s' is defined twice", a->name);
            }
            for (int i = 0; both_axes && a->from_library == b->from_library && i < a->axis->nletters; i++) {
                for (int j = 0; j < b->axis->nletters; j++) {
                    if (strcmp(a->axis->letters[i], b->axis->letters[j]) == 0) {
                        mistake(E, "E0110", a->span, "every letter belongs to one axis",
                                "the letter '%s' of %s is already a "
                                "letter of %s",
                                a->axis->letters[i], a->name, b->name);
                    }
                }
            }
        }
    }
}

static void open_section(Elab *E, SectionKind kind)
{
    Stmt *s = E->spec->sections[kind];
    if (s != NULL) {
        scope_open(E, E->file, &s->body, kind);
    }
}

Graph *spec_lower(Spec *spec, Arena *arena, const LowerOptions *o)
{
    Elab *E = arena_alloc(arena, sizeof *E);
    E->spec = spec;
    E->arena = arena;
    E->diag = spec->diag;
    E->o = o;
    E->g = graph_new(arena, spec->diag, spec->name != NULL ? spec->name : "spec");
    E->training = o->mode != MODE_RANK;
    E->noise = o->mode == MODE_TRAIN;
    E->mode = o->mode;
    E->file = scope_new(E, NULL, "");
    spec->lowered = E;
    int errors = diag_errors(spec->diag);
    check_names(E);
    for (int k = 0; k < spec->items.n; k++) { /* all axes, so that a mistake in an unused one is found too */
        Stmt *s = spec->items.v[k];
        if (s->kind == ST_AXIS && !s->from_library) {
            axis_lookup(E, E->file, s->name);
        }
    }
    for (int k = 0; k < spec->items.n; k++) {
        Stmt *s = spec->items.v[k];
        if (s->kind == ST_INPUT) {
            Entity *e = scope_add(E, E->file, ENT_SYM, s->name, 0, s->span);
            e->sym = make_input(E, s);
            e->status = DONE;
        }
    }
    Stmts loose = {0}; /* params and states at file level belong to the model */
    for (int k = 0; k < spec->items.n; k++) {
        Stmt *s = spec->items.v[k];
        if (s->kind == ST_PARAM || s->kind == ST_STATE) {
            ARENA_PUSH(arena, loose.v, loose.n, s);
        }
    }
    scope_open(E, E->file, &loose, SECTION_MODEL);
    open_section(E, SECTION_MODEL);
    if (o->mode != MODE_RANK) {
        open_section(E, SECTION_TRAIN);
    } else {
        open_section(E, SECTION_RANK);
    }
    scope_force(E, E->file);
    for (int k = 0; k < E->nstates; k++) {
        link_state(E, E->states[k].scope, E->states[k].stmt);
    }
    check_streams(E);
    if (o->mode != MODE_RANK) {
        take_loss(E);
    }
    mark_outputs(E);
    if (diag_errors(spec->diag) == errors && E->nmistakes == 0) {
        check_labels(E);
        check_proofs(E);
    }
    if (diag_errors(spec->diag) > errors || E->nmistakes > 0) {
        return NULL;
    }
    prune(E);
    take_optimizer(E);
    return E->g;
}
