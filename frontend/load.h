/* Between load.c, variant.c and settings.c. */
#ifndef HEDDLE_LOAD_H
#define HEDDLE_LOAD_H

#include "parser.h"

/* variant.c: a spec's own statements and where the edits of a variant are applied. */
typedef struct {
    Arena *arena;
    Diag *diag;
    Stmts *items;           /* the spec's own, changed in place */
    const Stmts *libraries; /* blocks there may be edited by `in Name:` */
    const char *variant;    /* for messages */
} Edit;

void edit_apply(Edit *e, const Stmts *body);

/* settings.c: fills s->train and s->metrics from the sections; the settings leave the sections' bodies. */
void load_settings(Spec *s);

#endif
