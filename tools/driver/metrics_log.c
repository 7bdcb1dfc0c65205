/* The log of a run, read again. */
#include "metrics_log.h"
#include "files.h"
#include "metrics.h"
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

bool metrics_cut(const char *path, int64_t step, bool due, Error *e)
{
    char *text = file_read(path, e);
    if (!text) {
        return false;
    }
    char *keep = text;
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        const char *at = strstr(line, "\"step\":"), *split = strstr(line, "\"split\":");
        int64_t here = at && at < end ? strtoll(at + 7, NULL, 10) : INT64_MAX;
        if (here > step || (due && here == step && split && split < end)) {
            break;
        }
        keep = end + 1;
    }
    bool ok = file_write(path, text, (size_t)(keep - text), e);
    free(text);
    return ok;
}

bool metrics_best(const char *path, const char *metric, double *value, int64_t *epoch, Error *e)
{
    char *text = file_read(path, e);
    bool found = false;
    for (char *line = text, *end; line && (end = strchr(line, '\n')); line = end + 1) {
        const char *split = strstr(line, "\"split\":");
        if (!split || split > end) {
            continue;
        }
        cJSON *o = cJSON_ParseWithLength(line, (size_t)(end - line));
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, metric),
                    *at = cJSON_GetObjectItemCaseSensitive(o, "epoch");
        if (cJSON_IsNumber(v) && cJSON_IsNumber(at) &&
            (!found || metric_merit(metric, v->valuedouble) > metric_merit(metric, *value))) {
            found = true;
            *value = v->valuedouble;
            *epoch = (int64_t)at->valuedouble;
        }
        cJSON_Delete(o);
    }
    free(text);
    return found;
}
