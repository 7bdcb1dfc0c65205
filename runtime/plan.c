/* What can be asked of a plan without running it. */
#include "runtime.h"
#include <string.h>

const char *const products_name[] = {[PRODUCTS_F32] = "f32", [PRODUCTS_BF16] = "bf16", [PRODUCTS_BF16X3] = "bf16x3"};

const size_t dtype_size[] = {[DT_BOOL] = 1, [DT_I32] = 4, [DT_I64] = 8, [DT_F32] = 4, [DT_F64] = 8};

bool step_is_tiled(const PlanStep *step)
{
    return step->kind == STEP_TILES || step->kind == STEP_ROWS;
}

int plan_find(const Plan *p, const char *name)
{
    for (int i = 0; i < p->ntensors; i++) {
        if (strcmp(p->tensors[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

const Array *batch_find(const Batch *b, const char *name)
{
    for (int i = 0; i < b->n; i++) {
        if (strcmp(b->arrays[i].name, name) == 0) {
            return &b->arrays[i];
        }
    }
    return NULL;
}
