/* The text form, read back: declarations and equations (ir.md is the reference, textscalar.c reads the expressions).
 * Input is not trusted: everything the builders would call our bug is tested here and reported at its place. The first
 * mistake ends the parse. */
#include "textform.h"

#include <string.h>

enum { MAX_STATEMENT = 20000 }; /* tokens: bounds the depth of expressions, and so of recursive walks */
static const int64_t max_size = INT64_C(1) << 48;

typedef struct {
    Tensor *tensor;
    const char *next, *grad, *pull; /* names that may stand further down */
    int at;                         /* token, for the message */
} Link;

typedef struct {
    Parser p;
    Graph *g;
    Link *links;
    int nlinks;
} File;

static Axis *find_axis(void *ctx, const char *name)
{
    const File *f = ctx;
    for (int k = 0; k < f->g->naxes; k++) {
        if (strcmp(f->g->axes[k]->name, name) == 0) {
            return f->g->axes[k];
        }
    }
    return NULL;
}

static Axis *parse_axis_name(File *f)
{
    const char *name = parse_name(&f->p, "an axis");
    Axis *a = f->p.failed ? NULL : find_axis(f, name);
    if (a == NULL) {
        f->p.at -= !f->p.failed;
        parse_fail(&f->p, "no axis is named '%s'", name);
        return f->g->batch;
    }
    return a;
}

static int64_t parse_size(File *f, const char *what)
{
    int64_t n = parse_integer(&f->p, what);
    if (n < 0 || n > max_size) {
        f->p.at -= !f->p.failed;
        parse_fail(&f->p, "a size between 0 and 2^48 is expected here");
        return 0;
    }
    return n;
}

/* ---- axes ------------------------------------------------------------------------------------------------- */

static void parse_members(File *f, Axis *a)
{
    const char **members = NULL;
    do {
        const char *name = parse_name(&f->p, "the name of a member");
        ARENA_PUSH(f->g->arena, members, a->nmembers, arena_strdup(f->g->arena, name));
    } while (parse_accept(&f->p, ","));
    parse_expect(&f->p, "}");
    a->members = members;
    a->size = a->nmembers;
}

static void parse_parts(File *f, Axis *a)
{
    a->kind = AXIS_SUM;
    do {
        if (a->nparts == MAX_PARTS) {
            parse_fail(&f->p, "an axis has at most %d parts", MAX_PARTS);
            return;
        }
        a->parts[a->nparts++] = parse_axis_name(f);
        if (a->parts[a->nparts - 1]->parent != NULL) {
            f->p.at -= !f->p.failed;
            parse_fail(&f->p, "this axis cannot be a part");
        }
    } while (parse_accept(&f->p, "|"));
}

static void parse_ragged(File *f, Axis *a)
{
    a->kind = AXIS_RAGGED;
    parse_expect(&f->p, "(");
    parse_expect(&f->p, "max");
    parse_expect(&f->p, "=");
    a->size = parse_size(f, "the largest length");
    if (parse_accept(&f->p, ",")) {
        parse_expect(&f->p, "min");
        parse_expect(&f->p, "=");
        a->min = parse_size(f, "the smallest length");
    }
    if (a->min > a->size) {
        parse_fail(&f->p, "min is larger than max");
    }
    parse_expect(&f->p, ")");
}

static void parse_table(File *f, Axis *a)
{
    int64_t *sizes = NULL;
    int n = 0;
    a->kind = AXIS_TABLE;
    parse_expect(&f->p, "(");
    while (!f->p.failed && !parse_is(&f->p, ")")) {
        ARENA_PUSH(f->g->arena, sizes, n, parse_size(f, "a size"));
        a->size += sizes[n - 1];
        if (!parse_accept(&f->p, ",")) {
            break;
        }
    }
    parse_expect(&f->p, ")");
    if (a->parent == NULL || a->parent->kind != AXIS_FIXED || a->parent->size != n) {
        parse_fail(&f->p, "a table needs a size for each position of a parent axis of known size");
    }
    a->sizes = sizes != NULL ? sizes : arena_alloc(f->g->arena, sizeof *sizes);
}

