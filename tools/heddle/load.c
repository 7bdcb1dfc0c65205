/* What a benchmark runs on: a number of examples and the length of each one's lists. */
#include "load.h"
#include "../../ir/random.h"
#include "files.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool load_lengths(const char *text, uint64_t seed, Load *load, Error *e)
{
    load->lengths = calloc((size_t)load->batch, sizeof *load->lengths);
    if (!load->lengths) {
        return error_set(e, EXIT_RESOURCES, "out of memory");
    }
    long long a = 0, b = 0;
    int used = 0;
    bool full = sscanf(text, "full:%lld%n", &a, &used) == 1 && text[used] == '\0';
    bool uniform = !full && sscanf(text, "uniform:%lld:%lld%n", &a, &b, &used) == 2 && text[used] == '\0';
    if ((full && a < 0) || (uniform && (a < 0 || b < a))) {
        return error_set(e, EXIT_USAGE, "--lengths %s: lengths are at least 0 and ascend", text);
    }
    if (full || uniform) {
        uint64_t key = random_key(seed, 0, "lengths");
        for (int64_t i = 0; i < load->batch; i++) {
            double u = random_uniform(random_fold(key, i));
            load->lengths[i] = full ? a : a + (int64_t)(u * (double)(b - a + 1));
        }
    } else {
        char *file = file_read(text, e);
        if (!file) {
            return error_set(e, EXIT_USAGE, "--lengths is full:N, uniform:A:B or a file; there is no file %s", text);
        }
        int64_t n = 0, *all = NULL;
        for (char *s = file, *end; *s; s = end) {
            long long v = strtoll(s, &end, 10);
            if (end == s || v < 0) {
                break;
            }
            int64_t *grown = realloc(all, ((size_t)n + 1) * sizeof *all);
            if (!grown) {
                break;
            }
            all = grown;
            all[n++] = v;
            end += strspn(end, " \t\r\n");
        }
        for (int64_t i = 0; n > 0 && i < load->batch; i++) {
            load->lengths[i] = all[i % n];
        }
        free(all);
        free(file);
        if (n == 0) {
            return error_set(e, EXIT_USAGE, "%s has no lengths", text);
        }
    }
    for (int64_t i = 0; i < load->batch; i++) {
        load->longest = load->lengths[i] > load->longest ? load->lengths[i] : load->longest;
    }
    return true;
}

bool load_sizes(Load *load, Project *p, Error *e)
{
    return !load->data || ((load->open = data_open(load->data, false, e)) &&
                           project_use_data(p, load->open, &(FeedOptions){.held_back = false}, e));
}

bool load_fits(const Plan *plan, const Load *load, Error *e)
{
    for (int i = 0; i < plan->naxes; i++) {
        const PlanAxis *a = &plan->axes[i];
        if (a->kind == PAX_RAGGED && a->parent < 0 && load->longest > a->size) {
            return error_set(e, EXIT_USAGE, "rows of length %lld do not fit axis %s (%lld): set -D %s.max=%lld",
                             (long long)load->longest, a->name, (long long)a->size, a->name, (long long)load->longest);
        }
    }
    return true;
}

void load_free(Load *load)
{
    free(load->lengths);
    load->lengths = NULL;
    data_close(load->open);
    load->open = NULL;
}
