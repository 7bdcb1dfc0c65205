// clang-format off
/* The documents keep their promises.
 *
 *   test_docs HEDDLE SOURCE run FILE.md       what stands between ``` lines, in order, in one scratch directory in
 *                                             which build/heddle and models are those of the source tree:
 *       heddle NAME     saved as NAME
 *       heddle          a spec, checked, or a part of one, parsed
 *       diff NAME       lines with - in NAME become those with + below them
 *       sh [exit=N]     run; exits with N (0)
 *       text            occurs in the output of the commands before; "..." stands for any lines
 *       text about      the same, whatever the numbers are
 *       text PATH       occurs in that file of the source tree, comments aside
 *       c               is left alone
 *   test_docs HEDDLE SOURCE options FILE...   every option of a `heddle COMMAND ...` in the files is one of the
 *                                             command's */
// clang-format on
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_TEXT = 1 << 20 };
static int failures, checked;
static const char *file_name;

static void fail(int line, const char *what, const char *text)
{
    printf("FAIL %s:%d: %s: %s\n", file_name, line, what, text);
    failures++;
}

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    char *text = calloc(1, MAX_TEXT);
    if (!f || !text) {
        fprintf(stderr, "cannot read %s: %s\n", path, strerror(errno));
        exit(2);
    }
    size_t n = fread(text, 1, MAX_TEXT - 1, f);
    text[n] = '\0';
    fclose(f);
    return text;
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    if (!f || fputs(text, f) < 0 || fclose(f) != 0) {
        fprintf(stderr, "cannot write %s\n", path);
        exit(2);
    }
}

