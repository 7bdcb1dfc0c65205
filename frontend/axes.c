/* Axes: what a declaration `axis T : ragged(max = 200) over i j` makes of itself in the graph, which letters range over
 * it, and what may stand where an axis is expected (a name, a size, vocab(item), Z<A>, a parameter of a block).
 *
 * A family Z<A> = A | F | {me} is no axis yet: every value of A makes an instance, named Z<S>. */
#include "elab.h"

#include <string.h>

static AxisInfo *new_info(Elab *E, const char *name, Stmt *stmt, AxisClass kind)
{
    AxisInfo *a = arena_alloc(E->arena, sizeof *a);
    a->name = name;
    a->stmt = stmt;
    a->kind = kind;
    if (E->last_axis != NULL) {
        E->last_axis->next = a;
    } else {
        E->axes = a;
    }
    E->last_axis = a;
    return a;
}

static void set_axis(Elab *E, AxisInfo *info, Axis *a)
{
    info->axis = a;
    while (E->nby_id <= a->id) {
        ARENA_PUSH(E->arena, E->by_id, E->nby_id, NULL);
    }
    if (E->by_id[a->id] == NULL) {
        E->by_id[a->id] = info;
    }
}

AxisInfo *axis_info(Elab *E, const Axis *a)
{
    return a->id < E->nby_id ? E->by_id[a->id] : NULL;
}

bool axis_is_number(Elab *E, const Axis *a)
{
    const AxisInfo *info = axis_info(E, a);
    return info != NULL && info->kind == AC_NUMBER;
}

const char *axis_text(Elab *E, const Axis *a)
{
    const AxisInfo *info = axis_info(E, a);
    if (info == NULL) {
        return a->name;
    }
    if (info->stmt == NULL && info->family == NULL && info->kind == AC_NUMBER) {
        return fmt(E, "a numbered axis (%lld)", (long long)a->size);
    }
    switch (info->kind) {
    case AC_NUMBER:
        return fmt(E, "axis %s (%lld)", a->name, (long long)a->size);
    case AC_RAGGED:
        return fmt(E, "axis %s (up to %lld)", a->name, (long long)a->size);
    default:
        return fmt(E, "axis %s", a->name);
    }
}

Axis *axis_of_size(Elab *E, int64_t n)
{
    for (AxisInfo *a = E->axes; a != NULL; a = a->next) {
        if (a->kind == AC_NUMBER && a->stmt == NULL && a->axis->size == n) {
            return a->axis;
        }
    }
    AxisInfo *info = new_info(E, NULL, NULL, AC_NUMBER);
    const char *name = fmt(E, "n%lld", (long long)n);
    for (int k = 0; k < E->g->naxes; k++) {
        if (strcmp(E->g->axes[k]->name, name) == 0) {
            name = fmt(E, "%s_", name);
            k = -1;
        }
    }
    info->name = name;
    set_axis(E, info, graph_axis(E->g, (Axis){.name = name, .kind = AXIS_FIXED, .size = n}));
    return info->axis;
}

static int64_t vocab_size(Elab *E, const char *vocab)
{
    int64_t n = spec_vocab_define(E->spec, vocab);
    if (n < 0 && E->o->vocab_size != NULL) {
        n = E->o->vocab_size(E->o->ctx, vocab);
    }
    return n;
}

static Axis *vocab_axis(Elab *E, AxisInfo *info, const char *vocab, Span span)
{
    for (int k = 0; k < E->g->naxes; k++) {
        Axis *a = E->g->axes[k];
        if (a->kind == AXIS_FIXED && a->vocab != NULL && strcmp(a->vocab, vocab) == 0) {
            return a;
        }
    }
    return graph_axis(E->g, (Axis){.name = info->name,
                                   .kind = AXIS_FIXED,
                                   .size = vocab_size(E, vocab),
                                   .vocab = arena_strdup(E->g->arena, vocab),
                                   .span = span});
}

