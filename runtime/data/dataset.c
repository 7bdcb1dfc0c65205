/* The reader. A directory may come from anywhere, so nothing in schema.json is believed: every file must have the
 * size that its count says, every list of offsets must ascend, and file names must stay inside the directory. */
#include "dataset.h"

#include "schema.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the columns are little-endian and mapped as they are"
#endif

const char *const data_type_names[] = {
    [DT_BOOL] = "bool", [DT_I32] = "i32", [DT_I64] = "i64", [DT_F32] = "f32", [DT_F64] = "f64"};
static const size_t type_bytes[] = {[DT_BOOL] = 1, [DT_I32] = 4, [DT_I64] = 8, [DT_F32] = 4, [DT_F64] = 8};
static const char *const shape_names[] = {"scalar", "list", "text"};

const char *data_table_name(DataForm form, DataTable table)
{
    static const char *const names[] = {[TABLE_USER] = "user", [TABLE_ITEM] = "item", [TABLE_CANDIDATE] = "candidate"};
    return table != TABLE_MAIN ? names[table] : form == DATA_LOG ? "event" : "row";
}

static int64_t table_rows(const DataSet *ds, DataTable table)
{
    const int64_t rows[] = {[TABLE_MAIN] = ds->rows,
                            [TABLE_USER] = ds->users,
                            [TABLE_ITEM] = ds->items,
                            [TABLE_CANDIDATE] = ds->candidates};
    return rows[table];
}

static int find_table(const DataSet *ds, const char *name)
{
    for (int t = 0; name && t < TABLE_COUNT; t++) {
        if (strcmp(name, data_table_name(ds->form, (DataTable)t)) == 0) {
            return t;
        }
    }
    return -1;
}

/* ---- files ------------------------------------------------------------------------------------------------- */

char *path_join(const char *dir, const char *name)
{
    size_t n = strlen(dir) + strlen(name) + 2;
    char *path = malloc(n);
    if (path) {
        snprintf(path, n, "%s/%s", dir, name);
    }
    return path;
}

uint32_t checksum(uint32_t crc, const void *data, size_t bytes)
{
    return (uint32_t)crc32_z(crc, data, bytes);
}

bool map_file(const char *path, DataMap *map, Error *e)
{
    static char nothing[8];
    *map = (DataMap){nothing, 0, false};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return error_set(e, EXIT_DATA, "cannot open %s: %s", path, strerror(errno));
    }
    struct stat st;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        close(fd);
        return error_set(e, EXIT_DATA, "%s is not a file", path);
    }
    if (st.st_size > 0) {
        void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (data == MAP_FAILED) {
            close(fd);
            return error_set(e, EXIT_RESOURCES, "cannot map %s: %s", path, strerror(errno));
        }
        *map = (DataMap){data, (size_t)st.st_size, true};
    }
    close(fd);
    return true;
}

void unmap_file(DataMap *map)
{
    if (map->mapped) {
        munmap(map->data, map->bytes);
    }
    map->mapped = false;
}

/* ---- schema.json ------------------------------------------------------------------------------------------- */

typedef struct {
    DataSet *ds;
    bool verify;
    Error *e;
} Opener;

static bool damaged(Opener *o, const char *what, const char *which)
{
    return error_set(o->e, EXIT_DATA, "%s/schema.json: %s%s%s; the data set is damaged, import it again", o->ds->dir,
                     what, which ? " " : "", which ? which : "");
}

static const char *get_text(const cJSON *object, const char *key)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
}

/* A count: a whole number from 0 to 2^53, where doubles are exact; -1 if it is none. */
static int64_t get_count(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    double v = cJSON_IsNumber(item) ? item->valuedouble : -1;
    return v >= 0 && v <= 0x1p53 && v == (double)(int64_t)v ? (int64_t)v : -1;
}

static int find_name(const char *const *names, int n, const char *name)
{
    for (int i = 0; name && i < n; i++) {
        if (strcmp(names[i], name) == 0) {
            return i;
        }
    }
    return -1;
}

