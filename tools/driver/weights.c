/* Params from one session to another: the training step's to the rank section's. Files: runtime/checkpoint.h. */
#include "../../runtime/checkpoint.h"
#include "driver.h"
#include <stdlib.h>
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

bool project_weights(Project *p, Session *s, const char *path, Text *report, Error *e)
{
    const Graph *g = project_graph(p, PROGRAM_FORWARD, "lower", report);
    int n = 0;
    if (!g) {
        return error_set(e, EXIT_SPEC, "the train section, whose params the weights may hold, is not sound");
    }
    const char **names = calloc((size_t)g->ntensors + 1, sizeof *names);
    for (int i = 0; names && i < g->ntensors; i++) {
        const Tensor *t = g->tensors[i];
        if (t->role == ROLE_PARAM || (t->role == ROLE_STATE && !t->per_example)) {
            names[n++] = t->name;
        }
    }
    bool ok = names ? weights_read(s, path, names, e)
                    : error_set(e, EXIT_RESOURCES, "no memory for the names of %d tensors", g->ntensors);
    free(names);
    return ok;
}
