/* RecBole's atomic files: NAME.inter (the events) with NAME.user and NAME.item beside it, if there are any. The first
 * line types every column: `user_id:token`, `tags:token_seq`, `price:float`, `scores:float_seq`; columns are separated
 * by tabs, the elements of a sequence by blanks.
 *
 * The fields that are the user, the item, the time and the label become user, item, ts (whole seconds) and lab;
 * all others keep their names, and a token's vocabulary is called like its column. Empty tokens are an entry of their
 * own; empty numbers are bad rows unless a value for them is given. Without a user field, or without items, the
 * interactions are rows that stand alone. */
#include "import_table.h"

#include "lines.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct {
    char *header;   /* the line, cut at : and tab */
    char **sources; /* name:type as in the file */
    FieldDecl *fields;
    int n;
} Header;

static void header_free(Header *h)
{
    for (int i = 0; h->sources && i < h->n; i++) {
        free(h->sources[i]);
    }
    free(h->sources);
    free(h->fields);
    free(h->header);
}

static const char *or_default(const char *name, const char *fallback)
{
    return name ? name : fallback;
}

/* A column by its name and type; false: the type is unknown. */
static bool declare(const ImportOptions *o, const char *name, const char *type, FieldDecl *d)
{
    *d = (FieldDecl){.name = name, .dtype = DT_F32, .separator = " "};
    if (strcmp(name, or_default(o->user_field, "user_id")) == 0) {
        *d = (FieldDecl){.name = "user", .type = FIELD_ID, .role = ROLE_USER, .vocab = "user"};
        return strcmp(type, "token") == 0;
    }
    if (strcmp(name, or_default(o->item_field, "item_id")) == 0) {
        *d = (FieldDecl){.name = "item", .type = FIELD_ID, .role = ROLE_ITEM, .vocab = "item"};
        return strcmp(type, "token") == 0;
    }
    if (strcmp(name, or_default(o->time_field, "timestamp")) == 0) {
        *d = (FieldDecl){.name = "ts", .type = FIELD_TIME, .unit = 1};
        return strcmp(type, "float") == 0 || strcmp(type, "token") == 0;
    }
    if (strcmp(name, or_default(o->label_field, "label")) == 0) {
        d->name = "lab";
        d->type = FIELD_REAL;
        d->outcome = true;
        return strcmp(type, "float") == 0;
    }
    d->outcome = strcmp(name, "rating") == 0;
    if (strcmp(type, "token") == 0) {
        d->type = FIELD_ID;
        d->vocab = name;
        d->optional = true;
    } else if (strcmp(type, "token_seq") == 0) {
        d->type = FIELD_IDS;
        d->vocab = name;
    } else if (strcmp(type, "float") == 0) {
        d->type = FIELD_REAL;
    } else {
        d->type = FIELD_REALS;
        return strcmp(type, "float_seq") == 0;
    }
    return true;
}

static bool read_header(Importer *im, const char *path, Header *h)
{
    char *line;
    size_t length;
    LineReader *lines = lines_open(path, false, im->e);
    int got = lines ? lines_next(lines, &line, &length, im->e) : -1;
    if (got == 0) {
        error_set(im->e, EXIT_DATA, "%s is empty; its first line should name the columns", path);
    }
    if (got > 0) {
        h->header = strdup(line);
        size_t columns = 1;
        for (const char *s = line; *s; s++) {
            columns += *s == '\t';
        }
        h->sources = calloc(columns, sizeof *h->sources);
        h->fields = calloc(columns, sizeof *h->fields);
    }
    lines_close(lines);
    if (got <= 0) {
        return false;
    }
    if (!h->header || !h->sources || !h->fields) {
        return error_set(im->e, EXIT_RESOURCES, "no memory to read %s", path);
    }
    for (char *at = h->header; at;) {
        char *tab = strchr(at, '\t');
        if (tab) {
            *tab = 0;
        }
        char *source = strdup(at), *colon = strrchr(at, ':');
        h->sources[h->n] = source;
        if (!source || !colon) {
            h->n += source != NULL;
            return source ? error_set(im->e, EXIT_DATA,
                                      "%s:1: expected name:type, found '%.60s'; the types are token, "
                                      "token_seq, float and float_seq",
                                      path, at)
                          : error_set(im->e, EXIT_RESOURCES, "no memory to read %s", path);
        }
        *colon = 0;
        FieldDecl *d = &h->fields[h->n++];
        if (!declare(im->options, at, colon + 1, d)) {
            return error_set(im->e, EXIT_DATA, "%s:1: column '%.60s' cannot have the type '%.20s'", path, at,
                             colon + 1);
        }
        d->source = source;
        at = tab ? tab + 1 : NULL;
    }
    return true;
}