Axis *axis_of_vocab(Elab *E, const char *vocab)
{
    for (AxisInfo *a = E->axes; a != NULL; a = a->next) {
        if (a->axis != NULL && a->axis->vocab != NULL && strcmp(a->axis->vocab, vocab) == 0) {
            return a->axis;
        }
    }
    AxisInfo *info = NULL; /* a declared axis over the vocabulary gives its name */
    for (int k = 0; k < E->spec->items.n && info == NULL; k++) {
        Stmt *s = E->spec->items.v[k];
        if (s->kind == ST_AXIS && s->axis->kind != NULL && strcmp(s->axis->kind, "vocab") == 0 && s->axis->nargs == 1 &&
            s->axis->args[0].value->kind == EX_NAME && strcmp(s->axis->args[0].value->name, vocab) == 0) {
            info = axis_lookup(E, E->file, s->name);
        }
    }
    if (info != NULL && info->axis != NULL) {
        return info->axis;
    }
    info = new_info(E, vocab, NULL, AC_VOCAB);
    set_axis(E, info, vocab_axis(E, info, vocab, (Span){0}));
    return info->axis;
}

/* ---- declarations ------------------------------------------------------------------------------------------- */

static bool axis_arg(Elab *E, AxisDecl *d, const char *name, int64_t *out, Span at)
{
    for (int k = 0; k < d->nargs; k++) {
        if (d->args[k].name == NULL || (strcmp(d->args[k].name, "min") != 0 && strcmp(d->args[k].name, "max") != 0)) {
            return mistake(E, "E0151", d->args[k].span, "write ragged(min = 1, max = 200)",
                           "a ragged axis has the arguments min and max only");
        }
        if (strcmp(d->args[k].name, name) == 0 && !spec_eval_int(E->spec, NULL, d->args[k].value, out)) {
            return mistake(E, "E0150", d->args[k].value->span, NULL,
                           "'%s' of an axis must be an integer known before training", name);
        }
    }
    (void)at;
    return true;
}

static const char *data_name(Elab *E, const AxisInfo *info)
{
    AxisDecl *d = info->stmt->axis;
    if (d->nargs == 1 && d->args[0].value->kind == EX_NAME) {
        return d->args[0].value->name;
    }
    mistake(E, "E0151", info->stmt->span, NULL, "%s(...) takes one name", d->kind);
    return NULL;
}

/* Fields of a group with the sizes of their vocabularies, as -D or the data give them; -1: neither does. */
static int64_t group_fields(Elab *E, const char *group, const int64_t **sizes)
{
    const char *const *names = NULL;
    int64_t n = spec_group_define(E->spec, group, sizes);
    return n < 0 && E->o->fields != NULL ? E->o->fields(E->o->ctx, group, &names, sizes) : n;
}

/* Sizes by position of the parent: of a field's vocabulary, or of a number's width. */
static const int64_t *field_sizes(Elab *E, const AxisInfo *parent, int64_t *total)
{
    const int64_t *sizes = NULL;
    const char *name = parent->stmt != NULL && parent->stmt->axis->nargs == 1 ? data_name(E, parent) : NULL;
    int64_t n = name != NULL ? group_fields(E, name, &sizes) : -1;
    *total = 0;
    int64_t *copy = arena_alloc(E->g->arena, (size_t)(n > 0 ? n : 1) * sizeof *copy);
    for (int64_t k = 0; k < n; k++) {
        copy[k] = sizes[k];
        *total += sizes[k];
    }
    return copy;
}

