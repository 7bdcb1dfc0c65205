/* Data set, program and session of a rank section. */
#include "ranker.h"
#include "../../runtime/checkpoint.h"
#include <string.h>

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
           project_weights(p, r->session, o->weights, report, e);
}

void ranker_close(Ranker *r)
{
    session_free(r->session);
    pool_free(r->pool);
    program_free(r->program);
    data_close(r->ds);
}

/* One example alone, with its key's states; keep: which its next values become. Else it is the request. */
static bool run_one(Ranker *r, States *s, Feed *f, int64_t example, int64_t user, bool is_first, bool keep, Error *e)
{
    static const int64_t levels[] = {0, 1};
    const bool yes = true;
    StreamStep x = {
        .n = 1, .examples = &example, .keys = &user, .first = &is_first, .last = &yes, .nlevels = 1, .levels = levels};
    Batch data, b;
    return (keep ? feed_examples(f, 1, &example, &data, e) : feed_user(f, user, &data, e)) &&
           states_give(s, &x, false, &data, &b, e) && session_run(r->session, &b, 0, e) &&
           (!keep || states_take(s, &x, r->session, e));
}

bool ranker_user(Ranker *r, const Project *p, int64_t user, Error *e)
{
    KeyState *const *tables;
    const TrainSettings *train = spec_train(p->spec);
    States *s = states_open(r->program->plan, e);
    Feed *serve = s ? feed_open(p, r->program, PART_SERVE, e) : NULL, *all = NULL;
    bool ok = serve != NULL, is_first = true;
    if (ok && states_tables(s, &tables) > 0) {
        ok = (train && train->stream_by && strcmp(train->stream_by, "user") == 0) ||
             error_set(e, EXIT_SPEC, "a request is a user's: states by another key than `user` are not known for it");
        ok = ok && (all = feed_open(p, r->program, PART_ALL, e));
        for (int64_t i = 0; ok && i < feed_rows(all); i++) {
            int64_t key;
            ok = feed_key(all, "user", i, &key, e);
            if (ok && key == user) {
                ok = run_one(r, s, all, i, user, is_first, true, e);
                is_first = false;
            }
        }
    }
    ok = ok && run_one(r, s, serve, 0, user, is_first, false, e);
    feed_close(all);
    feed_close(serve);
    states_close(s);
    return ok;
}
