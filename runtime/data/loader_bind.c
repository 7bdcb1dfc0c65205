/* Finding what an input is filled from. First by name (or by the recipe's map), then by vocabulary where exactly one
 * column has it. What is found must fit: ids of the same vocabulary, whole numbers where the spec wants them, one value
 * or a list as the spec has dims, and nothing that is only known after the event unless the input is a label. */
#include "lines.h"
#include "loader_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

typedef struct {
    Loader *l;
    const DataInput *in;
    const char *name; /* what to look for: mapped, without table */
    int table;        /* the table that the map names, or -1 */
    Error *e;
} Binder;

/* Leaves the message "input 'x' ...: what", with what the data has. */
static bool refuse(Binder *b, const char *what, const char *detail)
{
    char *have = data_describe(b->l->ds);
    for (char *s = have; s && *s; s++) {
        *s = *s == '\n' ? ';' : *s;
    }
    error_set(b->e, EXIT_DATA, "input '%s': %s%s%s; the data has %s", b->in->name, what, detail ? " " : "",
              detail ? detail : "", have ? have : "(no memory to list it)");
    free(have);
    return false;
}

static char *keep(Loader *l, const char *s)
{
    char **more = s ? realloc(l->texts, (size_t)(l->ntexts + 1) * sizeof *more) : NULL;
    if (!more) {
        return NULL;
    }
    l->texts = more;
    l->texts[l->ntexts] = strdup(s);
    return l->texts[l->ntexts] ? l->texts[l->ntexts++] : NULL;
}

/* ---- columns ----------------------------------------------------------------------------------------------- */

static const char *mapped(const DataRecipe *r, const char *name)
{
    for (int i = 0; i < r->nmaps; i++) {
        if (strcmp(r->maps[i].name, name) == 0) {
            return r->maps[i].column;
        }
    }
    return name;
}

static const DataColumn *find(Binder *b, DataTable table)
{
    return b->table < 0 || b->table == (int)table ? data_column(b->l->ds, table, b->name) : NULL;
}

/* The vocabulary an input's ids belong to, in the data: a map may name a vocabulary or a column. */
static const char *wanted_vocab(Binder *b)
{
    if (!b->in->vocab) {
        return NULL;
    }
    const char *to = mapped(&b->l->recipe, b->in->vocab), *dot = strchr(to, '.');
    to = dot ? dot + 1 : to;
    if (data_vocab(b->l->ds, to)) {
        return to;
    }
    for (int i = 0; i < b->l->ds->ncolumns; i++) {
        const DataColumn *c = &b->l->ds->columns[i];
        if (strcmp(c->name, to) == 0 && c->vocab) {
            return c->vocab;
        }
    }
    return to;
}

/* The only column of that table and shape whose ids are of the input's vocabulary, or NULL. */
static const DataColumn *by_vocab(Binder *b, DataTable table, DataShape shape)
{
    const DataColumn *found = NULL;
    const char *vocab = wanted_vocab(b);
    for (int i = 0; vocab && i < b->l->ds->ncolumns; i++) {
        const DataColumn *c = &b->l->ds->columns[i];
        if (c->table == table && c->shape == shape && c->vocab && strcmp(c->vocab, vocab) == 0) {
            if (found) {
                return NULL;
            }
            found = c;
        }
    }
    return found;
}

static bool is_outcome(const Loader *l, const DataColumn *c)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(l->ds->schema, "outcomes"))
    {
        const char *name = cJSON_GetStringValue(item);
        if (name && strcmp(name, c->name) == 0) {
            return true;
        }
    }
    return c == l->label || strcmp(c->name, "lab") == 0;
}

/* Whether an input that is no label may see this column of the target event. */
static bool check_leak(Binder *b, Where where, const DataColumn *c)
{
    const Loader *l = b->l;
    if (b->in->label || (where != AT_TARGET && where != AT_TARGET_ITEM)) {
        return true;
    }
    if (l->recipe.kind == RECIPE_NEXT && c != l->ts) {
        return refuse(b, "it tells what the next event is: declare it `label`", NULL);
    }
    if (where == AT_TARGET && is_outcome(l, c)) {
        return refuse(b, "it is known only after the event: declare it `label`", NULL);
    }
    return true;
}