static void make_parts(Elab *E, AxisInfo *info, const AxisInfo *family, Axis *param)
{
    const AxisInfo *decl = family != NULL ? family : info;
    AxisDecl *d = decl->stmt->axis;
    Axis proto = {.name = info->name, .kind = AXIS_SUM, .span = decl->stmt->span};
    if (d->nparts > MAX_PARTS) {
        mistake(E, "E0152", decl->stmt->span, NULL, "axis %s has %d sources; at most %d are possible", info->name,
                d->nparts, MAX_PARTS);
        info->broken = true;
        return;
    }
    for (int k = 0; k < d->nparts; k++) {
        struct AxisPart *p = &d->parts[k];
        Axis *part = NULL;
        if (p->source == NULL) {
            const char *name = fmt(E, "%s_%s", decl->name, p->members[0]);
            AxisInfo *known = NULL;
            for (AxisInfo *a = E->axes; a != NULL; a = a->next) {
                known = a->stmt == decl->stmt && a->kind == AC_MEMBERS && strcmp(a->name, name) == 0 ? a : known;
            }
            if (known == NULL) {
                known = new_info(E, name, decl->stmt, AC_MEMBERS);
                set_axis(E, known,
                         graph_axis(E->g, (Axis){.name = name,
                                                 .kind = AXIS_FIXED,
                                                 .size = p->nmembers,
                                                 .nmembers = p->nmembers,
                                                 .members = p->members,
                                                 .span = p->span}));
            }
            part = known->axis;
        } else if (d->param != NULL && strcmp(d->param, p->source) == 0) {
            part = param;
        } else {
            AxisInfo *source = axis_lookup(E, E->file, p->source);
            if (source == NULL) {
                mistake(E, "E0101", p->span, NULL, "there is no axis '%s'", p->source);
                info->broken = true;
                return;
            }
            if (source->axis == NULL || source->kind == AC_BATCH) {
                if (source->kind != AC_BATCH) {
                    info->broken = true;
                    return;
                }
            }
            part = source->axis;
        }
        if (part->kind == AXIS_SUM || axis_nparents(part) > 0) {
            mistake(E, "E0152", p->span, NULL, "'%s' cannot be a source of %s: it is %s", part->name, info->name,
                    part->kind == AXIS_SUM ? "a sum of axes itself" : "a list inside another axis");
            info->broken = true;
            return;
        }
        proto.parts[proto.nparts++] = part;
    }
    set_axis(E, info, graph_axis(E->g, proto));
}

