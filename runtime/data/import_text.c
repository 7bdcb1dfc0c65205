/* Delimited text, whose columns a small JSON file declares:
 *
 *   { "form": "log",                        log (default): events by user; rows: label and fields
 *     "separator": "\t", "header": true,    default "," and false; also "encoding": "latin1", "quote": true
 *     "layout": "sequence",                 a line is `user item item ...`; the last column repeats
 *     "columns": [
 *       {"name": "uid",   "role": "user"},              role: user, item, time, label; they become user, item, ts, lab
 *       {"name": "sku",   "role": "item"},
 *       {"name": "when",  "role": "time", "unit": "ms"},          s (default), ms, us, day
 *       {"name": "price", "type": "f32"},               type: id (default), ids, i32, i64, f32, f64, i32s, f32s, text
 *       {"name": "tags",  "type": "ids", "vocab": "tag", "separator": "|"},
 *       {"name": "age",   "type": "f32", "transform": ["log", "standardise"], "missing": 0},
 *       {"name": "clicks", "type": "bucket", "edges": [0, 1, 10]},  the number of edges at most as large: an id
 *       {"name": "kind",  "optional": true},            an empty id is an entry of its own
 *       {"name": "stars", "type": "i32", "outcome": true},   known only after the event, like the label
 *       {"name": "hour",  "request": true},             of the request, not of the item: histories may see it
 *       {"type": "skip"} ],                             a column without a name is passed over
 *     "vocabularies": {"tag": {"min_count": 5, "unknown": "<rare>"}, "kind": {"names": "kinds.txt"}},
 *     "items": {"file": "items.csv", "columns": [ ... ]},         side tables, beside the declaration; their own
 *     "users": {"file": "users.csv", ...},                        separator, header, encoding, or those above
 *     "candidates": {"file": "shown.csv", "columns": [ ... ]},    rows that point into the history of their user
 *     "fields": {"cat": ["kind", "item.brand"], "num": ["price"]} }
 *
 * With a header columns are found by name ("column": the name in the file, if it is to be another one in the data set)
 * and those not declared are passed over; without one they are declared in order. Several files are read one after
 * another. In the form "rows" the user and the item are columns like others. */
#include "import_table.h"

#include "lines.h"
#include "schema.h"

#include <cjson/cJSON.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NUMBERS = 512 };

typedef struct {
    Importer *im;
    const char *path; /* of the declaration */
    cJSON *json;
    int nnumbers;
    NumberRule *numbers; /* MAX_NUMBERS of them */
} Text;

static bool wrong(Text *t, const char *what, const char *which)
{
    return error_set(t->im->e, EXIT_DATA, "%s: %s%s%.80s", t->path, what, which ? " " : "", which ? which : "");
}

static bool declared_flag(const cJSON *table, const cJSON *outer, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(table, key);
    return cJSON_IsTrue(item ? item : cJSON_GetObjectItemCaseSensitive(outer, key));
}

static const char *declared_text(const cJSON *table, const cJSON *outer, const char *key, const char *fallback)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(table, key));
    if (!text) {
        text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(outer, key));
    }
    return text ? text : fallback;
}

static bool known_keys(Text *t, const cJSON *object, const char *const *keys, const char *where)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, object)
    {
        bool known = false;
        for (int i = 0; keys[i]; i++) {
            known |= item->string && strcmp(keys[i], item->string) == 0;
        }
        if (!known) {
            return error_set(t->im->e, EXIT_DATA, "%s: %s has no member '%.60s'", t->path, where,
                             item->string ? item->string : "");
        }
    }
    return true;
}

/* Events, rows and candidates are what a model may be asked about. */
static bool is_target(DataTable table)
{
    return table == TABLE_MAIN || table == TABLE_CANDIDATE;
}

static bool declare_role(Text *t, const char *role, const cJSON *json, DataTable table, FieldDecl *d)
{
    if (strcmp(role, "user") == 0) {
        *d = (FieldDecl){.name = "user", .type = FIELD_ID, .role = ROLE_USER, .vocab = "user"};
    } else if (strcmp(role, "item") == 0) {
        *d = (FieldDecl){.name = "item", .type = FIELD_ID, .role = ROLE_ITEM, .vocab = "item"};
    } else if (strcmp(role, "label") == 0 && is_target(table)) {
        *d = (FieldDecl){.name = "lab", .type = FIELD_REAL, .dtype = DT_F32, .outcome = true};
    } else if (strcmp(role, "time") == 0) {
        static const struct {
            const char *name;
            double seconds;
        } units[] = {{"s", 1}, {"ms", 1e-3}, {"us", 1e-6}, {"day", 86400}};
        const char *unit = declared_text(json, NULL, "unit", "s");
        *d = (FieldDecl){.name = is_target(table) ? "ts" : d->name ? d->name : "time", .type = FIELD_TIME};
        for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
            d->unit = strcmp(unit, units[i].name) == 0 ? units[i].seconds : d->unit;
        }
        return d->unit > 0 || wrong(t, "a time has the unit s, ms, us or day, not", unit);
    } else {
        return wrong(t, "the role of a column is user, item, time or (of events) label, not", role);
    }
    return true;
}

