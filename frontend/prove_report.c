/* Why a statement fails: the shortest way from the source to a cell that may depend on too much, with the lines of the
 * spec, the inequality of indices that does not hold, and indices for which it does not. */
#include "prove.h"

#include "../ir/random.h"
#include <string.h>

/* A tensor that some bound fails for, reached from the one before it by a use. */
typedef struct {
    const Tensor *t;
    int choice;
    unsigned set;
    int before; /* the node that depends on it, -1: none */
    Use use;
} Node;

typedef struct {
    Proof *p;
    const Source *home; /* of the statement */
    int nnodes;
    Node *nodes;
    int at;  /* the node being explained */
    int end; /* the source, -1: not yet found */
} Search;

/* ---- the way -------------------------------------------------------------------------------------------------- */

static void keep(const Use *u, void *ctx)
{
    Search *s = ctx;
    Elab *E = s->p->E;
    unsigned set = prove_cover(u, s->nodes[s->at].set);
    if (u->to != s->nodes[s->at].choice || s->end >= 0 || prove_bound(s->p, u->t, u->choice, set)) {
        return;
    }
    for (int k = 0; k < s->nnodes; k++) {
        const Node *n = &s->nodes[k];
        if (n->t == u->t && n->choice == u->choice && n->set == set) {
            return;
        }
    }
    Node n = {.t = u->t, .choice = u->choice, .set = set, .before = s->at, .use = *u};
    Conds *conds = arena_alloc(E->arena, sizeof *conds);
    for (int k = 0; k < u->conds->n; k++) {
        conds_push(E, conds, u->conds->v[k]);
    }
    n.use.conds = conds;
    n.use.map = NULL;
    ARENA_PUSH(E->arena, s->nodes, s->nnodes, n);
    s->end = u->t == s->p->source ? s->nnodes - 1 : -1;
}

static void find_way(Search *s, const Tensor *to, int choice, unsigned set)
{
    Graph *g = s->p->g;
    Node target = {.t = to, .choice = choice, .set = set, .before = -1};
    ARENA_PUSH(s->p->E->arena, s->nodes, s->nnodes, target);
    s->end = to == s->p->source ? 0 : -1;
    for (s->at = 0; s->at < s->nnodes && s->end < 0; s->at++) {
        for (int k = 0; k < g->nequations; k++) {
            if (g->equations[k]->dst == s->nodes[s->at].t) {
                prove_uses(s->p, g->equations[k], keep, s);
            }
        }
    }
}

/* ---- words ------------------------------------------------------------------------------------------------------ */

static const char *user_name(Elab *E, const Tensor *t)
{
    const Sym *s = sym_of_tensor(E, t);
    if (s != NULL) {
        return s->path != NULL ? s->path : s->name;
    }
    const char *dot = strrchr(t->name, '.'); /* a part of an equation: x.1 of x */
    bool part = dot != NULL && dot[1] != '\0' && strspn(dot + 1, "0123456789") == strlen(dot + 1);
    return part ? fmt(E, "%.*s", (int)(dot - t->name), t->name) : t->name;
}

static void letter_of(void *ctx, int64_t k, Text *out)
{
    const Use *u = ctx;
    text_printf(out, "%s", u->eq->letters[k].name);
}

static const char *words(const Use *u, const Scalar *s)
{
    Text t = {0};
    scalar_text(s, letter_of, (void *)u, &t);
    const char *text = arena_strdup(u->c->E->arena, t.s);
    text_free(&t);
    return text;
}

/* ---- indices for which an inequality fails ------------------------------------------------------------------------
 */

enum { MAX_TRIES = 10000, MAX_TRIED = 6, MAX_DATA = 8 };

typedef struct {
    const Use *u;
    unsigned set;
    int which;      /* position of u->t that is not covered */
    int64_t length; /* of every ragged list */
    int64_t value[MAX_LETTERS];
    bool used[MAX_LETTERS];
    uint64_t salt; /* data are made up: another salt, other data */
    bool data;     /* inputs were asked */
    bool unsure;   /* so was something computed, whose value may not be what was made up */
} Trial;

