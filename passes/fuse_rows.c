/* fuse-rows: what works on the same rows of the batch runs together, a tile of rows at a time. Needs: fuse-stream.
 * Breaks: nothing may rewrite equations afterwards.
 *
 *     n[b,i,:] = norm(x[b,i,:])                      row results: rows of the batch's lists, or examples
 *     q[b,i,:] = sum[d] n[b,i,d] Wq[d,:]             read only at the very row that is written
 *     gW[d,e]  = sum[b,i] n[b,i,d] gq[b,i,e]         sink: a copy per group of rows, folded in order
 *
 * What may run together is a matter of stages. Whoever reads a result at other rows, or as a whole, or works on
 * something else (an attention, a recurrence), comes a stage later; so does what reads from there. Equations over the
 * same rows that have the same stage are one cluster. Stages follow from who reads what and from nothing else: neither
 * names nor the order in which equations stand matter, and an equation that is taken apart stays in its stage.
 *
 *     stage 0        attention      stage 1              attention      stage 2
 *     n, q, k, v ──────► o ───────► y, up, down, n' q' ────► o' ──────► loss, its gradients ...
 *      └────── x ───────────────────►┘ (own row: no stage more)
 *
 * Sums and outputs have the earliest stage that they can have, so that what they sum need not be kept; everything else
 * the latest at which none of those is late. */
#include "contract.h"
#include "convolution.h"
#include "units.h"

#include <limits.h>

/* Elements: of a sum over rows whose groups each have a copy; of a product's, which adds whole blocks; of a matrix that
 * each tile reads whole; of one row of a result. What is larger would not stay in the cache. */
enum { COPY_LIMIT = 1 << 14, PRODUCT_LIMIT = 1 << 17, MATRIX_LIMIT = 1 << 17, ROW_LIMIT = 1 << 13 };

static int only_batch_letter(const Equation *e)
{
    int found = -1;
    for (int k = 0; k < e->nletters; k++) {
        if (e->letters[k].axis->kind == AXIS_BATCH) {
            if (found >= 0) {
                return -1;
            }
            found = k;
        } else if (axis_bound(e->letters[k].axis) < 0) {
            return -1; /* a sum of axes with the batch in it */
        }
    }
    return found;
}

static bool is_list_letter(const Equation *e, int letter, int example)
{
    const Axis *a = e->letters[letter].axis;
    return axis_is_ragged(a) && axis_is_plain(a) && e->letters[letter].parent == example;
}

/* The dim of a per-example tensor that counts rows with the example, 0: the examples themselves are its rows; -1: it
 * has lists of other kinds. */
static int row_dim(const Tensor *t)
{
    int found = 0;
    for (int d = 1; d < t->ndim; d++) {
        if (!axis_is_plain(t->dims[d]) || axis_bound(t->dims[d]) < 0 || (axis_is_ragged(t->dims[d]) && found)) {
            return -1;
        }
        found = axis_is_ragged(t->dims[d]) ? d : found;
    }
    return found;
}

typedef struct {
    int row;
    bool found;
} Matrix;

/* Whether every row reads a matrix that does not stay in the cache. */
static void look_for_matrix(const Scalar *load, void *ctx)
{
    Matrix *m = ctx;
    int64_t cells = 1;
    for (int d = 0; d < load->nargs && !load->tensor->per_example && cells <= MATRIX_LIMIT; d++) {
        unsigned letters = sc_letters(load->args[d]) & ~(1u << m->row);
        int64_t size = axis_bound(load->tensor->dims[d]);
        bool is_whole = letters != 0 && !has_load(load->args[d]);
        cells = !is_whole ? cells : size < 0 || size > MATRIX_LIMIT ? MATRIX_LIMIT + 1 : cells * size;
    }
    m->found = m->found || cells > MATRIX_LIMIT;
}

/* The letter that counts the rows in which e defines its tensor, b being that of the example; or -1. */
static int defined_row(const Equation *e, int b)
{
    int d = row_dim(e->dst);
    if (d < 0 || e->lhs[0]->op != OP_LETTER || e->lhs[0]->inum != b || e->lhs[d]->op != OP_LETTER ||
        tensor_cells(e->dst, d) > ROW_LIMIT) {
        return -1;
    }
    int letter = (int)e->lhs[d]->inum;
    return d == 0 || (is_list_letter(e, letter, b) && e->letters[letter].axis == e->dst->dims[d]) ? letter : -1;
}

/* The same of the rows that it sums. */
static int summed_row(const Graph *g, const Equation *e, int b)
{
    Contraction c;
    if (e->op != RED_SUM || tensor_cells(e->dst, -1) > (contract_match(g, e, &c) ? PRODUCT_LIMIT : COPY_LIMIT)) {
        return -1;
    }
    int found = b;
    for (int k = 0; k < e->nletters; k++) {
        if (axis_is_ragged(e->letters[k].axis)) {
            if (found != b || !is_list_letter(e, k, b)) {
                return -1;
            }
            found = k;
        }
    }
    return found;
}

