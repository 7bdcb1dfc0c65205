/* Any bytes as a file of a data set: the first byte says which. Either it is refused with a sentence, or the data set
 * that results opens with its checksums and every example of it can be loaded.
 *
 *   r  ratings.dat beside good users and movies     i  a RecBole .inter file     t  text with a good declaration
 *   d  a declaration, for good text                 s  schema.json of a good data set
 *   l  rows of libsvm, f  the same as fields        c  rows of Criteo, also as the test part
 *   k  candidates of a good log
 *   o  offsets of a good data set                   z  ratings.dat.gz */
#include "data/builder.h"
#include "data/import.h"
#include "data/loader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[64];

static void put(const char *name, const void *data, size_t size)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f)) {
        perror(path);
        exit(2);
    }
}

static void put_text(const char *name, const char *text)
{
    put(name, text, strlen(text));
}

static void clean_up(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    if (system(command) != 0) {
        fprintf(stderr, "%s is left over\n", dir);
    }
}

static void set_up(void)
{
    /* In memory where there is such a place: every run writes and syncs a dozen files. */
    snprintf(dir, sizeof dir, "%s/heddle-fuzz-data-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp(dir)) {
        perror(dir);
        exit(2);
    }
    atexit(clean_up);
    put_text("users.dat", "1::F::1::10::48067\n2::M::56::16::70072\n");
    put_text("movies.dat", "1::A::X|Y\n2::B::Y\n7::C::Z\n");
    put_text("good.csv", "u1,a,4,2.5,x|y\nu2,b,3,1,\nu1,b,9,0,y\n");
    put_text("shown.json",
             "{\"columns\": [{\"role\": \"user\"}, {\"role\": \"item\"}, {\"role\": \"time\"}, {\"type\": \"skip\"}, "
             "{\"type\": \"skip\"}], \"candidates\": {\"file\": \"shown.csv\", \"columns\": [{\"role\": \"user\"}, "
             "{\"role\": \"item\"}, {\"role\": \"time\"}, {\"role\": \"label\"}]}}");
    put_text("good.libsvm", "1 1:1 5:1\n-1 2:1 5:1\n1 1:1 6:1\n");
    put_text("good.json",
             "{\"columns\": [{\"role\": \"user\"}, {\"role\": \"item\"}, {\"role\": \"time\"}, "
             "{\"name\": \"p\", \"type\": \"f32\"}, {\"name\": \"t\", \"type\": \"ids\", \"separator\": \"|\"}]}");
}

static void check(bool good, const Error *e)
{
    if (!good && (e->code == 0 || e->text[0] == 0 || e->code == EXIT_RESOURCES)) {
        fprintf(stderr, "code %d: %s\n", e->code, e->text);
        abort();
    }
}

/* Loads everything that a plain spec would ask for. */
static void load(const DataSet *ds)
{
    static const DataInput in[] = {
        {"item", DT_I64, NULL, false, false, 1, {{DIM_RAGGED, "T", 1, 5, NULL}}},
        {"genre", DT_I32, NULL, false, false, 2, {{DIM_RAGGED, "T", 1, 5, NULL}, {DIM_RAGGED, "Y", 0, 3, NULL}}},
        {"t", DT_I32, NULL, false, false, 2, {{DIM_RAGGED, "T", 1, 5, NULL}, {DIM_RAGGED, "Z", 0, 3, NULL}}},
        {"now", DT_I64, NULL, false, false, 0, {{0}}},
        {"target", DT_I64, NULL, true, false, 0, {{0}}},
        {"lab", DT_F32, NULL, true, false, 0, {{0}}},
        {"fv", DT_I64, NULL, true, false, 2, {{DIM_FIELDS, "F", 0, 9, "cat"}, {DIM_RAGGED, "O", 0, 3, NULL}}},
        {"ctx", DT_F32, NULL, true, false, 2, {{DIM_FIELDS, "X", 0, 9, "num"}, {DIM_WIDTH, "I", 0, 3, NULL}}},
        {"support", DT_F32, NULL, false, true, 1, {{DIM_VOCAB, "V", 0, -1, "item"}}},
    };
    DataRecipe r;
    recipe_default(ds, &r);
    for (size_t i = 0; i < sizeof in / sizeof *in; i++) {
        for (int part = PART_TRAIN; part <= PART_SERVE; part++) {
            Error e = {0};
            Batch b;
            Loader *l = loader_new(ds, &r, (DataPart)part, 1, &in[i], &e);
            if (l && loader_count(l) > 0) {
                loader_shuffle(l, 1, 1);
                int64_t n = loader_count(l) < 1000 ? loader_count(l) : 1000;
                check(loader_batch(l, 0, n, &b, &e), &e);
            }
            check(l != NULL, &e);
            loader_free(l);
        }
    }
    free(data_describe(ds));
}

