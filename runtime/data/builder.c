/* Two stages. While rows come, a column is a spool: a file that only grows. The spools of an event log lie in raw/ in
 * file order; builder_finish.c counts events per user, writes the permutation (user, time, file row) to raw/order and
 * copies each spool through it into columns/. So memory holds the vocabularies, one counter per user and the longest
 * single user, never the log. */
#include "builder_impl.h"
#include "lines.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const size_t type_bytes[] = {[DT_BOOL] = 1, [DT_I32] = 4, [DT_I64] = 8, [DT_F32] = 4, [DT_F64] = 8};

/* ---- files ------------------------------------------------------------------------------------------------- */

void column_file(char *to, size_t n, const Builder *b, const Column *c, bool raw, bool offsets)
{
    const char *type = offsets ? "offsets.i64" : c->shape == SHAPE_TEXT ? "text" : data_type_names[c->dtype];
    snprintf(to, n, "%s/%s.%s.%s", raw ? "raw" : "columns", data_table_name(b->form, c->table), c->name, type);
}

bool spool_open(Builder *b, Spool *s, const char *name, Error *e)
{
    char *path = path_join(b->dir, name);
    *s = (Spool){path ? fopen(path, "wbe") : NULL, 0, 0};
    if (!s->file) {
        error_set(e, EXIT_RESOURCES, "cannot write %s in %s: %s", name, b->dir, path ? strerror(errno) : "no memory");
    }
    free(path);
    return s->file != NULL;
}

void spool_write(Builder *b, Spool *s, const void *data, size_t bytes)
{
    s->crc = checksum(s->crc, data, bytes);
    s->n++;
    if (bytes > 0 && fwrite(data, 1, bytes, s->file) != bytes && !b->failed) {
        b->failed = errno ? errno : EIO;
    }
}

/* Closes, after the bytes have reached the disk if they are to stay. */
void spool_close(Builder *b, Spool *s, bool keep)
{
    if (!s->file) {
        return;
    }
    if ((fflush(s->file) || ferror(s->file) || (keep && fsync(fileno(s->file)))) && !b->failed) {
        b->failed = errno ? errno : EIO;
    }
    if (fclose(s->file) && !b->failed) {
        b->failed = errno ? errno : EIO;
    }
    s->file = NULL;
}

void remove_tree(const char *dir)
{
    DIR *d = opendir(dir);
    if (d) {
        for (struct dirent *entry; (entry = readdir(d)) != NULL;) {
            if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
                continue;
            }
            char *path = path_join(dir, entry->d_name);
            struct stat st;
            if (path && lstat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
                remove_tree(path);
            } else if (path) {
                unlink(path);
            }
            free(path);
        }
        closedir(d);
    }
    rmdir(dir);
}

static bool is_data_set(const char *dir)
{
    char *path = path_join(dir, "schema.json");
    bool there = path && access(path, F_OK) == 0;
    free(path);
    return there;
}

/* ---- the rows come ----------------------------------------------------------------------------------------- */

void builder_free(Builder *b)
{
    for (int i = 0; i < b->ncolumns; i++) {
        spool_close(b, &b->columns[i].values, false);
        spool_close(b, &b->columns[i].offsets, false);
        free(b->columns[i].name);
    }
    for (int i = 0; i < b->nvocabs; i++) {
        free(b->vocabs[i].name);
        names_free(&b->vocabs[i].names);
    }
    for (int i = 0; i < b->nfields; i++) {
        free(b->fields[i].group);
    }
    spool_close(b, &b->users, false);
    free(b->columns);
    free(b->vocabs);
    free(b->fields);
    free(b->out);
    free(b->dir);
    free(b);
}

void builder_abort(Builder *b)
{
    if (b) {
        if (b->dir) {
            remove_tree(b->dir);
        }
        builder_free(b);
    }
}

