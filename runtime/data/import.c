/* The frame around the formats: find out which it is, read, decide about bad rows, finish, report. */
#include "import.h"

#include "import_table.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static bool is_directory(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool has_file(const char *dir, const char *name)
{
    char *path = import_find(dir, name);
    free(path);
    return path != NULL;
}

static const char *guess(const char *path, const ImportOptions *o)
{
    if (o->schema) {
        return "text";
    }
    if (is_directory(path) && (has_file(path, "ratings.dat") || has_file(path, "u.data"))) {
        return "movielens";
    }
    if (is_directory(path) || strstr(import_base(path), ".inter")) {
        return "recbole";
    }
    return NULL;
}

static cJSON *source_json(Importer *im, int npaths, const char *const *paths)
{
    const ImportReport *r = im->report;
    cJSON *extra = cJSON_CreateObject();
    if (im->outcomes) {
        cJSON_AddItemToObject(extra, "outcomes", im->outcomes);
        im->outcomes = NULL;
    }
    if (*im->recipe) {
        cJSON_AddStringToObject(extra, "recipe", im->recipe);
    }
    if (im->numbers) {
        cJSON_AddItemToObject(extra, "numbers", im->numbers);
        im->numbers = NULL;
    }
    cJSON *source = cJSON_AddObjectToObject(extra, "source");
    cJSON_AddStringToObject(source, "format", r->format);
    cJSON *files = cJSON_AddArrayToObject(source, "paths");
    for (int i = 0; i < npaths; i++) {
        cJSON_AddItemToArray(files, cJSON_CreateString(import_base(paths[i])));
    }
    if (im->options->valid) {
        cJSON_AddStringToObject(source, "valid", import_base(im->options->valid));
    }
    if (im->options->test) {
        cJSON_AddStringToObject(source, "test", import_base(im->options->test));
    }
    cJSON_AddNumberToObject(source, "bad_rows", (double)r->bad);
    cJSON_AddNumberToObject(source, "unknown_rows", (double)r->unknown);
    if (r->has_time) {
        cJSON *time = cJSON_AddObjectToObject(extra, "time");
        cJSON_AddNumberToObject(time, "min", (double)r->time_min);
        cJSON_AddNumberToObject(time, "max", (double)r->time_max);
    }
    return extra;
}

/* Options that the format would not look at are refused. */
static bool options_fit(const char *format, const ImportOptions *o, Error *e)
{
    bool fields = o->user_field || o->item_field || o->time_field || o->label_field;
    const struct {
        bool given;
        const char *option, *formats;
    } options[] = {
        {o->schema != NULL, "--schema", "text"},
        {o->valid || o->test, "--valid or --test", "text, libsvm, criteo"},
        {o->min_count > 0, "--min-count", "libsvm, criteo"},
        {o->fields, "--fields", "libsvm"},
        {fields, "--user-field, --item-field, --time-field or --label-field", "recbole"},
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        if (options[i].given && !strstr(options[i].formats, format)) {
            return error_set(e, EXIT_USAGE, "%s is for %s; format %s has none: leave it out", options[i].option,
                             options[i].formats, format);
        }
    }
    return true;
}

static bool read_all(Importer *im, const char *format, int npaths, const char *const *paths, const char *out)
{
    const struct {
        const char *name;
        bool (*files)(Importer *im, int npaths, const char *const *paths, const char *out);
        bool (*directory)(Importer *im, const char *path, const char *out);
    } formats[] = {
        {"movielens", NULL, import_movielens}, {"text", import_text, NULL},     {"recbole", NULL, import_recbole},
        {"libsvm", import_libsvm, NULL},       {"criteo", import_criteo, NULL},
    };
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (strcmp(formats[i].name, format) != 0) {
            continue;
        }
        if (!options_fit(format, im->options, im->e)) {
            return false;
        }
        if (formats[i].files) {
            return formats[i].files(im, npaths, paths, out);
        }
        return npaths == 1 ? formats[i].directory(im, paths[0], out)
                           : error_set(im->e, EXIT_USAGE, "format %s reads one path, a directory; %d were given",
                                       format, npaths);
    }
    return error_set(im->e, EXIT_USAGE, "there is no format '%s'; choose movielens, text, recbole, libsvm or criteo",
                     format);
}

