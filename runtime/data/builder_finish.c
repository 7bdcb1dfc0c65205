/* The second half of the writer: events are grouped by user and ordered by time, everything is described in schema.json
 * and synced, and the directory takes its name. */
#define _GNU_SOURCE /* renameat2 */
#include "builder_impl.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *const shape_names[] = {"scalar", "list", "text"};

static bool sync_directory(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return good;
}

/* ---- grouping by user, ordering by time -------------------------------------------------------------------- */

typedef struct {
    int64_t users, events;
    int64_t *offsets;     /* users + 1 */
    int64_t *order;       /* mapped from raw/order: file row of the event at each final row */
    const int64_t *times; /* by file row, or NULL */
} Grouping;

/* Stable merge sort by time of the rows of one user; work has room for them. */
static void sort_by_time(int64_t *rows, int64_t n, const int64_t *times, int64_t *work)
{
    if (n < 2) {
        return;
    }
    int64_t half = n / 2;
    sort_by_time(rows, half, times, work);
    sort_by_time(rows + half, n - half, times, work);
    if (times[rows[half - 1]] <= times[rows[half]]) {
        return;
    }
    memcpy(work, rows, (size_t)half * sizeof *rows);
    for (int64_t left = 0, right = half, to = 0; left < half; to++) {
        bool take_right = right < n && times[rows[right]] < times[work[left]];
        rows[to] = take_right ? rows[right++] : work[left++];
    }
}

static bool group(Builder *b, Grouping *g, Error *e)
{
    DataMap users = {0};
    bool good = false;
    int64_t *next = NULL, *work = NULL;
    char *path = path_join(b->dir, "raw/user.i32");
    int user_vocab = builder_vocab(b, "user", e);
    if (!path || user_vocab < 0 || !map_file(path, &users, e)) {
        goto done;
    }
    const int32_t *user_of = users.data;
    g->users = b->vocabs[user_vocab].names.n;
    g->events = b->rows[TABLE_MAIN];
    g->offsets = calloc((size_t)g->users + 1, sizeof *g->offsets);
    next = malloc(((size_t)g->users + 1) * sizeof *next);
    if (!g->offsets || !next) {
        error_set(e, EXIT_RESOURCES, "no memory for %lld users", (long long)g->users);
        goto done;
    }
    for (int64_t r = 0; r < g->events; r++) {
        g->offsets[user_of[r] + 1]++;
    }
    int64_t longest = 0;
    for (int64_t u = 0; u < g->users; u++) {
        longest = g->offsets[u + 1] > longest ? g->offsets[u + 1] : longest;
        g->offsets[u + 1] += g->offsets[u];
    }
    memcpy(next, g->offsets, (size_t)g->users * sizeof *next);
    free(path);
    path = path_join(b->dir, "raw/order");
    int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644) : -1;
    size_t bytes = (size_t)(g->events ? g->events : 1) * sizeof *g->order;
    if (fd >= 0) {
        /* The blocks are claimed now: a store to a mapped page of a full disk would be a signal. */
        int full = posix_fallocate(fd, 0, (off_t)bytes);
        void *map = full ? MAP_FAILED : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        errno = full ? full : errno;
        g->order = map == MAP_FAILED ? NULL : map;
        close(fd);
    }
    if (!g->order) {
        error_set(e, EXIT_RESOURCES, "cannot order %lld events in %s: %s", (long long)g->events, b->dir,
                  strerror(errno));
        goto done;
    }
    for (int64_t r = 0; r < g->events; r++) {
        g->order[next[user_of[r]]++] = r;
    }
    if (g->times) {
        work = malloc(((size_t)longest / 2 + 1) * sizeof *work);
        if (!work) {
            error_set(e, EXIT_RESOURCES, "no memory to order a user of %lld events", (long long)longest);
            goto done;
        }
        for (int64_t u = 0; u < g->users; u++) {
            sort_by_time(g->order + g->offsets[u], g->offsets[u + 1] - g->offsets[u], g->times, work);
        }
    }
    good = true;