static void parse_axis(File *f)
{
    Parser *p = &f->p;
    Axis a = {.span = p->tokens[p->at].span};
    a.name = parse_name(p, "the name of an axis");
    if (!p->failed && find_axis(f, a.name) != NULL) {
        p->at--;
        parse_fail(p, "there is an axis '%s' already", a.name);
    }
    a.parent = parse_accept(p, "in") ? parse_axis_name(f) : NULL;
    if (parse_accept(p, ":")) {
        if (parse_accept(p, "ragged")) {
            parse_ragged(f, &a);
        } else {
            parse_expect(p, "table");
            parse_table(f, &a);
        }
        if (a.kind == AXIS_RAGGED && a.parent != NULL && a.parent->kind == AXIS_SUM) {
            parse_fail(p, "a list stands in no sum of axes");
        }
    } else {
        parse_expect(p, "=");
        if (a.parent != NULL) {
            parse_fail(p, "only ragged axes and tables stand in another axis");
        } else if (parse_accept(p, "{")) {
            parse_members(f, &a);
        } else if (parse_accept(p, "?")) {
            a.size = -1;
        } else if (p->tokens[p->at].kind == TOK_INT) {
            a.size = parse_size(f, "a size");
        } else {
            parse_parts(f, &a);
        }
    }
    a.is_distance = a.kind == AXIS_FIXED && parse_accept(p, "distance");
    a.vocab = parse_accept(p, "vocab") ? arena_strdup(f->g->arena, parse_name(p, "a vocabulary")) : NULL;
    if (!p->failed) {
        a.name = arena_strdup(f->g->arena, a.name);
        graph_axis(f->g, a);
    }
}

/* ---- tensors ---------------------------------------------------------------------------------------------- */

static int parse_choice(File *f, const char *const *words, const char *what)
{
    for (int k = 0; words[k] != NULL; k++) {
        if (parse_accept(&f->p, words[k])) {
            return k;
        }
    }
    parse_fail(&f->p, "%s is expected here", what);
    return 0;
}

static void use_dim_letters(File *f, int ndim)
{
    static const char *const names[MAX_DIMS] = {"i0", "i1", "i2", "i3", "i4", "i5", "i6", "i7"};
    Scalar **values = arena_alloc(f->p.scratch, MAX_DIMS * sizeof *values);
    for (int d = 0; d < ndim; d++) {
        values[d] = sc_letter(f->g, d);
    }
    f->p.names = names;
    f->p.values = values;
    f->p.nnames = ndim;
}

static Init *parse_init(File *f, const Tensor *t)
{
    Parser *p = &f->p;
    Init *init = arena_alloc(f->g->arena, sizeof *init);
    use_dim_letters(f, t->ndim);
    init->kind = parse_choice(f, init_names, "an initialiser");
    parse_expect(p, "(");
    if (!parse_is(p, ")")) {
        init->a = parse_scalar(p);
        init->b = parse_accept(p, ",") ? parse_scalar(p) : NULL;
    }
    parse_expect(p, ")");
    if (parse_accept(p, "where")) {
        init->cond = parse_scalar(p);
        if (init->cond->type != TYPE_BOOL) {
            parse_fail(p, "a condition is expected after 'where'");
        }
    }
    if (p->tokens[p->at].kind == TOK_STRING) {
        init->text = arena_strdup(f->g->arena, parse_name(p, "a text"));
    }
    p->nnames = 0;
    return init;
}

