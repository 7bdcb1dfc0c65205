/* Names. A scope is the file's sections, the body of a block, or one round of a repeat; it lists the entities that
 * statements bind. Order does not matter, except that `:=` rebinds in textual order: every statement has a position
 * after unrolling, and a reader at position p sees the last binding before p, or the only one there is. */
#include "elab.h"

#include <string.h>

Scope *scope_new(Elab *E, Scope *parent, const char *path)
{
    Scope *s = arena_alloc(E->arena, sizeof *s);
    s->parent = parent;
    s->path = path;
    if (parent != NULL) {
        s->block = parent->block;
        s->library = parent->library;
        s->values = parent->values;
        s->instance = parent->instance;
    }
    return s;
}

Entity *scope_add(Elab *E, Scope *s, EntityKind kind, const char *name, int pos, Span span)
{
    Entity *e = arena_alloc(E->arena, sizeof *e);
    *e = (Entity){.kind = kind, .name = name, .pos = pos, .scope = s, .home = s, .ndims = -1, .span = span};
    if (s->last != NULL) {
        s->last->next = e;
    } else {
        s->entities = e;
    }
    s->last = e;
    return e;
}

Entity *scope_find(Scope *scope, const char *name, int pos)
{
    for (Scope *s = scope; s != NULL; s = s->parent) {
        Entity *only = NULL, *latest = NULL;
        int n = 0;
        for (Entity *e = s->entities; e != NULL; e = e->next) {
            if (strcmp(e->name, name) != 0) {
                continue;
            }
            n++;
            only = e;
            if (e->pos < pos && (latest == NULL || e->pos > latest->pos)) {
                latest = e;
            }
        }
        if (latest != NULL || n == 1) {
            return n == 1 ? only : latest;
        }
        if (n > 1) {
            Entity *first = NULL;
            for (Entity *e = s->entities; e != NULL; e = e->next) {
                if (strcmp(e->name, name) == 0 && (first == NULL || e->pos < first->pos)) {
                    first = e;
                }
            }
            return first;
        }
    }
    return NULL;
}

int count_label(Elab *E, Scope *s, const char *label)
{
    for (Counter *c = s->counters; c != NULL; c = c->next) {
        if (strcmp(c->label, label) == 0) {
            return c->n++;
        }
    }
    Counter *c = arena_alloc(E->arena, sizeof *c);
    *c = (Counter){.label = label, .n = 1, .next = s->counters};
    s->counters = c;
    return 0;
}

/* ---- spelling ----------------------------------------------------------------------------------------------- */

static int edit_distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    if (n > 30 || m > 30) {
        return 99;
    }
    int row[32];
    for (size_t k = 0; k <= m; k++) {
        row[k] = (int)k;
    }
    for (size_t i = 1; i <= n; i++) {
        int corner = row[0];
        row[0] = (int)i;
        for (size_t k = 1; k <= m; k++) {
            int up = row[k];
            int best = corner + (a[i - 1] != b[k - 1]);
            best = up + 1 < best ? up + 1 : best;
            best = row[k - 1] + 1 < best ? row[k - 1] + 1 : best;
            corner = up;
            row[k] = best;
        }
    }
    return row[m];
}

const char *nearest(const char *name, int n, const char *const *names)
{
    const char *best = NULL;
    int least = (int)strlen(name) / 2 < 2 ? (int)strlen(name) / 2 : 2;
    for (int k = 0; k < n; k++) {
        int d = edit_distance(name, names[k]);
        if (d > 0 && d <= least && (best == NULL || d < edit_distance(name, best))) {
            best = names[k];
        }
    }
    return best;
}

const char *suggest_name(Elab *E, const Env *env, const char *name)
{
    const char **names = NULL;
    int n = 0;
    for (const Scope *s = env->scope; s != NULL; s = s->parent) {
        for (Entity *e = s->entities; e != NULL; e = e->next) {
            ARENA_PUSH(E->arena, names, n, e->name);
        }
    }
    for (const Thunk *t = env->thunks; t != NULL; t = t->next) {
        ARENA_PUSH(E->arena, names, n, t->name);
    }
    for (int k = 0; k < E->spec->nhypers; k++) {
        ARENA_PUSH(E->arena, names, n, E->spec->hypers[k].name);
    }
    return nearest(name, n, names);
}

/* ---- entering the statements of a body ---------------------------------------------------------------------- */

