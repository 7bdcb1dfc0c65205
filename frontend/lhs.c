/* Left-hand sides: which axes they name, and the letters they bind. Several cases of one name settle its axes
 * together: `s[i, hit]` and `s[i, M m]` are cases over the sum of axes that has both as sources. */
#include "lhs.h"

#include <string.h>

/* ---- the left-hand side --------------------------------------------------------------------------------------- */

/* The places of one left-hand side, starred letters expanded. */
int places_of(Env *env, const Lhs *l, Place *out)
{
    Elab *E = env->ctx->E;
    int n = 0;
    for (int k = 0; k < l->nidx; k++) {
        const Idx *x = &l->idx[k];
        if (x->e->kind != EX_NAME || x->e->has_bracket || x->e->prime) {
            mistake(E, "E0122", x->span, "restrict a letter instead: name[i where i == ...]",
                    "an index on the left is a letter, a member or a source with its letter");
            return -1;
        }
        if (n == MAX_DIMS) {
            mistake(E, "E0137", x->span, NULL, "more than %d axes", MAX_DIMS);
            return -1;
        }
        const char *name = x->e->name;
        int member;
        if (x->nsources == 0 && member_lookup(E, env->scope, name, &member) != NULL) {
            out[n++] = (Place){.member = name, .span = x->span};
            continue;
        }
        int count;
        Slot **slots, *first = env_slots(env, name, &count, &slots);
        if (first == NULL) {
            const char *remedy = "letters are declared with their axis: axis D = 50 over d";
            mistake(E, "E0103", x->span, remedy, "no axis has the letter '%s'", name);
            return -1;
        }
        for (int m = 0; m < count; m++) {
            if (n == MAX_DIMS) {
                mistake(E, "E0137", x->span, NULL, "more than %d axes", MAX_DIMS);
                return -1;
            }
            for (int j = 0; j < n; j++) {
                if (out[j].slot == slots[m]) {
                    mistake(E, "E0105", x->span, fmt(E, "write %s1", name), "index '%s' is already bound", name);
                    return -1;
                }
            }
            out[n++] = (Place){.letter = slots[m]->name,
                               .nsources = x->nsources,
                               .sources = x->sources,
                               .span = x->span,
                               .slot = slots[m]};
        }
    }
    return n;
}

/* The sum of axes whose cases the sources name: a declared one, or an instance of a family. */
static Axis *sum_of_sources(Elab *E, Scope *scope, int n, const char *const *sources, Span span)
{
    Axis *found = NULL;
    for (int k = 0; k < E->spec->items.n; k++) {
        Stmt *s = E->spec->items.v[k];
        if (s->kind != ST_AXIS || s->axis->nparts == 0 || (s->axis->nparts == 1 && s->axis->parts[0].source == NULL)) {
            continue;
        }
        const char *open = NULL;
        bool fits = true;
        for (int m = 0; m < n && fits; m++) {
            bool known = false;
            for (int p = 0; p < s->axis->nparts; p++) {
                const struct AxisPart *part = &s->axis->parts[p];
                known = known || (part->source != NULL && strcmp(part->source, sources[m]) == 0 &&
                                  (s->axis->param == NULL || strcmp(s->axis->param, sources[m]) != 0));
                for (int j = 0; part->source == NULL && j < part->nmembers; j++) {
                    known = known || strcmp(part->members[j], sources[m]) == 0;
                }
            }
            if (!known && s->axis->param != NULL && (open == NULL || strcmp(open, sources[m]) == 0)) {
                open = sources[m];
            } else {
                fits = fits && known;
            }
        }
        AxisInfo *info = fits ? axis_lookup(E, E->file, s->name) : NULL;
        if (info == NULL || info->broken) {
            continue;
        }
        if (info->kind != AC_FAMILY) {
            return info->axis;
        }
        AxisInfo *param = open != NULL ? axis_lookup(E, scope, open) : NULL;
        if (param != NULL && param->axis != NULL && param->kind != AC_MEMBERS) {
            AxisInfo *i = axis_instance(E, info, param->axis);
            found = found == NULL ? i->axis : found;
        } else if (open == NULL && scope->instance != NULL && scope->instance->family == info) {
            found = found == NULL ? scope->instance->axis : found;
        }
    }
    if (found == NULL) {
        mistake(E, "E0133", span, NULL, "no sum of axes has %s as a source", sources[0]);
    }
    return found;
}

static Axis *place_axis(Elab *E, Env *env, const Place *p, const Expr *body)
{
    if (p->letter != NULL && p->nsources == 0) {
        if (p->slot->axis == NULL && p->slot->family != NULL) {
            p->slot->axis = infer_instance(env, body, p->letter);
            if (p->slot->axis == NULL) {
                mistake(E, "E0154", p->span, NULL, "cannot tell which %s<...> the letter '%s' ranges over",
                        p->slot->family->name, p->letter);
            }
        }
        return p->slot->axis;
    }
    return NULL;
}