int equation_row_letter(const Graph *g, const Equation *e)
{
    int b = only_batch_letter(e);
    Convolution c;
    if (b < 0 || e->cluster || convolution_match(g, e, &c) || equation_is_extern(e) || e->dst->is_draw ||
        (e->dst->elem != ELEM_REAL && e->dst->elem != ELEM_BOOL)) {
        return -1;
    }
    Matrix m = {.row = e->dst->per_example ? defined_row(e, b) : summed_row(g, e, b)};
    if (m.row >= 0) {
        equation_loads(e, look_for_matrix, &m);
    }
    return m.found ? -1 : m.row;
}

bool loads_own_row(const Equation *reader, const Scalar *load, int row)
{
    int d = load->tensor->per_example ? row_dim(load->tensor) : -1;
    const Scalar *b = d >= 0 ? load->args[0] : NULL, *at = d >= 0 ? load->args[d] : NULL;
    return b && b->op == OP_LETTER && reader->letters[b->inum].axis->kind == AXIS_BATCH && at->op == OP_LETTER &&
           at->inum == row;
}

/* ---- stages --------------------------------------------------------------------------------------------------- */

/* Stages of rows are even, those of all else odd: between two stages of rows, or before the first. */
typedef struct {
    int row; /* the letter that counts the rows at hand; -1: it does not go over them */
    int early, stage;
    bool is_led; /* something that goes over them reads it, directly or not */
} Place;

typedef struct {
    const Units *u;
    const Axis *axis;
    Place *places; /* by equation id of a unit's first equation */
} Stages;

static Place *place_of(const Stages *s, const Unit *u)
{
    return &s->places[u->e[0]->id];
}

/* How much later a reader has to be. */
static int distance(const Place *from, const Place *to, const Link *l)
{
    if (from->row >= 0 && to->row >= 0) {
        return loads_own_row(l->reader, l->load, to->row) ? 0 : 2;
    }
    return from->row >= 0 || to->row >= 0;
}

static void find_stages(Stages *s)
{
    for (int i = 0; i < s->u->n; i++) {
        const Unit *u = s->u->units[i];
        Place *p = place_of(s, u);
        p->early = p->row >= 0 ? 0 : -1;
        for (int k = 0; k < u->nreads; k++) {
            const Place *from = place_of(s, u->reads[k].unit);
            int after = from->early + distance(from, p, &u->reads[k]);
            p->early = after > p->early ? after : p->early;
        }
    }
    for (int i = s->u->n - 1; i >= 0; i--) {
        const Unit *u = s->u->units[i];
        Place *p = place_of(s, u);
        int late = INT_MAX;
        for (int k = 0; k < u->nreaders; k++) {
            const Place *to = place_of(s, u->readers[k].unit);
            if (to->row >= 0 || to->is_led) {
                int before = to->stage - distance(p, to, &u->readers[k]);
                late = before < late ? before : late;
                p->is_led = true;
            }
        }
        p->stage = p->is_led ? late : p->early;
    }
}

/* ---- clusters ------------------------------------------------------------------------------------------------- */

/* Clusters of the equations that go over the axis. */
static void form_clusters(Graph *g, const Axis *axis)
{
    Units u = units_of(g);
    Stages s = {.u = &u, .axis = axis, .places = arena_alloc(g->arena, (size_t)(g->nequations + 1) * sizeof(Place))};
    int last = 0, cluster = u.nclusters;
    for (int i = 0; i < u.n; i++) {
        Equation *e = u.units[i]->e[0];
        int row = u.units[i]->cluster || u.units[i]->is_cycle ? -1 : equation_row_letter(g, e);
        s.places[e->id].row = row >= 0 && e->letters[row].axis == axis ? row : -1;
    }
    find_stages(&s);
    for (int i = 0; i < u.n; i++) {
        const Place *p = place_of(&s, u.units[i]);
        last = p->row >= 0 && p->stage > last ? p->stage : last;
    }
    int *members = arena_alloc(g->arena, (size_t)(last + 1) * sizeof *members);
    int *number = arena_alloc(g->arena, (size_t)(last + 1) * sizeof *number);
    for (int i = 0; i < u.n; i++) {
        const Place *p = place_of(&s, u.units[i]);
        if (p->row >= 0) {
            members[p->stage]++;
        }
    }
    for (int i = 0; i <= last; i++) {
        number[i] = members[i] > 1 ? ++cluster : 0;
    }
    for (int i = 0; i < u.n; i++) {
        const Place *p = place_of(&s, u.units[i]);
        Equation *e = u.units[i]->e[0];
        if (p->row >= 0 && number[p->stage] > 0) {
            e->tile = sc_letter(g, p->row);
            e->cluster = number[p->stage];
            e->by_rows = true;
        }
    }
}

void pass_fuse_rows(Graph *g)
{
    if (runs_in_levels(g)) {
        return;
    }
    for (int batch = 0; batch < 2 && g->batched; batch++) { /* lists before examples, of which there are fewer */
        for (int i = 0; i < g->naxes; i++) {
            const Axis *a = g->axes[i];
            if (batch ? a->kind == AXIS_BATCH : axis_is_ragged(a) && axis_is_plain(a)) {
                form_clusters(g, a);
            }
        }
    }
}
