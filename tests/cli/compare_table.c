/* Means, intervals and the three forms of a comparison's table. */
#include "../../tools/driver/compare.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

static void near(const char *what, double got, double want, double bound)
{
    if (!(fabs(got - want) <= bound)) {
        printf("FAIL %s: %.9g, not %.9g\n", what, got, want);
        failures++;
    }
}

static void holds(const char *what, const char *text, const char *part)
{
    if (!strstr(text, part)) {
        printf("FAIL %s: no '%s' in\n%s\n", what, part, text);
        failures++;
    }
}

static Outcome run(double hr, double rate)
{
    return (Outcome){
        .done = true,
        .result = {.params = 7, .flop = 1e6, .examples_per_s = rate, .nfigures = 1, .figures = {{"hr@10", hr}}},
        .peak_bytes = 2 * 1048576.0};
}

int main(void)
{
    /* 1, 2, 3, 4: mean 2.5, deviation sqrt(5/3), t(3) = 3.1824463; two ways to the same figure for many values. */
    double v[101], mean, half;
    for (int i = 0; i < 101; i++) {
        v[i] = i + 1;
    }
    mean_interval(4, v, &mean, &half);
    near("mean of 4", mean, 2.5, 0);
    near("interval of 4", half, 3.1824463 * sqrt(5.0 / 3 / 4), 1e-4);
    mean_interval(101, v, &mean, &half); /* t(100) = 1.9839715 */
    near("interval of 101", half, 1.9839715 * sqrt(101.0 * 102 / 12 / 101), 2e-3);
    mean_interval(13, v, &mean, &half); /* t(12) = 2.1788128 */
    near("interval of 13", half, 2.1788128 * sqrt(13.0 * 14 / 12 / 13), 2e-3);
    mean_interval(1, v, &mean, &half);
    near("no interval of one", isnan(half), 1, 0);

    const Entrant who[] = {{"a", "a.heddle", NULL}, {"b,\"c\"", "dir/b.heddle", "c"}};
    Outcome all[] = {run(0.1, 100), run(0.2, 300), run(0.4, 50), {.done = true, .failed = true}};
    Table t = {.n = 2, .entrants = who, .seeds = 2, .first_seed = 5, .outcomes = all};
    Text text = {0}, csv = {0}, json = {0};
    table_text(&t, &text);
    table_csv(&t, &csv);
    table_json(&t, &json);
    holds("text", text.s, "0.1500 +- 0.6353");
    holds("text", text.s, "+0.3000");
    holds("text", text.s, "1 run ended with a loss that is not finite");
    holds("csv", csv.s, "a,a.heddle,,mean,7,1000000,200,2097152,0.15\n");
    holds("csv", csv.s, "a,a.heddle,,6,7,1000000,300,2097152,0.2\n");
    holds("csv", csv.s, "\"b,\"\"c\"\"\",dir/b.heddle,c,5,7,1000000,50,2097152,0.4\n");
    cJSON *o = cJSON_Parse(json.s);
    const cJSON *row = o ? cJSON_GetArrayItem(cJSON_GetObjectItem(o, "rows"), 1) : NULL;
    const cJSON *less = row ? cJSON_GetObjectItem(cJSON_GetObjectItem(row, "less_first_row"), "hr@10") : NULL;
    if (!less || strcmp(cJSON_GetObjectItem(row, "name")->valuestring, who[1].name) != 0) {
        printf("FAIL json: %s\n", json.s);
        failures++;
    } else {
        near("json", cJSON_GetObjectItem(less, "mean")->valuedouble, 0.3, 1e-12);
        near("failed", cJSON_GetObjectItem(row, "failed")->valuedouble, 1, 0);
    }
    cJSON_Delete(o);
    text_free(&text);
    text_free(&csv);
    text_free(&json);
    printf("%d failures\n", failures);
    return failures > 0;
}
