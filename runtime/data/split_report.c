/* Counting what a recipe cuts out. */
#include "split_report.h"

#include "loader_impl.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const DataSet *ds;
    SplitReport *report;
    int64_t *earliest; /* by user: the first evaluated place among its events, or INT64_MAX */
    int64_t last_training;
    bool training; /* some training target has been seen */
} Counter;

static Loader *open_part(Counter *c, const DataRecipe *r, DataPart part, Error *e)
{
    DataRecipe copy = *r;
    copy.allow_leak = true;
    return loader_new(c->ds, &copy, part, 0, NULL, e);
}

/* How many of its user's events lie before the target: its place in the user's time. */
static int64_t place_of(const Example *x)
{
    return x->hi - x->lo;
}

static bool count(Counter *c, const Loader *l, DataPart part, Error *e)
{
    PartReport *p = &c->report->parts[part];
    int64_t users = c->ds->users;
    bool *seen = calloc((size_t)users + 1, sizeof *seen);
    if (!seen) {
        return error_set(e, EXIT_RESOURCES, "no memory for %lld users", (long long)users);
    }
    p->targets = loader_count(l);
    for (int64_t k = 0; k < p->targets; k++) {
        Example x = loader_locate(l, k);
        bool known = x.user >= 0 && x.user < users;
        if (known && !seen[x.user]) {
            seen[x.user] = true;
            p->users++;
        }
        p->users = known ? p->users : -1;
        if (c->report->has_time) {
            int64_t t = loader_time(l, k);
            p->first = k == 0 || t < p->first ? t : p->first;
            p->last = k == 0 || t > p->last ? t : p->last;
            p->before_training += part != PART_TRAIN && c->training && t < c->last_training;
        }
        if (known && part == PART_TRAIN && place_of(&x) > c->earliest[x.user]) {
            c->report->leaks++;
        }
        if (known && part != PART_TRAIN && place_of(&x) < c->earliest[x.user]) {
            c->earliest[x.user] = place_of(&x);
        }
    }
    free(seen);
    return true;
}

bool split_report(const DataSet *ds, const DataRecipe *r, SplitReport *report, Error *e)
{
    Counter c = {.ds = ds, .report = report};
    *report = (SplitReport){.has_time = false};
    c.earliest = malloc(((size_t)ds->users + 1) * sizeof *c.earliest);
    bool good = c.earliest != NULL || error_set(e, EXIT_RESOURCES, "no memory for %lld users", (long long)ds->users);
    for (int64_t u = 0; good && u < ds->users; u++) {
        c.earliest[u] = INT64_MAX;
    }
    /* First when training ends, then the others, then what training sees of them. */
    Loader *train = good ? open_part(&c, r, PART_TRAIN, e) : NULL;
    good = train != NULL;
    report->has_time = good && loader_has_time(train);
    for (int64_t k = 0; good && report->has_time && k < loader_count(train); k++) {
        int64_t t = loader_time(train, k);
        c.last_training = !c.training || t > c.last_training ? t : c.last_training;
        c.training = true;
    }
    for (int part = PART_VALID; good && part <= PART_TEST; part++) {
        bool none = part == PART_VALID && r->kind == RECIPE_NEXT && r->hold < 2;
        Loader *l = none ? NULL : open_part(&c, r, (DataPart)part, e);
        good = none || (l && count(&c, l, (DataPart)part, e));
        loader_free(l);
    }
    good = good && count(&c, train, PART_TRAIN, e);
    loader_free(train);
    free(c.earliest);
    return good;
}

static const char *const part_names[] = {"train", "valid", "test"};

void split_report_print(const SplitReport *r, FILE *f)
{
    for (int p = 0; p < 3; p++) {
        const PartReport *part = &r->parts[p];
        fprintf(f, "%-6s %lld targets", part_names[p], (long long)part->targets);
        if (part->targets > 0 && part->users >= 0) {
            fprintf(f, " of %lld users", (long long)part->users);
        }
        if (part->targets > 0 && r->has_time) {
            fprintf(f, ", time %lld to %lld", (long long)part->first, (long long)part->last);
        }
        if (p != PART_TRAIN && part->targets > 0 && r->has_time) {
            fprintf(f, "; %lld before the last training target of anybody", (long long)part->before_training);
        }
        fputc('\n', f);
    }
    fprintf(f, "leaks  %lld training targets later than an evaluated one of the same user%s\n", (long long)r->leaks,
            r->leaks > 0 ? ": refused without leak=allow" : "");
}

char *split_report_json(const SplitReport *r)
{
    cJSON *json = cJSON_CreateObject();
    for (int p = 0; p < 3; p++) {
        cJSON *part = cJSON_AddObjectToObject(json, part_names[p]);
        cJSON_AddNumberToObject(part, "targets", (double)r->parts[p].targets);
        if (r->parts[p].users >= 0) {
            cJSON_AddNumberToObject(part, "users", (double)r->parts[p].users);
        }
        if (r->has_time && r->parts[p].targets > 0) {
            cJSON_AddNumberToObject(part, "first", (double)r->parts[p].first);
            cJSON_AddNumberToObject(part, "last", (double)r->parts[p].last);
            cJSON_AddNumberToObject(part, "before_training", (double)r->parts[p].before_training);
        }
    }
    cJSON_AddNumberToObject(json, "leaks", (double)r->leaks);
    char *text = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
    return text;
}