static const char *lhs_name(Elab *E, const Lhs *l)
{
    return l->prime ? fmt(E, "%s'", l->name) : l->name;
}

/* Cases of one name over members or sources are one entity, at the place of the first. */
static Entity *same_equations(Scope *s, const char *name)
{
    for (Entity *e = s->entities; e != NULL; e = e->next) {
        if (e->kind == ENT_EQUATIONS && !e->rebinds && strcmp(e->name, name) == 0) {
            return e;
        }
    }
    return NULL;
}

static Entity *add_result(Elab *E, Scope *s, Scope *home, EntityKind kind, Stmt *stmt, int k, int pos,
                          SectionKind section)
{
    const Lhs *l = &stmt->lhs[k];
    Entity *e = scope_add(E, s, kind, lhs_name(E, l), pos, l->span);
    e->home = home;
    e->section = section;
    e->rebinds = stmt->rebinds;
    return e;
}

/* The scope that `:=` in a round binds in: the nearest that has the name already, else the one around the rounds. */
static Scope *rebind_scope(Scope *s, const char *name)
{
    for (Scope *p = s->parent; p != NULL; p = p->parent) {
        for (Entity *e = p->entities; e != NULL; e = e->next) {
            if (strcmp(e->name, name) == 0) {
                return p;
            }
        }
    }
    return s->parent != NULL ? s->parent : s;
}

/* y := smooth(x, w), where smooth is extern: the statement as a call, else NULL. */
static Stmt *extern_call(Elab *E, const Stmt *stmt, const Stmt **ext)
{
    const Expr *e = stmt->value;
    if (!stmt->rebinds || stmt->call != NULL || e == NULL || e->kind != EX_CALL || e->has_bracket ||
        stmt->lhs[0].has_bracket || (*ext = spec_find(E->spec, ST_EXTERN, e->name)) == NULL) {
        return NULL;
    }
    Stmt *copy = arena_alloc(E->arena, sizeof *copy);
    *copy = *stmt;
    copy->call = arena_alloc(E->arena, sizeof *copy->call);
    *copy->call = (BlockCall){.span = e->op_span, .name = e->name, .nargs = e->nargs, .args = e->args};
    return copy;
}

static void enter_equation(Elab *E, Scope *s, Stmt *stmt, int pos, SectionKind section)
{
    const Stmt *ext = NULL;
    Stmt *as_call = extern_call(E, stmt, &ext);
    stmt = as_call != NULL ? as_call : stmt;
    if (stmt->call != NULL) {
        Call *call = arena_alloc(E->arena, sizeof *call);
        *call = (Call){.ext = ext, .stmt = stmt, .scope = s, .pos = pos, .section = section, .path = s->path};
        for (int k = 0; k < stmt->nlhs; k++) {
            Scope *into = rebind_scope(s, lhs_name(E, &stmt->lhs[k]));
            Entity *e = add_result(E, into, s, ENT_CALL, stmt, k, pos, section);
            e->call = call;
            e->result = k;
        }
        const char *own = NULL;
        if (stmt->label != NULL) {
            own = stmt->label;
        } else {
            char *lower = arena_strdup(E->arena, stmt->call->name);
            for (char *p = lower; *p != '\0'; p++) {
                *p = *p >= 'A' && *p <= 'Z' ? (char)(*p + 'a' - 'A') : *p;
            }
            own = lower;
        }
        /* The only statement of a labelled round adds no part of its own: layer.0.Wq. */
        Scope *round = s;
        if (s->single && stmt->label == NULL && s->path != s->parent->path) {
            call->path = s->path;
        } else {
            while (round->parent != NULL && round->single && round->path == round->parent->path) {
                round = round->parent;
            }
            call->path = join_path(E, round->path, fmt(E, "%s.%d", own, count_label(E, round, own)));
        }
        return;
    }
    const char *name = lhs_name(E, &stmt->lhs[0]);
    Entity *e = NULL;
    if (stmt->rebinds) {
        e = add_result(E, rebind_scope(s, name), s, ENT_EQUATIONS, stmt, 0, pos, section);
    } else {
        e = same_equations(s, name);
        if (e == NULL) {
            for (Entity *o = s->entities; o != NULL; o = o->next) {
                if (strcmp(o->name, name) == 0 && !o->rebinds && o->kind != ENT_CALL) {
                    mistake(E, "E0120", stmt->lhs[0].span, "use another name, or := to go on with a new value",
                            "'%s' is defined twice", name);
                    return;
                }
            }
            e = add_result(E, s, s, ENT_EQUATIONS, stmt, 0, pos, section);
        }
    }
    ARENA_PUSH(E->arena, e->cases, e->ncases, stmt);
    int n = e->ncases - 1;
    ARENA_PUSH(E->arena, e->case_lhs, n, 0);
}