static void make_axis(Elab *E, AxisInfo *info)
{
    Stmt *s = info->stmt;
    AxisDecl *d = s->axis;
    Axis proto = {.name = s->name, .span = s->span};
    AxisInfo *parent = NULL;
    if (d->parent != NULL) {
        parent = axis_lookup(E, E->file, d->parent);
        if (parent == NULL) {
            mistake(E, "E0101", s->span, NULL, "there is no axis '%s'", d->parent);
            info->broken = true;
            return;
        }
        if (parent->axis == NULL) {
            info->broken = true;
            return;
        }
    }
    if (d->size != NULL) {
        info->kind = AC_NUMBER;
        if (!spec_eval_int(E->spec, NULL, d->size, &proto.size)) {
            mistake(E, "E0150", d->size->span, "use numbers, hypers and numbered axes",
                    "the size of axis %s is not an integer"
                    " known before training",
                    s->name);
            info->broken = true;
            return;
        }
        if (proto.size < 1) {
            mistake(E, "E0150", d->size->span, NULL, "axis %s would have %lld elements", s->name,
                    (long long)proto.size);
            info->broken = true;
            return;
        }
        proto.kind = AXIS_FIXED;
    } else if (d->nparts > 0 && d->param == NULL && d->nparts == 1 && d->parts[0].source == NULL) {
        info->kind = AC_MEMBERS;
        proto.kind = AXIS_FIXED;
        proto.size = proto.nmembers = d->parts[0].nmembers;
        proto.members = d->parts[0].members;
    } else if (d->nparts > 0) {
        info->kind = d->param != NULL ? AC_FAMILY : AC_SUM;
        if (d->param == NULL) {
            make_parts(E, info, NULL, NULL);
        }
        return;
    } else if (d->kind != NULL && strcmp(d->kind, "ragged") == 0) {
        info->kind = AC_RAGGED;
        proto.kind = AXIS_RAGGED;
        proto.parent = parent != NULL ? parent->axis : NULL;
        proto.size = -1;
        if (!axis_arg(E, d, "min", &proto.min, s->span) || !axis_arg(E, d, "max", &proto.size, s->span)) {
            info->broken = true;
            return;
        }
        if (proto.size < 0 || proto.min < 0 || proto.min > proto.size) {
            mistake(E, "E0151", s->span, "write ragged(min = 1, max = 200)", "axis %s needs a largest length", s->name);
            info->broken = true;
            return;
        }
    } else if (d->kind != NULL && strcmp(d->kind, "batch") == 0) {
        info->kind = AC_BATCH;
        set_axis(E, info, E->g->batch);
        return;
    } else if (d->kind != NULL && strcmp(d->kind, "vocab") == 0 && parent == NULL) {
        info->kind = AC_VOCAB;
        const char *vocab = data_name(E, info);
        if (vocab == NULL) {
            info->broken = true;
            return;
        }
        set_axis(E, info, vocab_axis(E, info, vocab, s->span));
        return;
    } else if (d->kind != NULL && (strcmp(d->kind, "vocab") == 0 || strcmp(d->kind, "width") == 0)) {
        if (parent == NULL || parent->kind != AC_FIELDS) {
            mistake(E, "E0151", s->span, "write axis W in F : ..., F being fields(...)",
                    "axis %s: '%s' needs an axis of fields", s->name, d->kind);
            info->broken = true;
            return;
        }
        info->kind = strcmp(d->kind, "vocab") == 0 ? AC_VOCAB : AC_WIDTH;
        proto.kind = AXIS_TABLE;
        proto.parent = parent->axis;
        proto.sizes = field_sizes(E, parent, &proto.size);
    } else if (d->kind != NULL && strcmp(d->kind, "fields") == 0) {
        info->kind = AC_FIELDS;
        const char *name = data_name(E, info);
        if (name == NULL) {
            info->broken = true;
            return;
        }
        const int64_t *sizes = NULL;
        proto.kind = AXIS_FIXED;
        proto.fields = name;
        proto.size = group_fields(E, name, &sizes);
    } else {
        mistake(E, "E0151", s->span, "kinds are a size, {members}, ragged, vocab, fields, width, batch, and sums A | B",
                "axis %s has no kind '%s'", s->name, d->kind != NULL ? d->kind : "");
        info->broken = true;
        return;
    }
    set_axis(E, info, graph_axis(E->g, proto));
}

AxisInfo *axis_lookup(Elab *E, Scope *scope, const char *name)
{
    for (Scope *s = scope; s != NULL; s = s->parent) {
        for (AxisBinding *b = s->axes; b != NULL; b = b->next) {
            if (strcmp(b->name, name) == 0) {
                return b->bound && b->n == 1 ? axis_info(E, b->axes[0]) : NULL;
            }
        }
    }
    Stmt *s = spec_find(E->spec, ST_AXIS, name);
    if (s == NULL || (scope->library && !s->from_library)) {
        return NULL;
    }
    AxisInfo *info = NULL;
    for (AxisInfo *a = E->axes; a != NULL && info == NULL; a = a->next) {
        info = a->stmt == s && a->kind != AC_MEMBERS && a->family == NULL ? a : NULL;
        info = a->stmt == s && a->kind == AC_MEMBERS && strcmp(a->name, name) == 0 ? a : info;
    }
    if (info == NULL) {
        info = new_info(E, s->name, s, AC_NUMBER);
        info->busy = true;
        make_axis(E, info);
        info->busy = false;
    } else if (info->busy) {
        mistake(E, "E0153", s->span, NULL, "axis %s is defined by itself", name);
        info->broken = true;
    }
    return info;
}

AxisInfo *axis_instance(Elab *E, AxisInfo *family, Axis *param)
{
    for (int k = 0; k < family->ninstances; k++) {
        if (family->instances[k]->param == param) {
            return family->instances[k];
        }
    }
    AxisInfo *info = new_info(E, fmt(E, "%s<%s>", family->name, param->name), family->stmt, AC_SUM);
    info->family = family;
    info->param = param;
    ARENA_PUSH(E->arena, family->instances, family->ninstances, info);
    make_parts(E, info, family, param);
    return info;
}