/* The axes of a name from all its left-hand sides. */
bool find_dims(Elab *E, const Entity *e, Env **envs, Place (*places)[MAX_DIMS], int ndim, Axis **dims)
{
    for (int d = 0; d < ndim; d++) {
        dims[d] = e->ndims >= 0 ? e->dims[d] : NULL;
        const char *sources[MAX_PARTS * 4];
        int n = 0;
        const Place *any = NULL;
        for (int k = 0; k < e->ncases && dims[d] == NULL; k++) {
            const Place *p = &places[k][d];
            if (p->letter != NULL && p->nsources == 0) {
                dims[d] = place_axis(E, envs[k], p, e->cases[k]->value);
                if (dims[d] == NULL) {
                    return false;
                }
            }
            any = p;
            for (int m = 0; m < p->nsources && n < MAX_PARTS * 4; m++) {
                sources[n++] = p->sources[m];
            }
            if (p->member != NULL && n < MAX_PARTS * 4) {
                sources[n++] = p->member;
            }
        }
        if (dims[d] != NULL) {
            continue;
        }
        int member;
        bool members = true;
        for (int k = 0; k < e->ncases; k++) {
            members = members && places[k][d].member != NULL;
        }
        Axis *own = members ? member_lookup(E, e->home, any->member, &member) : NULL;
        const AxisInfo *info = own != NULL ? axis_info(E, own) : NULL;
        if (own != NULL && info != NULL && info->stmt != NULL && info->stmt->axis->nparts == 1) {
            dims[d] = own;
            continue;
        }
        dims[d] = sum_of_sources(E, e->home, n, sources, any->span);
        if (dims[d] == NULL) {
            return false;
        }
    }
    return true;
}

/* Binds the left-hand letters; source: the one a letter with several sources stands for in this round. */
bool bind_places(Env *env, const Sym *sym, const Place *places, const char *source, Case *k, Scalar **lhs)
{
    Ctx *c = env->ctx;
    Elab *E = c->E;
    Graph *g = E->g;
    for (int d = 0; d < sym->ndim; d++) {
        const Place *p = &places[d];
        Axis *axis = sym->dims[d];
        if (p->member != NULL) {
            int index, part_member;
            Axis *own = member_lookup(E, env->scope, p->member, &index);
            if (own == axis) {
                k->kind[d] = CASE_CONST;
                k->which[d] = index;
                lhs[d] = sc_int(g, index);
                continue;
            }
            int part = axis->kind == AXIS_SUM ? sum_part(E, env->scope, axis, p->member, &part_member) : -1;
            if (part < 0) {
                return mistake(E, "E0133", p->span, NULL, "'%s' is no member of %s", p->member, axis_text(E, axis));
            }
            Scalar *local = sc_int(g, index);
            k->kind[d] = CASE_PART;
            k->which[d] = part;
            k->local[d] = index;
            lhs[d] = sc_axis_op(g, OP_INJECT, axis, part, 1, &local);
            continue;
        }
        Slot *s = p->slot;
        if (p->nsources > 0) {
            const char *name = p->nsources > 1 ? source : p->sources[0];
            int member, part = sum_part(E, env->scope, axis, name, &member);
            if (part < 0) {
                return mistake(E, "E0133", p->span, NULL, "%s is no source of %s", name, axis_text(E, axis));
            }
            k->kind[d] = CASE_PART;
            k->which[d] = part;
            k->local[d] = member;
            Axis *of = axis->parts[part];
            Scalar *local;
            s->bound = true;
            s->part = of;
            if (member >= 0) {
                local = sc_int(g, member);
                s->local = local;
            } else {
                int var = new_var(c, of, s->name, -1);
                if (var < 0) {
                    return false;
                }
                c->live[var] = true;
                c->out[c->nout++] = var;
                s->var = var;
                s->local = NULL;
                local = sc_letter(g, var);
                /* A letter of the source's own axis, `A i`, is that letter too. */
                if (s->axis == of) {
                    s->part = NULL;
                }
            }
            lhs[d] = sc_axis_op(g, OP_INJECT, axis, part, 1, &local);
            continue;
        }
        if (s->axis != NULL && s->axis != axis) {
            return mistake(E, "E0130", p->span, letter_of_axis(E, axis),
                           "axes differ: '%s' ranges over %s, '%s' has %s here", p->letter, axis_text(E, s->axis),
                           sym->name, axis_text(E, axis));
        }
        s->axis = axis;
        if (axis == g->batch || axis_nparents(axis) == 0) {
            int var = new_var(c, axis, s->name, -1);
            if (var < 0) {
                return false;
            }
            s->bound = true;
            s->var = var;
            c->live[var] = true;
        } else {
            int parent = -1;
            for (int v = c->nvars; parent < 0 && v-- > 0;) {
                parent = c->vars[v].axis == axis->parent ? v : -1;
            }
            if (parent < 0) {
                return mistake(E, "E0139", p->span, NULL, "a letter of %s stands only beside a letter of %s",
                               axis->name, axis->parent->name);
            }
            s->var = new_var(c, axis, s->name, parent);
            if (s->var < 0) {
                return false;
            }
            s->bound = true;
            c->live[s->var] = true;
        }
        c->out[c->nout++] = s->var;
        lhs[d] = sc_letter(g, s->var);
    }
    return true;
}