static bool check_type(Binder *b, const DataColumn *c)
{
    DType want = b->in->dtype;
    bool is_whole = c->dtype != DT_F32 && c->dtype != DT_F64, wants_whole = want != DT_F32 && want != DT_F64;
    if (c->shape == SHAPE_TEXT) {
        return refuse(b, "the column is text", NULL);
    }
    if (wants_whole && !is_whole) {
        return refuse(b, "the spec wants whole numbers, and the column has fractions:", c->name);
    }
    const char *vocab = wanted_vocab(b);
    if (vocab && (!c->vocab || strcmp(c->vocab, vocab) != 0)) {
        char detail[320];
        snprintf(detail, sizeof detail, "the spec wants ids of vocabulary %.60s, and column %.60s has %s%.60s", vocab,
                 c->name, c->vocab ? "ids of " : "numbers", c->vocab ? c->vocab : "");
        return refuse(b, detail, NULL);
    }
    return true;
}

/* ---- axes -------------------------------------------------------------------------------------------------- */

static int ragged_axis(Binder *b, const DataDim *d, int parent, bool is_history)
{
    Loader *l = b->l;
    for (int i = 0; i < l->naxes; i++) {
        if (strcmp(l->axes[i].name, d->axis) == 0) {
            if (l->axes[i].parent != parent || l->axes[i].is_history != is_history) {
                error_set(b->e, EXIT_DATA,
                          "input '%s': axis %s holds the events in one input and a list in another; give "
                          "the list an axis of its own",
                          b->in->name, d->axis);
                return -1;
            }
            return i;
        }
    }
    RaggedAxis *more = realloc(l->axes, (size_t)(l->naxes + 1) * sizeof *more);
    char with_offsets[160];
    snprintf(with_offsets, sizeof with_offsets, "%.140s.offsets", d->axis);
    if (more) {
        l->axes = more;
        l->axes[l->naxes] = (RaggedAxis){.name = keep(l, d->axis),
                                         .offsets_name = keep(l, with_offsets),
                                         .parent = parent,
                                         .min = d->min,
                                         .bound = d->bound,
                                         .is_history = is_history};
    }
    if (!more || !l->axes[l->naxes].name || !l->axes[l->naxes].offsets_name) {
        error_set(b->e, EXIT_RESOURCES, "no memory for axis %s", d->axis);
        return -1;
    }
    return l->naxes++;
}

/* A list column as [RAGGED] or [FIXED] below the dims before. */
static bool bind_list(Binder *b, Source *s, const DataDim *d, int parent)
{
    if (d->kind == DIM_FIXED) {
        s->width = d->bound;
        return true;
    }
    int axis = ragged_axis(b, d, parent, false);
    if (parent < 0 && s->axis < 0) {
        s->axis = axis;
    } else {
        s->nested = axis;
    }
    return axis >= 0;
}

/* ---- inputs by their dims ---------------------------------------------------------------------------------- */

static bool use(Binder *b, Source *s, Where where, const DataColumn *c)
{
    s->fill = FILL_COLUMN;
    s->where = where;
    s->column = c;
    const DataColumn *item = where == AT_TARGET_ITEM ? b->l->cand : b->l->item;
    if ((where == AT_HISTORY_ITEM || where == AT_TARGET_ITEM) && (!item || c->rows != b->l->ds->items)) {
        return refuse(b, "the events have no item column to find it by", NULL);
    }
    return check_type(b, c) && check_leak(b, where, c);
}