Builder *builder_new(const char *out, DataForm form, bool replace, Error *e)
{
    struct stat st;
    bool there = lstat(out, &st) == 0;
    if (there && !(replace && is_data_set(out))) {
        error_set(e, EXIT_DATA,
                  is_data_set(out) ? "%s is there already; choose another name, or ask to replace it"
                                   : "%s is there already and is not a data set; choose another name",
                  out);
        return NULL;
    }
    Builder *b = calloc(1, sizeof *b);
    size_t n = strlen(out);
    while (n > 1 && out[n - 1] == '/') {
        n--;
    }
    if (!b || !(b->out = strndup(out, n)) || !(b->dir = malloc(n + 16))) {
        goto no_memory;
    }
    snprintf(b->dir, n + 16, "%s.tmp-XXXXXX", b->out);
    b->form = form;
    b->replace = replace && there;
    if (!mkdtemp(b->dir)) {
        error_set(e, EXIT_DATA, "cannot make a directory beside %s: %s", b->out, strerror(errno));
        free(b->dir);
        b->dir = NULL;
        builder_abort(b);
        return NULL;
    }
    chmod(b->dir, 0755);
    const char *folders[] = {"columns", "vocab", "raw"};
    for (int i = 0; i < 3; i++) {
        char *path = path_join(b->dir, folders[i]);
        if (!path || mkdir(path, 0755)) {
            error_set(e, EXIT_RESOURCES, "cannot make %s in %s: %s", folders[i], b->dir, strerror(errno));
            free(path);
            builder_abort(b);
            return NULL;
        }
        free(path);
    }
    if (form == DATA_LOG && !spool_open(b, &b->users, "raw/user.i32", e)) {
        builder_abort(b);
        return NULL;
    }
    return b;
no_memory:
    error_set(e, EXIT_RESOURCES, "no memory to write %s", out);
    builder_abort(b);
    return NULL;
}

/* Names become names of files. */
static bool good_name(const char *name)
{
    size_t n = strlen(name);
    return n > 0 && n <= 128 && name[0] != '.' && !strchr(name, '/') && text_is_clean(name, n) && !strchr(name, '\t');
}

int builder_vocab(Builder *b, const char *name, Error *e)
{
    if (!good_name(name)) {
        error_set(e, EXIT_DATA, "'%.128s' cannot be the name of a vocabulary: use letters, digits and _", name);
        return -1;
    }
    for (int i = 0; i < b->nvocabs; i++) {
        if (strcmp(b->vocabs[i].name, name) == 0) {
            return i;
        }
    }
    Vocab *more = realloc(b->vocabs, (size_t)(b->nvocabs + 1) * sizeof *more);
    if (more) {
        b->vocabs = more;
        names_init(&more[b->nvocabs].names);
        more[b->nvocabs].name = strdup(name);
    }
    if (!more || !more[b->nvocabs].name) {
        error_set(e, EXIT_RESOURCES, "no memory for vocabulary %s", name);
        return -1;
    }
    return b->nvocabs++;
}

Names *builder_names(Builder *b, int vocab)
{
    return &b->vocabs[vocab].names;
}