/* A value for what is not known here. */
static int64_t make_up(Trial *t, const Scalar *s, const int64_t *args)
{
    uint64_t key = random_key(t->salt, 0, "data");
    key = random_fold(key, s->op == OP_LOAD ? s->tensor->id : s->id);
    for (int k = 0; k < s->nargs && s->op == OP_LOAD; k++) {
        key = random_fold(key, args[k]);
    }
    bool ranged = s->op == OP_LOAD && s->type == TYPE_INT && s->tensor->lo <= s->tensor->hi;
    int64_t lo = ranged ? s->tensor->lo : 0, hi = ranged ? s->tensor->hi : s->type == TYPE_BOOL ? 1 : t->length;
    hi = hi - lo > t->length ? lo + t->length : hi;
    t->data = true;
    t->unsure = t->unsure || s->op != OP_LOAD || s->tensor->role != ROLE_INPUT;
    return lo + (int64_t)(random_uniform(key) * (double)(hi - lo + 1));
}

/* The value of an integer or a condition. */
static int64_t value_at(Trial *t, const Scalar *s)
{
    int64_t a[MAX_DIMS + 1] = {0};
    bool reals = false;
    for (int k = 0; k < s->nargs && k <= MAX_DIMS; k++) {
        reals = reals || s->args[k]->type == TYPE_REAL || s->args[k]->type == TYPE_F32;
    }
    if (reals || s->type == TYPE_REAL || s->type == TYPE_F32) {
        return make_up(t, s, a);
    }
    for (int k = 0; k < s->nargs && k <= MAX_DIMS; k++) {
        a[k] = value_at(t, s->args[k]);
    }
    switch (s->op) {
    case OP_CONST:
        return s->inum;
    case OP_LETTER:
        return t->value[s->inum];
    case OP_SIZE:
        return axis_is_ragged(s->axis) ? t->length : axis_bound(s->axis);
    case OP_and:
        return a[0] && a[1];
    case OP_or:
        return a[0] || a[1];
    case OP_select:
        return a[0] ? a[1] : a[2];
    case OP_add:
        return a[0] + a[1];
    case OP_sub:
        return a[0] - a[1];
    case OP_mul:
        return a[0] * a[1];
    case OP_neg:
        return -a[0];
    case OP_min:
        return a[0] < a[1] ? a[0] : a[1];
    case OP_max:
        return a[0] > a[1] ? a[0] : a[1];
    case OP_abs:
        return a[0] < 0 ? -a[0] : a[0];
    case OP_idiv:
        return a[1] > 0 ? a[0] / a[1] - (a[0] % a[1] < 0) : 0;
    case OP_mod:
        return a[1] > 0 ? (a[0] % a[1] + a[1]) % a[1] : 0;
    case OP_lt:
        return a[0] < a[1];
    case OP_le:
        return a[0] <= a[1];
    case OP_eq:
        return a[0] == a[1];
    case OP_ne:
        return a[0] != a[1];
    case OP_not:
        return !a[0];
    default:
        return make_up(t, s, a);
    }
}

static int64_t size_of(const Trial *t, int letter)
{
    const Axis *axis = t->u->c->vars[letter].axis;
    int64_t bound = axis_bound(axis);
    return axis_is_ragged(axis) && (bound < 0 || bound > t->length) ? t->length : bound < 0 ? 2 : bound;
}

/* The tuple exists, and reads something later than every position that bounds it. */
static bool fails_here(Trial *t)
{
    const Use *u = t->u;
    t->data = t->unsure = false;
    int64_t index = value_at(t, u->index[t->which]);
    if (index < 0 || index >= t->length) {
        return false;
    }
    for (int k = 0; k < u->out.n; k++) {
        if ((t->set >> k & 1) != 0 && (u->at[k] == NULL || value_at(t, u->at[k]) >= index)) {
            return false;
        }
    }
    for (int k = 0; k < u->conds->n; k++) {
        if (!value_at(t, u->conds->v[k])) {
            return false;
        }
    }
    return true;
}