done:
    unmap_file(&users);
    free(path);
    free(next);
    free(work);
    return good;
}

/* Copies a spool of raw/ into columns/ in the new order. */
static bool reorder(Builder *b, Column *c, const Grouping *g, Error *e)
{
    char name[256];
    DataMap values = {0}, offsets = {0};
    column_file(name, sizeof name, b, c, true, false);
    char *path = path_join(b->dir, name);
    bool good = path && map_file(path, &values, e);
    free(path);
    if (good && c->shape != SHAPE_SCALAR) {
        column_file(name, sizeof name, b, c, true, true);
        path = path_join(b->dir, name);
        good = path && map_file(path, &offsets, e);
        free(path);
    }
    column_file(name, sizeof name, b, c, false, false);
    good = good && spool_open(b, &c->values, name, e);
    if (good && c->shape != SHAPE_SCALAR) {
        column_file(name, sizeof name, b, c, false, true);
        good = spool_open(b, &c->offsets, name, e);
    }
    const char *from = values.data;
    const int64_t *at = offsets.data;
    if (good && c->shape == SHAPE_SCALAR) {
        for (int64_t r = 0; r < g->events; r++) {
            spool_write(b, &c->values, from + (size_t)g->order[r] * c->each, c->each);
        }
    } else if (good) {
        int64_t total = 0;
        spool_write(b, &c->offsets, &total, 8);
        for (int64_t r = 0; r < g->events; r++) {
            int64_t lo = at[g->order[r]], n = at[g->order[r] + 1] - lo;
            spool_write(b, &c->values, from + (size_t)lo * c->each, (size_t)n * c->each);
            total += n;
            spool_write(b, &c->offsets, &total, 8);
        }
        c->values.n = total;
    }
    unmap_file(&values);
    unmap_file(&offsets);
    return good;
}

/* The file of a scalar column of candidates, mapped; data NULL: there is no such column, or an error is set. */
static bool map_candidates(Builder *b, const char *column, DataMap *map, Error *e)
{
    int c = builder_find(b, TABLE_CANDIDATE, column);
    char name[256];
    if (c < 0) {
        return true;
    }
    if (b->columns[c].values.file && fflush(b->columns[c].values.file) != 0) {
        b->failed = errno;
        return true;
    }
    column_file(name, sizeof name, b, &b->columns[c], false, false);
    char *path = path_join(b->dir, name);
    bool good = path && map_file(path, map, e);
    free(path);
    return good;
}

/* The column `history` of the candidates: how many events of its user are earlier; all of them, where times are
 * missing. An event of the very time of the candidate is not earlier: it may be the answer. */
static bool point_candidates(Builder *b, const Grouping *g, Error *e)
{
    DataMap users = {0}, times = {0};
    int column = builder_column(b, TABLE_CANDIDATE, "history", SHAPE_SCALAR, DT_I64, -1, e);
    bool good = column >= 0 && map_candidates(b, "user", &users, e) && map_candidates(b, "ts", &times, e);
    const int32_t *user = users.data;
    const int64_t *ts = times.data;
    for (int64_t k = 0; good && !b->failed && k < b->rows[TABLE_CANDIDATE]; k++) {
        int64_t first = g->offsets[user[k]], lo = first, hi = g->offsets[user[k] + 1];
        while (g->times && ts && lo < hi) {
            int64_t mid = lo + (hi - lo) / 2;
            if (g->times[g->order[mid]] < ts[k]) {
                lo = mid + 1;
            } else {
                hi = mid;
            }
        }
        builder_int(b, column, (g->times && ts ? lo : hi) - first);
    }
    unmap_file(&users);
    unmap_file(&times);
    return good;
}

