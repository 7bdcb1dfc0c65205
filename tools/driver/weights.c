/* Params from one session to another: the training step's to the rank section's. Files: runtime/checkpoint.h. */
#include "driver.h"
#include <string.h>

bool weights_copy(Session *to, const Plan *to_plan, Session *from, const Plan *from_plan, Error *e)
{
    for (int i = 0; i < to_plan->ntensors; i++) {
        const PlanTensor *t = &to_plan->tensors[i];
        bool kept = t->role == PT_PARAM || (t->role == PT_STATE && strncmp(t->name, "opt.", 4) != 0);
        if (!kept || t->alias >= 0 || t->per_example) { /* states by key come with the examples */
            continue;
        }
        int64_t n = 0, m = 0;
        void *dst = session_param(to, t->name, &n);
        const void *src = session_param(from, t->name, &m);
        int other = plan_find(from_plan, t->name);
        if (!dst || !src || n != m || from_plan->tensors[other].dtype != t->dtype) {
            return error_set(e, EXIT_SPEC, "param '%s' of the rank section is not one of the training step", t->name);
        }
        memcpy(dst, src, (size_t)n * dtype_size[t->dtype]);
    }
    return true;
}
