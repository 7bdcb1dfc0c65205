/* Commands of an interp case, one per line:
 *   batch 3                the interpreter is made for three examples; comes first
 *   strict
 *   lists T 0 2 2 5        offsets of a ragged axis
 *   size V 10
 *   seed 1 7               seed and step
 *   set x 1 2.5 -3         values in packed order
 *   run, advance
 *   get y                  prints the values in packed order
 *   cell y 0 1             prints one cell, or "absent" */
#include "ir_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_VALUES = 4096 };

typedef struct {
    const Graph *g;
    Interp *in;
    Text *out;
    char *words;
    double values[MAX_VALUES];
    int64_t ints[MAX_VALUES];
    int n;
} Script;

static char *next_word(Script *s)
{
    s->words += strspn(s->words, " ");
    char *word = s->words;
    s->words += strcspn(s->words, " ");
    if (*s->words != '\0') {
        *s->words++ = '\0';
    }
    return word;
}

static void read_values(Script *s)
{
    for (s->n = 0; s->n < MAX_VALUES; s->n++) {
        char *word = next_word(s);
        if (*word == '\0') {
            break;
        }
        s->values[s->n] = strtod(word, NULL);
        s->ints[s->n] = strtoll(word, NULL, 10);
    }
}

static const Tensor *find_tensor(Script *s, const char *name)
{
    const Tensor *t = graph_find(s->g, name);
    if (t == NULL) {
        text_printf(s->out, "no tensor '%s'\n", name);
    }
    return t;
}

static const Axis *find_axis(Script *s, const char *name)
{
    for (int k = 0; k < s->g->naxes; k++) {
        if (strcmp(s->g->axes[k]->name, name) == 0) {
            return s->g->axes[k];
        }
    }
    text_printf(s->out, "no axis '%s'\n", name);
    return NULL;
}

static void check(Script *s, bool ok)
{
    if (!ok) {
        text_printf(s->out, "error: %s\n", interp_error(s->in));
    }
}

static void get(Script *s, const Tensor *t)
{
    int64_t n = interp_count(s->in, t);
    if (n < 0 || n > MAX_VALUES || !interp_get(s->in, t, n, s->values)) {
        check(s, false);
        return;
    }
    text_printf(s->out, "%s", t->name);
    for (int64_t k = 0; k < n; k++) {
        text_printf(s->out, " %.10g", s->values[k]);
    }
    text_printf(s->out, "\n");
}

static void cell(Script *s, const Tensor *t)
{
    double v;
    bool present;
    read_values(s);
    if (!interp_cell(s->in, t, s->ints, &v, &present)) {
        check(s, false);
    } else if (present) {
        text_printf(s->out, "%.10g\n", v);
    } else {
        text_printf(s->out, "absent\n");
    }
}

static void run_command(Script *s)
{
    const char *command = next_word(s);
    if (*command == '\0') {
        return;
    }
    if (strcmp(command, "batch") == 0) {
        read_values(s);
        interp_free(s->in);
        s->in = interp_new(s->g, s->ints[0]);
    } else if (strcmp(command, "strict") == 0) {
        interp_strict(s->in, true);
    } else if (strcmp(command, "seed") == 0) {
        read_values(s);
        interp_seed(s->in, (uint64_t)s->ints[0], (uint64_t)s->ints[1]);
    } else if (strcmp(command, "run") == 0) {
        check(s, interp_run(s->in));
    } else if (strcmp(command, "advance") == 0) {
        check(s, interp_advance(s->in));
    } else if (strcmp(command, "lists") == 0 || strcmp(command, "size") == 0) {
        const Axis *a = find_axis(s, next_word(s));
        read_values(s);
        if (a != NULL) {
            check(s, *command == 'l' ? interp_offsets(s->in, a, s->n - 1, s->ints) : interp_size(s->in, a, s->ints[0]));
        }
    } else {
        const Tensor *t = find_tensor(s, next_word(s));
        if (t != NULL && strcmp(command, "set") == 0) {
            read_values(s);
            bool whole = elem_type(t->elem) == TYPE_INT;
            check(s, whole ? interp_set_int(s->in, t, s->n, s->ints) : interp_set(s->in, t, s->n, s->values));
        } else if (t != NULL && strcmp(command, "get") == 0) {
            get(s, t);
        } else if (t != NULL && strcmp(command, "cell") == 0) {
            cell(s, t);
        } else if (t != NULL) {
            text_printf(s->out, "no command '%s'\n", command);
        }
    }
}

void run_script(const Graph *g, const char *script, Text *out)
{
    Script *s = calloc(1, sizeof *s);
    s->g = g;
    s->out = out;
    s->in = interp_new(g, 1);
    while (*script != '\0') {
        size_t n = strcspn(script, "\n");
        char *line = malloc(n + 1);
        memcpy(line, script, n);
        line[n] = '\0';
        s->words = line;
        run_command(s);
        free(line);
        script += n + (script[n] == '\n');
    }
    interp_free(s->in);
    free(s);
}