static void parse_attributes(File *f, Tensor *t, Link *link)
{
    Parser *p = &f->p;
    Arena *arena = f->g->arena;
    const char **tags = NULL;
    int ntags = 0;
    while (!p->failed && p->tokens[p->at].kind != TOK_LINE) {
        if (parse_accept(p, "per_example")) {
            t->per_example = true;
        } else if (parse_accept(p, "output")) {
            t->is_output = true;
        } else if (parse_accept(p, "draw")) {
            t->is_draw = true;
        } else if (parse_accept(p, "ascending")) {
            t->is_ascending = true;
        } else if (parse_accept(p, "carried")) {
            t->is_carried = true;
        } else if (parse_accept(p, "list")) {
            t->is_list = true;
        } else if (parse_accept(p, "tile")) {
            t->tile_dim = (int)parse_integer(p, "a dimension");
        } else if (parse_accept(p, "vocab")) {
            t->vocab = arena_strdup(arena, parse_name(p, "a vocabulary"));
        } else if (parse_accept(p, "range")) {
            t->lo = parse_integer(p, "the smallest value");
            parse_expect(p, "to");
            t->hi = parse_integer(p, "the largest value");
        } else if (parse_accept(p, "next")) {
            link->next = parse_name(p, "a tensor");
        } else if (parse_accept(p, "grad")) {
            link->grad = parse_name(p, "a tensor");
        } else if (parse_accept(p, "pull")) {
            link->pull = parse_name(p, "a tensor");
        } else if (parse_accept(p, "@")) {
            ARENA_PUSH(arena, tags, ntags, arena_strdup(arena, parse_name(p, "a tag")));
        } else if (parse_accept(p, "~")) {
            t->init = parse_init(f, t);
        } else {
            parse_fail(p, "this is no attribute of a tensor");
        }
    }
    if (ntags > 0) {
        ARENA_PUSH(arena, tags, ntags, NULL);
        t->tags = tags;
    }
}

static void parse_tensor(File *f, Role role)
{
    Parser *p = &f->p;
    Tensor t = {.role = role, .lo = 0, .hi = -1, .span = p->tokens[p->at].span};
    Link link = {.at = p->at};
    t.name = parse_name(p, "the name of a tensor");
    const Tensor *old = p->failed ? NULL : graph_find(f->g, t.name);
    bool is_row = old == f->g->row && old != NULL && f->g->ntensors == 1;
    if (old != NULL && !is_row) {
        p->at--;
        parse_fail(p, "there is a tensor '%s' already", t.name);
    }
    if (parse_accept(p, "[")) {
        do {
            if (t.ndim == MAX_DIMS) {
                parse_fail(p, "a tensor has at most %d dimensions", MAX_DIMS);
                return;
            }
            t.dims[t.ndim++] = parse_axis_name(f);
        } while (parse_accept(p, ","));
        parse_expect(p, "]");
    }
    parse_expect(p, ":");
    t.elem = parse_choice(f, elem_names, "an element type (bool, i32, i64, real, f32)");
    parse_attributes(f, &t, &link);
    if (p->failed) {
        return;
    }
    if (is_row) { /* every graph has it; its line says what became of it */
        t.id = 0;
        t.name = f->g->row->name;
        *f->g->row = t;
        link.tensor = f->g->row;
    } else {
        link.tensor = graph_tensor(f->g, t);
    }
    ARENA_PUSH(p->scratch, f->links, f->nlinks, link);
}

static Tensor *resolve(File *f, const Link *link, const char *name)
{
    Tensor *t = name != NULL ? graph_find(f->g, name) : NULL;
    if (name != NULL && t == NULL) {
        f->p.at = link->at;
        parse_fail(&f->p, "no tensor is named '%s'", name);
    }
    return t;
}

/* ---- loss and optimizer ----------------------------------------------------------------------------------- */

static void parse_loss(File *f)
{
    const char *name = parse_name(&f->p, "a tensor");
    f->g->loss = f->p.failed ? NULL : graph_find(f->g, name);
    if (f->g->loss == NULL) {
        f->p.at -= !f->p.failed;
        parse_fail(&f->p, "no tensor is named '%s'", name);
    }
}

