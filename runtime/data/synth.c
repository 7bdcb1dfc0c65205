/* The frame of both generators, and the frame of their schema. */
#include "synth.h"

#include "synth_impl.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

void synth_best(cJSON *extra, const char *recipe, const SynthReport *r)
{
    cJSON *best = cJSON_AddObjectToObject(extra, "best");
    cJSON_AddStringToObject(best, "recipe", recipe);
    cJSON_AddStringToObject(best, "part", "test");
    for (int i = 0; i < r->nbest; i++) {
        cJSON_AddNumberToObject(best, r->best[i].name, r->best[i].value);
    }
    cJSON *expected = cJSON_AddObjectToObject(best, "expected");
    for (int i = 0; i < r->nbest; i++) {
        cJSON_AddNumberToObject(expected, r->best[i].name, r->best[i].expected);
    }
}

cJSON *synth_source(const char *kind, const SynthOptions *o)
{
    cJSON *extra = cJSON_CreateObject();
    cJSON *source = cJSON_AddObjectToObject(extra, "source");
    cJSON_AddStringToObject(source, "format", "synth");
    cJSON_AddStringToObject(source, "kind", kind);
    cJSON_AddNumberToObject(source, "seed", (double)o->seed);
    cJSON_AddNumberToObject(source, "mean_length", (double)o->mean_length);
    cJSON_AddNumberToObject(source, "clusters", (double)o->clusters);
    cJSON_AddNumberToObject(source, "noise", o->noise);
    return extra;
}

bool synth_names(Builder *b, int vocab, int64_t n, Error *e)
{
    for (int64_t id = 0; id < n; id++) {
        char name[24];
        int length = snprintf(name, sizeof name, "%lld", (long long)id + 1);
        if (names_add(builder_names(b, vocab), name, (size_t)length) != id) {
            return error_set(e, EXIT_RESOURCES, "no memory for %lld names", (long long)n);
        }
    }
    return true;
}

bool data_synth(const char *kind, const char *out, const SynthOptions *given, SynthReport *report, Error *e)
{
    SynthOptions o = *given;
    o.users = o.users ? o.users : 2000;
    o.items = o.items ? o.items : 500;
    o.mean_length = o.mean_length ? o.mean_length : 40;
    o.clusters = o.clusters ? o.clusters : strcmp(kind, "xor") == 0 ? 1 : 10;
    o.noise = o.noise < 0 ? 0.1 : o.noise;
    *report = (SynthReport){.users = o.users, .items = o.items};
    if (o.users < 1 || o.users > INT32_MAX || o.clusters < 1 || o.items < 2 * o.clusters || o.items > 1 << 24) {
        return error_set(e, EXIT_USAGE,
                         "there must be at least one user and one cluster, and two items per cluster (and "
                         "less than 2^31 users, 2^24 items)");
    }
    if (o.mean_length < 4 || o.mean_length > o.items / 2) {
        return error_set(e, EXIT_USAGE,
                         "the mean length must lie between 4 and half the number of items (%lld), since no "
                         "user sees an item twice",
                         (long long)o.items / 2);
    }
    if (!(o.noise <= 0.5)) {
        return error_set(e, EXIT_USAGE, "the noise must lie between 0 and 0.5");
    }
    if (strcmp(kind, "sequence") == 0) {
        o.noise = o.noise < 1e-3 ? 1e-3 : o.noise; /* some item must always be left to follow */
        return synth_sequence(out, &o, report, e);
    }
    if (strcmp(kind, "xor") == 0) {
        return synth_xor(out, &o, report, e);
    }
    return error_set(e, EXIT_USAGE, "there is no generator '%.40s'; choose sequence or xor", kind);
}
