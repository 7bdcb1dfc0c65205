/* fuse-map: pointwise producers into their consumers. An equation whose value is not worth storing (store.c) is put in
 * place of every load of it, definitions before uses, so chains collapse into their last link. A value that some
 * reader has to load stays stored for all of them, and is loaded where its expression stands once more (reuse.c). What
 * is invariant in the fused bodies is then put together (hoist.c), and what a recurrence reads across memory is turned
 * (turn.c). */
#include "uses.h"

void pass_fuse_map(Graph *g)
{
    Uses u = uses_of(g);
    for (int i = 0; i < g->nequations; i++) {
        Equation *e = u.order.order[i];
        int t = e->dst->id, n = u.nreaders[t];
        bool fuse = can_inline(&u, e) && n > 0;
        for (int k = 0; k < n && fuse; k++) {
            fuse = pays_to_inline(&u, e, u.readers[t][k]);
        }
        bool gone = fuse;
        for (int k = 0; k < n && fuse; k++) {
            if (inline_into(&u, e, u.readers[t][k])) {
                uses_add(&u, u.readers[t][k]);
            } else {
                gone = false;
            }
        }
        if (gone) {
            uses_remove(&u, e); /* what it loaded has one reader less */
        }
    }
    drop_dead_equations(g); /* or a value that has just gone would be loaded again */
    reuse_stored(g);
    for (int i = 0; i < g->nequations; i++) {
        hoist_factors(g, g->equations[i]);
    }
    merge_equal_equations(g);
    drop_dead_equations(g);
    graph_reorder(g);
}