/* ---- where axes are expected -------------------------------------------------------------------------------- */

static const Binding *values_of(const Scope *s)
{
    return s->values;
}

int axes_of_expr(Elab *E, Scope *scope, const Expr *e, Axis **out, int max)
{
    if (e->kind == EX_NAME && !e->has_bracket && e->at == NULL) {
        for (Scope *s = scope; s != NULL; s = s->parent) {
            for (AxisBinding *b = s->axes; b != NULL; b = b->next) {
                if (strcmp(b->name, e->name) != 0) {
                    continue;
                }
                for (int k = 0; k < b->n && k < max; k++) {
                    out[k] = b->axes[k];
                }
                return b->n < max ? b->n : max;
            }
        }
        AxisInfo *info = axis_lookup(E, scope, e->name);
        if (info != NULL) {
            if (info->kind == AC_FAMILY && !info->broken) {
                mistake(E, "E0154", e->span, fmt(E, "write %s<AXIS>", e->name), "%s is a family of axes", e->name);
                return -1;
            }
            if (info->axis == NULL) {
                return -1;
            }
            out[0] = info->axis;
            return 1;
        }
    }
    if (e->kind == EX_AXIS) {
        AxisInfo *family = axis_lookup(E, scope, e->name);
        if (family == NULL || family->kind != AC_FAMILY) {
            mistake(E, "E0101", e->span, NULL, "there is no family of axes '%s<...>'", e->name);
            return -1;
        }
        Expr name = {.kind = EX_NAME, .span = e->span, .name = e->at};
        Axis *param = NULL;
        int n = axes_of_expr(E, scope, &name, &param, 1);
        if (n != 1) {
            if (n == 0) {
                mistake(E, "E0154", e->span, NULL, "%s stands for no axis here: %s<...> takes one", e->at, e->name);
            }
            return -1;
        }
        AxisInfo *instance = axis_instance(E, family, param);
        out[0] = instance->axis;
        return instance->axis != NULL ? 1 : -1;
    }
    if (e->kind == EX_CALL && strcmp(e->name, "vocab") == 0 && e->nargs == 1 && e->args[0].value->kind == EX_NAME) {
        out[0] = axis_of_vocab(E, e->args[0].value->name);
        return 1;
    }
    if (e->kind == EX_LIST) {
        int n = 0;
        for (int k = 0; k < e->nargs; k++) {
            int m = axes_of_expr(E, scope, e->args[k].value, out + n, max - n);
            if (m < 0) {
                return -1;
            }
            n += m;
        }
        return n;
    }
    int64_t n;
    if (!spec_eval_int(E->spec, values_of(scope), e, &n)) {
        if (e->kind == EX_NAME) {
            mistake(E, "E0101", e->span, "an axis is a declared one or an integer known before training",
                    "there is no axis '%s'", e->name);
        } else {
            mistake(E, "E0150", e->span, "use numbers, hypers and numbered axes",
                    "the size of an axis is not an integer known before training");
        }
        return -1;
    }
    if (n < 1) {
        mistake(E, "E0150", e->span, NULL, "an axis would have %lld elements", (long long)n);
        return -1;
    }
    out[0] = axis_of_size(E, n);
    return 1;
}

/* ---- letters and members ------------------------------------------------------------------------------------ */

/* `d1` is one more letter of the axis of d. */
static bool letter_matches(const char *letter, const char *name)
{
    size_t n = strlen(letter);
    if (strncmp(letter, name, n) != 0) {
        return false;
    }
    return name[n + strspn(name + n, "0123456789")] == '\0';
}