static NamedValue *parse_values(File *f, int *n)
{
    Parser *p = &f->p;
    NamedValue *values = NULL;
    *n = 0;
    parse_expect(p, "(");
    while (!p->failed && !parse_is(p, ")")) {
        NamedValue v = {.name = arena_strdup(f->g->arena, parse_name(p, "a setting"))};
        parse_expect(p, "=");
        v.value = parse_number(p, "a number");
        ARENA_PUSH(f->g->arena, values, *n, v);
        if (!parse_accept(p, ",")) {
            break;
        }
    }
    parse_expect(p, ")");
    return values;
}

static void parse_optimizer(File *f)
{
    Optimizer *o = arena_alloc(f->g->arena, sizeof *o);
    o->rule = arena_strdup(f->g->arena, parse_name(&f->p, "a rule"));
    o->values = parse_values(f, &o->nvalues);
    o->clip = parse_accept(&f->p, "clip") ? parse_number(&f->p, "a bound") : 0;
    f->g->optimizer = o;
}

static void parse_group(File *f)
{
    Optimizer *o = f->g->optimizer;
    if (o == NULL) {
        parse_fail(&f->p, "a group belongs below an optimizer");
        return;
    }
    const char *tag = arena_strdup(f->g->arena, parse_name(&f->p, "a tag"));
    o->groups = arena_grow(f->g->arena, o->groups, (size_t)o->ngroups, sizeof *o->groups);
    o->groups[o->ngroups].tag = tag;
    o->groups[o->ngroups].values = parse_values(f, &o->groups[o->ngroups].nvalues);
    o->ngroups++;
}

/* extern SYMBOL in "LIBRARY" [gradient SYMBOL] defines TENSOR {, TENSOR} */
static void parse_extern(File *f)
{
    Parser *p = &f->p;
    Extern x = {.span = p->tokens[p->at].span};
    x.symbol = parse_name(p, "a C function");
    parse_expect(p, "in");
    x.library = parse_name(p, "a library");
    x.gradient = parse_accept(p, "gradient") ? parse_name(p, "a C function") : NULL;
    parse_expect(p, "defines");
    do {
        const char *name = parse_name(p, "a tensor");
        Tensor *t = p->failed ? NULL : graph_find(f->g, name);
        if (t == NULL || x.nout == MAX_EXTERN_INPUTS) {
            parse_fail(p, "no tensor is named '%s', or there are too many", name);
            return;
        }
        x.out[x.nout++] = t;
    } while (parse_accept(p, ","));
    graph_extern(f->g, x);
}

/* ---- equations -------------------------------------------------------------------------------------------- */

static int find_letter(const Equation *e, const char *name)
{
    for (int k = 0; k < e->nletters; k++) {
        if (strcmp(e->letters[k].name, name) == 0) {
            return k;
        }
    }
    return -1;
}

/* over b: batch, i: T(b): parents may stand further right, so they are looked up at the end. */
static void parse_over(File *f, Equation *e)
{
    Parser *p = &f->p;
    const char *parents[MAX_LETTERS] = {0};
    do {
        if (e->nletters == MAX_LETTERS) {
            parse_fail(p, "an equation has at most %d letters", MAX_LETTERS);
            return;
        }
        const char *name = parse_name(p, "a letter");
        if (!p->failed && (!is_plain_name(name) || is_reserved(name) || find_letter(e, name) >= 0)) {
            p->at--;
            parse_fail(p, "'%s' is taken or cannot name a letter", name);
        }
        parse_expect(p, ":");
        e->letters[e->nletters] =
            (Letter){.name = arena_strdup(f->g->arena, name), .axis = parse_axis_name(f), .parent = -1};
        if (parse_accept(p, "(")) {
            parents[e->nletters] = parse_name(p, "a letter");
            parse_expect(p, ")");
        }
        e->nletters++;
    } while (parse_accept(p, ","));
    for (int k = 0; k < e->nletters && !p->failed; k++) {
        if (parents[k] != NULL && (e->letters[k].parent = find_letter(e, parents[k])) < 0) {
            parse_fail(p, "'%s' is no letter of this equation", parents[k]);
        }
    }
}

