/* Data set, program, session and feed of a rank section. */
#include "ranker.h"
#include "../../runtime/checkpoint.h"

bool ranker_open(Ranker *r, Project *p, const RankerOptions *o, Text *report, Error *e)
{
    *r = (Ranker){.ds = data_open(o->data, false, e)};
    if (!r->ds || !project_use_data(p, r->ds, &o->feed, e)) {
        return false;
    }
    r->program = project_compile(p, PROGRAM_RANK, report);
    if (!r->program) {
        e->code = EXIT_SPEC; /* the text is in the report */
        return false;
    }
    return (r->pool = pool_new(o->threads, e)) && (r->session = session_new(r->program->plan, r->pool, o->seed, e)) &&
           weights_read(r->session, o->weights, e) && (r->feed = feed_open(p, r->program, o->split, e));
}

void ranker_close(Ranker *r)
{
    feed_close(r->feed);
    session_free(r->session);
    pool_free(r->pool);
    program_free(r->program);
    data_close(r->ds);
}
