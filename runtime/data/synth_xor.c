/* A conversion label that neither the history nor the features predict alone.
 *
 * Every event has an action: mostly `view`, else `yes` or `no`, a fair coin. Every request has a field `plan`, a or b,
 * a fair coin too. The label of an event is
 *
 *     (the latest action before it that is not `view` is `yes`)  xor  (its plan is b)
 *
 * flipped with probability noise.
 *
 * Everything else (items, tags, the user's segment, the load) is there to be ignored. The two bits are independent and
 * even, so the best score takes two values, AUC is 1 - noise and the log-loss is the entropy of the noise.
 *
 * With several topics (option clusters) every item has one, `topic` among the candidate's fields and first among the
 * item's tags, and the action that counts is the latest on an item of the candidate's topic (without one: not `yes`);
 * views are fewer then.
 * Whoever turns the history into one vector before seeing the candidate has to remember a bit per topic. */
#include "synth_impl.h"

#include "../../ir/random.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <string.h>

enum { VIEW, YES, NO, NTAGS = 20, NSEGMENTS = 5 };

static const char *const actions[] = {"view", "yes", "no"};
static const char *const plans[] = {"a", "b"};

typedef struct {
    Builder *b;
    int item, act, ts, plan, load, lab, segment, tag, topic;
    int64_t events;
    int64_t hits[2][2]; /* test examples by best guess and label */
} Writer;

static double uniform(const SynthOptions *o, const char *name, int64_t user, int64_t at)
{
    return random_uniform(random_fold(random_fold(random_key(o->seed, 1, name), user), at));
}

static void write_user(Writer *w, const SynthOptions *o, int64_t user)
{
    int64_t spread = o->mean_length / 2;
    int64_t length = o->mean_length - spread + (int64_t)(uniform(o, "length", user, 0) * (double)(2 * spread + 1));
    int64_t now = INT64_C(1600000000) + (int64_t)(uniform(o, "start", user, 0) * 2592000);
    int64_t first_test = length - (int64_t)(0.1 * (double)length); /* as the recipe events cuts it */
    double view = o->clusters > 1 ? 0.2 : 0.7;
    uint64_t memory = 0; /* a bit per topic */
    for (int64_t at = 0; at < length; at++) {
        double u = uniform(o, "act", user, at);
        int act = at > 0 && u < view ? VIEW : uniform(o, "side", user, at) < 0.5 ? YES : NO;
        int64_t item = (int64_t)(uniform(o, "item", user, at) * (double)o->items), topic = item % o->clusters;
        bool plan_b = uniform(o, "plan", user, at) < 0.5, best = (memory >> topic & 1) != plan_b;
        bool label = best != (uniform(o, "flip", user, at) < o->noise);
        if (at == 0) {
            label = uniform(o, "flip", user, at) < 0.5; /* there is nothing to remember yet */
        } else if (at >= first_test) {
            w->hits[best][label]++;
        }
        now += 30 + (int64_t)(-log(1 - uniform(o, "gap", user, at)) * 7200);
        builder_int(w->b, w->item, item);
        builder_int(w->b, w->act, act);
        builder_int(w->b, w->ts, now);
        builder_int(w->b, w->plan, plan_b);
        builder_real(w->b, w->load, uniform(o, "load", user, at));
        builder_real(w->b, w->lab, label);
        builder_row(w->b, TABLE_MAIN, user);
        if (act != VIEW) {
            memory = (memory & ~(UINT64_C(1) << topic)) | (uint64_t)(act == YES) << topic;
        }
        w->events++;
    }
    builder_int(w->b, w->segment, (int64_t)(uniform(o, "segment", user, 0) * NSEGMENTS));
    builder_row(w->b, TABLE_USER, -1);
}

static void write_items(Writer *w, const SynthOptions *o)
{
    for (int64_t item = 0; item < o->items; item++) {
        int64_t ntags = (int64_t)(uniform(o, "tags", item, -1) * 4);
        if (o->clusters > 1) {
            builder_int(w->b, w->topic, item % o->clusters);
            builder_int(w->b, w->tag, NTAGS + item % o->clusters);
        }
        for (int64_t k = 0; k < ntags; k++) {
            builder_int(w->b, w->tag, (int64_t)(uniform(o, "tag", item, k) * NTAGS));
        }
        builder_row(w->b, TABLE_ITEM, -1);
    }
}

static bool names(Builder *b, int vocab, const char *const *list, int n, Error *e)
{
    for (int i = 0; i < n; i++) {
        if (names_add(builder_names(b, vocab), list[i], strlen(list[i])) != i) {
            return error_set(e, EXIT_RESOURCES, "no memory for names");
        }
    }
    return true;
}