/* with %0 = ..., %1 = ... */
static void parse_with(File *f)
{
    Parser *p = &f->p;
    do {
        const Token *t = &p->tokens[p->at];
        if (p->failed || t->kind != TOK_SHARED || t->inum != p->nshared) {
            parse_fail(p, "%%%d is expected here", p->nshared);
            return;
        }
        p->at++;
        parse_expect(p, "=");
        Scalar *s = parse_scalar(p);
        ARENA_PUSH(p->scratch, p->shared, p->nshared, s);
    } while (parse_accept(p, ","));
}

/* tile i of cluster 2; tile i of rows 3 adds */
static void parse_tile(File *f, Equation *e)
{
    Parser *p = &f->p;
    e->tile = parse_scalar(p);
    parse_expect(p, "of");
    e->by_rows = parse_accept(p, "rows");
    if (!e->by_rows) {
        parse_expect(p, "cluster");
    }
    e->cluster = (int)parse_integer(p, "the number of a cluster");
    if (!p->failed && e->cluster < 1) {
        parse_fail(p, "clusters have numbers from 1");
    }
    e->adds = parse_accept(p, "adds");
}

static int find_clause(const Parser *p, const char *word)
{
    for (int k = p->at; p->tokens[k].kind != TOK_LINE; k++) {
        if (p->tokens[k].kind == TOK_NAME && strcmp(p->tokens[k].text, word) == 0) {
            return k;
        }
    }
    return -1;
}

static void parse_lhs(File *f, Equation *e)
{
    Parser *p = &f->p;
    int n = 0;
    parse_expect(p, "[");
    while (!p->failed && !parse_is(p, "]")) {
        if (n == e->dst->ndim) {
            parse_fail(p, "%s has %d dimensions", e->dst->name, e->dst->ndim);
            return;
        }
        e->lhs[n++] = parse_scalar(p);
        if (!parse_accept(p, ",")) {
            break;
        }
    }
    parse_expect(p, "]");
    if (n < e->dst->ndim) {
        parse_fail(p, "%s has %d dimensions", e->dst->name, e->dst->ndim);
    }
}

static void parse_equation(File *f)
{
    Parser *p = &f->p;
    int start = p->at;
    Equation e = {.span = p->tokens[start].span};
    const char *name = parse_name(p, "a statement");
    e.dst = p->failed ? NULL : graph_find(f->g, name);
    if (e.dst == NULL) {
        p->at = start;
        parse_fail(p, "no tensor is named '%s'", name);
        return;
    }
    /* The letters stand behind the equation and mean something in it: they are read first, then what is shared. */
    int lhs = p->at, over = find_clause(p, "over"), after_over = -1, with = find_clause(p, "with"), end = -1;
    if (over >= 0) {
        p->at = over + 1;
        parse_over(f, &e);
        after_over = p->at;
    }
    const char *names[MAX_LETTERS];
    Scalar *values[MAX_LETTERS];
    for (int k = 0; k < e.nletters; k++) {
        names[k] = e.letters[k].name;
        values[k] = sc_letter(f->g, k);
    }
    p->names = names;
    p->values = values;
    p->nnames = e.nletters;
    p->shared = NULL;
    p->nshared = 0;
    if (with >= 0 && !p->failed) {
        p->at = with + 1;
        parse_with(f);
        end = p->at;
    }
    p->at = p->failed ? p->at : lhs;
    parse_lhs(f, &e);
    for (Reduce op = RED_SUM; op <= RED_NTH; op++) {
        if (parse_accept(p, reduce_name[op])) {
            e.op = op;
            break;
        }
    }
    parse_expect(p, "=");
    e.body = parse_scalar(p);
    if (!p->failed && p->at == over) {
        p->at = after_over;
    }
    Scalar **conds = NULL;
    if (parse_accept(p, "where")) {
        do {
            Scalar *cond = parse_scalar(p);
            ARENA_PUSH(p->scratch, conds, e.nconds, cond);
        } while (parse_accept(p, ","));
        e.conds = conds;
    }
    if (!p->failed && p->at == with) {
        p->at = end;
    }
    if (parse_accept(p, "tile")) {
        parse_tile(f, &e);
    }
    p->nnames = 0;
    if (!p->failed && p->tokens[p->at].kind != TOK_LINE) {
        parse_fail(p, "the equation should end here");
    }
    Text why = {0};
    if (!p->failed && !equation_verify(f->g, &e, &why)) {
        int at = p->at;
        p->at = start;
        parse_fail(p, "%s: %s", e.dst->name, why.s);
        p->at = at;
    }
    text_free(&why);
    if (!p->failed) {
        graph_equation(f->g, e);
    }
}

