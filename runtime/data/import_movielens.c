/* MovieLens as GroupLens publishes it, in two layouts.
 *
 *   1M    users.dat    UserID::Gender::Age::Occupation::Zip-code
 *         movies.dat   MovieID::Title::Genre|Genre                    ISO 8859-1
 *         ratings.dat  UserID::MovieID::Rating::Timestamp
 *   100K  u.user       id|age|gender|occupation|zip
 *         u.item       id|title|release|video release|url|19 genre flags      ISO 8859-1
 *         u.data       user item rating timestamp, tabs
 *
 * Users and items are numbered in the order of their own files, so that the catalogue is every movie listed, also one
 * that nobody rated. A rating is kept twice: as a number (`rating`, for labels such as rating >= 4) and as the id of an
 * action (`act`, what the event did). Genres are a list per movie, in the order of the file. */
#include "import_table.h"

#include <stdlib.h>

static const char *const stars[] = {"1", "2", "3", "4", "5"};
static const char *const genres[] = {"unknown",   "Action",   "Adventure",   "Animation", "Children's",
                                     "Comedy",    "Crime",    "Documentary", "Drama",     "Fantasy",
                                     "Film-Noir", "Horror",   "Musical",     "Mystery",   "Romance",
                                     "Sci-Fi",    "Thriller", "War",         "Western"};
enum { NGENRES = sizeof genres / sizeof *genres };

#define USER                                                                                                           \
    {                                                                                                                  \
        .name = "user", .type = FIELD_ID, .role = ROLE_USER, .vocab = "user"                                           \
    }
#define ITEM                                                                                                           \
    {                                                                                                                  \
        .name = "item", .type = FIELD_ID, .role = ROLE_ITEM, .vocab = "item"                                           \
    }
#define ID(column, at)                                                                                                 \
    {                                                                                                                  \
        .name = column, .position = at, .type = FIELD_ID, .vocab = column                                              \
    }
#define TITLE                                                                                                          \
    {                                                                                                                  \
        .name = "title", .position = 1, .type = FIELD_TEXT                                                             \
    }

static const FieldDecl user_1m[] = {USER, ID("gender", 1), ID("age", 2), ID("occupation", 3), ID("zip", 4)};
static const FieldDecl user_100k[] = {USER, ID("age", 1), ID("gender", 2), ID("occupation", 3), ID("zip", 4)};
static const FieldDecl item_1m[] = {
    ITEM, TITLE, {.name = "genre", .position = 2, .type = FIELD_IDS, .vocab = "genre", .separator = "|"}};
static const FieldDecl item_100k[] = {
    ITEM,
    TITLE,
    {.name = "genre", .position = 5, .type = FIELD_FLAGS, .vocab = "genre", .nnames = NGENRES, .names = genres}};
static const FieldDecl rating[] = {
    USER,
    {.name = "item", .position = 1, .type = FIELD_ID, .role = ROLE_ITEM, .vocab = "item"},
    {.name = "rating",
     .position = 2,
     .type = FIELD_INT,
     .dtype = DT_I32,
     .limited = true,
     .lo = 1,
     .hi = 5,
     .outcome = true},
    {.name = "act",
     .position = 2,
     .type = FIELD_ID,
     .vocab = "action",
     .nnames = 5,
     .names = stars,
     .closed = true,
     .outcome = true},
    {.name = "ts", .position = 3, .type = FIELD_TIME, .unit = 1}};

#define FIELDS(list) .nfields = sizeof list / sizeof *list, .fields = list

static const struct {
    const char *files[TABLE_COUNT]; /* by table */
    TableDecl tables[TABLE_COUNT];
} layouts[] = {
    {{"ratings.dat", "users.dat", "movies.dat"},
     {{.table = TABLE_MAIN, .separator = "::", .width = 4, FIELDS(rating)},
      {.table = TABLE_USER, .separator = "::", .width = 5, .latin1 = true, FIELDS(user_1m)},
      {.table = TABLE_ITEM, .separator = "::", .width = 3, .latin1 = true, FIELDS(item_1m)}}},
    {{"u.data", "u.user", "u.item"},
     {{.table = TABLE_MAIN, .separator = "\t", .width = 4, FIELDS(rating)},
      {.table = TABLE_USER, .separator = "|", .width = 5, .latin1 = true, FIELDS(user_100k)},
      {.table = TABLE_ITEM, .separator = "|", .width = 5 + NGENRES, .latin1 = true, FIELDS(item_100k)}}},
};

/* The zip code is left out of the fields: it is nearly one per user. */
static bool choose_fields(Importer *im)
{
    static const struct {
        DataTable table;
        const char *name;
        bool safe; /* the user's own fields may be seen by the events, the candidate's may not */
    } fields[] = {{TABLE_USER, "gender", true},
                  {TABLE_USER, "age", true},
                  {TABLE_USER, "occupation", true},
                  {TABLE_MAIN, "item", false},
                  {TABLE_ITEM, "genre", false}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        int column = builder_find(im->builder, fields[i].table, fields[i].name);
        if (!builder_field(im->builder, "cat", column, fields[i].safe, im->e)) {
            return false;
        }
    }
    return true;
}

bool import_movielens(Importer *im, const char *dir, const char *out)
{
    static const DataTable order[] = {TABLE_USER, TABLE_ITEM, TABLE_MAIN};
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        char *found = import_find(dir, layouts[i].files[TABLE_MAIN]);
        free(found);
        if (!found) {
            continue;
        }
        im->builder = builder_new(out, DATA_LOG, im->options->replace, im->e);
        bool good = im->builder != NULL;
        for (size_t k = 0; good && k < sizeof order / sizeof *order; k++) {
            const char *name = layouts[i].files[order[k]];
            char *path = import_find(dir, name);
            good = path ? import_table(im, &layouts[i].tables[order[k]], path)
                        : error_set(im->e, EXIT_DATA, "%s has %s but no %s (nor %s.gz)", dir,
                                    layouts[i].files[TABLE_MAIN], name, name);
            free(path);
        }
        return good && choose_fields(im);
    }
    return error_set(im->e, EXIT_DATA, "%s has neither ratings.dat (1M) nor u.data (100K), plain or with .gz", dir);
}