static LetterDecl search_letters(Elab *E, Scope *scope, const char *name, bool exact)
{
    for (Scope *s = scope; s != NULL; s = s->parent) {
        for (AxisBinding *b = s->axes; b != NULL; b = b->next) {
            for (int k = 0; k < b->nletters; k++) {
                if (exact ? strcmp(b->letters[k], name) == 0 : letter_matches(b->letters[k], name)) {
                    return (LetterDecl){.found = true, .naxes = b->n, .axes = b->axes};
                }
            }
        }
    }
    for (int k = 0; k < E->spec->items.n; k++) {
        Stmt *s = E->spec->items.v[k];
        if (s->kind != ST_AXIS || (scope->library && !s->from_library)) {
            continue;
        }
        for (int m = 0; m < s->axis->nletters; m++) {
            if (exact ? strcmp(s->axis->letters[m], name) != 0 : !letter_matches(s->axis->letters[m], name)) {
                continue;
            }
            AxisInfo *info = axis_lookup(E, E->file, s->name);
            if (info == NULL || info->broken) {
                return (LetterDecl){.found = true};
            }
            if (info->kind == AC_FAMILY) {
                return (LetterDecl){.found = true, .family = info};
            }
            Axis **axes = arena_alloc(E->arena, sizeof *axes);
            axes[0] = info->axis;
            return (LetterDecl){.found = true, .naxes = 1, .axes = axes};
        }
    }
    return (LetterDecl){0};
}

LetterDecl letter_lookup(Elab *E, Scope *scope, const char *name)
{
    if (strcmp(name, "batch") == 0) {
        return (LetterDecl){.found = true, .naxes = 1, .axes = &E->g->batch};
    }
    LetterDecl d = search_letters(E, scope, name, true);
    return d.found ? d : search_letters(E, scope, name, false);
}

int sum_part(Elab *E, Scope *scope, const Axis *sum, const char *source, int *member)
{
    *member = -1;
    const AxisInfo *info = axis_info(E, sum);
    if (info == NULL || sum->kind != AXIS_SUM) {
        return -1;
    }
    AxisDecl *d = info->stmt->axis;
    AxisInfo *named = axis_lookup(E, scope, source);
    if (named != NULL && named->axis != NULL) {
        for (int k = 0; k < sum->nparts; k++) {
            if (sum->parts[k] == named->axis) {
                return k;
            }
        }
    }
    for (int k = 0; k < d->nparts; k++) {
        struct AxisPart *p = &d->parts[k];
        if (p->source != NULL && strcmp(p->source, source) == 0 && named == NULL) {
            return k;
        }
        for (int m = 0; m < p->nmembers; m++) {
            if (p->source == NULL && strcmp(p->members[m], source) == 0) {
                *member = m;
                return k;
            }
        }
    }
    return -1;
}

Axis *member_lookup(Elab *E, Scope *scope, const char *name, int *index)
{
    for (int k = 0; k < E->spec->items.n; k++) {
        Stmt *s = E->spec->items.v[k];
        if (s->kind != ST_AXIS || (scope->library && !s->from_library)) {
            continue;
        }
        for (int p = 0; p < s->axis->nparts; p++) {
            struct AxisPart *part = &s->axis->parts[p];
            for (int m = 0; part->source == NULL && m < part->nmembers; m++) {
                if (strcmp(part->members[m], name) != 0) {
                    continue;
                }
                *index = m;
                AxisInfo *info = axis_lookup(E, E->file, s->name);
                if (info == NULL || info->broken) {
                    return NULL;
                }
                if (info->kind == AC_MEMBERS) {
                    return info->axis;
                }
                const char *own = fmt(E, "%s_%s", s->name, part->members[0]);
                for (AxisInfo *a = E->axes; a != NULL; a = a->next) {
                    if (a->kind == AC_MEMBERS && a->stmt == s && strcmp(a->name, own) == 0) {
                        return a->axis;
                    }
                }
                /* a family without an instance so far: its members exist all the same */
                AxisInfo *fresh = new_info(E, own, s, AC_MEMBERS);
                set_axis(E, fresh,
                         graph_axis(E->g, (Axis){.name = own,
                                                 .kind = AXIS_FIXED,
                                                 .size = part->nmembers,
                                                 .nmembers = part->nmembers,
                                                 .members = part->members,
                                                 .span = part->span}));
                return fresh->axis;
            }
        }
    }
    return NULL;
}
