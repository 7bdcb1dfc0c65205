/* Labels: an input marked `label` may reach only train, rank and next states. A name of the model that depends on one
 * is an error as soon as it is an output of the model or read from train or rank as such. */
#include "elab.h"

#include <string.h>

static const char *chain(Elab *E, const Sym *s)
{
    const Sym *path[64];
    int n = 0;
    for (const Sym *p = s; n < 64; p = p->tainted_by) {
        path[n++] = p;
        if (p->tainted_by == p) {
            break;
        }
    }
    Text t = {0};
    for (int k = n; k-- > 0;) {
        text_printf(&t, "%s%s", path[k]->name, k > 0 ? " -> " : "");
    }
    const char *text = arena_strdup(E->arena, t.s);
    text_free(&t);
    return text;
}

static const Sym *label_of(const Sym *s)
{
    while (s->tainted_by != s) {
        s = s->tainted_by;
    }
    return s;
}

static void leak(Elab *E, const Sym *s, const Sym *at)
{
    /* The statement that reads the label first is where it happens. */
    const Sym *reader = s;
    while (reader->tainted_by->tainted_by != reader->tainted_by) {
        reader = reader->tainted_by;
    }
    (void)at;
    mistake(E, "E0310", reader->span, "read it in train or rank only",
            "'%s' is a label and reaches '%s': %s; labels may "
            "reach only train, rank and next states",
            label_of(s)->name, s->name, chain(E, s));
}

void check_labels(Elab *E)
{
    for (int k = 0; k < E->nsyms; k++) {
        const Sym *s = E->syms[k];
        if (s->bad || s->section != SECTION_MODEL || s->tainted_by == NULL || s->tainted_by == s) {
            continue;
        }
        if (s->is_output || s->read_outside) {
            leak(E, s, s);
        }
    }
}
