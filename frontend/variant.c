/* Variants: statements that replace what defines the same thing.
 *
 *   declaration      by kind and name                     hyper layers = 8
 *   rel              pair of sources by pair of sources   rel sees(a, b): A i -> F f if safe[f]
 *   param, state, =  by name; a case replaces the cells it covers: `que[F f, h, e] = ...` leaves `que[a, h, e] = ...`
 *                    for the other sources of a's axis, so the old equation becomes `que[A|X|me a, h, e] = ...`
 *   :=               by label, else by name if that is one statement
 *   repeat           by label
 *   setting          by name
 *
 * A statement is looked for in every section and in every block of the spec itself; found in two of them, or in none,
 * `in Name:` must say where. `drop` is a replacement by nothing. */
#include "load.h"

#include <ctype.h>
#include <string.h>

/* A statement and where it stands. */
typedef struct {
    Stmt *scope; /* block or section; NULL: the file */
    Stmts *list;
    Stmt *stmt;
} Place;

typedef struct {
    int n;
    Place *v;
} Places;

typedef struct {
    Edit *edit;
    Stmts fresh;    /* put in by this body: not replaced by it again */
    Stmts homeless; /* replaces nothing: placed when the whole body has been seen */
    Stmt *touched;  /* the one scope, not named by `in`, in which this body has replaced something */
    bool scattered; /* there were several */
} Run;

static bool same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static void insert_at(Edit *e, Stmts *list, int at, Stmt *s)
{
    ARENA_PUSH(e->arena, list->v, list->n, s);
    memmove(&list->v[at + 1], &list->v[at], (size_t)(list->n - 1 - at) * sizeof *list->v);
    list->v[at] = s;
}

static int index_in(const Stmts *list, const Stmt *s)
{
    for (int k = 0; k < list->n; k++) {
        if (list->v[k] == s) {
            return k;
        }
    }
    return -1;
}

static void remove_from(Stmts *list, const Stmt *s)
{
    int k = index_in(list, s);
    if (k >= 0) {
        memmove(&list->v[k], &list->v[k + 1], (size_t)(list->n - 1 - k) * sizeof *list->v);
        list->n--;
    }
}

/* ---- which cells a left-hand side covers ------------------------------------------------------------------ */

/* One index: the names of its sources or members; n == -1: all there are, names unknown. */
typedef struct {
    int n;
    const char **names;
} Cover;

/* The file's axis of a letter: a declared letter, or one followed by digits. */
static const Stmt *axis_of_letter(const Edit *e, const char *letter)
{
    size_t n = strlen(letter);
    while (n > 1 && isdigit((unsigned char)letter[n - 1])) {
        n--;
    }
    for (int k = 0; k < e->items->n; k++) {
        const Stmt *s = e->items->v[k];
        for (int j = 0; s->kind == ST_AXIS && j < s->axis->nletters; j++) {
            const char *declared = s->axis->letters[j];
            if (strcmp(declared, letter) == 0 || (strlen(declared) == n && strncmp(declared, letter, n) == 0)) {
                return s;
            }
        }
    }
    return NULL;
}

static bool block_hides(const Stmt *scope, const char *letter)
{
    size_t n = strlen(letter);
    while (n > 1 && isdigit((unsigned char)letter[n - 1])) {
        n--;
    }
    for (int k = 0; scope != NULL && k < scope->naxis_params; k++) {
        const AxisParam *a = &scope->axis_params[k];
        for (int j = 0; j < a->nletters; j++) {
            if (strlen(a->letters[j]) == n && strncmp(a->letters[j], letter, n) == 0) {
                return true;
            }
        }
    }
    return false;
}

