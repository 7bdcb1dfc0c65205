/* Initialisers. MODELS.md 1.6 has their definitions; trunc_normal is the rule of the published code: of four normal
 * numbers the first inside (-2, 2), which has a standard deviation of about 0.88 and not 1. */
#include "inits.h"
#include "../ir/random.h"
#include <math.h>
#include <stdlib.h>

uint64_t init_key(uint64_t seed, const char *name)
{
    return random_key(seed, UINT64_MAX, name); /* no step has this number, so no draw shares the stream */
}

static double uniform53(uint64_t hash)
{
    return (double)(hash >> 11) * 0x1p-53;
}

double init_normal(uint64_t key, int64_t index, int64_t which)
{
    uint64_t cell = random_fold(random_fold(key, index), which);
    double radius = sqrt(-2.0 * log(1.0 - uniform53(random_fold(cell, 0))));
    return radius * cos(6.283185307179586476925 * uniform53(random_fold(cell, 1)));
}

static double trunc_normal(uint64_t key, int64_t index)
{
    for (int k = 0; k < 4; k++) {
        double x = init_normal(key, index, k);
        if (x > -2 && x < 2) {
            return x;
        }
    }
    return init_normal(key, index, 0); /* as the published rule does, once in 231,000 cells */
}

static void store(void *out, DType type, int64_t i, double v)
{
    switch (type) {
    case DT_F32:
        ((float *)out)[i] = (float)v;
        break;
    case DT_F64:
        ((double *)out)[i] = v;
        break;
    case DT_I32:
        ((int32_t *)out)[i] = (int32_t)v;
        break;
    case DT_I64:
        ((int64_t *)out)[i] = (int64_t)v;
        break;
    case DT_BOOL:
        ((uint8_t *)out)[i] = v != 0;
        break;
    }
}

/* Q of a matrix of normal numbers with the diagonal of R positive: a uniformly random orthogonal matrix. Vectors are
 * the rows or the columns, whichever are fewer; Gram-Schmidt is run twice, which is enough for full accuracy. */
static double *orthogonal(uint64_t key, int64_t rows, int64_t columns)
{
    int64_t n = rows < columns ? rows : columns, length = rows < columns ? columns : rows;
    double *q = malloc((size_t)(n * length) * sizeof *q + 1);
    for (int64_t k = 0; q && k < n; k++) {
        double *v = q + k * length;
        for (int64_t i = 0; i < length; i++) {
            v[i] = init_normal(key, rows < columns ? k * columns + i : i * columns + k, 0);
        }
        for (int64_t j = 0; j < 2 * k; j++) {
            const double *u = q + j % k * length;
            double dot = 0;
            for (int64_t i = 0; i < length; i++) {
                dot += u[i] * v[i];
            }
            for (int64_t i = 0; i < length; i++) {
                v[i] -= dot * u[i];
            }
        }
        double norm = 0;
        for (int64_t i = 0; i < length; i++) {
            norm += v[i] * v[i];
        }
        for (int64_t i = 0; i < length; i++) {
            v[i] /= sqrt(norm);
        }
    }
    return q;
}

bool init_fill(const PlanTensor *t, uint64_t seed, int64_t count, int64_t rows, void *out, Error *e)
{
    uint64_t key = init_key(seed, t->name);
    double *q = NULL;
    int64_t columns = rows > 0 && count > rows ? count / rows : 1;
    if (t->init.kind == PINIT_ORTHOGONAL && count > 0) {
        q = orthogonal(key, rows, columns);
        if (!q) {
            return error_set(e, EXIT_RESOURCES, "no memory for the initial values of '%s'", t->name);
        }
    }
    const double *scale = t->init.scale;
    for (int64_t i = 0; i < count; i++) {
        double v = 0;
        switch (t->init.kind) {
        case PINIT_CONST:
            v = scale ? scale[i] : t->init.a;
            break;
        case PINIT_NORMAL:
            v = t->init.a + (scale ? scale[i] : t->init.b) * init_normal(key, i, 0);
            break;
        case PINIT_UNIFORM:
            v = (scale ? scale[i] : t->init.a) * (2 * uniform53(random_fold(key, i)) - 1);
            break;
        case PINIT_TRUNC_NORMAL:
            v = (scale ? scale[i] : t->init.a) * trunc_normal(key, i);
            break;
        case PINIT_ORTHOGONAL:
            v = rows < columns ? q[i] : q[i % columns * rows + i / columns];
            v *= scale ? scale[i] : t->init.a != 0 ? t->init.a : 1;
            break;
        case PINIT_GIVEN:
            break;
        }
        store(out, t->dtype, i, v);
    }
    free(q);
    return true;
}