/* One value or one list per example. */
static bool bind_example(Binder *b, Source *s, DataShape shape)
{
    Loader *l = b->l;
    const DataInput *in = b->in;
    bool is_log = l->ds->form == DATA_LOG;
    bool scalar = shape == SHAPE_SCALAR;
    bool given_name = b->name == in->name; /* no map */
    const DataColumn *c;
    if (scalar && given_name && strcmp(in->name, "lab") == 0 && l->label) {
        s->fill = FILL_LABEL;
        s->column = l->label;
        return (in->label || refuse(b, "it is the answer: declare it `label`", NULL)) &&
               (l->label_op != LABEL_VALUE || check_type(b, l->label));
    }
    if (scalar && !find(b, l->targets) && strcmp(b->name, "now") == 0 && l->ts) {
        s->fill = FILL_NOW;
        s->column = l->ts;
        return check_type(b, l->ts);
    }
    if (scalar && is_log && strcmp(b->name, "user") == 0) {
        s->fill = FILL_USER;
        s->where = AT_USER;
        return true;
    }
    if (scalar && !find(b, l->targets) && (strcmp(b->name, "target") == 0 || strcmp(b->name, "cand") == 0) && l->cand) {
        return use(b, s, AT_TARGET, l->cand);
    }
    if ((c = find(b, l->targets)) && c->shape == shape) {
        return use(b, s, AT_TARGET, c);
    }
    if ((c = find(b, TABLE_USER)) && c->shape == shape && (is_log || l->user)) {
        return use(b, s, AT_USER, c);
    }
    if ((c = find(b, TABLE_ITEM)) && c->shape == shape) {
        return use(b, s, AT_TARGET_ITEM, c);
    }
    if (given_name && (c = by_vocab(b, l->targets, shape))) {
        return use(b, s, AT_TARGET, c);
    }
    if (given_name && (c = by_vocab(b, TABLE_USER, shape)) && (is_log || l->user)) {
        return use(b, s, AT_USER, c);
    }
    return refuse(b, scalar ? "the data has no such value per example" : "the data has no such list per example", NULL);
}

/* A column of the events of the history. */
static bool bind_history(Binder *b, Source *s, DataShape shape)
{
    const DataColumn *c;
    bool given_name = b->name == b->in->name;
    if ((c = find(b, TABLE_MAIN)) && c->shape == shape) {
        return use(b, s, AT_HISTORY, c);
    }
    if ((c = find(b, TABLE_ITEM)) && c->shape == shape) {
        return use(b, s, AT_HISTORY_ITEM, c);
    }
    if (given_name && (c = by_vocab(b, TABLE_MAIN, shape))) {
        return use(b, s, AT_HISTORY, c);
    }
    if (given_name && (c = by_vocab(b, TABLE_ITEM, shape))) {
        return use(b, s, AT_HISTORY_ITEM, c);
    }
    return refuse(b, shape == SHAPE_SCALAR ? "the events have no such column" : "the events have no such list", NULL);
}

static bool bind_group(Binder *b, Source *s)
{
    const DataInput *in = b->in;
    const DataGroup *g = data_group(b->l->ds, in->dims[0].of);
    DimKind below = in->ndim == 2 ? in->dims[1].kind : DIM_FIXED;
    if (!g) {
        return refuse(b, "the data has no group of fields", in->dims[0].of);
    }
    s->fill = FILL_GROUP;
    s->group = g;
    s->width = 0;
    for (int i = 0; i < g->nfields; i++) {
        const DataColumn *c = g->fields[i].column;
        bool is_list = c->shape == SHAPE_LIST;
        Where where = c->table == b->l->targets ? AT_TARGET : c->table == TABLE_USER ? AT_USER : AT_TARGET_ITEM;
        if (c->table != b->l->targets && (c->table == TABLE_MAIN || c->table == TABLE_CANDIDATE)) {
            return refuse(b, "a field belongs to a table that this recipe does not ask about:", c->name);
        }
        if (where == AT_USER && b->l->ds->form == DATA_ROWS && !b->l->user) {
            return refuse(b, "the rows have no column `user` to find this field by:", c->name);
        }
        if (is_list && below != DIM_RAGGED && below != DIM_WIDTH) {
            return refuse(b, "a field has several values: declare `axis O in F : ragged(max = n)` and [F,O]; it is",
                          c->name);
        }
        if (below == DIM_FIXED && g->fields[i].width != 1) {
            return refuse(b, "a field is wider than one number: declare `I in X : width`; it is", c->name);
        }
        if (below == DIM_WIDTH && c->vocab) {
            return refuse(b, "a field holds ids and the spec wants numbers:", c->name);
        }
        bool whole = c->dtype != DT_F32 && c->dtype != DT_F64;
        if (!whole && in->dtype != DT_F32 && in->dtype != DT_F64) {
            return refuse(b, "a field holds fractions and the spec wants whole numbers:", c->name);
        }
        if (where == AT_TARGET_ITEM && !b->l->cand) {
            return refuse(b, "the events have no item column to find this field by:", c->name);
        }
        if (!check_leak(b, where, c)) {
            return false;
        }
        s->width += below == DIM_WIDTH ? g->fields[i].width : 1;
    }
    return below != DIM_RAGGED || bind_list(b, s, &in->dims[1], -2);
}