static Cover cover_of(const Edit *e, const Stmt *scope, const Idx *x)
{
    Cover c = {0};
    if (x->nsources > 0) {
        return (Cover){x->nsources, x->sources};
    }
    if (x->e->kind != EX_NAME || x->e->has_bracket) {
        Text text = {0};
        expr_print(x->e, &text);
        const char *name = arena_strdup(e->arena, text.s);
        text_free(&text);
        ARENA_PUSH(e->arena, c.names, c.n, name);
        return c;
    }
    const Stmt *axis = block_hides(scope, x->e->name) ? NULL : axis_of_letter(e, x->e->name);
    if (axis == NULL) {
        /* A member, or a letter of the block's own axes. */
        if (block_hides(scope, x->e->name)) {
            return (Cover){-1, NULL};
        }
        ARENA_PUSH(e->arena, c.names, c.n, x->e->name);
        return c;
    }
    for (int k = 0; k < axis->axis->nparts; k++) {
        const struct AxisPart *part = &axis->axis->parts[k];
        if (part->source != NULL) {
            ARENA_PUSH(e->arena, c.names, c.n, part->source);
        }
        for (int j = 0; j < part->nmembers; j++) {
            ARENA_PUSH(e->arena, c.names, c.n, part->members[j]);
        }
    }
    return c.n > 0 ? c : (Cover){-1, NULL};
}

static bool has_name(const Cover *c, const char *name)
{
    for (int k = 0; k < c->n; k++) {
        if (strcmp(c->names[k], name) == 0) {
            return true;
        }
    }
    return false;
}

/* What of old is not in cut. */
static Cover without(Edit *e, const Cover *old, const Cover *cut)
{
    Cover rest = {0};
    for (int k = 0; k < old->n; k++) {
        if (!has_name(cut, old->names[k])) {
            ARENA_PUSH(e->arena, rest.names, rest.n, old->names[k]);
        }
    }
    return rest;
}

typedef enum { DISJOINT, COVERED, PARTLY } Overlap;

/* How much of `old` the cells of `cut` take away; PARTLY: *at is the index that shrinks to *rest. A cut with fewer
 * indices (drop a[pos]) speaks of the first ones. */
static Overlap compare_cells(Edit *e, const Stmt *scope, const Lhs *old, const Lhs *cut, bool prefix, int *at,
                             Cover *rest)
{
    if (!prefix && old->nidx != cut->nidx) {
        return COVERED;
    }
    Overlap result = COVERED;
    int nshrinking = 0;
    for (int k = 0; k < old->nidx && k < cut->nidx; k++) {
        Cover o = cover_of(e, scope, &old->idx[k]), c = cover_of(e, scope, &cut->idx[k]);
        if (c.n < 0) {
            continue;
        }
        if (o.n < 0) {
            return DISJOINT; /* cells the two have in common are then found by the check of the equations */
        }
        Cover left = without(e, &o, &c);
        if (left.n == o.n) {
            return DISJOINT;
        }
        if (left.n > 0) {
            result = PARTLY;
            nshrinking++;
            *at = k;
            *rest = left;
        }
    }
    if (nshrinking > 1) {
        diag_report(e->diag, DIAG_ERROR, "E0045", cut->span, "replace whole cases of one index at a time",
                    "variant '%s' replaces a corner of '%s', which is no case", e->variant, old->name);
        return DISJOINT;
    }
    return result;
}

/* ---- finding ---------------------------------------------------------------------------------------------- */

typedef struct {
    const Stmt *by; /* the new statement, or the drop */
    bool by_name;   /* := statements by name, after none had the label */
} Query;

static const char *label_of(Edit *e, const Stmt *s)
{
    if (s->label != NULL || s->call == NULL) {
        return s->label;
    }
    char *label = arena_strdup(e->arena, s->call->name);
    for (char *c = label; *c != '\0'; c++) {
        *c = (char)tolower((unsigned char)*c);
    }
    return label;
}