static bool group_events(Builder *b, Spool *user_offsets, Error *e)
{
    Grouping g = {0};
    DataMap times = {0};
    int ts = builder_find(b, TABLE_MAIN, "ts");
    bool good = true;
    spool_close(b, &b->users, false);
    for (int i = 0; i < b->ncolumns; i++) {
        if (b->columns[i].table == TABLE_MAIN) {
            spool_close(b, &b->columns[i].values, false);
            spool_close(b, &b->columns[i].offsets, false);
        }
    }
    if (b->failed) {
        return true; /* builder_finish says so */
    }
    if (ts >= 0) {
        char name[256];
        column_file(name, sizeof name, b, &b->columns[ts], true, false);
        char *path = path_join(b->dir, name);
        good = path && map_file(path, &times, e);
        g.times = times.data;
        free(path);
    }
    good = good && group(b, &g, e) && (b->rows[TABLE_CANDIDATE] == 0 || point_candidates(b, &g, e));
    for (int i = 0; good && i < b->ncolumns; i++) {
        if (b->columns[i].table == TABLE_MAIN) {
            good = reorder(b, &b->columns[i], &g, e);
        }
    }
    if (good && spool_open(b, user_offsets, "columns/user.offsets.i64", e)) {
        for (int64_t u = 0; u <= g.users; u++) {
            spool_write(b, user_offsets, &g.offsets[u], 8);
        }
    } else {
        good = false;
    }
    unmap_file(&times);
    if (g.order) {
        munmap(g.order, (size_t)(g.events ? g.events : 1) * sizeof *g.order);
    }
    free(g.offsets);
    return good;
}

/* ---- schema.json ------------------------------------------------------------------------------------------- */

static void add_file(cJSON *object, const char *name, const Spool *s)
{
    char crc[9];
    snprintf(crc, sizeof crc, "%08x", (unsigned)s->crc);
    cJSON_AddStringToObject(object, "file", name);
    cJSON_AddStringToObject(object, "crc32", crc);
}

static bool write_vocabs(Builder *b, cJSON *list, Error *e)
{
    for (int i = 0; i < b->nvocabs; i++) {
        const Names *names = &b->vocabs[i].names;
        char file[256];
        Spool s;
        snprintf(file, sizeof file, "vocab/%s.txt", b->vocabs[i].name);
        if (!spool_open(b, &s, file, e)) {
            return false;
        }
        for (int64_t id = 0; id < names->n; id++) {
            size_t n;
            const char *name = names_get(names, id, &n);
            spool_write(b, &s, name, n);
            spool_write(b, &s, "\n", 1);
        }
        spool_close(b, &s, true);
        cJSON *json = cJSON_CreateObject();
        cJSON_AddItemToArray(list, json);
        cJSON_AddStringToObject(json, "name", b->vocabs[i].name);
        cJSON_AddNumberToObject(json, "size", (double)names->n);
        add_file(json, file, &s);
    }
    return true;
}

static void describe_column(Builder *b, cJSON *list, Column *c)
{
    char file[256];
    cJSON *json = cJSON_CreateObject();
    cJSON_AddItemToArray(list, json);
    cJSON_AddStringToObject(json, "table", data_table_name(b->form, c->table));
    cJSON_AddStringToObject(json, "name", c->name);
    cJSON_AddStringToObject(json, "type", data_type_names[c->dtype]);
    cJSON_AddStringToObject(json, "shape", shape_names[c->shape]);
    if (c->vocab >= 0) {
        cJSON_AddStringToObject(json, "vocab", b->vocabs[c->vocab].name);
    }
    cJSON_AddNumberToObject(json, "values", (double)c->values.n);
    column_file(file, sizeof file, b, c, false, false);
    add_file(json, file, &c->values);
    if (c->shape != SHAPE_SCALAR) {
        column_file(file, sizeof file, b, c, false, true);
        add_file(cJSON_AddObjectToObject(json, "offsets"), file, &c->offsets);
    }
}