/* Maps the file that `object` describes ({file, crc32}); it must have exactly `bytes`, or any size if bytes < 0. */
static const void *map_listed(Opener *o, const cJSON *object, int64_t bytes, size_t *size)
{
    DataSet *ds = o->ds;
    const char *file = get_text(object, "file");
    if (!file || file[0] == '/' || strncmp(file, "../", 3) == 0 || strstr(file, "/../") || strlen(file) > 512) {
        damaged(o, "a file name is missing or leaves the directory:", file ? file : "(none)");
        return NULL;
    }
    char *path = path_join(ds->dir, file);
    if (!path) {
        error_set(o->e, EXIT_RESOURCES, "no memory to open %s", ds->dir);
        return NULL;
    }
    DataMap map;
    if (!map_file(path, &map, o->e)) {
        free(path);
        return NULL;
    }
    ds->maps[ds->nmaps++] = map;
    const char *crc = get_text(object, "crc32");
    bool good = true;
    if (bytes >= 0 && (uint64_t)bytes != map.bytes) {
        good = error_set(o->e, EXIT_DATA, "%s has %zu bytes and schema.json says %lld; import the data again", path,
                         map.bytes, (long long)bytes);
    } else if (o->verify) {
        char have[9];
        snprintf(have, sizeof have, "%08x", (unsigned)checksum(0, map.data, map.bytes));
        if (!crc || strcmp(crc, have) != 0) {
            good = error_set(o->e, EXIT_DATA, "%s: the checksum is %s and schema.json says %s; import the data again",
                             path, have, crc ? crc : "nothing");
        }
    }
    free(path);
    if (size) {
        *size = map.bytes;
    }
    return good ? map.data : NULL;
}

static bool check_offsets(Opener *o, const int64_t *offsets, int64_t n, int64_t total, const char *what)
{
    bool good = offsets[0] == 0 && offsets[n] == total;
    for (int64_t i = 0; good && i < n; i++) {
        good = offsets[i] <= offsets[i + 1];
    }
    return good || damaged(o, "the offsets do not ascend to the number of values:", what);
}

static bool open_vocab(Opener *o, const cJSON *json, DataVocab *v)
{
    v->name = get_text(json, "name");
    v->size = get_count(json, "size");
    if (!v->name || v->size < 0) {
        return damaged(o, "a vocabulary lacks its name or size", NULL);
    }
    v->text = map_listed(o, json, -1, &v->bytes);
    if (!v->text) {
        return false;
    }
    int64_t lines = 0;
    for (const char *at = v->text; (at = memchr(at, '\n', v->bytes - (size_t)(at - v->text))) != NULL; at++) {
        lines++;
    }
    if (lines != v->size || (v->bytes > 0 && v->text[v->bytes - 1] != '\n')) {
        return damaged(o, "the number of lines is not the size of vocabulary", v->name);
    }
    return true;
}

static bool open_column(Opener *o, const cJSON *json, DataColumn *c)
{
    DataSet *ds = o->ds;
    c->name = get_text(json, "name");
    int table = find_table(ds, get_text(json, "table"));
    int shape = find_name(shape_names, 3, get_text(json, "shape"));
    int dtype = find_name(data_type_names, DT_F64 + 1, get_text(json, "type"));
    if (!c->name || table < 0 || shape < 0 || dtype < 0) {
        return damaged(o, "a column lacks its name, or has an unknown table, shape or type:", c->name ? c->name : "");
    }
    c->table = (DataTable)table;
    c->shape = (DataShape)shape;
    c->dtype = (DType)dtype;
    c->vocab = get_text(json, "vocab");
    c->rows = table_rows(ds, c->table);
    c->values = get_count(json, "values");
    if (c->values < 0 || c->values > INT64_MAX / 8 || (shape == SHAPE_SCALAR && c->values != c->rows)) {
        return damaged(o, "the number of values does not fit in column", c->name);
    }
    if (c->vocab && (!data_vocab(ds, c->vocab) || (dtype != DT_I32 && dtype != DT_I64))) {
        return damaged(o, "the vocabulary is unknown, or the type is not whole, in column", c->name);
    }
    size_t each = shape == SHAPE_TEXT ? 1 : type_bytes[dtype];
    c->data = map_listed(o, json, c->values * (int64_t)each, NULL);
    if (!c->data) {
        return false;
    }
    if (shape != SHAPE_SCALAR) {
        c->offsets = map_listed(o, cJSON_GetObjectItemCaseSensitive(json, "offsets"), (c->rows + 1) * 8, NULL);
        return c->offsets && check_offsets(o, c->offsets, c->rows, c->values, c->name);
    }
    return true;
}

