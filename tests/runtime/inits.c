/* Initial values: moments of each distribution, orthogonality, and that a value depends on its own name and index. */
#include "inits.h"
#include "test.h"
#include <math.h>

enum { COUNT = 200000 };
static double values[COUNT];

static void moments(double *mean, double *std, double *least, double *most)
{
    double sum = 0, square = 0;
    *least = INFINITY;
    *most = -INFINITY;
    for (int i = 0; i < COUNT; i++) {
        sum += values[i];
        *least = fmin(*least, values[i]);
        *most = fmax(*most, values[i]);
    }
    *mean = sum / COUNT;
    for (int i = 0; i < COUNT; i++) {
        square += (values[i] - *mean) * (values[i] - *mean);
    }
    *std = sqrt(square / COUNT);
}

static void distributions(void)
{
    Error e;
    double mean, std, least, most;
    PlanTensor t = {.name = "w", .dtype = DT_F64};
    t.init.kind = PINIT_NORMAL;
    t.init.a = 1;
    t.init.b = 0.5;
    CHECK(init_fill(&t, 3, COUNT, 1, values, &e));
    moments(&mean, &std, &least, &most);
    CHECK_NEAR(mean, 1, 0.5 * 4 / sqrt(COUNT));
    CHECK_NEAR(std, 0.5, 0.5 * 4 / sqrt(2.0 * COUNT));
    CHECK(most > 1 + 0.5 * 4 && least < 1 - 0.5 * 4);
    t.init.kind = PINIT_UNIFORM;
    t.init.a = 0.25;
    CHECK(init_fill(&t, 3, COUNT, 1, values, &e));
    moments(&mean, &std, &least, &most);
    CHECK_NEAR(mean, 0, 0.25 * 4 / sqrt(3.0 * COUNT));
    CHECK_NEAR(std, 0.25 / sqrt(3), 0.002);
    CHECK(least >= -0.25 && least < -0.2499 && most <= 0.25 && most > 0.2499);
    t.init.kind = PINIT_TRUNC_NORMAL;
    t.init.a = 0.02;
    CHECK(init_fill(&t, 3, COUNT, 1, values, &e));
    moments(&mean, &std, &least, &most);
    CHECK_NEAR(mean, 0, 0.02 * 4 / sqrt(COUNT));
    CHECK_NEAR(std / 0.02, 0.8796, 0.006); /* MODELS.md 1.6: about 0.88 */
    int outside = 0;
    for (int i = 0; i < COUNT; i++) {
        outside += fabs(values[i]) >= 0.04;
    }
    CHECK(outside < 10);
    double scale[] = {1, 2, 3};
    t.init.kind = PINIT_CONST;
    t.init.scale = scale;
    CHECK(init_fill(&t, 3, 3, 1, values, &e));
    CHECK(values[0] == 1 && values[2] == 3);
}

static void orthogonality(int64_t rows, int64_t columns)
{
    Error e;
    PlanTensor t = {.name = "q", .dtype = DT_F64};
    t.init.kind = PINIT_ORTHOGONAL;
    CHECK(init_fill(&t, 5, rows * columns, rows, values, &e));
    int64_t n = rows < columns ? rows : columns;
    for (int64_t a = 0; a < n; a++) {
        for (int64_t b = 0; b < n; b++) {
            double dot = 0;
            for (int64_t i = 0; i < (rows < columns ? columns : rows); i++) {
                dot += rows < columns ? values[a * columns + i] * values[b * columns + i]
                                      : values[i * columns + a] * values[i * columns + b];
            }
            CHECK_NEAR(dot, a == b, 1e-13);
        }
    }
}

static void independence(void)
{
    Error e;
    double a[8], b[8];
    float f[8];
    PlanTensor t = {.name = "layer.0.w", .dtype = DT_F64};
    t.init.kind = PINIT_NORMAL;
    t.init.b = 1;
    CHECK(init_fill(&t, 1, 8, 1, a, &e));
    CHECK(init_fill(&t, 1, 4, 1, b, &e)); /* a smaller tensor begins with the same values */
    CHECK(memcmp(a, b, 4 * sizeof *a) == 0);
    t.dtype = DT_F32;
    CHECK(init_fill(&t, 1, 8, 1, f, &e));
    for (int i = 0; i < 8; i++) {
        CHECK(f[i] == (float)a[i]);
    }
    t.dtype = DT_F64;
    CHECK(init_fill(&t, 2, 8, 1, b, &e));
    CHECK(a[0] != b[0]);
    t.name = "layer.1.w";
    CHECK(init_fill(&t, 1, 8, 1, b, &e));
    CHECK(a[0] != b[0]);
}

int main(void)
{
    distributions();
    orthogonality(20, 20);
    orthogonality(5, 30);
    orthogonality(30, 5);
    independence();
    return report("inits");
}