static void mark_letter(const Scalar *s, void *ctx)
{
    Trial *t = ctx;
    if (s->op == OP_LETTER) {
        t->used[s->inum] = true;
    }
}

static bool try_values(Trial *t)
{
    int letters[MAX_LETTERS], n = 0;
    for (int k = 0; k < t->u->eq->nletters; k++) {
        t->value[k] = 0;
        if (t->used[k]) {
            letters[n++] = k;
        }
    }
    int digit[MAX_LETTERS] = {0};
    for (int tries = 0; tries < MAX_TRIES; tries++) {
        bool fits = true;
        for (int k = 0; k < n; k++) { /* 0, 1, 2, and the last three */
            int64_t size = size_of(t, letters[k]);
            int64_t v = digit[k] < MAX_TRIED / 2 ? digit[k] : size - MAX_TRIED + digit[k];
            fits = fits && v < size && (digit[k] < MAX_TRIED / 2 || v >= MAX_TRIED / 2);
            t->value[letters[k]] = v;
        }
        if (fits && fails_here(t)) {
            return true;
        }
        int k = 0;
        while (k < n && ++digit[k] == MAX_TRIED) {
            digit[k++] = 0;
        }
        if (k == n) {
            return false;
        }
    }
    return false;
}

/* Letters for which position `which` of the use is too late. */
static bool find_example(Trial *t)
{
    const Use *u = t->u;
    sc_walk(u->index[t->which], mark_letter, t);
    for (int k = 0; k < u->out.n; k++) {
        if ((t->set >> k & 1) != 0 && u->at[k] != NULL) {
            sc_walk(u->at[k], mark_letter, t);
        }
    }
    for (int k = 0; k < u->conds->n; k++) {
        sc_walk(u->conds->v[k], mark_letter, t);
    }
    static const int64_t lengths[] = {2, 4, 40, 300};
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
        t->length = lengths[k];
        for (t->salt = 0; t->salt < MAX_DATA; t->salt++) {
            if (try_values(t)) {
                return true;
            }
        }
    }
    return false;
}

/* ---- the report -------------------------------------------------------------------------------------------------- */

/* "item -> x -> closed.0.s -> z": names from the source on; the middle of a long way is left out. */
static const char *way_text(const Search *s, const char *to)
{
    enum { MOST = 9 };
    Elab *E = s->p->E;
    const char **names = NULL;
    int n = 0;
    for (int k = s->end; k >= 0; k = s->nodes[k].before) {
        const char *name = user_name(E, s->nodes[k].t);
        if (n == 0 || strcmp(names[n - 1], name) != 0) {
            ARENA_PUSH(E->arena, names, n, name);
        }
    }
    names[n - 1] = n > 1 || s->end == 0 ? to : names[n - 1]; /* as the statement calls it */
    Text t = {0};
    for (int k = 0; k < n; k++) {
        if (n > MOST && k == MOST / 2) {
            text_printf(&t, " -> ...");
            k = n - MOST / 2;
        }
        text_printf(&t, "%s%s", k > 0 ? " -> " : "", names[k]);
    }
    const char *text = arena_strdup(E->arena, t.s);
    text_free(&t);
    return text;
}