static bool declare_type(Text *t, const char *type, const cJSON *json, FieldDecl *d)
{
    static const struct {
        const char *name;
        FieldType type;
        DType dtype;
    } types[] = {{"id", FIELD_ID, DT_I32},         {"ids", FIELD_IDS, DT_I32},   {"i32", FIELD_INT, DT_I32},
                 {"i64", FIELD_INT, DT_I64},       {"f32", FIELD_REAL, DT_F32},  {"f64", FIELD_REAL, DT_F64},
                 {"bucket", FIELD_BUCKET, DT_F64}, {"i32s", FIELD_INTS, DT_I32}, {"i64s", FIELD_INTS, DT_I64},
                 {"f32s", FIELD_REALS, DT_F32},    {"text", FIELD_TEXT, DT_BOOL}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(types[i].name, type) != 0) {
            continue;
        }
        d->type = types[i].type;
        d->dtype = types[i].dtype;
        bool is_id = d->type == FIELD_ID || d->type == FIELD_IDS || d->type == FIELD_BUCKET;
        d->vocab = is_id ? declared_text(json, NULL, "vocab", d->name) : NULL;
        d->optional = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "optional"));
        d->separator = declared_text(json, NULL, "separator", " ");
        return *d->separator || wrong(t, "the separator is empty in column", d->name);
    }
    return wrong(t, "the type of a column is id, ids, bucket, i32, i64, f32, f64, i32s, i64s, f32s, text or skip, not",
                 type);
}

static bool declare_edges(Text *t, const cJSON *edges, const char *column, NumberRule *rule)
{
    const cJSON *item;
    if (cJSON_IsString(edges) && strcmp(edges->valuestring, "log-squared") == 0) {
        rule->log_square = true;
        return true;
    }
    cJSON_ArrayForEach(item, edges)
    {
        bool ascends = rule->nedges == 0 || item->valuedouble > rule->edges[rule->nedges - 1];
        if (!cJSON_IsNumber(item) || !ascends || rule->nedges == MAX_EDGES) {
            rule->nedges = 0;
            break;
        }
        rule->edges[rule->nedges++] = item->valuedouble;
    }
    return (cJSON_IsArray(edges) && rule->nedges > 0) ||
           wrong(t, "the edges of a bucket are up to 256 ascending numbers, or \"log-squared\", in column", column);
}

/* "transform", "missing" and "edges". */
static bool declare_number(Text *t, const cJSON *json, FieldDecl *d)
{
    const cJSON *transform = cJSON_GetObjectItemCaseSensitive(json, "transform"), *item;
    const cJSON *missing = cJSON_GetObjectItemCaseSensitive(json, "missing");
    const cJSON *edges = cJSON_GetObjectItemCaseSensitive(json, "edges");
    if (!transform && !missing && !edges && d->type != FIELD_BUCKET) {
        return true;
    }
    bool real = d->type == FIELD_REAL || d->type == FIELD_REALS;
    if (transform && !real) {
        return wrong(t, "only f32, f64 and f32s have a transform, not column", d->name);
    }
    if (missing && !(real && cJSON_IsNumber(missing) && fabs(missing->valuedouble) < FLT_MAX)) {
        return wrong(t, "missing is a number, of columns f32, f64 and f32s, not in column", d->name);
    }
    if ((edges != NULL) != (d->type == FIELD_BUCKET)) {
        return wrong(t, edges ? "only a bucket has edges, not column" : "a bucket needs edges:", d->name);
    }
    NumberRule *rule = t->nnumbers < MAX_NUMBERS ? &t->numbers[t->nnumbers++] : NULL;
    if (!rule) {
        return wrong(t, "more than 512 columns have a transform, a missing value or edges", NULL);
    }
    *rule = (NumberRule){.has_missing = missing != NULL, .missing = missing ? missing->valuedouble : 0};
    d->number = rule;
    cJSON_ArrayForEach(item, transform)
    {
        const char *name = cJSON_GetStringValue(item);
        if (name && strcmp(name, "log") == 0 && !rule->standardise) {
            rule->log = true;
        } else if (name && strcmp(name, "standardise") == 0) {
            rule->standardise = true;
        } else {
            return wrong(t, "a transform is [\"log\"], [\"standardise\"] or [\"log\", \"standardise\"], not in column",
                         d->name);
        }
    }
    return !edges || declare_edges(t, edges, d->name, rule);
}

