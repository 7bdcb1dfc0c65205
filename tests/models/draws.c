/* How often draws pick what: every frequency within 5 standard deviations of its probability, nothing of weight 0 and
 * nothing outside the range, another choice in every step, the same one for all examples where it is drawn by step.
 *
 *   test_draws STD_DIR draws.heddle */
#include "../support/model.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { V = 7, M = 6000, B = 3 };
static const float weights[V] = {0, 1, 2, 0.5f, 0, 4, 2.5f};
static const int64_t offsets[B + 1] = {0, 0, 1, 5};
static const int32_t items[] = {6, 0, 3, 3, 5};
static int failures;

static void expect(bool good, const char *what, int64_t example, int64_t id, double have, double want)
{
    if (!good) {
        printf("FAIL %s of example %lld, id %lld: %g, expected %g\n", what, (long long)example, (long long)id, have,
               want);
        failures++;
    }
}

/* Among n cells starting at `first`, `stride` apart, id v has probability p[v]. */
static void check(const Array *a, const char *what, int64_t example, int64_t first, int64_t n, int64_t stride,
                  const double *p)
{
    double count[V] = {0};
    for (int64_t k = 0; k < n; k++) {
        count[(int)array_get(a, first + k * stride)]++;
    }
    for (int v = 0; v < V; v++) {
        double want = p[v] * (double)n, sigma = sqrt((double)n * p[v] * (1 - p[v]));
        expect(fabs(count[v] - want) <= 5 * sigma, what, example, v, count[v], want);
    }
}

static void normalise(double *p)
{
    double sum = 0;
    for (int v = 0; v < V; v++) {
        sum += p[v];
    }
    for (int v = 0; v < V; v++) {
        p[v] /= sum;
    }
}

static Array fetched(Session *s, const char *name)
{
    Array a = {0};
    Error e = {0};
    if (!session_fetch(s, name, &a, &e)) {
        printf("FAIL %s: %s\n", name, e.text);
        exit(1);
    }
    return a;
}

static void check_step(Session *s)
{
    double by_weight[V], even[V];
    for (int v = 0; v < V; v++) {
        by_weight[v] = weights[v];
        even[v] = 1;
    }
    normalise(by_weight);
    normalise(even);
    Array rest = fetched(s, "rest"), pop = fetched(s, "pop"), own = fetched(s, "own"), all = fetched(s, "all");
    for (int64_t b = 0; b < B; b++) {
        double left[V] = {1, 1, 1, 1, 1, 1, 1};
        for (int64_t i = offsets[b]; i < offsets[b + 1]; i++) {
            left[items[i]] = 0;
        }
        normalise(left);
        check(&rest, "rest", b, b * M, M, 1, left);
        int64_t differs = 0;
        for (int64_t m = 0; m < M; m++) {
            differs += array_get(&own, m) != array_get(&own, b * M + m);
        }
        expect(b == 0 || differs > M / 4, "own, unlike in the first example,", b, -1, (double)differs, M / 4);
        check(&own, "own, even cells,", b, b * M, M / 2, 2, even);
        check(&own, "own, odd cells,", b, b * M + 1, M / 2, 2, by_weight);
        check(&pop, "pop", b, b * M, M, 1, by_weight);
    }
    check(&all, "all", -1, 0, M, 1, by_weight);
    free(rest.data);
    free(pop.data);
    free(own.data);
    free(all.data);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: test_draws STD_DIR draws.heddle\n");
        return 2;
    }
    static const Define sizes[] = {{"item", "7"}};
    for (int wide = 0; wide < 2; wide++) {
        Error e = {0};
        Text why = {0};
        ModelOptions o = {.spec = argv[2], .std_dir = argv[1], .ndefines = 1, .defines = sizes};
        o.real = wide ? DT_F64 : DT_F32;
        Pool *pool = pool_new(2, &e);
        Model *m = model_compile(&o, FORM_GRADS, &why);
        Session *s = m ? session_new(m->plan, pool, 3, &e) : NULL;
        float w32[V];
        double w64[V];
        for (int v = 0; v < V; v++) {
            w32[v] = weights[v];
            w64[v] = weights[v];
        }
        Array arrays[] = {{"T.offsets", DT_I64, 1, {B + 1}, (void *)offsets},
                          {"item", DT_I32, 1, {5}, (void *)items},
                          {"w", o.real, 1, {V}, wide ? (void *)w64 : (void *)w32}};
        Batch b = {.n = 3, .arrays = arrays, .batch = B};
        Array before = {0};
        for (uint64_t step = 0; s && step < 3; step++) {
            if (!session_run(s, &b, step, &e)) {
                printf("FAIL %s\n", e.text);
                return 1;
            }
            check_step(s);
            Array now = fetched(s, "all");
            int64_t same = 0;
            for (int64_t k = 0; before.data && k < M; k++) {
                same += array_get(&before, k) == array_get(&now, k);
            }
            expect(same < M / 2, "all, as in the step before,", -1, -1, (double)same, M / 2);
            free(before.data);
            before = now;
        }
        free(before.data);
        if (!s) {
            printf("FAIL %s%s\n", why.s ? why.s : "", e.text);
            failures++;
        }
        session_free(s);
        model_free(m);
        pool_free(pool);
        text_free(&why);
    }
    printf("draws: %d failures\n", failures);
    return failures != 0;
}