static bool make_columns(Writer *w, const SynthOptions *o, Error *e)
{
    Builder *b = w->b;
    int user = builder_vocab(b, "user", e), item = builder_vocab(b, "item", e), action = builder_vocab(b, "action", e);
    int plan = builder_vocab(b, "plan", e), segment = builder_vocab(b, "segment", e), tag = builder_vocab(b, "tag", e);
    if (user < 0 || item < 0 || action < 0 || plan < 0 || segment < 0 || tag < 0 ||
        !synth_names(b, user, o->users, e) || !synth_names(b, item, o->items, e) || !names(b, action, actions, 3, e) ||
        !names(b, plan, plans, 2, e) || !synth_names(b, segment, NSEGMENTS, e) ||
        !synth_names(b, tag, NTAGS + (o->clusters > 1 ? o->clusters : 0), e)) {
        return false;
    }
    int topic = o->clusters > 1 ? builder_vocab(b, "topic", e) : 0;
    if (topic < 0 || (topic > 0 && !synth_names(b, topic, o->clusters, e))) {
        return false;
    }
    w->topic = topic > 0 ? builder_column(b, TABLE_ITEM, "topic", SHAPE_SCALAR, DT_I32, topic, e) : 0;

    w->item = builder_column(b, TABLE_MAIN, "item", SHAPE_SCALAR, DT_I32, item, e);
    w->act = builder_column(b, TABLE_MAIN, "act", SHAPE_SCALAR, DT_I32, action, e);
    w->ts = builder_column(b, TABLE_MAIN, "ts", SHAPE_SCALAR, DT_I64, -1, e);
    w->plan = builder_column(b, TABLE_MAIN, "plan", SHAPE_SCALAR, DT_I32, plan, e);
    w->load = builder_column(b, TABLE_MAIN, "load", SHAPE_SCALAR, DT_F32, -1, e);
    w->lab = builder_column(b, TABLE_MAIN, "lab", SHAPE_SCALAR, DT_F32, -1, e);
    w->segment = builder_column(b, TABLE_USER, "segment", SHAPE_SCALAR, DT_I32, segment, e);
    w->tag = builder_column(b, TABLE_ITEM, "tag", SHAPE_LIST, DT_I32, tag, e);
    return w->item >= 0 && w->act >= 0 && w->ts >= 0 && w->plan >= 0 && w->load >= 0 && w->lab >= 0 &&
           w->segment >= 0 && w->tag >= 0 && builder_field(b, "cat", w->segment, true, e) &&
           builder_field(b, "cat", w->plan, true, e) && builder_field(b, "cat", w->item, false, e) && w->topic >= 0 &&
           (topic == 0 || builder_field(b, "cat", w->topic, false, e)) && builder_field(b, "num", w->load, true, e);
}

/* Of two classes of rows scored `noise` and 1 - noise: log-loss, and AUC with ties counted half. */
static void measure(Writer *w, const SynthOptions *o, SynthReport *r)
{
    double n[2][2], eta = o->noise;
    for (int scored = 0; scored < 2; scored++) {
        for (int label = 0; label < 2; label++) {
            n[scored][label] = (double)w->hits[scored][label];
        }
    }
    double ones = n[0][1] + n[1][1], zeros = n[0][0] + n[1][0];
    double right = n[1][1] + n[0][0], wrong = n[1][0] + n[0][1];
    double entropy = eta > 0 ? -eta * log(eta) - (1 - eta) * log(1 - eta) : 0;
    r->nbest = 2;
    r->best[0].name = "auc";
    r->best[0].value =
        ones * zeros > 0 ? (n[1][1] * n[0][0] + (n[1][1] * n[1][0] + n[0][1] * n[0][0]) / 2) / (ones * zeros) : 0.5;
    r->best[0].expected = 1 - eta;
    r->best[1].name = "logloss";
    r->best[1].value = eta > 0 && right + wrong > 0 ? -(right * log(1 - eta) + wrong * log(eta)) / (right + wrong) : 0;
    r->best[1].expected = entropy;
}

bool synth_xor(const char *out, const SynthOptions *o, SynthReport *report, Error *e)
{
    if (o->clusters > 64) {
        return error_set(e, EXIT_USAGE, "xor has at most 64 topics (--clusters), not %lld", (long long)o->clusters);
    }
    Writer w = {.b = builder_new(out, DATA_LOG, o->replace, e)};
    if (!w.b || !make_columns(&w, o, e)) {
        builder_abort(w.b);
        return false;
    }
    write_items(&w, o);
    for (int64_t user = 0; user < o->users && !builder_failed(w.b); user++) {
        write_user(&w, o, user);
    }
    measure(&w, o, report);
    report->events = w.events;
    cJSON *extra = synth_source("xor", o);
    cJSON *outcomes = cJSON_AddArrayToObject(extra, "outcomes");
    cJSON_AddItemToArray(outcomes, cJSON_CreateString("act"));
    cJSON_AddItemToArray(outcomes, cJSON_CreateString("lab"));
    cJSON_AddStringToObject(extra, "recipe", "events,first=1");
    synth_best(extra, "events,first=1", report);
    return builder_finish(w.b, extra, e);
}