static bool open_group(Opener *o, const cJSON *json, DataGroup *g)
{
    int n = cJSON_GetArraySize(json);
    g->name = json->string;
    if (!g->name) {
        return damaged(o, "a group of fields has no name", NULL);
    }
    g->fields = calloc((size_t)n + 1, sizeof *g->fields);
    if (!g->fields) {
        return error_set(o->e, EXIT_RESOURCES, "no memory to open %s", o->ds->dir);
    }
    const cJSON *item;
    cJSON_ArrayForEach(item, json)
    {
        DataField *f = &g->fields[g->nfields];
        const char *name = get_text(item, "column");
        int table = find_table(o->ds, get_text(item, "table"));
        f->column = name && table >= 0 ? data_column(o->ds, (DataTable)table, name) : NULL;
        f->width = get_count(item, "width");
        f->safe = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(item, "safe"));
        if (!f->column || f->column->shape == SHAPE_TEXT || f->width < 1 || f->width > 1 << 20) {
            return damaged(o, "a field does not name a column of numbers or ids, in group", g->name);
        }
        g->nfields++;
    }
    return true;
}

/* Candidates name a user and a place among its events. */
static bool check_candidates(Opener *o)
{
    const DataSet *ds = o->ds;
    const DataColumn *user = data_column(ds, TABLE_CANDIDATE, "user"),
                     *at = data_column(ds, TABLE_CANDIDATE, "history");
    if (ds->candidates == 0) {
        return true;
    }
    if (!user || !at || user->shape != SHAPE_SCALAR || !user->vocab || at->shape != SHAPE_SCALAR ||
        at->dtype != DT_I64) {
        return damaged(o, "candidates need the columns user and history", NULL);
    }
    for (int64_t k = 0; k < ds->candidates; k++) {
        int64_t u = data_int(user, k), n = data_int(at, k);
        if (u < 0 || u >= ds->users || n < 0 || n > ds->user_offsets[u + 1] - ds->user_offsets[u]) {
            return damaged(o, "a candidate points behind the events of its user", NULL);
        }
    }
    return true;
}

static bool read_schema(Opener *o)
{
    DataSet *ds = o->ds;
    char *path = path_join(ds->dir, "schema.json");
    DataMap map;
    if (!path) {
        return error_set(o->e, EXIT_RESOURCES, "no memory to open %s", ds->dir);
    }
    if (access(path, F_OK) != 0) {
        free(path);
        return error_set(o->e, EXIT_DATA,
                         "%s is not a data set (it has no schema.json); make one with `heddle data import` or "
                         "`heddle data synth`",
                         ds->dir);
    }
    if (!map_file(path, &map, o->e)) {
        free(path);
        return false;
    }
    free(path);
    snprintf(ds->fingerprint, sizeof ds->fingerprint, "%08x", (unsigned)checksum(0, map.data, map.bytes));
    ds->schema = cJSON_ParseWithLength(map.data, map.bytes);
    unmap_file(&map);
    if (!cJSON_IsObject(ds->schema)) {
        return damaged(o, "this is not JSON", NULL);
    }
    const char *format = get_text(ds->schema, "format");
    int64_t version = get_count(ds->schema, "version");
    if (!format || strcmp(format, "heddle data set") != 0) {
        return error_set(o->e, EXIT_DATA, "%s/schema.json does not describe a Heddle data set", ds->dir);
    }
    if (version != DATA_VERSION) {
        return error_set(o->e, EXIT_DATA,
                         "%s has version %lld of the format and this program reads version %d; import "
                         "the data again",
                         ds->dir, (long long)version, DATA_VERSION);
    }
    const char *form = get_text(ds->schema, "form");
    bool is_log = form && strcmp(form, "log") == 0;
    if (!is_log && (!form || strcmp(form, "rows") != 0)) {
        return damaged(o, "the form is neither log nor rows", NULL);
    }
    ds->form = is_log ? DATA_LOG : DATA_ROWS;
    const cJSON *counts = cJSON_GetObjectItemCaseSensitive(ds->schema, "counts");
    ds->rows = get_count(counts, data_table_name(ds->form, TABLE_MAIN));
    ds->users = get_count(counts, "user");
    ds->items = get_count(counts, "item");
    bool candidates = cJSON_GetObjectItemCaseSensitive(counts, "candidate") != NULL;
    ds->candidates = candidates ? get_count(counts, "candidate") : 0;
    if (ds->rows < 0 || ds->users < 0 || ds->items < 0 || ds->candidates < 0 || (candidates && !is_log) ||
        ds->users > INT32_MAX || ds->items > INT32_MAX) {
        return damaged(o, "a count is missing", NULL);
    }
    return true;
}