static bool defines(const Stmt *s, const char *name, bool prime)
{
    if (s->kind == ST_PARAM || s->kind == ST_STATE) {
        return !prime && strcmp(s->name, name) == 0;
    }
    for (int k = 0; s->kind == ST_EQUATION && k < s->nlhs; k++) {
        if (s->lhs[k].prime == prime && strcmp(s->lhs[k].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static bool matches_drop(Edit *e, const Stmt *drop, const Stmt *s)
{
    if (drop->label != NULL) { /* drop output y, drop prove y: all statements about y */
        return strcmp(drop->label, "output") == 0 ? s->kind == ST_OUTPUT && strcmp(s->name, drop->name) == 0
                                                  : s->kind == ST_PROVE && strcmp(s->to, drop->name) == 0;
    }
    const Lhs *l = &drop->lhs[0];
    if (defines(s, l->name, l->prime)) { /* x[me] is a case of x, x := Block(x) has none */
        return !l->has_bracket || !s->rebinds || s->lhs[0].has_bracket;
    }
    return !l->prime && !l->has_bracket && (s->kind == ST_REPEAT || s->rebinds) && same(label_of(e, s), l->name);
}

static bool matches(Edit *e, const Query *q, const Stmt *s)
{
    const Stmt *by = q->by;
    switch (by->kind) {
    case ST_DROP:
        return matches_drop(e, by, s);
    case ST_PARAM:
    case ST_STATE:
        return !s->rebinds && defines(s, by->name, false);
    case ST_EQUATION:
        if (!by->rebinds) {
            return !s->rebinds && defines(s, by->lhs[0].name, by->lhs[0].prime);
        }
        if (!s->rebinds) {
            return false;
        }
        return q->by_name ? defines(s, by->lhs[0].name, by->lhs[0].prime)
                          : label_of(e, by) != NULL && same(label_of(e, by), label_of(e, s));
    case ST_REPEAT:
        return s->kind == ST_REPEAT && by->label != NULL && same(by->label, s->label);
    case ST_OUTPUT:
        return s->kind == ST_OUTPUT && strcmp(s->name, by->name) == 0;
    case ST_PROVE:
        return s->kind == ST_PROVE && same(s->from, by->from) && same(s->to, by->to) && same(s->along, by->along);
    case ST_SETTING:
        return s->kind == ST_SETTING && strcmp(s->setting->name, by->setting->name) == 0 &&
               (strcmp(by->setting->name, "group") != 0 || same(s->setting->args[0]->name, by->setting->args[0]->name));
    default:
        return false;
    }
}

static void find_in(Run *r, const Query *q, Stmt *scope, Stmts *list, Places *out)
{
    for (int k = 0; k < list->n; k++) {
        Stmt *s = list->v[k];
        if (index_in(&r->fresh, s) < 0 && matches(r->edit, q, s)) {
            ARENA_PUSH(r->edit->arena, out->v, out->n, ((Place){scope, list, s}));
        } else if (s->kind == ST_REPEAT) {
            find_in(r, q, scope, &s->body, out);
        }
    }
}

static void find(Run *r, const Query *q, Stmt *scope, Places *out)
{
    if (scope != NULL) {
        find_in(r, q, scope, &scope->body, out);
        return;
    }
    find_in(r, q, NULL, r->edit->items, out);
    for (int k = 0; k < r->edit->items->n; k++) {
        Stmt *s = r->edit->items->v[k];
        if (s->kind == ST_BLOCK || s->kind == ST_SECTION) {
            find_in(r, q, s, &s->body, out);
        }
    }
}

static const char *scope_name(const Stmt *scope)
{
    return scope != NULL ? scope->name : "the file";
}

/* False after a message: the places lie in several scopes. */
static bool in_one_scope(Run *r, const Places *places, const char *name, Span at)
{
    for (int k = 1; k < places->n; k++) {
        if (places->v[k].scope != places->v[0].scope) {
            const char *first = scope_name(places->v[0].scope);
            diag_report(r->edit->diag, DIAG_ERROR, "E0041", at, arena_printf(r->edit->arena, "write in %s: ...", first),
                        "variant '%s' does not say which '%s' it means: that of %s or that of %s", r->edit->variant,
                        name, first, scope_name(places->v[k].scope));
            return false;
        }
    }
    return true;
}

static Stmt *find_section(Edit *e, SectionKind kind, bool create, Span at)
{
    for (int k = 0; k < e->items->n; k++) {
        if (e->items->v[k]->kind == ST_SECTION && e->items->v[k]->section == kind) {
            return e->items->v[k];
        }
    }
    if (!create) {
        return NULL;
    }
    Stmt *s = arena_alloc(e->arena, sizeof *s);
    *s = (Stmt){.kind = ST_SECTION, .section = kind, .name = section_name[kind], .span = at};
    ARENA_PUSH(e->arena, e->items->v, e->items->n, s);
    return s;
}

/* ---- replacing -------------------------------------------------------------------------------------------- */

/* Takes the cells of `cut` away from the statement at p; true: the statement is gone altogether. */
static bool cut_cells(Run *r, const Place *p, const Lhs *cut, bool prefix)
{
    if (p->stmt->kind != ST_EQUATION || p->stmt->rebinds || !cut->has_bracket) {
        remove_from(p->list, p->stmt);
        return true;
    }
    int at = 0;
    Cover rest = {0};
    switch (compare_cells(r->edit, p->scope, &p->stmt->lhs[0], cut, prefix, &at, &rest)) {
    case COVERED:
        remove_from(p->list, p->stmt);
        return true;
    case PARTLY: {
        Idx *x = &p->stmt->lhs[0].idx[at];
        x->nsources = rest.n;
        x->sources = rest.names;
        return false;
    }
    case DISJOINT:
        break;
    }
    return false;
}

static void touch(Run *r, Stmt *scope)
{
    r->scattered |= r->touched != NULL && r->touched != scope;
    r->touched = scope;
}

/* Where a statement that replaces nothing goes. */
static Stmt *home_of(Run *r, const Stmt *s)
{
    Edit *e = r->edit;
    if (s->kind == ST_SETTING) {
        return find_section(e, strcmp(s->setting->name, "metrics") == 0 ? SECTION_RANK : SECTION_TRAIN, true, s->span);
    }
    if (s->kind == ST_OUTPUT || s->kind == ST_PROVE) {
        for (int k = 0; k < e->items->n; k++) {
            Stmt *section = e->items->v[k];
            for (int j = 0; section->kind == ST_SECTION && j < section->body.n; j++) {
                if (defines(section->body.v[j], s->kind == ST_OUTPUT ? s->name : s->to, false)) {
                    return section;
                }
            }
        }
        return find_section(e, SECTION_MODEL, true, s->span);
    }
    if (r->touched != NULL && !r->scattered) {
        return r->touched;
    }
    diag_report(e->diag, DIAG_ERROR, "E0044", s->span, "write in model: ..., or in NameOfBlock: ...",
                "variant '%s' adds this to no place: nothing of that name is there to replace", e->variant);
    return NULL;
}

static const char *display_name(const Stmt *s)
{
    return s->name != NULL ? s->name : s->label != NULL ? s->label : stmt_name[s->kind];
}

/* A statement that belongs into a block or a section. */
static void apply_statement(Run *r, Stmt *s, Stmt *scope)
{
    Query q = {.by = s};
    Places places = {0};
    find(r, &q, scope, &places);
    if (places.n == 0 && s->kind == ST_EQUATION && s->rebinds) {
        q.by_name = true;
        find(r, &q, scope, &places);
    }
    if (!in_one_scope(r, &places, display_name(s), s->span)) {
        return;
    }
    if (places.n > 1 && ((s->kind == ST_EQUATION && s->rebinds) || s->kind == ST_REPEAT)) {
        diag_report(r->edit->diag, DIAG_ERROR, "E0041", s->span, "name one of them by its label: ... as label",
                    "variant '%s' replaces '%s', of which there are %d", r->edit->variant, display_name(s), places.n);
        return;
    }
    ARENA_PUSH(r->edit->arena, r->fresh.v, r->fresh.n, s);
    if (places.n == 0) {
        Stmts *list = scope != NULL ? &scope->body : &r->homeless;
        insert_at(r->edit, list, list->n, s);
        return;
    }
    const Place first = places.v[0];
    if (scope == NULL) {
        touch(r, first.scope);
    }
    int at = index_in(first.list, first.stmt);
    for (int k = 0; k < places.n; k++) {
        static const Lhs everything = {0};
        bool gone = cut_cells(r, &places.v[k], s->kind == ST_EQUATION && !s->rebinds ? &s->lhs[0] : &everything, false);
        at += k == 0 && !gone; /* what is left of the first one stays above */
    }
    insert_at(r->edit, first.list, at < first.list->n ? at : first.list->n, s);
}

static void apply_declaration(Run *r, Stmt *s)
{
    Stmts *items = r->edit->items;
    for (int k = 0; k < items->n; k++) {
        if (items->v[k]->kind == s->kind && strcmp(items->v[k]->name, s->name) == 0) {
            items->v[k] = s;
            return;
        }
    }
    ARENA_PUSH(r->edit->arena, items->v, items->n, s);
}

/* ---- relations -------------------------------------------------------------------------------------------- */

static void add_rest(Run *r, Stmt *rel, RelPair pair, Cover from, Cover to)
{
    if (from.n > 0 && to.n > 0) {
        pair.from.nsources = from.n;
        pair.from.sources = from.names;
        pair.to.nsources = to.n;
        pair.to.sources = to.names;
        ARENA_PUSH(r->edit->arena, rel->pairs, rel->npairs, pair);
    }
}

/* Takes the pairs of sources of `cut` away; false: there was none. */
static bool cut_pairs(Run *r, Stmt *rel, const RelPair *cut)
{
    Edit *e = r->edit;
    int n = rel->npairs;
    RelPair *old = rel->pairs;
    bool found = false;
    rel->pairs = NULL;
    rel->npairs = 0;
    Cover cut_from = {cut->from.nsources, cut->from.sources}, cut_to = {cut->to.nsources, cut->to.sources};
    for (int k = 0; k < n; k++) {
        Cover from = {old[k].from.nsources, old[k].from.sources}, to = {old[k].to.nsources, old[k].to.sources};
        Cover from_rest = without(e, &from, &cut_from), to_rest = without(e, &to, &cut_to);
        if (from_rest.n == from.n || to_rest.n == to.n) {
            ARENA_PUSH(e->arena, rel->pairs, rel->npairs, old[k]);
            continue;
        }
        found = true;
        Cover from_cut = without(e, &from, &from_rest);
        add_rest(r, rel, old[k], from_rest, to);
        add_rest(r, rel, old[k], from_cut, to_rest);
    }
    return found;
}

static Stmt *find_item(Run *r, StmtKind kind, const char *name)
{
    for (int k = 0; k < r->edit->items->n; k++) {
        Stmt *s = r->edit->items->v[k];
        if (s->kind == kind && strcmp(s->name, name) == 0) {
            return s;
        }
    }
    return NULL;
}

static void apply_rel(Run *r, Stmt *s)
{
    Stmt *rel = find_item(r, ST_REL, s->name);
    if (rel == NULL) {
        apply_declaration(r, s);
        return;
    }
    for (int k = 0; k < s->npairs; k++) {
        cut_pairs(r, rel, &s->pairs[k]);
    }
    for (int k = 0; k < s->npairs; k++) {
        ARENA_PUSH(r->edit->arena, rel->pairs, rel->npairs, s->pairs[k]);
    }
}

/* ---- dropping --------------------------------------------------------------------------------------------- */

static void nothing_to_drop(Run *r, const Stmt *s)
{
    diag_report(r->edit->diag, DIAG_ERROR, "E0042", s->span, "drop takes names, cases, labels and pairs of a rel",
                "variant '%s' drops '%s', which is not there", r->edit->variant, s->name);
}

static void apply_drop(Run *r, Stmt *s, Stmt *scope)
{
    if (s->npairs > 0) {
        Stmt *rel = find_item(r, ST_REL, s->name);
        if (rel == NULL || !cut_pairs(r, rel, &s->pairs[0])) {
            nothing_to_drop(r, s);
        }
        return;
    }
    Query q = {.by = s};
    Places places = {0};
    find(r, &q, scope, &places);
    if (places.n > 0) {
        if (!in_one_scope(r, &places, s->name, s->span)) {
            return;
        }
        if (scope == NULL) {
            touch(r, places.v[0].scope);
        }
        static const Lhs everything = {0};
        for (int k = 0; k < places.n; k++) {
            cut_cells(r, &places.v[k], s->nlhs > 0 ? &s->lhs[0] : &everything, true);
        }
        return;
    }
    bool plain = s->label == NULL && s->nlhs == 1 && !s->lhs[0].prime && !s->lhs[0].has_bracket;
    for (int k = 0; plain && scope == NULL && k < r->edit->items->n; k++) {
        Stmt *item = r->edit->items->v[k];
        if (item->kind <= ST_EXTERN && strcmp(item->name, s->name) == 0) {
            remove_from(r->edit->items, item);
            return;
        }
    }
    nothing_to_drop(r, s);
}

/* ---- bodies ----------------------------------------------------------------------------------------------- */

static void apply_body(Run *r, const Stmts *body, Stmt *scope);

static void apply_in(Run *r, Stmt *s)
{
    Stmt *scope = find_item(r, ST_BLOCK, s->name);
    for (int k = 0; scope == NULL && k < SECTION_COUNT; k++) {
        if (strcmp(s->name, section_name[k]) == 0) {
            scope = find_section(r->edit, (SectionKind)k, true, s->span);
        }
    }
    for (int k = 0; scope == NULL && k < r->edit->libraries->n; k++) {
        Stmt *block = r->edit->libraries->v[k];
        scope = block->kind == ST_BLOCK && strcmp(block->name, s->name) == 0 ? block : NULL;
    }
    if (scope == NULL) {
        diag_report(r->edit->diag, DIAG_ERROR, "E0043", s->span, "in takes a block, or model, train, rank, serve",
                    "there is no block or section '%s'", s->name);
        return;
    }
    apply_body(r, &s->body, scope);
}

static void apply_body(Run *r, const Stmts *body, Stmt *scope)
{
    for (int k = 0; k < body->n; k++) {
        Stmt *s = body->v[k];
        switch (s->kind) {
        case ST_REL:
            apply_rel(r, s);
            break;
        case ST_DROP:
            apply_drop(r, s, scope);
            break;
        case ST_IN:
            apply_in(r, s);
            break;
        case ST_SECTION:
            apply_body(r, &s->body, find_section(r->edit, s->section, true, s->span));
            break;
        case ST_HYPER:
        case ST_AXIS:
        case ST_INPUT:
        case ST_FN:
        case ST_BLOCK:
        case ST_EXTERN:
            apply_declaration(r, s);
            break;
        case ST_USE:
        case ST_VARIANT:
            break;
        default:
            apply_statement(r, s, scope);
            break;
        }
    }
}

void edit_apply(Edit *e, const Stmts *body)
{
    Run r = {.edit = e};
    apply_body(&r, body, NULL);
    for (int k = 0; k < r.homeless.n; k++) {
        Stmt *home = home_of(&r, r.homeless.v[k]);
        if (home != NULL) {
            insert_at(e, &home->body, home->body.n, r.homeless.v[k]);
        }
    }
}