static void import_parts(const char *format, const char *file, const char *schema, const char *test, bool fields)
{
    char path[128], declaration[128], out[128], other[128];
    const char *paths[] = {path};
    snprintf(other, sizeof other, "%s/%s", dir, test ? test : "");
    snprintf(path, sizeof path, "%s/%s", dir, file);
    snprintf(declaration, sizeof declaration, "%s/%s", dir, schema ? schema : "");
    snprintf(out, sizeof out, "%s/out", dir);
    for (int skip = 0; skip < 2; skip++) {
        ImportOptions o = {.replace = true,
                           .skip_bad = skip,
                           .drop_unknown = skip,
                           .schema = schema ? declaration : NULL,
                           .test = test ? other : NULL,
                           .fields = fields,
                           .min_count = test ? 1 : 0};
        ImportReport r;
        Error e = {0};
        bool good = data_import(format, 1, paths, out, &o, &r, &e);
        free(import_report_json(&r));
        check(good, &e);
        if (good) {
            DataSet *ds = data_open(out, true, &e);
            if (!ds) {
                fprintf(stderr, "imported, but: %s\n", e.text);
                abort();
            }
            load(ds);
            data_close(ds);
        }
    }
}

static void import_it(const char *format, const char *file, const char *schema)
{
    import_parts(format, file, schema, NULL, false);
}

/* A file of a good data set, replaced. */
static void damage(const char *file, const uint8_t *data, size_t size)
{
    char out[128];
    Error e = {0};
    snprintf(out, sizeof out, "%s/out", dir);
    import_it("text", "good.csv", "good.json");
    put(file, data, size);
    DataSet *ds = data_open(out, false, &e);
    check(ds != NULL, &e);
    if (ds) {
        load(ds);
        data_close(ds);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!*dir) {
        set_up();
    }
    if (size == 0) {
        return 0;
    }
    char kind = (char)data[0];
    data++;
    size--;
    switch (kind) {
    case 'r':
    case 'z': {
        char path[128];
        snprintf(path, sizeof path, "%s/ratings.dat", dir);
        unlink(path);
        put(kind == 'r' ? "ratings.dat" : "ratings.dat.gz", data, size);
        import_it("movielens", ".", NULL);
        break;
    }
    case 'i':
        put("x.inter", data, size);
        import_it("recbole", "x.inter", NULL);
        break;
    case 't':
        put("x.csv", data, size);
        import_it("text", "x.csv", "good.json");
        break;
    case 'l':
    case 'f':
        put("x.libsvm", data, size);
        import_parts("libsvm", "x.libsvm", NULL, NULL, kind == 'f');
        import_parts("libsvm", "good.libsvm", NULL, "x.libsvm", kind == 'f');
        break;
    case 'c':
        put("x.txt", data, size);
        import_parts("criteo", "x.txt", NULL, NULL, false);
        import_parts("criteo", "x.txt", NULL, "x.txt", false);
        break;
    case 'k':
        put("shown.csv", data, size);
        import_it("text", "good.csv", "shown.json");
        break;
    case 'd':
        put("x.json", data, size);
        import_it("text", "good.csv", "x.json");
        break;
    case 's':
        damage("out/schema.json", data, size);
        break;
    case 'o':
        damage("out/columns/user.offsets.i64", data, size);
        break;
    default:
        break;
    }
    return 0;
}
