/* Import by cases: every folder of import/ holds input files, `args` (what to import and how) and `expected` (the
 * report and every value of the data set, or the error and the bad rows). --update rewrites `expected`.
 *
 *     test_data_import DIR [--update]
 *
 * args: FORMAT PATH... [schema=FILE] [valid=FILE] [test=FILE] [min_count=N] [fields] [skip_bad] [drop_unknown]
 * [missing=N] [gz]; paths are relative to the case, and gz
 * packs every input file first, which must not change anything. */
#include "data/import.h"
#include "data/dataset.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static int failures;

static void print_value(FILE *f, const DataSet *ds, const DataColumn *c, int64_t at)
{
    if (c->vocab) {
        size_t n;
        const char *name = data_name(ds, c->vocab, data_int(c, at), &n);
        fprintf(f, " %lld:%.*s", (long long)data_int(c, at), (int)n, name);
    } else if (c->dtype == DT_F32 || c->dtype == DT_F64) {
        fprintf(f, " %g", data_real(c, at));
    } else {
        fprintf(f, " %lld", (long long)data_int(c, at));
    }
}

static void dump(FILE *f, const DataSet *ds)
{
    char *text = data_describe(ds);
    fputs(text, f);
    free(text);
    if (ds->form == DATA_LOG) {
        fputs("offsets:", f);
        for (int64_t u = 0; u <= ds->users; u++) {
            fprintf(f, " %lld", (long long)ds->user_offsets[u]);
        }
        fputc('\n', f);
    }
    for (int i = 0; i < ds->nvocabs; i++) {
        fprintf(f, "vocab %s:", ds->vocabs[i].name);
        for (int64_t id = 0; id < ds->vocabs[i].size; id++) {
            size_t n;
            const char *name = data_name(ds, ds->vocabs[i].name, id, &n);
            fprintf(f, " '%.*s'", (int)n, name);
        }
        fputc('\n', f);
    }
    for (int i = 0; i < ds->ncolumns; i++) {
        const DataColumn *c = &ds->columns[i];
        fprintf(f, "%s.%s:", data_table_name(ds->form, c->table), c->name);
        for (int64_t row = 0; row < c->rows; row++) {
            size_t n;
            const char *s = data_text(c, row, &n);
            if (c->shape == SHAPE_TEXT) {
                fprintf(f, " '%.*s'", (int)n, s);
            } else if (c->shape == SHAPE_SCALAR) {
                print_value(f, ds, c, row);
            } else {
                fputs(" [", f);
                for (int64_t at = c->offsets[row]; at < c->offsets[row + 1]; at++) {
                    print_value(f, ds, c, at);
                }
                fputs(" ]", f);
            }
        }
        fputc('\n', f);
    }
    for (int g = 0; g < ds->ngroups; g++) {
        fprintf(f, "fields %s:", ds->groups[g].name);
        for (int i = 0; i < ds->groups[g].nfields; i++) {
            const DataField *field = &ds->groups[g].fields[i];
            fprintf(f, " %s.%s/%lld%s", data_table_name(ds->form, field->column->table), field->column->name,
                    (long long)field->width, field->safe ? "!" : "");
        }
        fputc('\n', f);
    }
}

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        return NULL;
    }
    char *text = calloc(1, 1 << 20);
    size_t n = fread(text, 1, (1 << 20) - 1, f);
    text[n] = 0;
    fclose(f);
    return text;
}

/* Copies the files of a case into `to`, packed, so that the same import reads gzip. */
static void pack(const char *from, const char *to)
{
    DIR *d = opendir(from);
    for (struct dirent *entry; d && (entry = readdir(d)) != NULL;) {
        char source[1600], target[1600];
        bool plain = strstr(entry->d_name, ".json") || !strcmp(entry->d_name, "args");
        if (entry->d_name[0] == '.' || !strcmp(entry->d_name, "expected")) {
            continue;
        }
        snprintf(source, sizeof source, "%s/%s", from, entry->d_name);
        snprintf(target, sizeof target, "%s/%s%s", to, entry->d_name, plain ? "" : ".gz");
        FILE *in = fopen(source, "rb");
        gzFile out = gzopen(target, plain ? "wbT" : "wb9");
        char buffer[4096];
        for (size_t n; in && out && (n = fread(buffer, 1, sizeof buffer, in)) > 0;) {
            gzwrite(out, buffer, (unsigned)n);
        }
        if (in) {
            fclose(in);
        }
        gzclose(out);
    }
    if (d) {
        closedir(d);
    }
}