static bool open_parts(Opener *o)
{
    DataSet *ds = o->ds;
    const cJSON *vocabs = cJSON_GetObjectItemCaseSensitive(ds->schema, "vocabularies");
    const cJSON *columns = cJSON_GetObjectItemCaseSensitive(ds->schema, "columns");
    const cJSON *groups = cJSON_GetObjectItemCaseSensitive(ds->schema, "fields");
    size_t nvocabs = (size_t)cJSON_GetArraySize(vocabs), ncolumns = (size_t)cJSON_GetArraySize(columns);
    ds->vocabs = calloc(nvocabs + 1, sizeof *ds->vocabs);
    ds->columns = calloc(ncolumns + 1, sizeof *ds->columns);
    ds->groups = calloc((size_t)cJSON_GetArraySize(groups) + 1, sizeof *ds->groups);
    ds->maps = calloc(nvocabs + 2 * ncolumns + 1, sizeof *ds->maps);
    if (!ds->vocabs || !ds->columns || !ds->groups || !ds->maps) {
        return error_set(o->e, EXIT_RESOURCES, "no memory to open %s", ds->dir);
    }
    const cJSON *item;
    cJSON_ArrayForEach(item, vocabs)
    {
        if (!open_vocab(o, item, &ds->vocabs[ds->nvocabs])) {
            return false;
        }
        ds->nvocabs++;
    }
    cJSON_ArrayForEach(item, columns)
    {
        if (!open_column(o, item, &ds->columns[ds->ncolumns])) {
            return false;
        }
        ds->ncolumns++;
    }
    cJSON_ArrayForEach(item, groups)
    {
        if (!open_group(o, item, &ds->groups[ds->ngroups++])) {
            return false;
        }
    }
    const DataVocab *user = data_vocab(ds, "user"), *items = data_vocab(ds, "item");
    if ((user && user->size != ds->users) || (items && items->size != ds->items)) {
        return damaged(o, "the counts of users or items differ from their vocabularies", NULL);
    }
    if (ds->form == DATA_LOG) {
        const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(ds->schema, "offsets");
        ds->user_offsets = map_listed(o, offsets, (ds->users + 1) * 8, NULL);
        return ds->user_offsets && check_offsets(o, ds->user_offsets, ds->users, ds->rows, "events by user") &&
               check_candidates(o);
    }
    return true;
}

DataSet *data_open(const char *dir, bool verify, Error *e)
{
    DataSet *ds = calloc(1, sizeof *ds);
    if (!ds || !(ds->dir = strdup(dir))) {
        free(ds);
        error_set(e, EXIT_RESOURCES, "no memory to open %s", dir);
        return NULL;
    }
    Opener o = {ds, verify, e};
    if (!read_schema(&o) || !open_parts(&o)) {
        data_close(ds);
        return NULL;
    }
    return ds;
}

void data_close(DataSet *ds)
{
    if (!ds) {
        return;
    }
    for (int i = 0; i < ds->nmaps; i++) {
        unmap_file(&ds->maps[i]);
    }
    for (int i = 0; ds->groups && i < ds->ngroups; i++) {
        free(ds->groups[i].fields);
    }
    free(ds->maps);
    free(ds->groups);
    free(ds->columns);
    free(ds->vocabs);
    cJSON_Delete(ds->schema);
    free(ds->dir);
    free(ds);
}

/* ---- access ------------------------------------------------------------------------------------------------ */

const DataColumn *data_column(const DataSet *ds, DataTable table, const char *name)
{
    for (int i = 0; i < ds->ncolumns; i++) {
        if (ds->columns[i].table == table && strcmp(ds->columns[i].name, name) == 0) {
            return &ds->columns[i];
        }
    }
    return NULL;
}

const DataVocab *data_vocab(const DataSet *ds, const char *name)
{
    for (int i = 0; i < ds->nvocabs; i++) {
        if (strcmp(ds->vocabs[i].name, name) == 0) {
            return &ds->vocabs[i];
        }
    }
    return NULL;
}