int builder_find(const Builder *b, DataTable table, const char *name)
{
    for (int i = 0; i < b->ncolumns; i++) {
        if (b->columns[i].table == table && strcmp(b->columns[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

int builder_column(Builder *b, DataTable table, const char *name, DataShape shape, DType dtype, int vocab, Error *e)
{
    if (builder_find(b, table, name) >= 0) {
        error_set(e, EXIT_DATA, "two columns of the %s table are called %s; rename one",
                  data_table_name(b->form, table), name);
        return -1;
    }
    if (!good_name(name)) {
        error_set(e, EXIT_DATA, "'%.128s' cannot be the name of a column: use letters, digits and _", name);
        return -1;
    }
    Column *more = realloc(b->columns, (size_t)(b->ncolumns + 1) * sizeof *more);
    if (!more) {
        error_set(e, EXIT_RESOURCES, "no memory for column %s", name);
        return -1;
    }
    b->columns = more;
    Column *c = &b->columns[b->ncolumns];
    *c = (Column){strdup(name),
                  table,
                  shape,
                  shape == SHAPE_TEXT ? DT_BOOL : dtype,
                  vocab,
                  shape == SHAPE_TEXT ? 1 : type_bytes[dtype],
                  {0},
                  {0},
                  0,
                  -2};
    if (!c->name) {
        error_set(e, EXIT_RESOURCES, "no memory for column %s", name);
        return -1;
    }
    b->ncolumns++;
    bool raw = b->form == DATA_LOG && table == TABLE_MAIN;
    char path[256];
    column_file(path, sizeof path, b, c, raw, false);
    if (!spool_open(b, &c->values, path, e)) {
        return -1;
    }
    if (shape != SHAPE_SCALAR) {
        column_file(path, sizeof path, b, c, raw, true);
        if (!spool_open(b, &c->offsets, path, e)) {
            return -1;
        }
        spool_write(b, &c->offsets, &(int64_t){0}, 8);
    }
    return b->ncolumns - 1;
}

void builder_int(Builder *b, int column, int64_t value)
{
    Column *c = &b->columns[column];
    switch (c->dtype) {
    case DT_BOOL:
        spool_write(b, &c->values, &(uint8_t){value != 0}, 1);
        break;
    case DT_I32:
        spool_write(b, &c->values, &(int32_t){(int32_t)value}, 4);
        break;
    case DT_I64:
        spool_write(b, &c->values, &value, 8);
        break;
    default:
        builder_real(b, column, (double)value);
    }
}

void builder_real(Builder *b, int column, double value)
{
    Column *c = &b->columns[column];
    if (c->dtype == DT_F32) {
        spool_write(b, &c->values, &(float){(float)value}, 4);
    } else {
        spool_write(b, &c->values, &value, 8);
    }
}

void builder_text(Builder *b, int column, const char *s, size_t n)
{
    Column *c = &b->columns[column];
    spool_write(b, &c->values, s, n);
    c->values.n += (int64_t)n - 1; /* counted in bytes */
}

void builder_row(Builder *b, DataTable table, int64_t user)
{
    for (int i = 0; i < b->ncolumns; i++) {
        Column *c = &b->columns[i];
        if (c->table != table || c->shape == SHAPE_SCALAR) {
            continue;
        }
        int64_t width = c->values.n - c->row_start;
        c->width = c->width == -2 || c->width == width ? width : -1;
        c->row_start = c->values.n;
        spool_write(b, &c->offsets, &c->values.n, 8);
    }
    if (table == TABLE_MAIN && b->form == DATA_LOG) {
        spool_write(b, &b->users, &(int32_t){(int32_t)user}, 4);
    }
    b->rows[table]++;
}

bool builder_field(Builder *b, const char *group, int column, bool safe, Error *e)
{
    const Column *c = &b->columns[column];
    if (c->shape == SHAPE_TEXT || (c->vocab < 0 && c->shape == SHAPE_LIST && c->width == -1)) {
        return error_set(e, EXIT_DATA, "column %s cannot be a field: it is %s", c->name,
                         c->shape == SHAPE_TEXT ? "text" : "a list of numbers whose length differs between rows");
    }
    Field *more = realloc(b->fields, (size_t)(b->nfields + 1) * sizeof *more);
    char *copy = strdup(group);
    if (more) {
        b->fields = more;
    }
    if (!more || !copy) {
        free(copy);
        return error_set(e, EXIT_RESOURCES, "no memory for field %s", c->name);
    }
    b->fields[b->nfields++] = (Field){copy, column, safe};
    return true;
}

bool builder_failed(const Builder *b)
{
    return b->failed != 0;
}

int64_t builder_rows(const Builder *b, DataTable table)
{
    return b->rows[table];
}