/* "span" and "absent" of lists. */
static bool declare_span(Text *t, const cJSON *json, bool header, FieldDecl *d)
{
    const cJSON *span = cJSON_GetObjectItemCaseSensitive(json, "span");
    bool list = d->type == FIELD_IDS || d->type == FIELD_INTS || d->type == FIELD_REALS;
    d->absent = declared_text(json, NULL, "absent", NULL);
    if ((span || d->absent) && !list) {
        return wrong(t, "only lists have a span or absent elements, not column", d->name);
    }
    if (!span) {
        return true;
    }
    bool whole = cJSON_IsNumber(span) && span->valuedouble >= 1 && span->valuedouble <= 100000 &&
                 span->valuedouble == (double)span->valueint;
    if (!whole || header) {
        return wrong(t,
                     header ? "a span counts fields of lines without a header, in column"
                            : "a span is a whole number from 1 to 100000, in column",
                     d->name);
    }
    d->span = span->valueint;
    return true;
}

/* One member of "columns". *skip: it is only passed over. */
static bool declare_column(Text *t, const cJSON *json, DataTable table, bool header, FieldDecl *d, bool *skip)
{
    static const char *const keys[] = {"name", "column",   "role",    "type",      "vocab",   "separator",
                                       "unit", "optional", "outcome", "transform", "missing", "edges",
                                       "span", "absent",   "request", NULL};
    const char *name = declared_text(json, NULL, "name", NULL), *role = declared_text(json, NULL, "role", NULL);
    const char *type = declared_text(json, NULL, "type", "id"), *column = declared_text(json, NULL, "column", name);
    *skip = cJSON_IsObject(json) && !role && strcmp(type, "skip") == 0;
    if (*skip) {
        return true;
    }
    if (!cJSON_IsObject(json) || (!name && (header || !role))) {
        return wrong(t, "a column has no name", NULL);
    }
    int position = d->position;
    *d = (FieldDecl){.name = name};
    if (!known_keys(t, json, keys, "a column") ||
        !(role ? declare_role(t, role, json, table, d) : declare_type(t, type, json, d))) {
        return false;
    }
    if (!declare_number(t, json, d) || !declare_span(t, json, header, d)) {
        return false;
    }
    d->outcome |= is_target(table) && cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "outcome"));
    d->position = position;
    d->source = header ? column : NULL;
    return true;
}

static bool find_role(const TableDecl *decl, FieldRole role)
{
    for (int i = 0; i < decl->nfields; i++) {
        if (decl->fields[i].role == role) {
            return true;
        }
    }
    return false;
}

static bool check_table(Text *t, const TableDecl *decl, bool is_log)
{
    bool user = find_role(decl, ROLE_USER), item = find_role(decl, ROLE_ITEM);
    if (decl->nfields == 0) {
        return wrong(t, "there are no columns to read", NULL);
    }
    if ((decl->table == TABLE_USER && !user) || (decl->table == TABLE_ITEM && !item)) {
        return wrong(t, "a side table needs a column with the role", decl->table == TABLE_USER ? "user" : "item");
    }
    if (decl->table == TABLE_CANDIDATE && (!is_log || !user)) {
        return wrong(t, is_log ? "candidates need a column with the role" : "only a log has candidates",
                     is_log ? "user" : NULL);
    }
    if (decl->table == TABLE_MAIN && is_log && (!item || !(user || decl->sequence))) {
        return wrong(
            t, "a log needs columns with the roles user and item (rows that stand alone are \"form\": \"rows\")", NULL);
    }
    if (decl->sequence && (!is_log || decl->fields[decl->nfields - 1].role != ROLE_ITEM || decl->nfields != 1 + user)) {
        return wrong(t, "the layout sequence has the columns user and item, or item alone", NULL);
    }
    return true;
}