static bool default_fields(Builder *b, Error *e)
{
    for (int i = 0; i < b->ncolumns; i++) {
        const Column *c = &b->columns[i];
        bool candidates = b->rows[TABLE_CANDIDATE] > 0,
             key = c->table == TABLE_CANDIDATE && strcmp(c->name, "user") == 0;
        bool of_item = c->table == TABLE_MAIN && strcmp(c->name, "item") == 0 && !candidates;
        bool beside = (c->table != TABLE_MAIN && !key) || b->form == DATA_ROWS;
        bool is_part = c->vocab >= 0 && strcmp(b->vocabs[c->vocab].name, "part") == 0; /* how the data is cut */
        if (c->shape == SHAPE_TEXT || !(beside || of_item) || is_part) {
            continue;
        }
        if (c->vocab >= 0 && !builder_field(b, "cat", i, c->table == TABLE_USER, e)) {
            return false;
        }
        bool numeric = c->vocab < 0 && c->dtype == DT_F32 && strcmp(c->name, "lab") != 0;
        if (numeric && (c->shape == SHAPE_SCALAR || c->width >= 1) &&
            !builder_field(b, "num", i, c->table == TABLE_USER, e)) {
            return false;
        }
    }
    return true;
}

static void describe_fields(Builder *b, cJSON *groups)
{
    for (int i = 0; i < b->nfields; i++) {
        const Field *f = &b->fields[i];
        const Column *c = &b->columns[f->column];
        cJSON *list = cJSON_GetObjectItemCaseSensitive(groups, f->group);
        if (!list) {
            list = cJSON_AddArrayToObject(groups, f->group);
        }
        cJSON *json = cJSON_CreateObject();
        cJSON_AddItemToArray(list, json);
        cJSON_AddStringToObject(json, "table", data_table_name(b->form, c->table));
        cJSON_AddStringToObject(json, "column", c->name);
        cJSON_AddNumberToObject(json, "width",
                                c->vocab < 0 && c->shape == SHAPE_LIST && c->width > 0 ? (double)c->width : 1);
        cJSON_AddBoolToObject(json, "safe", f->safe);
    }
}

int64_t builder_count(const Builder *b, DataTable table)
{
    const char *name = table == TABLE_USER ? "user" : "item";
    for (int i = 0; (table == TABLE_USER || table == TABLE_ITEM) && i < b->nvocabs; i++) {
        if (strcmp(b->vocabs[i].name, name) == 0) {
            return b->vocabs[i].names.n;
        }
    }
    return b->rows[table];
}

static bool write_schema(Builder *b, const Spool *user_offsets, cJSON *extra, Error *e)
{
    cJSON *schema = cJSON_CreateObject();
    cJSON_AddStringToObject(schema, "format", "heddle data set");
    cJSON_AddNumberToObject(schema, "version", DATA_VERSION);
    cJSON_AddStringToObject(schema, "form", b->form == DATA_LOG ? "log" : "rows");
    cJSON *counts = cJSON_AddObjectToObject(schema, "counts");
    cJSON_AddNumberToObject(counts, data_table_name(b->form, TABLE_MAIN), (double)b->rows[TABLE_MAIN]);
    cJSON_AddNumberToObject(counts, "user", (double)builder_count(b, TABLE_USER));
    cJSON_AddNumberToObject(counts, "item", (double)builder_count(b, TABLE_ITEM));
    if (b->rows[TABLE_CANDIDATE] > 0) {
        cJSON_AddNumberToObject(counts, "candidate", (double)b->rows[TABLE_CANDIDATE]);
    }
    if (b->form == DATA_LOG) {
        add_file(cJSON_AddObjectToObject(schema, "offsets"), "columns/user.offsets.i64", user_offsets);
    }
    cJSON *columns = cJSON_AddArrayToObject(schema, "columns");
    for (int i = 0; i < b->ncolumns; i++) {
        describe_column(b, columns, &b->columns[i]);
    }
    bool good =
        (b->nfields > 0 || default_fields(b, e)) && write_vocabs(b, cJSON_AddArrayToObject(schema, "vocabularies"), e);
    if (good) {
        describe_fields(b, cJSON_AddObjectToObject(schema, "fields"));
        while (extra && extra->child) {
            cJSON *member = cJSON_DetachItemViaPointer(extra, extra->child);
            cJSON_AddItemToObject(schema, member->string, member);
        }
    }
    char *text = good ? cJSON_Print(schema) : NULL;
    cJSON_Delete(schema);
    if (good && !text) {
        return error_set(e, EXIT_RESOURCES, "no memory for the schema of %s", b->out);
    }
    Spool s;
    good = good && spool_open(b, &s, "schema.json", e);
    if (good) {
        spool_write(b, &s, text, strlen(text));
        spool_write(b, &s, "\n", 1);
        spool_close(b, &s, true);
    }
    cJSON_free(text);
    return good;
}