/* Runs a script; its exit code. The output is in out.txt. */
static int run_script(const char *text)
{
    write_file("script.sh", text);
    int status = system("sh -e script.sh >out.txt 2>&1 </dev/null");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

/* ---- comparing lines ---- */

/* One line without what may differ: blanks become one, comments go if asked, numbers become # if asked. */
static void plain_line(const char *line, size_t n, bool comments, bool numbers, char *out, size_t size)
{
    size_t m = 0;
    bool blank = false, inside = false; /* a name, whose digits are no number */
    for (size_t i = 0; i < n && m + 2 < size; i++) {
        if (!comments && line[i] == '#') {
            break;
        }
        if (line[i] == ' ' || line[i] == '\t') {
            blank = m > 0;
            continue;
        }
        if (blank) {
            out[m++] = ' ';
        }
        blank = false;
        inside = i > 0 && (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_@", line[i - 1]) != NULL ||
                           (inside && line[i - 1] >= '0' && line[i - 1] <= '9'));
        if (numbers && !inside && line[i] >= '0' && line[i] <= '9') {
            size_t len = strspn(line + i, "0123456789.");
            if (line[i + len] == 'e') {
                size_t exponent = strspn(line + i + len + 1, "+-0123456789");
                len += exponent > 0 ? exponent + 1 : 0;
            }
            len -= line[i + len - 1] == '.' ? 1 : 0;
            i += len - 1;
            out[m++] = '#';
        } else {
            out[m++] = line[i];
        }
    }
    out[m] = '\0';
}

/* Every line of `want` occurs in `text` after the one before it. */
static void check_lines(int at, const char *want, const char *text, bool comments, bool numbers)
{
    char expected[1024], line[1024];
    const char *from = text;
    for (const char *w = want; *w; w += strcspn(w, "\n"), w += *w == '\n', at++) {
        plain_line(w, strcspn(w, "\n"), comments, numbers, expected, sizeof expected);
        if (expected[0] == '\0' || strcmp(expected, "...") == 0) {
            continue;
        }
        bool found = false;
        const char *t = from;
        while (*t && !found) {
            plain_line(t, strcspn(t, "\n"), comments, numbers, line, sizeof line);
            found = strcmp(line, expected) == 0;
            t += strcspn(t, "\n");
            t += *t == '\n';
        }
        checked++;
        if (!found) {
            fail(at, "this line is not there", expected);
            printf("%s\n", from);
            return;
        }
        from = t;
    }
}

/* ---- blocks ---- */

/* Lines "-old" followed by "+new" lines: the old line is replaced; "+" lines alone follow the last one replaced. */
static void apply_diff(int at, const char *name, const char *diff)
{
    char *text = read_file(name), *out = calloc(1, MAX_TEXT);
    const char *rest = text;
    size_t n = 0;
    for (const char *d = diff; out && *d; d += strcspn(d, "\n"), d += *d == '\n', at++) {
        size_t len = strcspn(d, "\n");
        if (*d == '-') {
            const char *t = rest;
            while (*t && !(strcspn(t, "\n") == len - 1 && strncmp(t, d + 1, len - 1) == 0)) {
                t += strcspn(t, "\n");
                t += *t == '\n';
            }
            if (!*t) {
                fail(at, "the file has no such line", d);
                break;
            }
            n += (size_t)snprintf(out + n, MAX_TEXT - n, "%.*s", (int)(t - rest), rest);
            rest = t + len - 1;
        } else if (*d == '+') {
            n += (size_t)snprintf(out + n, MAX_TEXT - n, "%.*s", (int)(len - 1), d + 1);
            if (d[len] == '\n' && d[len + 1] == '+') {
                n += (size_t)snprintf(out + n, MAX_TEXT - n, "\n");
            }
        }
    }
    if (out) {
        snprintf(out + n, MAX_TEXT - n, "%s", rest);
        write_file(name, out);
    }
    free(out);
    free(text);
}

static void run_part(int at, const char *body)
{
    bool spec = strncmp(body, "spec ", 5) == 0;
    write_file("part.heddle", body);
    if (run_script(spec ? "build/heddle check part.heddle" : "build/heddle fmt part.heddle") != 0) {
        char *out = read_file("out.txt");
        fail(at, spec ? "this spec is not sound" : "this does not parse", out);
        free(out);
    }
    checked++;
}

static void run_commands(int at, const char *options, const char *body)
{
    int want = strncmp(options, "exit=", 5) == 0 ? atoi(options + 5) : 0;
    int code = run_script(body);
    checked++;
    if (code != want) {
        char text[64];
        snprintf(text, sizeof text, "expected exit %d, got %d\n", want, code);
        fail(at, text, body);
        char *out = read_file("out.txt");
        printf("%s\n", out);
        free(out);
    }
}

static void take_block(int at, const char *info, const char *body, const char *source)
{
    char kind[32] = "", more[256] = "", path[4096];
    if (sscanf(info, "%31s %255s", kind, more) < 1) {
        fail(at, "the block does not say what it is", "write ```sh, ```text, ```heddle, ```diff or ```c");
    } else if (strcmp(kind, "heddle") == 0 && more[0]) {
        write_file(more, body);
    } else if (strcmp(kind, "heddle") == 0) {
        run_part(at, body);
    } else if (strcmp(kind, "diff") == 0 && more[0]) {
        apply_diff(at + 1, more, body);
    } else if (strcmp(kind, "sh") == 0) {
        run_commands(at, more, body);
    } else if (strcmp(kind, "text") == 0) {
        bool about = strcmp(more, "about") == 0, of_file = more[0] && !about;
        snprintf(path, sizeof path, "%s/%s", source, more);
        char *text = read_file(of_file ? path : "out.txt");
        check_lines(at + 1, body, text, !of_file || strstr(more, ".expect"), about);
        free(text);
    } else if (strcmp(kind, "c") != 0) {
        fail(at, "a block of an unknown kind", info);
    }
}

static void run_document(const char *path, const char *source)
{
    char *text = read_file(path);
    int line = 1;
    for (char *p = text; *p; line++) {
        char *end = p + strcspn(p, "\n");
        bool fence = strncmp(p, "```", 3) == 0;
        char *next = *end ? end + 1 : end;
        if (fence) {
            char info[256];
            snprintf(info, sizeof info, "%.*s", (int)(end - p - 3), p + 3);
            char *close = strstr(next, "\n```");
            if (!close) {
                fail(line, "this block has no end", info);
                break;
            }
            close[1] = '\0'; /* the body keeps its last newline */
            take_block(line, info, next, source);
            for (char *q = next; q < close + 1; q++) {
                line += *q == '\n';
            }
            line++;
            next = close + 4;
            next += strcspn(next, "\n");
            next += *next == '\n';
        }
        p = next;
    }
    free(text);
}

/* ---- options ---- */

static char *help_of(const char *command)
{
    char script[128];
    snprintf(script, sizeof script, "build/heddle %.64s --help", command);
    return run_script(script) == 0 ? read_file("out.txt") : NULL;
}

static bool has_option(const char *help, const char *name, size_t n)
{
    for (const char *p = help; (p = strstr(p, "\n  --")) != NULL; p++) {
        if (strncmp(p + 3, name, n) == 0 && (p[3 + n] == ' ' || p[3 + n] == '\n')) {
            return true;
        }
    }
    return false;
}

/* The rest of a line behind "heddle ": a command and its options. */
static void check_command(int line, const char *rest)
{
    char command[64], sub[64];
    int used = 0;
    if (sscanf(rest, "%63[a-z]%n", command, &used) != 1 || strcmp(command, "help") == 0) {
        return;
    }
    if (strcmp(command, "data") == 0 && sscanf(rest + used, " %40[a-z]", sub) == 1) {
        snprintf(command, sizeof command, "data %.50s", sub);
    }
    char *help = NULL;
    size_t end = strcspn(rest, "`\n#|");
    for (const char *p = strstr(rest, " --"); p && p < rest + end; p = strstr(p + 1, " --")) {
        size_t n = strspn(p + 1, "abcdefghijklmnopqrstuvwxyz-");
        if (n <= 2) {
            continue;
        }
        help = help ? help : help_of(command);
        checked++;
        if (!help || (!has_option(help, p + 1, n) && strncmp(p + 1, "--help", n) != 0)) {
            char text[160];
            snprintf(text, sizeof text, "heddle %s: %.*s", command, (int)n, p + 1);
            fail(line, "there is no such command or option", text);
        }
    }
    free(help);
}

static void check_options(const char *path)
{
    char *text = read_file(path);
    int line = 1;
    for (char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n', line++) {
        char *end = p + strcspn(p, "\n");
        for (char *at = strstr(p, "heddle "); at && at < end; at = strstr(at + 1, "heddle ")) {
            if (at == p || at[-1] != '.') { /* not my.heddle */
                check_command(line, at + strlen("heddle "));
            }
        }
    }
    free(text);
}

int main(int argc, char **argv)
{
    char scratch[] = "/tmp/heddle-docs-XXXXXX", heddle[4096], path[4096], clean[128];
    if (argc < 5 || (strcmp(argv[3], "run") != 0 && strcmp(argv[3], "options") != 0)) {
        fprintf(stderr, "usage: test_docs HEDDLE SOURCE run FILE.md, test_docs HEDDLE SOURCE options FILE...\n");
        return 2;
    }
    if (!realpath(argv[1], heddle) || !mkdtemp(scratch) || chdir(scratch) != 0 || mkdir("build", 0777) != 0) {
        perror("scratch");
        return 2;
    }
    snprintf(path, sizeof path, "%s/models", argv[2]);
    if (symlink(heddle, "build/heddle") != 0 || symlink(path, "models") != 0) {
        perror("symlink");
        return 2;
    }
    for (int i = 4; i < argc; i++) {
        file_name = argv[i];
        snprintf(path, sizeof path, "%s/%s", argv[2], argv[i]);
        if (strcmp(argv[3], "run") == 0) {
            run_document(path, argv[2]);
        } else {
            check_options(path);
        }
    }
    printf("%d checks, %d failures\n", checked, failures);
    snprintf(clean, sizeof clean, "rm -rf %s", scratch);
    return system(clean) != 0 || failures > 0 || checked == 0;
}