static void enter_repeat(Elab *E, Scope *s, Stmt *stmt, SectionKind section)
{
    Value v;
    const Expr *bad = NULL;
    if (!spec_eval(E->spec, s->values, stmt->value, &v, &bad)) {
        mistake(E, "E0150", stmt->value->span, "give a number or a list: hypers are known before anything is checked",
                "the number of rounds is not known before training");
        return;
    }
    if (stmt->var == NULL && v.is_list) {
        mistake(E, "E0160", stmt->value->span, "write repeat x in LIST",
                "a list of rounds needs a name for its values");
        return;
    }
    double count = v.is_list ? v.n : v.num;
    if (count < 0 || count > 10000 || count != (double)(int)count) {
        mistake(E, "E0160", stmt->value->span, NULL, "%g is not a number of rounds", count);
        return;
    }
    for (int k = 0; k < (int)count; k++) {
        const char *path = s->path;
        if (stmt->label != NULL) {
            path = join_path(E, s->path, fmt(E, "%s.%d", stmt->label, count_label(E, s, stmt->label)));
        } else if (stmt->body.n > 1 || stmt->body.v[0]->call == NULL) {
            path = join_path(E, s->path, fmt(E, "round.%d", count_label(E, s, "round")));
        }
        Scope *round = scope_new(E, s, path);
        round->single = stmt->body.n == 1;
        if (stmt->var != NULL) {
            Binding *b = arena_alloc(E->arena, sizeof *b);
            double num = v.is_list ? v.list[k] : k;
            *b = (Binding){
                .name = stmt->var, .value = {.is_int = num == (double)(int64_t)num, .num = num}, .next = s->values};
            round->values = b;
        }
        scope_open(E, round, &stmt->body, section);
    }
}

void scope_open(Elab *E, Scope *s, const Stmts *body, SectionKind section)
{
    for (int k = 0; k < body->n; k++) {
        Stmt *stmt = body->v[k];
        int pos = ++E->next_pos;
        switch (stmt->kind) {
        case ST_PARAM: {
            Entity *e = same_equations(s, stmt->name);
            for (Entity *o = s->entities; o != NULL; o = o->next) {
                if (e != NULL || strcmp(o->name, stmt->name) == 0) {
                    mistake(E, "E0120", stmt->span, NULL, "'%s' is defined twice", stmt->name);
                    break;
                }
            }
            e = scope_add(E, s, ENT_SYM, stmt->name, pos, stmt->span);
            e->section = section;
            e->sym = make_param(E, s, stmt, section);
            e->status = DONE;
            break;
        }
        case ST_STATE: {
            Entity *e = scope_add(E, s, ENT_STATE_NEXT, stmt->name, pos, stmt->span);
            e->section = section;
            e->cases = arena_alloc(E->arena, sizeof *e->cases);
            e->cases[0] = stmt;
            ARENA_PUSH(E->arena, E->states, E->nstates, ((struct StateDecl){s, stmt}));
            break;
        }
        case ST_EQUATION:
            enter_equation(E, s, stmt, pos, section);
            break;
        case ST_REPEAT:
            enter_repeat(E, s, stmt, section);
            break;
        default:
            break;
        }
    }
}

void scope_force(Elab *E, Scope *s)
{
    for (Entity *e = s->entities; e != NULL; e = e->next) {
        entity_sym(E, e);
    }
}

Sym *entity_sym(Elab *E, Entity *e)
{
    if (e->status == DONE) {
        return e->sym;
    }
    switch (e->kind) {
    case ENT_SYM:
        return e->sym;
    case ENT_EQUATIONS:
        return elab_equations(E, e);
    case ENT_CALL:
        e->sym = call_result(E, e->call, e->result);
        if (e->call->status == CALL_DONE) {
            e->status = DONE;
        }
        return e->sym;
    case ENT_STATE_NEXT:
        e->status = DONE;
        e->sym = make_state(E, e->scope, e->cases[0], e->pos, e->section);
        return e->sym;
    }
    return NULL;
}
