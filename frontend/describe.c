/* What a spec says of itself: the JSON of `heddle check --json` and the domains of `heddle check --domains`. */
#include "elab.h"

#include <cjson/cJSON.h>
#include <string.h>

static cJSON *axes_json(int n, Axis *const *dims)
{
    cJSON *a = cJSON_CreateArray();
    for (int k = 0; k < n; k++) {
        cJSON_AddItemToArray(a, cJSON_CreateString(dims[k]->name));
    }
    return a;
}

static cJSON *shape_json(const Tensor *t)
{
    cJSON *a = cJSON_CreateArray();
    for (int k = 0; k < t->ndim; k++) {
        const Axis *x = t->dims[k];
        if (x->kind == AXIS_TABLE) { /* it and its parent are one dimension: rows in the parent's order */
            cJSON_DeleteItemFromArray(a, k - 1);
            cJSON_AddItemToArray(a, cJSON_CreateNumber((double)x->size));
            continue;
        }
        int64_t n = axis_bound(x);
        cJSON_AddItemToArray(a, n < 0 ? cJSON_CreateNull() : cJSON_CreateNumber((double)n));
    }
    return a;
}

static const char *input_type(const Elab *E, const Tensor *t)
{
    const Stmt *s = spec_find(E->spec, ST_INPUT, t->name);
    bool per_field = s != NULL && t->vocab != NULL && strcmp(s->input->type, t->vocab) == 0; /* W in F : vocab */
    if (t->vocab != NULL && !per_field) {
        return fmt((Elab *)E, "vocab(%s)", t->vocab);
    }
    return s != NULL ? s->input->type : elem_type(t->elem) == TYPE_BOOL ? "bool" : "int64";
}

static cJSON *hyper_json(const Value *v)
{
    if (!v->is_list) {
        return cJSON_CreateNumber(v->num);
    }
    return cJSON_CreateDoubleArray(v->list, v->n);
}

void spec_describe_json(Spec *spec, const Graph *g, Text *out)
{
    const Elab *E = spec->lowered;
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "name", spec->name != NULL ? spec->name : "");
    cJSON *inputs = cJSON_AddArrayToObject(root, "inputs"), *params = cJSON_AddArrayToObject(root, "params");
    cJSON *outputs = cJSON_AddArrayToObject(root, "outputs"), *hypers = cJSON_AddArrayToObject(root, "hypers");
    cJSON *equations = cJSON_AddArrayToObject(root, "equations");
    cJSON *statements = cJSON_AddArrayToObject(root, "statements");
    for (int k = 0; k < g->ntensors; k++) {
        const Tensor *t = g->tensors[k];
        if (t->role == ROLE_INPUT && t != g->row) {
            cJSON *o = cJSON_CreateObject();
            cJSON_AddStringToObject(o, "name", t->name);
            cJSON_AddStringToObject(o, "type", input_type(E, t));
            cJSON_AddItemToObject(o, "axes", axes_json(t->ndim, t->dims));
            cJSON_AddItemToArray(inputs, o);
        } else if (t->role == ROLE_PARAM) {
            cJSON *o = cJSON_CreateObject();
            cJSON_AddStringToObject(o, "path", t->name);
            cJSON_AddItemToObject(o, "shape", shape_json(t));
            cJSON_AddStringToObject(o, "init", t->init->text);
            cJSON_AddNumberToObject(o, "line", t->span.line);
            cJSON_AddItemToArray(params, o);
        }
        if (t->is_output) {
            cJSON *o = cJSON_CreateObject();
            cJSON_AddStringToObject(o, "name", t->name);
            cJSON_AddItemToObject(o, "axes", axes_json(t->ndim, t->dims));
            cJSON_AddItemToArray(outputs, o);
        }
    }
    for (int k = 0; k < spec->nhypers; k++) {
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "name", spec->hypers[k].name);
        cJSON_AddItemToObject(o, "value", hyper_json(&spec->hypers[k].value));
        cJSON_AddItemToArray(hypers, o);
    }
    for (int k = 0; k < E->nsyms; k++) {
        const Sym *s = E->syms[k];
        if (!s->bad && s->path != NULL) {
            cJSON *o = cJSON_CreateObject();
            cJSON_AddStringToObject(o, "name", s->path);
            cJSON_AddNumberToObject(o, "line", s->span.line);
            cJSON_AddItemToArray(equations, o);
        }
    }
    for (int k = 0; k < spec->nstatements; k++) {
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "text", spec->statements[k].text);
        cJSON_AddNumberToObject(o, "line", spec->statements[k].line);
        cJSON_AddBoolToObject(o, "holds", spec->statements[k].holds);
        cJSON_AddItemToArray(statements, o);
    }
    char *text = cJSON_Print(root);
    if (text != NULL) {
        text_printf(out, "%s\n", text);
        cJSON_free(text);
    }
    cJSON_Delete(root);
}

/* ---- domains ------------------------------------------------------------------------------------------------ */

/* How an operand of a binary operator is written: in parentheses if it binds less tightly. */
static bool needs_parentheses(const Scalar *s, const Scalar *arg)
{
    return arg->op != OP_LOAD && arg->op != OP_LETTER && arg->op != OP_CONST && arg->op != s->op &&
           (s->op == OP_and || s->op == OP_or || s->op == OP_mul) && arg->nargs == 2 && arg->op >= OP_add;
}