/* ---- statements ------------------------------------------------------------------------------------------- */

static void parse_statement(File *f)
{
    static const struct {
        const char *word;
        void (*parse)(File *f);
    } others[] = {{"axis", parse_axis},
                  {"loss", parse_loss},
                  {"optimizer", parse_optimizer},
                  {"group", parse_group},
                  {"extern", parse_extern}};
    Parser *p = &f->p;
    TokenKind following = p->tokens[p->at + 1].kind;
    bool declares = p->tokens[p->at].kind == TOK_NAME && (following == TOK_NAME || following == TOK_STRING);
    for (int role = 0; declares && role_names[role] != NULL; role++) {
        if (parse_accept(p, role_names[role])) {
            parse_tensor(f, (Role)role);
            return;
        }
    }
    for (size_t k = 0; declares && k < sizeof others / sizeof *others; k++) {
        if (parse_accept(p, others[k].word)) {
            others[k].parse(f);
            return;
        }
    }
    parse_equation(f);
}

static void parse_file(File *f, int ntokens)
{
    Parser *p = &f->p;
    parse_expect(p, "graph");
    f->g->name = arena_strdup(f->g->arena, parse_name(p, "the name of the graph"));
    f->g->batched = parse_accept(p, "batched");
    while (!p->failed && p->tokens[p->at].kind != TOK_END) {
        if (p->tokens[p->at].kind != TOK_LINE) {
            parse_fail(p, "the statement should end here");
            return;
        }
        int begin = ++p->at, end = begin;
        while (end < ntokens - 1 && p->tokens[end].kind != TOK_LINE) {
            end++;
        }
        if (end - begin > MAX_STATEMENT) {
            parse_fail(p, "a statement of more than %d tokens", MAX_STATEMENT);
        } else if (end > begin) {
            parse_statement(f);
        }
    }
    for (int k = 0; k < f->nlinks && !p->failed; k++) {
        Link *link = &f->links[k];
        link->tensor->next = resolve(f, link, link->next);
        link->tensor->grad = resolve(f, link, link->grad);
        link->tensor->pull = resolve(f, link, link->pull);
    }
    Text why = {0};
    if (!p->failed && !graph_verify(f->g, &why)) {
        p->failed = true;
        Span nowhere = {.source = p->tokens[0].span.source};
        diag_report(f->g->diag, DIAG_ERROR, "E0601", nowhere, NULL, "%s", why.s);
    }
    text_free(&why);
}

Graph *graph_parse(Arena *arena, Diag *diag, const char *file, const char *text)
{
    Arena *scratch = arena_new();
    int ntokens;
    File f = {.g = graph_new(arena, diag, "")};
    f.p = (Parser){.graph = f.g, .scratch = scratch, .find_axis = find_axis, .ctx = &f};
    f.p.tokens = text_tokens(scratch, diag_source(diag, file, text), &ntokens);
    parse_file(&f, ntokens);
    arena_free(scratch);
    return f.p.failed ? NULL : f.g;
}
