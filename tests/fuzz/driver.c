/* A main for fuzz targets that needs no fuzzing engine: runs every file of the corpus, then mutations of them from a
 * plain random generator. A crash prints the seed and the run with which it comes again; the input that caused it
 * is written to "crash-NAME". With clang, link a target with -fsanitize=fuzzer instead of this file.
 *
 *     fuzz_safetensors [--runs N] [--seed S] [CORPUS ...]          files or directories */
#include <ctype.h>
#include <dirent.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Words of the target's own grammar, NULL at the end; a target need not have any. */
extern const char *const fuzz_words[] __attribute__((weak));

enum { MAX_SEEDS = 1000, INPUT_LIMIT = 1 << 16 };

static struct {
    uint8_t *data;
    size_t size;
} seeds[MAX_SEEDS];
static int nseeds;

static uint8_t input[2 * INPUT_LIMIT];
static size_t input_size;
static unsigned long long seed = 1, run;

static uint64_t state;

static uint64_t random_below(uint64_t n)
{
    state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t x = state;
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return n ? (x ^ (x >> 31)) % n : 0;
}

static void add_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f || nseeds == MAX_SEEDS) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(2);
    }
    uint8_t *data = malloc(INPUT_LIMIT);
    size_t size = data ? fread(data, 1, INPUT_LIMIT, f) : 0;
    fclose(f);
    seeds[nseeds].data = data;
    seeds[nseeds++].size = size;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name); /* not alphasort: that depends on the locale */
}

static void add_path(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        add_file(path);
        return;
    }
    struct dirent **names;
    int n = scandir(path, &names, NULL, by_name);
    for (int i = 0; i < n; i++) {
        char file[4096];
        snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.') {
            add_file(file);
        }
        free(names[i]);
    }
    free(names);
}

static void insert_bytes(size_t at, const uint8_t *bytes, size_t n)
{
    if (input_size + n <= INPUT_LIMIT) {
        memmove(input + at + n, input + at, input_size - at);
        memcpy(input + at, bytes, n);
        input_size += n;
    }
}

static size_t find_word(size_t *n)
{
    size_t at = random_below(input_size + 1);
    while (at < input_size && !isalnum(input[at])) {
        at++;
    }
    while (at > 0 && isalnum(input[at - 1])) {
        at--;
    }
    for (*n = 0; *n < 40 && at + *n < input_size && isalnum(input[at + *n]); ++*n) {
    }
    return at;
}

/* One word in the place of another: what an input needs to stay nearly right. */
static void exchange_words(void)
{
    uint8_t word[40];
    size_t n, old, from = find_word(&n);
    memcpy(word, input + from, n);
    size_t to = find_word(&old);
    memmove(input + to, input + to + old, input_size - to - old);
    input_size -= old;
    insert_bytes(to, word, n);
}

static void mutate(void)
{
    static const char *const words[] = {"0",
                                        "-1",
                                        "1e300",
                                        "18446744073709551615",
                                        "9223372036854775808",
                                        "\"",
                                        "{",
                                        "}",
                                        "[",
                                        "]",
                                        ",",
                                        ":",
                                        "\\u0000",
                                        "null",
                                        "\xff",
                                        "\n",
                                        "4294967296",
                                        "nan"};
    uint8_t block[64];
    size_t at = random_below(input_size + 1), n;
    if (fuzz_words && random_below(2) == 0) {
        exchange_words();
        return;
    }
    switch (random_below(8)) {
    case 0:
        if (at < input_size) {
            input[at] ^= (uint8_t)(1u << random_below(8));
        }
        break;
    case 1:
        if (at < input_size) {
            input[at] = (uint8_t)random_below(256);
        }
        break;
    case 2:
        input_size = at;
        break;
    case 3: /* a piece is left out */
        n = random_below(input_size - at < 32 ? input_size - at + 1 : 32);
        memmove(input + at, input + at + n, input_size - at - n);
        input_size -= n;
        break;
    case 4: /* a piece comes twice */
        n = random_below(input_size - at < sizeof block ? input_size - at + 1 : sizeof block);
        memcpy(block, input + at, n);
        insert_bytes(random_below(input_size + 1), block, n);
        break;
    case 5: {
        const char *w = words[random_below(sizeof words / sizeof *words)];
        if (fuzz_words) {
            for (n = 0; fuzz_words[n]; n++) {
            }
            w = fuzz_words[random_below(n)];
        }
        insert_bytes(at, (const uint8_t *)w, strlen(w));
        break;
    }
    case 6: { /* a piece of another input */
        int other = (int)random_below((uint64_t)nseeds);
        size_t from = random_below(seeds[other].size + 1);
        n = random_below(seeds[other].size - from < sizeof block ? seeds[other].size - from + 1 : sizeof block);
        insert_bytes(at, seeds[other].data + from, n);
        break;
    }
    default: /* a digit becomes another */
        for (size_t i = 0; i < input_size; i++) {
            size_t k = (at + i) % input_size;
            if (input[k] >= '0' && input[k] <= '9') {
                input[k] = (uint8_t)('0' + random_below(10));
                break;
            }
        }
    }
}

static void crashed(int number)
{
    static const char text[] = "crashed: the input is in crash-input\n";
    FILE *f = fopen("crash-input", "wb");
    if (f) {
        fwrite(input, 1, input_size, f);
        fclose(f);
    }
    fprintf(stderr, "%ssignal %d, --seed %llu, run %llu\n", text, number, seed, run);
    _exit(1);
}

static void run_one(void)
{
    uint8_t *exact = malloc(input_size + 1); /* its own block, so that a sanitizer sees a read beyond the end */
    memcpy(exact, input, input_size);
    setitimer(ITIMER_PROF, &(struct itimerval){.it_value.tv_sec = 60}, NULL); /* of CPU: a busy machine is no hang */
    uint8_t *data = realloc(exact, input_size ? input_size : 1);
    LLVMFuzzerTestOneInput(data, input_size);
    free(data);
}

int main(int argc, char **argv)
{
    unsigned long long runs = 20000;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--runs") == 0 && i + 1 < argc) {
            runs = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            seed = strtoull(argv[++i], NULL, 10);
        } else {
            add_path(argv[i]);
        }
    }
    signal(SIGSEGV, crashed);
    signal(SIGBUS, crashed);
    signal(SIGABRT, crashed);
    signal(SIGFPE, crashed);
    signal(SIGPROF, crashed);
    for (int i = 0; i < nseeds; i++) {
        memcpy(input, seeds[i].data, seeds[i].size);
        input_size = seeds[i].size;
        run_one();
    }
    for (run = 0; run < runs; run++) {
        state = seed * UINT64_C(0x2545f4914f6cdd1d) + run; /* a run depends on nothing before it */
        input_size = 0;
        if (nseeds > 0) {
            int from = (int)random_below((uint64_t)nseeds);
            input_size = seeds[from].size;
            memcpy(input, seeds[from].data, input_size);
        }
        for (uint64_t k = 1 + random_below(6); k > 0; k--) {
            if (input_size > 0 || nseeds > 0) {
                mutate();
            }
        }
        run_one();
    }
    printf("%d seeds and %llu mutations passed\n", nseeds, runs);
    for (int i = 0; i < nseeds; i++) {
        free(seeds[i].data);
    }
    return 0;
}