/* Puts the finished directory in its place. A data set that is replaced changes places with it in one step; where the
 * file system cannot do that, it is moved aside first. The old one is removed only when the new one stands. */
static bool put_in_place(Builder *b, Error *e)
{
    if (!b->replace) {
        return rename(b->dir, b->out) == 0 ||
               error_set(e, EXIT_DATA, "cannot put %s in place: %s", b->out, strerror(errno));
    }
    if (renameat2(AT_FDCWD, b->dir, AT_FDCWD, b->out, RENAME_EXCHANGE) == 0) {
        remove_tree(b->dir);
        return true;
    }
    size_t n = strlen(b->dir) + 8;
    char *old = malloc(n);
    if (!old) {
        return error_set(e, EXIT_RESOURCES, "no memory to replace %s", b->out);
    }
    snprintf(old, n, "%s.old", b->dir);
    bool good = rename(b->out, old) == 0;
    if (good && rename(b->dir, b->out)) {
        int why = errno;
        good = rename(old, b->out) == 0 && false;
        errno = why;
    }
    if (good) {
        remove_tree(old);
    } else {
        error_set(e, EXIT_DATA, "cannot replace %s: %s", b->out, strerror(errno));
    }
    free(old);
    return good;
}

bool builder_finish(Builder *b, cJSON *extra, Error *e)
{
    Spool user_offsets = {0};
    for (int t = TABLE_USER; t <= TABLE_ITEM; t++) {
        if (b->rows[t] > 0 && b->rows[t] != builder_count(b, (DataTable)t)) {
            error_set(e, EXIT_DATA, "%lld %ss have no row in their table",
                      (long long)(builder_count(b, (DataTable)t) - b->rows[t]), data_table_name(b->form, (DataTable)t));
            goto fail;
        }
    }
    if (b->form == DATA_LOG && !b->failed && !group_events(b, &user_offsets, e)) {
        spool_close(b, &user_offsets, false);
        goto fail;
    }
    spool_close(b, &user_offsets, true);
    for (int i = 0; i < b->ncolumns; i++) {
        spool_close(b, &b->columns[i].values, true);
        spool_close(b, &b->columns[i].offsets, true);
    }
    char *raw = path_join(b->dir, "raw");
    if (raw) {
        remove_tree(raw);
        free(raw);
    }
    if (!b->failed && !write_schema(b, &user_offsets, extra, e)) {
        goto fail;
    }
    if (!b->failed && !sync_directory(b->dir)) {
        b->failed = errno;
    }
    if (b->failed) {
        error_set(e, EXIT_RESOURCES, "cannot write %s: %s; nothing was left there", b->out, strerror(b->failed));
        goto fail;
    }
    if (!put_in_place(b, e)) {
        goto fail;
    }
    cJSON_Delete(extra);
    builder_free(b);
    return true;
fail:
    cJSON_Delete(extra);
    builder_abort(b);
    return false;
}