bool data_import(const char *format, int npaths, const char *const *paths, const char *out, const ImportOptions *o,
                 ImportReport *report, Error *e)
{
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    *report = (ImportReport){.is_log = true};
    if (npaths < 1) {
        return error_set(e, EXIT_USAGE, "nothing to import: name a directory or files");
    }
    if (o->has_missing && !(fabs(o->missing) < 0x1p31)) {
        return error_set(e, EXIT_USAGE, "the value for missing numbers must lie below 2^31");
    }
    if (!format && !(format = guess(paths[0], o))) {
        return error_set(e, EXIT_USAGE,
                         "cannot tell the format of %s; name it: movielens, recbole, libsvm, criteo, or text with "
                         "the declaration of its columns",
                         paths[0]);
    }
    snprintf(report->format, sizeof report->format, "%s", format);
    Importer im = {.options = o, .report = report, .e = e, .part_column = -1};
    bool good = read_all(&im, format, npaths, paths, out);
    Builder *b = im.builder;
    if (good && !builder_failed(b)) { /* after a failed write builder_finish says so */
        report->rows = builder_rows(b, TABLE_MAIN);
        report->users = builder_count(b, TABLE_USER);
        report->items = builder_count(b, TABLE_ITEM);
        if (report->bad > 0 && !o->skip_bad) {
            good = error_set(
                e, EXIT_DATA,
                "%lld of %lld rows are bad, the first at %s; repair them, or leave bad rows out with --skip-bad",
                (long long)report->bad, (long long)report->read, report->shown[0]);
        } else if (report->rows == 0) {
            good = error_set(e, EXIT_DATA, "%s holds no usable row", paths[0]);
        }
    }
    cJSON *extra = good ? source_json(&im, npaths, paths) : NULL;
    cJSON_Delete(im.outcomes);
    cJSON_Delete(im.numbers);
    for (int i = 0; i < im.nrules; i++) {
        rule_free(&im.rules[i]);
    }
    free(im.rules);
    if (!good) {
        builder_abort(b);
        return false;
    }
    if (!builder_finish(b, extra, e)) {
        return false;
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    report->seconds = (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) * 1e-9;
    return true;
}

/* ---- report ------------------------------------------------------------------------------------------------ */

static void print_day(FILE *f, int64_t seconds)
{
    struct tm tm;
    time_t t = (time_t)seconds;
    char day[32];
    if (gmtime_r(&t, &tm) && strftime(day, sizeof day, "%Y-%m-%d", &tm)) {
        fprintf(f, " (%s)", day);
    }
}

void import_report_print(const ImportReport *r, FILE *f)
{
    fprintf(f, "%-10s %lld\n", r->is_log ? "events" : "rows", (long long)r->rows);
    if (r->users > 0) {
        fprintf(f, "users      %lld\n", (long long)r->users);
    }
    if (r->items > 0) {
        fprintf(f, "items      %lld\n", (long long)r->items);
    }
    if (r->has_time) {
        fprintf(f, "time       %lld", (long long)r->time_min);
        print_day(f, r->time_min);
        fprintf(f, " to %lld", (long long)r->time_max);
        print_day(f, r->time_max);
        fputc('\n', f);
    }
    if (r->unknown > 0) {
        fprintf(f, "left out   %lld events of unknown users or items\n", (long long)r->unknown);
    }
    if (r->bad > 0) {
        fprintf(f, "bad rows   %lld of %lld\n", (long long)r->bad, (long long)r->read);
        for (int i = 0; i < r->nshown; i++) {
            fprintf(f, "  %s\n", r->shown[i]);
        }
        if (r->bad > r->nshown) {
            fprintf(f, "  and %lld more\n", (long long)(r->bad - r->nshown));
        }
    }
    if (r->seconds > 0) {
        fprintf(f, "read in    %.2f s\n", r->seconds);
    }
}

char *import_report_json(const ImportReport *r)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "format", r->format);
    cJSON_AddStringToObject(json, "form", r->is_log ? "log" : "rows");
    cJSON_AddNumberToObject(json, "rows", (double)r->rows);
    cJSON_AddNumberToObject(json, "users", (double)r->users);
    cJSON_AddNumberToObject(json, "items", (double)r->items);
    cJSON_AddNumberToObject(json, "read", (double)r->read);
    cJSON_AddNumberToObject(json, "bad", (double)r->bad);
    cJSON_AddNumberToObject(json, "unknown", (double)r->unknown);
    if (r->has_time) {
        cJSON_AddNumberToObject(json, "time_min", (double)r->time_min);
        cJSON_AddNumberToObject(json, "time_max", (double)r->time_max);
    }
    cJSON *shown = cJSON_AddArrayToObject(json, "bad_rows");
    for (int i = 0; i < r->nshown; i++) {
        cJSON_AddItemToArray(shown, cJSON_CreateString(r->shown[i]));
    }
    cJSON_AddNumberToObject(json, "seconds", r->seconds);
    char *text = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
    return text;
}