/* Runs the case of the current directory. */
static char *run_case(bool packed, const char *out)
{
    char paths[8][300], schema[300] = "", format[32] = "", valid[300], test[300];
    const char *pointers[8];
    int npaths = 0;
    ImportOptions o = {.replace = true};
    char *text = NULL, *args = read_file("args");
    size_t size;
    FILE *f = open_memstream(&text, &size);
    for (char *word = args ? strtok(args, " \n") : NULL; word; word = strtok(NULL, " \n")) {
        if (!*format) {
            snprintf(format, sizeof format, "%s", word);
        } else if (strncmp(word, "schema=", 7) == 0) {
            snprintf(schema, sizeof schema, "%s", word + 7);
            o.schema = schema;
        } else if (strncmp(word, "valid=", 6) == 0) {
            snprintf(valid, sizeof valid, "%s%s", word + 6, packed ? ".gz" : "");
            o.valid = valid;
        } else if (strncmp(word, "test=", 5) == 0) {
            snprintf(test, sizeof test, "%s%s", word + 5, packed ? ".gz" : "");
            o.test = test;
        } else if (strncmp(word, "min_count=", 10) == 0) {
            o.min_count = atoi(word + 10);
        } else if (strcmp(word, "fields") == 0) {
            o.fields = true;
        } else if (strncmp(word, "missing=", 8) == 0) {
            o.has_missing = true;
            o.missing = atof(word + 8);
        } else if (strcmp(word, "skip_bad") == 0) {
            o.skip_bad = true;
        } else if (strcmp(word, "drop_unknown") == 0) {
            o.drop_unknown = true;
        } else if (npaths < 8) {
            snprintf(paths[npaths], sizeof paths[0], "%s%s", word, packed && strcmp(word, ".") ? ".gz" : "");
            pointers[npaths] = paths[npaths];
            npaths++;
        }
    }
    free(args);
    ImportReport report;
    Error e = {0};
    bool good = data_import(strcmp(format, "guess") ? format : NULL, npaths, pointers, out, &o, &report, &e);
    report.seconds = 0;
    if (!good) {
        fprintf(f, "error %d: %s\n", e.code, e.text);
    }
    import_report_print(&report, f);
    DataSet *ds = good ? data_open(out, true, &e) : NULL;
    if (good && !ds) {
        fprintf(f, "cannot open: %s\n", e.text);
    }
    if (ds) {
        dump(f, ds);
        data_close(ds);
    }
    fclose(f);
    return text;
}

/* Messages name the file that was read: without its .gz. */
static void forget_gz(char *text)
{
    for (char *at; (at = strstr(text, ".gz:")) != NULL || (at = strstr(text, ".gz is")) != NULL ||
                   (at = strstr(text, ".gz has")) != NULL;) {
        memmove(at, at + 3, strlen(at + 3) + 1);
    }
}

static bool check_case(const char *root, const char *name, bool update, const char *scratch)
{
    char dir[800], packed_dir[800], out[300];
    snprintf(dir, sizeof dir, "%.400s/%.200s", root, name);
    snprintf(packed_dir, sizeof packed_dir, "%.200s/%.200s", scratch, name);
    snprintf(out, sizeof out, "%.200s/out", scratch);
    if (chdir(dir) || mkdir(packed_dir, 0755)) {
        return false;
    }
    pack(dir, packed_dir);
    char *got = run_case(false, out);
    FILE *f = update ? fopen("expected", "wb") : NULL;
    if (f) {
        fputs(got, f);
        fclose(f);
    }
    char *expected = read_file("expected");
    if (!expected || strcmp(expected, got) != 0) {
        printf("---- %s: expected\n%s---- found\n%s", name, expected ? expected : "(no file)\n", got);
        failures++;
    }
    char *packed = chdir(packed_dir) == 0 ? run_case(true, out) : NULL;
    if (packed) {
        forget_gz(packed);
    }
    if (!packed || strcmp(packed, got) != 0) {
        printf("---- %s: packed with gzip it is read differently:\n%s", name, packed ? packed : "");
        failures++;
    }
    free(packed);
    free(expected);
    free(got);
    return true;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        return 2;
    }
    char scratch[] = "/tmp/heddle-test-import-XXXXXX", command[128];
    struct dirent **names;
    char *root = realpath(argv[1], NULL);
    int n = scandir(argv[1], &names, NULL, alphasort), cases = 0;
    if (!mkdtemp(scratch) || n < 0 || !root) {
        return 2;
    }
    for (int i = 0; i < n; i++) {
        if (names[i]->d_name[0] != '.') {
            failures += !check_case(root, names[i]->d_name, argc > 2 && strcmp(argv[2], "--update") == 0, scratch);
            cases++;
        }
        free(names[i]);
    }
    free(names);
    free(root);
    snprintf(command, sizeof command, "rm -rf %s", scratch);
    if (system(command) != 0) {
        failures++;
    }
    printf("%d cases, %d failed\n", cases, failures);
    return failures > 0;
}