static const char *source_line(Elab *E, Span at)
{
    const char *line = source_text(at.source);
    for (int k = 1; k < at.line && *line != '\0'; k++) {
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
    line += strspn(line, " \t");
    size_t n = strcspn(line, "\r\n#");
    while (n > 0 && (line[n - 1] == ' ' || line[n - 1] == '\t')) {
        n--;
    }
    return fmt(E, "%.*s", (int)n, line);
}

static const char *file_name(Span at)
{
    const char *slash = strrchr(source_path(at.source), '/');
    return slash != NULL ? slash + 1 : source_path(at.source);
}

/* "line 14", with its file where that is not the statement's. */
static const char *line_of(const Search *s, Span at)
{
    Elab *E = s->p->E;
    return at.source == NULL || at.source == s->home ? fmt(E, "line %d", at.line)
                                                     : fmt(E, "%s:%d", file_name(at), at.line);
}

/* Each line of the spec on the way once, in the order in which the source goes through them. */
static void also_lines(const Search *s)
{
    Elab *E = s->p->E;
    for (int k = s->end; k > 0; k = s->nodes[k].before) {
        Span at = s->nodes[k].use.eq->span;
        bool seen = at.source == NULL;
        for (int m = s->end; m != k && !seen; m = s->nodes[m].before) {
            Span other = s->nodes[m].use.eq->span;
            seen = other.source == at.source && other.line == at.line;
        }
        if (!seen && at.source == s->home) {
            diag_also(E->diag, "  %4d | %s", at.line, source_line(E, at));
        } else if (!seen) {
            diag_also(E->diag, "  %s:%d | %s", file_name(at), at.line, source_line(E, at));
        }
    }
}

/* A recurrence has come back to a tensor with less of a bound. */
static bool again(const Search *s, int node)
{
    bool found = false;
    for (int k = s->nodes[node].before; k >= 0; k = s->nodes[k].before) {
        found = found || (s->nodes[k].t == s->nodes[node].t && s->nodes[k].choice == s->nodes[node].choice);
    }
    return found;
}

/* The node at which the bound is lost, nearest to the end: what it reads would be fine at the right index. Without a
 * bound: where the indices along the axis are lost. */
static const Node *culprit(const Search *s, unsigned set)
{
    const Node *found = &s->nodes[s->end];
    for (int k = s->end; k > 0; k = s->nodes[k].before) {
        const Node *n = &s->nodes[k];
        bool loses = set == 0 ? n->use.along.n > 1 && n->use.out.n <= 1
                              : prove_bound(s->p, n->t, n->choice, (1u << n->use.along.n) - 1) || again(s, k);
        found = loses ? n : found;
    }
    return found;
}

/* What is read or what it is read for, with the indices that matter: "x[S j]", "z[i]", "z[F]". */
static const char *cell_text(const Use *u, const Tensor *t, int choice, const Along *along, Scalar *const *index)
{
    Elab *E = u->c->E;
    Text text = {0};
    int way[MAX_DIMS], shown = 0;
    prove_ways(t, choice, way);
    text_printf(&text, "%s", user_name(E, t));
    for (int d = 0; d < t->ndim; d++) {
        int k = along->n;
        while (--k > 0 && along->dim[k] != d) {
        }
        bool sum = t->dims[d]->kind == AXIS_SUM;
        if (!sum && k <= 0) {
            continue;
        }
        text_printf(&text, "%s%s", shown++ > 0 ? ", " : "[", sum ? t->dims[d]->parts[way[d]]->name : "");
        if (k > 0) {
            text_printf(&text, "%s%s", sum ? " " : "", index[k] != NULL ? words(u, index[k]) : "any");
        }
    }
    text_printf(&text, "%s", shown > 0 ? "]" : "");
    const char *copy = arena_strdup(E->arena, text.s);
    text_free(&text);
    return copy;
}

static void also_inequality(Proof *p, const char *line, const Node *n, unsigned set, const Trial *t, bool found)
{
    Elab *E = p->E;
    const Use *u = &n->use;
    const char *read = cell_text(u, u->t, u->choice, &u->along, u->index);
    const char *result = cell_text(u, u->eq->dst, u->to, &u->out, u->at);
    const char *index = u->index[t->which] != NULL ? words(u, u->index[t->which]) : NULL;
    if (index == NULL) {
        diag_also(E->diag, "%s: %s reads %s, whichever data choose", line, result, read);
        return;
    }
    Text bounds = {0}, values = {0};
    for (int k = 1; k < u->out.n; k++) {
        if ((set >> k & 1) != 0 && u->at[k] != NULL) {
            text_printf(&bounds, "%s%s <= %s", bounds.n > 0 ? " or " : "", index, words(u, u->at[k]));
        }
    }
    bool timeless = bounds.n == 0;
    if (timeless) {
        text_printf(&bounds, "%s <= 0", index);
    }
    for (int k = 0; found && t->length > 0 && k < u->eq->nletters; k++) {
        bool shown = sc_uses_letter(u->index[t->which], k);
        for (int m = 1; m < u->out.n; m++) {
            shown = shown || ((set >> m & 1) != 0 && u->at[m] != NULL && sc_uses_letter(u->at[m], k));
        }
        if (shown) {
            text_printf(&values, "%s%s = %lld", values.n > 0 ? ", " : "", u->eq->letters[k].name,
                        (long long)t->value[k]);
        }
    }
    if (timeless) {
        diag_also(E->diag, "%s: %s has no index along %s and reads %s%s%s", line, result, p->axis->name, read,
                  values.n > 0 ? ", also where " : ", which data choose", values.n > 0 ? values.s : "");
    } else if (found) {
        diag_also(E->diag, "%s: %s reads %s, but %s does not hold%s%s%s", line, result, read, bounds.s,
                  values.n > 0 ? " where " : "", values.n > 0 ? values.s : "", t->data ? " for some data" : "");
    } else {
        diag_also(E->diag, "%s: %s reads %s, and nothing in the spec says that %s", line, result, read, bounds.s);
    }
    text_free(&bounds);
    text_free(&values);
}

/* The position that is missing: with it the use would be bounded; else any that is not covered. */
static int missing(const Proof *p, const Node *n)
{
    const Use *u = &n->use;
    int any = 0;
    for (int d = u->along.n; d-- > 1;) {
        if ((n->set >> d & 1) == 0) {
            any = d;
        }
    }
    for (int d = 1; d < u->along.n; d++) {
        if ((n->set >> d & 1) == 0 && prove_bound(p, n->t, n->choice, n->set | 1u << d)) {
            return d;
        }
    }
    return any;
}

void prove_report(Proof *p, const Stmt *stmt, const Tensor *to, int choice, unsigned set)
{
    Elab *E = p->E;
    Search s = {.p = p, .home = stmt->span.source};
    find_way(&s, to, choice, set);
    const char *text = prove_text(E, stmt), *way = way_text(&s, stmt->to);
    if (p->axis == NULL || s.end == 0) {
        mistake(E, "E0402", stmt->span, "cut the path below, or drop the statement", "'%s' is false", text);
        diag_also(E->diag, "path: %s", way);
        also_lines(&s);
        return;
    }
    const Node *n = culprit(&s, set);
    const Use *u = &n->use;
    const char *line = line_of(&s, u->eq->span);
    Trial t = {.u = u, .set = s.nodes[n->before].set, .which = missing(p, n)};
    bool found = u->index[t.which] != NULL && find_example(&t) && !t.unsure;
    const char *remedy = "say in a where that what it reads is not later";
    if (u->index[t.which] != NULL && u->out.n > 1 && u->at[1] != NULL && u->index[t.which]->op == OP_LETTER) {
        remedy = fmt(E, "in %s say where %s <= %s", line, words(u, u->index[t.which]), words(u, u->at[1]));
    } else if (u->out.n <= 1) {
        remedy = fmt(E, "give %s an index along %s", line, p->axis->name);
    }
    if (set == 0) {
        remedy = fmt(E, "prove a result that has an index along %s", p->axis->name);
        found = true;
    }
    mistake(E, found ? "E0402" : "E0403", stmt->span, remedy, found ? "'%s' is false" : "'%s' cannot be decided", text);
    diag_also(E->diag, "path: %s", way);
    also_lines(&s);
    also_inequality(p, line, n, t.set, &t, found);
    if (set == 0) {
        diag_also(E->diag, "'%s' has no index along %s: any element of '%s' is later", stmt->to, p->axis->name,
                  stmt->from);
    }
}