const DataGroup *data_group(const DataSet *ds, const char *name)
{
    for (int i = 0; i < ds->ngroups; i++) {
        if (strcmp(ds->groups[i].name, name) == 0) {
            return &ds->groups[i];
        }
    }
    return NULL;
}

/* Names are looked up one at a time, so a walk along the lines serves; it needs no memory however large the
 * vocabulary is. */
int64_t data_find(const DataSet *ds, const char *vocab, const char *raw)
{
    const DataVocab *v = data_vocab(ds, vocab);
    size_t n = strlen(raw);
    if (!v) {
        return -1;
    }
    const char *at = v->text;
    for (int64_t id = 0; id < v->size; id++) {
        const char *end = memchr(at, '\n', v->bytes - (size_t)(at - v->text));
        if ((size_t)(end - at) == n && memcmp(at, raw, n) == 0) {
            return id;
        }
        at = end + 1;
    }
    return -1;
}

const char *data_name(const DataSet *ds, const char *vocab, int64_t id, size_t *n)
{
    const DataVocab *v = data_vocab(ds, vocab);
    *n = 0;
    if (!v || id < 0 || id >= v->size) {
        return "";
    }
    const char *at = v->text;
    for (;;) {
        const char *end = memchr(at, '\n', v->bytes - (size_t)(at - v->text));
        if (id-- == 0) {
            *n = (size_t)(end - at);
            return at;
        }
        at = end + 1;
    }
}

const char *data_text(const DataColumn *c, int64_t row, size_t *n)
{
    *n = 0;
    if (c->shape != SHAPE_TEXT || row < 0 || row >= c->rows) {
        return "";
    }
    *n = (size_t)(c->offsets[row + 1] - c->offsets[row]);
    return (const char *)c->data + c->offsets[row];
}

int64_t data_int(const DataColumn *c, int64_t at)
{
    switch (c->dtype) {
    case DT_BOOL:
        return ((const uint8_t *)c->data)[at] != 0;
    case DT_I32:
        return ((const int32_t *)c->data)[at];
    case DT_I64:
        return ((const int64_t *)c->data)[at];
    case DT_F32:
        return (int64_t)((const float *)c->data)[at];
    case DT_F64:
        return (int64_t)((const double *)c->data)[at];
    }
    return 0;
}

double data_real(const DataColumn *c, int64_t at)
{
    switch (c->dtype) {
    case DT_F32:
        return (double)((const float *)c->data)[at];
    case DT_F64:
        return ((const double *)c->data)[at];
    default:
        return (double)data_int(c, at);
    }
}

bool data_best(const DataSet *ds, const char *metric, bool expected, double *value)
{
    const cJSON *best = cJSON_GetObjectItemCaseSensitive(ds->schema, "best");
    if (expected) {
        best = cJSON_GetObjectItemCaseSensitive(best, "expected");
    }
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(best, metric);
    *value = cJSON_IsNumber(item) ? item->valuedouble : 0;
    return cJSON_IsNumber(item);
}

char *data_describe(const DataSet *ds)
{
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    if (!f) {
        return NULL;
    }
    for (int t = 0; t < TABLE_COUNT; t++) {
        const char *between = "";
        bool any = t == TABLE_MAIN;
        for (int i = 0; i < ds->ncolumns; i++) {
            any |= (int)ds->columns[i].table == t;
        }
        if (!any) {
            continue;
        }
        fprintf(f, "%s (%lld): ", data_table_name(ds->form, (DataTable)t), (long long)table_rows(ds, (DataTable)t));
        for (int i = 0; i < ds->ncolumns; i++) {
            const DataColumn *c = &ds->columns[i];
            if ((int)c->table != t) {
                continue;
            }
            fprintf(f, "%s%s", between, c->name);
            if (c->vocab && strcmp(c->vocab, c->name) != 0) {
                fprintf(f, " : vocab(%s)", c->vocab);
            } else if (!c->vocab && c->shape != SHAPE_TEXT) {
                fprintf(f, " : %s", data_type_names[c->dtype]);
            }
            fputs(c->shape == SHAPE_LIST ? " list" : c->shape == SHAPE_TEXT ? " text" : "", f);
            between = ", ";
        }
        fputc('\n', f);
    }
    fclose(f);
    return text;
}