static bool has_role(const Header *h, FieldRole role)
{
    for (int i = 0; i < h->n; i++) {
        if (h->fields[i].role == role) {
            return true;
        }
    }
    return false;
}

static bool read_table(Importer *im, const char *path, DataTable table, const Header *h)
{
    FieldRole key = table == TABLE_USER ? ROLE_USER : ROLE_ITEM;
    if (table != TABLE_MAIN && !has_role(h, key)) {
        return error_set(im->e, EXIT_DATA, "%s has no column %s; name it in the options", path,
                         table == TABLE_USER ? or_default(im->options->user_field, "user_id")
                                             : or_default(im->options->item_field, "item_id"));
    }
    TableDecl decl = {
        .table = table, .separator = "\t", .header = true, .width = h->n, .nfields = h->n, .fields = h->fields};
    return import_table(im, &decl, path);
}

/* The path of the .inter file: `path` itself, or the one such file of that directory is named after it. */
static char *find_inter(const char *path, Error *e)
{
    struct stat st;
    if (stat(path, &st)) {
        error_set(e, EXIT_DATA, "there is no %s", path);
        return NULL;
    }
    if (!S_ISDIR(st.st_mode)) {
        char *copy = strdup(path);
        if (!copy) {
            error_set(e, EXIT_RESOURCES, "no memory to read %s", path);
        }
        return copy;
    }
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') {
        n--;
    }
    char *dir = strndup(path, n);
    char *name = dir ? malloc(n + 8) : NULL, *found = NULL;
    if (name) {
        snprintf(name, n + 8, "%s.inter", import_base(dir));
        found = import_find(dir, name);
    }
    if (!found) {
        error_set(e, EXIT_DATA, "%s has no %s (nor %s.gz); name the .inter file itself", path, name ? name : ".inter",
                  name ? name : ".inter");
    }
    free(name);
    free(dir);
    return found;
}

bool import_recbole(Importer *im, const char *path, const char *out)
{
    static const char *const ends[] = {[TABLE_USER] = "user", [TABLE_ITEM] = "item"};
    Header h[TABLE_COUNT] = {{0}};
    char *side[TABLE_COUNT] = {NULL};
    bool good = false;
    char *inter = find_inter(path, im->e);
    if (!inter || !read_header(im, inter, &h[TABLE_MAIN])) {
        goto done;
    }
    bool is_log = has_role(&h[TABLE_MAIN], ROLE_USER) && has_role(&h[TABLE_MAIN], ROLE_ITEM);
    im->report->is_log = is_log;
    im->builder = builder_new(out, is_log ? DATA_LOG : DATA_ROWS, im->options->replace, im->e);
    if (!im->builder) {
        goto done;
    }
    char *dot = strstr((char *)import_base(inter), ".inter");
    for (int t = TABLE_USER; dot && t <= TABLE_ITEM; t++) {
        char stem[4096];
        if (!has_role(&h[TABLE_MAIN], t == TABLE_USER ? ROLE_USER : ROLE_ITEM) ||
            (size_t)snprintf(stem, sizeof stem, "%.*s.%s", (int)(dot - inter), inter, ends[t]) >= sizeof stem) {
            continue;
        }
        side[t] = import_find(stem[0] == '/' ? "" : ".", stem[0] == '/' ? stem + 1 : stem);
        if (side[t] && (!read_header(im, side[t], &h[t]) || !read_table(im, side[t], (DataTable)t, &h[t]))) {
            goto done;
        }
    }
    good = read_table(im, inter, TABLE_MAIN, &h[TABLE_MAIN]);
done:
    for (int t = 0; t < TABLE_COUNT; t++) {
        header_free(&h[t]);
        free(side[t]);
    }
    free(inter);
    return good;
}
