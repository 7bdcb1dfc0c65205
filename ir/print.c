/* The text form, printed: ir.md is its reference. Canonical: equal graphs give equal text, and what is printed reads
 * back as the same graph. Names are made unique where the graph does not promise it (axes, letters of an equation);
 * numbers have as many digits as read back exactly; an operand that an expression uses several times is written once
 * and given a number, so that the text stays as small as the graph. */
#include "textform.h"

#include "ptrmap.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const reserved_words[] = {"and", "or",  "not",  "over", "where", "with", "true", "false",
                                      "inf", "nan", "inff", "nanf", "self",  "tile", NULL};
const char *const role_names[] = {"input", "param", "state", "value", NULL};
const char *const elem_names[] = {"bool", "i32", "i64", "real", "f32", NULL};
const char *const init_names[] = {"const", "normal", "uniform", "trunc_normal", "orthogonal", NULL};

bool is_reserved(const char *name)
{
    for (int k = 0; reserved_words[k] != NULL; k++) {
        if (strcmp(reserved_words[k], name) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

bool is_plain_name(const char *s)
{
    if (!is_word(*s) || isdigit((unsigned char)*s)) {
        return false;
    }
    while (is_word(*s) || (*s == '.' && is_word(s[1]))) {
        s++;
    }
    while (*s == '\'') {
        s++;
    }
    return *s == '\0';
}

static void print_name(Text *out, const char *name)
{
    if (is_plain_name(name) && !is_reserved(name)) {
        text_printf(out, "%s", name);
        return;
    }
    text_append(out, "\"", 1);
    for (const char *p = name; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\') {
            text_printf(out, "\\%c", *p);
        } else if ((unsigned char)*p < ' ' || *p == 0x7f) {
            text_printf(out, "\\x%02x", (unsigned char)*p);
        } else {
            text_append(out, p, 1);
        }
    }
    text_append(out, "\"", 1);
}

static void print_quoted(Text *out, const char *s)
{
    Text t = {0};
    text_printf(&t, " "); /* a blank is in no plain name: forces the quotes */
    text_append(&t, s, strlen(s));
    Text q = {0};
    print_name(&q, t.s);
    text_append(out, "\"", 1);
    text_append(out, q.s + 2, q.n - 2);
    text_free(&t);
    text_free(&q);
}

static void print_number(Text *out, double v, Type type)
{
    const char *suffix = type == TYPE_F32 ? "f" : "";
    if (isnan(v)) {
        text_printf(out, "nan%s", suffix);
        return;
    }
    if (isinf(v)) {
        text_printf(out, "%sinf%s", v < 0 ? "-" : "", suffix);
        return;
    }
    char digits[40];
    int n = 1;
    for (; n < 17; n++) {
        snprintf(digits, sizeof digits, "%.*g", n, v);
        double back = strtod(digits, NULL);
        if (type == TYPE_F32 ? (float)back == (float)v : back == v) {
            break;
        }
    }
    int whole = v != 0 ? (int)floor(log10(fabs(v))) + 1 : 1; /* digits in front of the point: 10 is not 1e+01 */
    snprintf(digits, sizeof digits, "%.*g", whole > n && whole <= 15 ? whole : n, v);
    text_printf(out, "%s%s%s", digits, strpbrk(digits, ".e") == NULL ? ".0" : "", suffix);
}

/* ---- expressions ------------------------------------------------------------------------------------------ */

typedef struct {
    const char **axes;  /* unique names by axis id */
    const char **names; /* of the letters in scope */
    PtrMap uses;        /* scalar -> how often it is an operand or a root */
    PtrMap numbers;     /* scalar -> 1 + its number among the shared ones */
    const Scalar **shared;
    int nshared;
    Arena *arena;
} Printer;

enum { LEVEL_OR = 1, LEVEL_AND, LEVEL_NOT, LEVEL_COMPARE, LEVEL_ADD, LEVEL_MUL, LEVEL_UNARY, LEVEL_ATOM };

static const struct {
    Op op;
    int level;
    const char *symbol;
} infix[] = {{OP_or, LEVEL_OR, "or"},      {OP_and, LEVEL_AND, "and"},   {OP_lt, LEVEL_COMPARE, "<"},
             {OP_le, LEVEL_COMPARE, "<="}, {OP_eq, LEVEL_COMPARE, "=="}, {OP_ne, LEVEL_COMPARE, "!="},
             {OP_add, LEVEL_ADD, "+"},     {OP_sub, LEVEL_ADD, "-"},     {OP_mul, LEVEL_MUL, "*"},
             {OP_div, LEVEL_MUL, "/"}};

static void print_scalar(Printer *p, Text *out, const Scalar *s, int level);

static void print_args(Printer *p, Text *out, const Scalar *s, int from)
{
    for (int k = from; k < s->nargs; k++) {
        text_printf(out, "%s", k > from ? ", " : "");
        print_scalar(p, out, s->args[k], 0);
    }
}

static void print_const(Text *out, const Scalar *s)
{
    if (s->type == TYPE_BOOL) {
        text_printf(out, "%s", s->inum ? "true" : "false");
    } else if (s->type == TYPE_INT) {
        text_printf(out, "%lld", (long long)s->inum);
    } else {
        print_number(out, s->num, s->type);
    }
}

static bool is_negative(const Scalar *s)
{
    if (s->op != OP_CONST || s->type == TYPE_BOOL) {
        return false;
    }
    return s->type == TYPE_INT ? s->inum < 0 : signbit(s->num) && !isnan(s->num);
}

static void print_structural(Printer *p, Text *out, const Scalar *s)
{
    switch (s->op) {
    case OP_CONST:
        print_const(out, s);
        return;
    case OP_LETTER:
        text_printf(out, "%s", p->names[s->inum]);
        return;
    case OP_SELF:
        text_printf(out, "self");
        return;
    case OP_LOAD:
        print_name(out, s->tensor->name);
        text_printf(out, s->at ? "[@" : "[");
        print_args(p, out, s, 0);
        text_printf(out, "]");
        return;
    case OP_RAND:
        text_printf(out, s->by_step ? "rand_step(" : "rand(");
        print_quoted(out, s->name);
        break;
    case OP_EXTERN:
        text_printf(out, "extern(%d, %lld; ", s->ext->id, (long long)s->inum);
        print_args(p, out, s, 0);
        text_printf(out, ")");
        return;
    case OP_STEP:
        text_printf(out, "step(");
        print_args(p, out, s, 0);
        for (int k = 0; k < s->ntable; k++) {
            text_printf(out, "%s%lld", k > 0 ? ", " : "; ", (long long)s->table[k]);
        }
        text_printf(out, ")");
        return;
    default:
        text_printf(out, "%s(", op_info[s->op].name);
        print_name(out, p->axes[s->axis->id]);
        if (s->op == OP_INJECT) {
            text_printf(out, ", %lld", (long long)s->inum);
        }
        break;
    }
    text_printf(out, "%s", s->nargs > 0 ? "; " : "");
    print_args(p, out, s, 0);
    text_printf(out, ")");
}

/* The node itself, whether or not it has a number. */
static void print_node(Printer *p, Text *out, const Scalar *s, int level)
{
    for (size_t k = 0; k < sizeof infix / sizeof *infix; k++) {
        if (infix[k].op == s->op) {
            bool open = infix[k].level < level, chain = infix[k].level != LEVEL_COMPARE;
            text_printf(out, "%s", open ? "(" : "");
            print_scalar(p, out, s->args[0], infix[k].level + !chain);
            text_printf(out, " %s ", infix[k].symbol);
            print_scalar(p, out, s->args[1], infix[k].level + 1);
            text_printf(out, "%s", open ? ")" : "");
            return;
        }
    }
    if (s->op == OP_neg || s->op == OP_not) {
        int own = s->op == OP_neg ? LEVEL_UNARY : LEVEL_NOT;
        text_printf(out, "%s%s", own < level ? "(" : "", s->op == OP_neg ? "-" : "not ");
        print_scalar(p, out, s->args[0], s->op == OP_neg ? LEVEL_ATOM : own);
        text_printf(out, "%s", own < level ? ")" : "");
        return;
    }
    if (s->op <= OP_STEP) {
        bool open = is_negative(s) && level > LEVEL_UNARY;
        text_printf(out, "%s", open ? "(" : "");
        print_structural(p, out, s);
        text_printf(out, "%s", open ? ")" : "");
        return;
    }
    text_printf(out, "%s(", op_info[s->op].name);
    print_args(p, out, s, 0);
    text_printf(out, ")");
}

static void print_scalar(Printer *p, Text *out, const Scalar *s, int level)
{
    uintptr_t number = p->nshared > 0 && s->nargs > 0 ? (uintptr_t)*ptrmap_at(&p->numbers, s) : 0;
    if (number > 0) {
        text_printf(out, "%%%d", (int)number - 1);
        return;
    }
    print_node(p, out, s, level);
}

/* ---- shared operands -------------------------------------------------------------------------------------- */

static void count_uses(Printer *p, const Scalar *s)
{
    uintptr_t n = (uintptr_t)*ptrmap_at(&p->uses, s) + 1;
    *ptrmap_at(&p->uses, s) = (void *)n;
    for (int k = 0; n == 1 && k < s->nargs; k++) {
        count_uses(p, s->args[k]);
    }
}

static int tree_size(const Scalar *s, int limit)
{
    int n = 1;
    for (int k = 0; k < s->nargs && n < limit; k++) {
        n += tree_size(s->args[k], limit - n);
    }
    return n;
}

/* Worth a number: used twice, and longer than the number would be. Arguments are numbered before their users. */
static void collect_shared(Printer *p, const Scalar *s)
{
    enum { WORTH = 6, SEEN = 0 };
    void **uses = ptrmap_at(&p->uses, s);
    uintptr_t n = (uintptr_t)*uses;
    if (n == SEEN) {
        return;
    }
    *uses = (void *)(uintptr_t)SEEN;
    for (int k = 0; k < s->nargs; k++) {
        collect_shared(p, s->args[k]);
    }
    if (n > 1 && s->nargs > 0 && tree_size(s, WORTH) >= WORTH) {
        *ptrmap_at(&p->numbers, s) = (void *)(uintptr_t)(p->nshared + 1);
        ARENA_PUSH(p->arena, p->shared, p->nshared, s);
    }
}

/* ---- equations -------------------------------------------------------------------------------------------- */

static const char *unique_letter(Arena *arena, const Equation *e, const char **names, int k)
{
    const char *base = e->letters[k].name;
    if (base == NULL || !is_plain_name(base) || strpbrk(base, ".'") != NULL || is_reserved(base)) {
        base = "x";
    }
    for (int number = 0;; number++) {
        const char *name = number == 0 ? base : arena_printf(arena, "%s%d", base, number);
        bool taken = is_reserved(name);
        for (int o = 0; o < k; o++) {
            taken = taken || strcmp(names[o], name) == 0;
        }
        if (!taken) {
            return name;
        }
    }
}

static void print_over(Printer *p, Text *out, const Equation *e)
{
    for (int k = 0; k < e->nletters; k++) {
        const Letter *l = &e->letters[k];
        text_printf(out, "%s%s: ", k == 0 ? "over " : ", ", p->names[k]);
        print_name(out, p->axes[l->axis->id]);
        if (l->parent >= 0) {
            text_printf(out, "(%s)", p->names[l->parent]);
        }
    }
}

/* One line if it fits, else one line per clause: a line that begins with blanks continues the one above. */
static void join_clauses(Text *out, const Text *clauses, int n)
{
    enum { WIDTH = 118 };
    size_t total = 0;
    for (int k = 0; k < n; k++) {
        total += clauses[k].n > 0 ? clauses[k].n + 2 : 0;
    }
    for (int k = 0; k < n; k++) {
        if (clauses[k].n > 0) {
            text_printf(out, "%s%s", k == 0 ? "" : total > WIDTH ? "\n  " : "  ", clauses[k].s);
        }
    }
    text_printf(out, "\n");
}

static void print_equation(Printer *p, Text *out, const Equation *e)
{
    const char *names[MAX_LETTERS];
    for (int k = 0; k < e->nletters; k++) {
        names[k] = unique_letter(p->arena, e, names, k);
    }
    p->names = names;
    p->shared = NULL;
    const Scalar *roots[MAX_DIMS + 1];
    int nroots = 0;
    for (int d = 0; d < e->dst->ndim; d++) {
        roots[nroots++] = e->lhs[d];
    }
    roots[nroots++] = e->body;
    for (int pass = 0; pass < 2; pass++) {
        for (int k = 0; k < nroots + e->nconds; k++) {
            const Scalar *root = k < nroots ? roots[k] : e->conds[k - nroots];
            if (pass == 0) {
                count_uses(p, root);
            } else {
                collect_shared(p, root);
            }
        }
    }
    Text clauses[5] = {{0}};
    print_name(&clauses[0], e->dst->name);
    text_printf(&clauses[0], "[");
    for (int d = 0; d < e->dst->ndim; d++) {
        text_printf(&clauses[0], "%s", d > 0 ? ", " : "");
        print_scalar(p, &clauses[0], e->lhs[d], 0);
    }
    text_printf(&clauses[0], "] %s= ", e->op == RED_NONE ? "" : reduce_name[e->op]);
    print_scalar(p, &clauses[0], e->body, 0);
    print_over(p, &clauses[1], e);
    for (int k = 0; k < e->nconds; k++) {
        text_printf(&clauses[2], k == 0 ? "where " : ", ");
        print_scalar(p, &clauses[2], e->conds[k], 0);
    }
    for (int k = 0; k < p->nshared; k++) {
        text_printf(&clauses[3], "%s%%%d = ", k == 0 ? "with " : ", ", k);
        print_node(p, &clauses[3], p->shared[k], 0);
    }
    if (e->cluster > 0) {
        text_printf(&clauses[4], "tile ");
        print_scalar(p, &clauses[4], e->tile, 0);
        text_printf(&clauses[4], " of %s %d", e->by_rows ? "rows" : "cluster", e->cluster);
        text_printf(&clauses[4], "%s", e->adds ? " adds" : "");
    }
    join_clauses(out, clauses, 5);
    for (int k = 0; k < 5; k++) {
        text_free(&clauses[k]);
    }
    ptrmap_free(&p->uses);
    ptrmap_free(&p->numbers);
    p->nshared = 0;
}

/* ---- declarations ----------------------------------------------------------------------------------------- */

static void name_axes(Printer *p, const Graph *g)
{
    p->axes = arena_alloc(p->arena, (size_t)g->naxes * sizeof *p->axes);
    for (int k = 0; k < g->naxes; k++) {
        for (int number = 1;; number++) {
            const char *base = g->axes[k]->name;
            const char *name = number == 1 ? base : arena_printf(p->arena, "%s.%d", base, number);
            bool taken = false;
            for (int o = 0; o < k; o++) {
                taken = taken || strcmp(p->axes[o], name) == 0;
            }
            if (!taken) {
                p->axes[k] = name;
                break;
            }
        }
    }
}

static void print_axis(Printer *p, Text *out, const Axis *a)
{
    if (a->kind == AXIS_BATCH) {
        return; /* every graph has it */
    }
    text_printf(out, "axis ");
    print_name(out, p->axes[a->id]);
    if (a->parent != NULL) {
        text_printf(out, " in ");
        print_name(out, p->axes[a->parent->id]);
    }
    switch (a->kind) {
    case AXIS_FIXED:
        text_printf(out, " = ");
        if (a->nmembers > 0) {
            for (int k = 0; k < a->nmembers; k++) {
                text_printf(out, "%s", k == 0 ? "{" : ", ");
                print_name(out, a->members[k]);
            }
            text_printf(out, "}");
        } else if (a->size < 0) {
            text_printf(out, "?");
        } else {
            text_printf(out, "%lld", (long long)a->size);
        }
        break;
    case AXIS_RAGGED:
        text_printf(out, " : ragged(max = %lld", (long long)a->size);
        if (a->min > 0) {
            text_printf(out, ", min = %lld", (long long)a->min);
        }
        text_printf(out, ")");
        break;
    case AXIS_TABLE:
        for (int64_t k = 0; k < a->parent->size; k++) {
            text_printf(out, "%s%lld", k == 0 ? " : table(" : ", ", (long long)a->sizes[k]);
        }
        text_printf(out, a->parent->size > 0 ? ")" : " : table()");
        break;
    case AXIS_SUM:
        for (int k = 0; k < a->nparts; k++) {
            text_printf(out, "%s", k == 0 ? " = " : " | ");
            print_name(out, p->axes[a->parts[k]->id]);
        }
        break;
    case AXIS_BATCH:
        break;
    }
    text_printf(out, "%s", a->is_distance ? " distance" : "");
    if (a->vocab != NULL) {
        text_printf(out, " vocab ");
        print_name(out, a->vocab);
    }
    text_printf(out, "\n");
}

static void print_init(Printer *p, Text *out, const Tensor *t)
{
    static const char *dims[MAX_DIMS] = {"i0", "i1", "i2", "i3", "i4", "i5", "i6", "i7"};
    const Init *init = t->init;
    p->names = dims;
    text_printf(out, " ~ %s(", init_names[init->kind]);
    if (init->a != NULL) {
        print_scalar(p, out, init->a, 0);
    }
    if (init->b != NULL) {
        text_printf(out, ", ");
        print_scalar(p, out, init->b, 0);
    }
    text_printf(out, ")");
    if (init->cond != NULL) {
        text_printf(out, " where ");
        print_scalar(p, out, init->cond, 0);
    }
    if (init->text != NULL) {
        text_printf(out, " ");
        print_quoted(out, init->text);
    }
}

static void print_tensor(Printer *p, Text *out, const Tensor *t)
{
    text_printf(out, "%s ", role_names[t->role]);
    print_name(out, t->name);
    for (int d = 0; d < t->ndim; d++) {
        text_printf(out, "%s", d == 0 ? "[" : ", ");
        print_name(out, p->axes[t->dims[d]->id]);
    }
    text_printf(out, "%s : %s", t->ndim > 0 ? "]" : "", elem_names[t->elem]);
    text_printf(out, "%s%s%s%s%s", t->per_example ? " per_example" : "", t->is_ascending ? " ascending" : "",
                t->is_output ? " output" : "", t->is_draw ? " draw" : "", t->is_carried ? " carried" : "");
    text_printf(out, "%s", t->is_list ? " list" : "");
    if (t->tile_dim > 0) {
        text_printf(out, " tile %d", t->tile_dim);
    }
    if (t->vocab != NULL) {
        text_printf(out, " vocab ");
        print_name(out, t->vocab);
    }
    if (elem_type(t->elem) == TYPE_INT && t->lo <= t->hi) {
        text_printf(out, " range %lld to %lld", (long long)t->lo, (long long)t->hi);
    }
    if (t->next != NULL) {
        text_printf(out, " next ");
        print_name(out, t->next->name);
    }
    if (t->grad != NULL) {
        text_printf(out, " grad ");
        print_name(out, t->grad->name);
    }
    if (t->pull != NULL) {
        text_printf(out, " pull ");
        print_name(out, t->pull->name);
    }
    for (int k = 0; t->tags != NULL && t->tags[k] != NULL; k++) {
        text_printf(out, " @");
        print_name(out, t->tags[k]);
    }
    if (t->init != NULL) {
        print_init(p, out, t);
    }
    text_printf(out, "\n");
}

static void print_values(Text *out, int n, const NamedValue *values)
{
    text_printf(out, "(");
    for (int k = 0; k < n; k++) {
        text_printf(out, "%s", k > 0 ? ", " : "");
        print_name(out, values[k].name);
        text_printf(out, " = ");
        print_number(out, values[k].value, TYPE_REAL);
    }
    text_printf(out, ")");
}

static void print_optimizer(Text *out, const Optimizer *o)
{
    text_printf(out, "optimizer ");
    print_name(out, o->rule);
    print_values(out, o->nvalues, o->values);
    if (o->clip != 0) {
        text_printf(out, " clip ");
        print_number(out, o->clip, TYPE_REAL);
    }
    text_printf(out, "\n");
    for (int k = 0; k < o->ngroups; k++) {
        text_printf(out, "group ");
        print_name(out, o->groups[k].tag);
        print_values(out, o->groups[k].nvalues, o->groups[k].values);
        text_printf(out, "\n");
    }
}

static void print_extern(Text *out, const Extern *x)
{
    text_printf(out, "extern ");
    print_name(out, x->symbol);
    text_printf(out, " in ");
    print_quoted(out, x->library);
    if (x->gradient != NULL) {
        text_printf(out, " gradient ");
        print_name(out, x->gradient);
    }
    for (int k = 0; k < x->nout; k++) {
        text_printf(out, k == 0 ? " defines " : ", ");
        print_name(out, x->out[k]->name);
    }
    text_printf(out, "\n");
}

void graph_print(const Graph *g, Text *out)
{
    Printer p = {.arena = arena_new()};
    name_axes(&p, g);
    text_printf(out, "graph ");
    print_name(out, g->name);
    text_printf(out, "%s\n", g->batched ? " batched" : "");
    for (int k = 0; k < g->naxes; k++) {
        print_axis(&p, out, g->axes[k]);
    }
    for (int k = 0; k < g->ntensors; k++) {
        print_tensor(&p, out, g->tensors[k]);
    }
    for (int k = 0; k < g->nexterns; k++) {
        print_extern(out, g->externs[k]);
    }
    if (g->loss != NULL) {
        text_printf(out, "loss ");
        print_name(out, g->loss->name);
        text_printf(out, "\n");
    }
    if (g->optimizer != NULL) {
        print_optimizer(out, g->optimizer);
    }
    text_printf(out, "\n");
    for (int k = 0; k < g->nequations; k++) {
        print_equation(&p, out, g->equations[k]);
    }
    arena_free(p.arena);
}