/* Reads the files of one table; `json` is the declaration itself or one of its side tables. */
static bool read_table(Text *t, const cJSON *json, DataTable table, int npaths, const char *const *paths)
{
    const cJSON *columns = cJSON_GetObjectItemCaseSensitive(json, "columns"), *item;
    FieldDecl *fields = calloc((size_t)cJSON_GetArraySize(columns) + 1, sizeof *fields);
    if (!fields) {
        return error_set(t->im->e, EXIT_RESOURCES, "no memory to read %s", t->path);
    }
    TableDecl decl = {.table = table, .fields = fields};
    const char *encoding = declared_text(json, t->json, "encoding", "utf-8");
    decl.separator = declared_text(json, t->json, "separator", ",");
    decl.header = declared_flag(json, t->json, "header");
    decl.quoted = declared_flag(json, t->json, "quote");
    decl.latin1 = strcmp(encoding, "latin1") == 0;
    decl.sequence = strcmp(declared_text(json, NULL, "layout", ""), "sequence") == 0;
    bool good = *decl.separator || wrong(t, "the separator is empty", NULL);
    if (good && !decl.latin1 && strcmp(encoding, "utf-8") != 0) {
        good = wrong(t, "the encoding is utf-8 or latin1, not", encoding);
    }
    int position = 0;
    cJSON_ArrayForEach(item, columns)
    {
        bool skip = false;
        fields[decl.nfields].position = position;
        good = good && declare_column(t, item, table, decl.header, &fields[decl.nfields], &skip);
        position += good && !skip && fields[decl.nfields].span > 0 ? fields[decl.nfields].span : 1;
        decl.nfields += good && !skip;
    }
    good = good && check_table(t, &decl, t->im->report->is_log);
    decl.row_user = decl.sequence && !find_role(&decl, ROLE_USER);
    if (good && decl.row_user && npaths != 1) {
        good = wrong(t, "lines without a user are numbered, so there can be one file only", NULL);
    }
    decl.width = decl.header || decl.sequence ? 0 : position;
    for (int f = 0; good && table != TABLE_MAIN && f < decl.nfields; f++) {
        bool counted = table != TABLE_CANDIDATE && fields[f].vocab && import_rule(t->im, fields[f].vocab);
        if (counted || (fields[f].number && fields[f].number->standardise)) {
            good = wrong(t, "counting and standardising are for the columns of events and rows, not of a side table:",
                         fields[f].name);
        }
    }
    t->im->again = false;
    good = good &&
           (table == TABLE_MAIN ? import_parts(t->im, &decl, npaths, paths) : import_table(t->im, &decl, paths[0]));
    free(fields);
    return good;
}

/* Path of a file that the declaration names, free() it; NULL: an error has been set. */
static char *beside(Text *t, const char *file)
{
    const char *slash = strrchr(t->path, '/');
    char *dir = *file == '/' ? strdup("") : slash ? strndup(t->path, (size_t)(slash - t->path)) : strdup(".");
    char *path = dir ? import_find(dir, *file == '/' ? file + 1 : file) : NULL;
    free(dir);
    if (!path) {
        wrong(t, "beside the declaration there is no file, plain or gzip,", file);
    }
    return path;
}

static bool read_side(Text *t, const char *key, DataTable table)
{
    static const char *const keys[] = {"file", "columns", "separator", "header", "encoding", "quote", NULL};
    const cJSON *json = cJSON_GetObjectItemCaseSensitive(t->json, key);
    if (!json) {
        return true;
    }
    const char *file = declared_text(json, NULL, "file", NULL);
    if (!file) {
        return wrong(t, "there is no file in", key);
    }
    char *path = beside(t, file);
    bool good = path && known_keys(t, json, keys, key) && read_table(t, json, table, 1, (const char *const[]){path});
    free(path);
    return good;
}

/* Whether the column of the main table is declared to be of the request. */
static bool is_of_request(Text *t, const char *name)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(t->json, "columns"))
    {
        const char *own = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "name"));
        if (own && strcmp(own, name) == 0) {
            return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(item, "request"));
        }
    }
    return false;
}

/* "kind", "item.brand": a column of the main table, or of the side table before the dot. */
static bool declare_fields(Text *t)
{
    const cJSON *groups = cJSON_GetObjectItemCaseSensitive(t->json, "fields"), *group, *item;
    cJSON_ArrayForEach(group, groups)
    {
        cJSON_ArrayForEach(item, group)
        {
            const char *name = cJSON_GetStringValue(item), *dot = name ? strchr(name, '.') : NULL;
            DataTable table = !dot                                   ? TABLE_MAIN
                              : strncmp(name, "user.", 5) == 0       ? TABLE_USER
                              : strncmp(name, "candidate.", 10) == 0 ? TABLE_CANDIDATE
                                                                     : TABLE_ITEM;
            int column = name && group->string ? builder_find(t->im->builder, table, dot ? dot + 1 : name) : -1;
            if (column < 0) {
                return wrong(t, "there is no such column to be a field:", name ? name : "(not a text)");
            }
            bool safe = table == TABLE_USER || (table == TABLE_MAIN && is_of_request(t, name));
            if (!builder_field(t->im->builder, group->string, column, safe, t->im->e)) {
                return false;
            }
        }
    }
    return true;
}