static bool bind_one(Binder *b, Source *s)
{
    const DataInput *in = b->in;
    bool is_log = b->l->ds->form == DATA_LOG;
    *s = (Source){.axis = -1, .nested = -1, .width = 1, .input = *in};
    if (in->constant) {
        s->fill = FILL_CONST;
        return true;
    }
    if (in->ndim == 0) {
        return bind_example(b, s, SHAPE_SCALAR);
    }
    const DataDim *d = in->dims;
    if (d[0].kind == DIM_FIELDS && in->ndim <= 2 &&
        (in->ndim == 1 || d[1].kind == DIM_RAGGED || d[1].kind == DIM_WIDTH)) {
        return bind_group(b, s);
    }
    if (d[0].kind == DIM_FIXED && in->ndim == 1) {
        return bind_example(b, s, SHAPE_LIST) && bind_list(b, s, &d[0], -1);
    }
    if (d[0].kind != DIM_RAGGED || in->ndim > 2 ||
        (in->ndim == 2 && d[1].kind != DIM_RAGGED && d[1].kind != DIM_FIXED)) {
        return refuse(b, "no data set can fill an input of these axes", NULL);
    }
    /* A list per user (or row) may stand on an axis of its own beside the events. */
    const DataColumn *own = find(b, TABLE_USER);
    if (in->ndim == 1 && (!is_log || (own && own->shape == SHAPE_LIST && !find(b, TABLE_MAIN)))) {
        return bind_example(b, s, SHAPE_LIST) && bind_list(b, s, &d[0], -1);
    }
    if (!is_log) {
        return refuse(b, "rows that stand alone have no list of lists", NULL);
    }
    s->axis = ragged_axis(b, &d[0], -1, true);
    return s->axis >= 0 && bind_history(b, s, in->ndim == 2 ? SHAPE_LIST : SHAPE_SCALAR) &&
           (in->ndim == 1 || bind_list(b, s, &d[1], s->axis));
}