void scalar_text(const Scalar *s, void (*letter)(void *ctx, int64_t k, Text *out), void *ctx, Text *out)
{
    static const struct {
        Op op;
        const char *text;
    } infix[] = {{OP_add, "+"}, {OP_sub, "-"}, {OP_mul, "*"}, {OP_div, "/"},   {OP_lt, "<"},
                 {OP_le, "<="}, {OP_eq, "=="}, {OP_ne, "!="}, {OP_and, "and"}, {OP_or, "or"}};
    for (size_t k = 0; k < sizeof infix / sizeof *infix; k++) {
        if (s->op == infix[k].op) {
            for (int m = 0; m < 2; m++) {
                bool nested = needs_parentheses(s, s->args[m]);
                text_printf(out, "%s", nested ? "(" : "");
                scalar_text(s->args[m], letter, ctx, out);
                text_printf(out, "%s", nested ? ")" : "");
                if (m == 0) {
                    text_printf(out, " %s ", infix[k].text);
                }
            }
            return;
        }
    }
    const char *close = ")";
    switch (s->op) {
    case OP_CONST:
        if (s->type == TYPE_BOOL) {
            text_printf(out, "%s", s->inum ? "true" : "false");
        } else if (s->type == TYPE_INT) {
            text_printf(out, "%lld", (long long)s->inum);
        } else {
            text_printf(out, "%g", s->num);
        }
        return;
    case OP_LETTER:
        letter(ctx, s->inum, out);
        return;
    case OP_SIZE:
        text_printf(out, "len(%s)", s->axis->name);
        return;
    case OP_INJECT: {
        const Axis *part = s->axis->parts[s->inum];
        const Scalar *at = s->args[s->nargs - 1];
        if (at->op == OP_CONST && at->inum < part->nmembers) {
            text_printf(out, "%s", part->members[at->inum]);
            return;
        }
        text_printf(out, "%s ", part->name);
        scalar_text(at, letter, ctx, out);
        return;
    }
    case OP_LOAD:
        text_printf(out, "%s[", s->tensor->name);
        close = "]";
        break;
    default:
        text_printf(out, "%s(", op_info[s->op].name);
    }
    for (int k = 0; k < s->nargs; k++) {
        text_printf(out, "%s", k > 0 ? ", " : "");
        scalar_text(s->args[k], letter, ctx, out);
    }
    text_printf(out, "%s", close);
}

typedef struct {
    const Elab *E;
    const Sym *sym;
    const Case *c;
} CaseLetters;

/* The letters of a case are the dimensions of its name: each is called by a letter of its axis. */
static void case_letter(void *ctx, int64_t k, Text *out)
{
    const CaseLetters *l = ctx;
    const Sym *sym = l->sym;
    const Axis *axis = k < sym->ndim ? sym->dims[k] : NULL;
    if (axis != NULL && l->c->kind[k] == CASE_PART) {
        axis = axis->parts[l->c->which[k]];
    }
    const AxisInfo *a = axis != NULL ? axis_info((Elab *)l->E, axis) : NULL;
    int same = 0;
    for (int d = 0; d < k && d < sym->ndim; d++) {
        same += sym->dims[d] == axis;
    }
    if (a != NULL && a->stmt != NULL && same < a->stmt->axis->nletters) {
        text_printf(out, "%s", a->stmt->axis->letters[same]);
    } else {
        text_printf(out, "_%lld", (long long)k);
    }
}

static void print_index(const Elab *E, const Sym *s, const Case *k, Text *out)
{
    for (int d = 0; d < s->ndim; d++) {
        text_printf(out, "%s", d > 0 ? ", " : "");
        const Axis *a = s->dims[d];
        if (k != NULL && k->kind[d] == CASE_CONST) {
            text_printf(out, "%s", a->nmembers > 0 ? a->members[k->which[d]] : "?");
        } else if (k != NULL && k->kind[d] == CASE_PART) {
            const Axis *p = a->parts[k->which[d]];
            text_printf(out, "%s", k->local[d] >= 0 && p->nmembers > 0 ? p->members[k->local[d]] : p->name);
        } else {
            text_printf(out, "%s", a->name);
        }
    }
    (void)E;
}

void spec_describe_domains(Spec *spec, const Graph *g, Text *out)
{
    const Elab *E = spec->lowered;
    (void)g;
    for (int k = 0; k < E->nsyms; k++) {
        const Sym *s = E->syms[k];
        if (s->bad || s->t == NULL) {
            continue;
        }
        for (int m = 0; m < (s->ncases > 0 ? s->ncases : 1); m++) {
            const Case *c = s->ncases > 0 ? &s->cases[m] : NULL;
            text_printf(out, "%s", s->path);
            if (s->ndim > 0) {
                text_printf(out, "[");
                print_index(E, s, c, out);
                text_printf(out, "]");
            }
            for (int j = 0; c != NULL && j < c->conds.n; j++) {
                text_printf(out, "%s", j == 0 ? " where " : " and ");
                scalar_text(c->conds.v[j], case_letter, &(CaseLetters){E, s, c}, out);
            }
            text_printf(out, "\n");
        }
    }
}