/* "vocabularies": {"tag": {"min_count": 5, "unknown": "<rare>"}, "brand": {"names": "brands.txt"}} */
static bool declare_vocabularies(Text *t)
{
    static const char *const keys[] = {"min_count", "unknown", "names", NULL};
    const cJSON *json;
    cJSON_ArrayForEach(json, cJSON_GetObjectItemCaseSensitive(t->json, "vocabularies"))
    {
        const cJSON *least = cJSON_GetObjectItemCaseSensitive(json, "min_count");
        const char *unknown = declared_text(json, NULL, "unknown", NULL);
        const char *names = declared_text(json, NULL, "names", NULL);
        if (!json->string || !cJSON_IsObject(json) || !known_keys(t, json, keys, "a vocabulary")) {
            return cJSON_IsObject(json) ? false : wrong(t, "a vocabulary is declared by an object:", json->string);
        }
        if (t->im->report->is_log && strcmp(json->string, "user") == 0) {
            return wrong(t, "the users of a log are all kept: there is no rule for the vocabulary", "user");
        }
        if (names ? least != NULL
                  : !(cJSON_IsNumber(least) && least->valuedouble >= 1 && least->valuedouble < 0x1p53)) {
            return wrong(t, "a vocabulary has a min_count from 1, or the file of its names, in", json->string);
        }
        VocabRule *rule = import_add_rule(t->im, json->string, names ? 0 : (int64_t)least->valuedouble, unknown);
        char *path = rule && names ? beside(t, names) : NULL;
        bool good = rule && (!names || (path && rule_list(rule, path, t->im->e)));
        free(path);
        if (!good) {
            return false;
        }
    }
    return true;
}

static bool read_declaration(Text *t)
{
    static const char *const keys[] = {"form",         "separator",  "header", "encoding", "quote",
                                       "layout",       "columns",    "items",  "users",    "fields",
                                       "vocabularies", "candidates", NULL};
    DataMap map;
    if (!map_file(t->path, &map, t->im->e)) {
        return false;
    }
    const char *end = NULL;
    t->json = cJSON_ParseWithLengthOpts(map.data, map.bytes, &end, false);
    int64_t line = 1;
    for (const char *s = map.data; !t->json && end && s < end && s < (const char *)map.data + map.bytes; s++) {
        line += *s == '\n';
    }
    unmap_file(&map);
    if (!cJSON_IsObject(t->json)) {
        return error_set(t->im->e, EXIT_DATA, "%s:%lld: this is not a JSON object", t->path, (long long)line);
    }
    const char *form = declared_text(t->json, NULL, "form", "log");
    if (strcmp(form, "log") != 0 && strcmp(form, "rows") != 0) {
        return wrong(t, "the form is log or rows, not", form);
    }
    t->im->report->is_log = strcmp(form, "log") == 0;
    return known_keys(t, t->json, keys, "the declaration");
}

bool import_text(Importer *im, int npaths, const char *const *paths, const char *out)
{
    Text t = {.im = im, .path = im->options->schema};
    if (!t.path) {
        return error_set(im->e, EXIT_USAGE, "format text needs the declaration of the columns (a JSON file)");
    }
    t.numbers = calloc(MAX_NUMBERS, sizeof *t.numbers);
    bool good = t.numbers ? read_declaration(&t) : error_set(im->e, EXIT_RESOURCES, "no memory for %s", t.path);
    if (good) {
        im->builder = builder_new(out, im->report->is_log ? DATA_LOG : DATA_ROWS, im->options->replace, im->e);
        good = im->builder && declare_vocabularies(&t) && read_side(&t, "users", TABLE_USER) &&
               read_side(&t, "items", TABLE_ITEM) && read_table(&t, t.json, TABLE_MAIN, npaths, paths) &&
               read_side(&t, "candidates", TABLE_CANDIDATE) && declare_fields(&t);
    }
    if (good && builder_rows(im->builder, TABLE_CANDIDATE) > 0) {
        snprintf(im->recipe, sizeof im->recipe, "candidates");
    }
    cJSON_Delete(t.json);
    free(t.numbers);
    return good;
}
