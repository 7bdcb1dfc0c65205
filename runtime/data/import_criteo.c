/* The layout of the Criteo display advertising data: label, 13 numbers I1 .. I13, 26 categories C1 .. C26, tabs
 * between, an empty field is missing.
 *
 * Every field is categorical, as the usual benchmarks make it: a number x becomes the bucket floor(ln(x)^2) above 2 and
 * floor(x) below; a missing one is an entry of its own. Entries that occur less often than min_count (default 10) in
 * the training part are the entry <unknown> of their field. Other treatments: format text with a declaration. */
#include "import_table.h"

#include <stdio.h>
#include <stdlib.h>

enum { NUMBERS = 13, CATEGORIES = 26, FIELDS = 1 + NUMBERS + CATEGORIES, MIN_COUNT = 10 };

bool import_criteo(Importer *im, int npaths, const char *const *paths, const char *out)
{
    char names[FIELDS][8];
    NumberRule buckets = {.log_square = true};
    FieldDecl fields[FIELDS];
    im->report->is_log = false;
    im->builder = builder_new(out, DATA_ROWS, im->options->replace, im->e);
    fields[0] = (FieldDecl){.name = "lab", .type = FIELD_REAL, .dtype = DT_F32, .outcome = true};
    for (int i = 1; i < FIELDS; i++) {
        bool number = i <= NUMBERS;
        snprintf(names[i], sizeof names[i], "%c%d", number ? 'I' : 'C', number ? i : i - NUMBERS);
        fields[i] = (FieldDecl){.name = names[i], .position = i, .vocab = names[i], .optional = true};
        fields[i].type = number ? FIELD_BUCKET : FIELD_ID;
        fields[i].number = number ? &buckets : NULL;
        int64_t least = im->options->min_count > 0 ? im->options->min_count : MIN_COUNT;
        if (!im->builder || !import_add_rule(im, names[i], least, "<unknown>")) {
            return false;
        }
    }
    TableDecl decl = {.table = TABLE_MAIN, .separator = "\t", .width = FIELDS, .nfields = FIELDS, .fields = fields};
    return import_parts(im, &decl, npaths, paths);
}