/* "rating>=4", or the name of a column. */
static bool bind_label(Loader *l, Error *e)
{
    static const struct {
        const char *text;
        int op;
    } ops[] = {{">=", LABEL_GE}, {"<=", LABEL_LE}, {"==", LABEL_EQ}, {">", LABEL_GT}, {"<", LABEL_LT}};
    const char *text = l->recipe.label;
    if (!*text) {
        l->label = data_column(l->ds, l->targets, "lab");
    } else {
        char name[64];
        size_t n = strcspn(text, "<>=");
        snprintf(name, sizeof name, "%.*s", (int)n, text);
        for (size_t k = n; k > 0 && name[k - 1] == ' '; k--) {
            name[k - 1] = 0;
        }
        l->label = data_column(l->ds, l->targets, name);
        const char *at = text + n;
        for (size_t i = 0; *at && l->label_op == LABEL_VALUE && i < sizeof ops / sizeof *ops; i++) {
            if (strncmp(at, ops[i].text, strlen(ops[i].text)) == 0) {
                l->label_op = ops[i].op;
                at += strlen(ops[i].text);
            }
        }
        at += strspn(at, " ");
        if (l->label_op != LABEL_VALUE && !text_to_real(at, strlen(at), &l->label_bound)) {
            return error_set(e, EXIT_USAGE, "recipe: label is COLUMN or COLUMN >= NUMBER, not '%s'", text);
        }
        if (text[n] && l->label_op == LABEL_VALUE) {
            return error_set(e, EXIT_USAGE, "recipe: label is COLUMN or COLUMN >= NUMBER, not '%s'", text);
        }
        if (!l->label) {
            char *have = data_describe(l->ds);
            error_set(e, EXIT_DATA, "recipe: the data has no column '%s' for the label; it has %s", name,
                      have ? have : "?");
            free(have);
            return false;
        }
    }
    return !l->label || l->label->shape == SHAPE_SCALAR ||
           error_set(e, EXIT_DATA, "the label %s has several values per row", l->label->name);
}

bool loader_bind(Loader *l, int ninputs, const DataInput *inputs, Error *e)
{
    const DataColumn *c;
    l->targets = l->recipe.kind == RECIPE_CANDIDATES ? TABLE_CANDIDATE : TABLE_MAIN;
    l->ntargets = l->targets == TABLE_CANDIDATE ? l->ds->candidates : l->ds->rows;
    l->item = (c = data_column(l->ds, TABLE_MAIN, "item")) && c->shape == SHAPE_SCALAR && c->vocab ? c : NULL;
    l->cand = (c = data_column(l->ds, l->targets, "item")) && c->shape == SHAPE_SCALAR && c->vocab ? c : NULL;
    l->ts = (c = data_column(l->ds, l->targets, "ts")) && c->shape == SHAPE_SCALAR ? c : NULL;
    l->user = (c = data_column(l->ds, l->targets, "user")) && c->shape == SHAPE_SCALAR && c->vocab ? c : NULL;
    l->before = data_column(l->ds, TABLE_CANDIDATE, "history");
    l->sources = calloc((size_t)ninputs + 1, sizeof *l->sources);
    if (!l->sources) {
        return error_set(e, EXIT_RESOURCES, "no memory for %d inputs", ninputs);
    }
    if (!bind_label(l, e)) {
        return false;
    }
    for (int i = 0; i < ninputs; i++) {
        static const char *const tables[] = {"user.", "item."};
        Binder b = {l, &inputs[i], mapped(&l->recipe, inputs[i].name), -1, e};
        for (int t = 0; t < 2; t++) {
            if (strncmp(b.name, tables[t], 5) == 0) {
                b.table = TABLE_USER + t;
                b.name += 5;
            }
        }
        if (strncmp(b.name, "candidate.", 10) == 0) {
            b.name += 10;
            b.table = TABLE_CANDIDATE;
        }
        if (strncmp(b.name, "event.", 6) == 0 || strncmp(b.name, "row.", 4) == 0) {
            b.name = strchr(b.name, '.') + 1;
            b.table = TABLE_MAIN;
        }
        if (!bind_one(&b, &l->sources[l->nsources])) {
            return false;
        }
        Source *s = &l->sources[l->nsources++];
        s->input.name = keep(l, inputs[i].name);
        bool good = s->input.name != NULL;
        s->input.vocab = NULL; /* checked, no longer needed */
        for (int d = 0; good && d < s->input.ndim; d++) {
            s->input.dims[d].axis = NULL;
            if (s->input.dims[d].of) {
                s->input.dims[d].of = keep(l, s->input.dims[d].of);
                good = s->input.dims[d].of != NULL;
            }
        }
        if (!good) {
            return error_set(e, EXIT_RESOURCES, "no memory for %d inputs", ninputs);
        }
    }
    return true;
}
