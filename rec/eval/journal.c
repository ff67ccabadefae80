/* See journal.h. */
#include "rec/eval/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "engine/base/json.h"

struct rr_journal_entry {
    int variant, user;
    size_t at, n; /* the line in the text */
    long long line;
};

static int by_key(const void *a, const void *b)
{
    const struct rr_journal_entry *x = a, *y = b;
    if (x->variant != y->variant)
        return x->variant > y->variant ? 1 : -1;
    return (x->user > y->user) - (x->user < y->user);
}

static int io_error(const struct rr_journal *j, const char *what, struct rr_error *err)
{
    return rr_fail(err, RR_ERR_IO, "JOURNAL", RR_AT_FILE(j->path), "%s: %s", what, strerror(errno));
}

static int read_all(struct rr_journal *j, struct rr_error *err)
{
    struct stat st;
    if (fstat(j->fd, &st) != 0)
        return io_error(j, "cannot be read", err);
    if (!S_ISREG(st.st_mode))
        return rr_fail(err, RR_ERR_OPEN, "JOURNAL", RR_AT_FILE(j->path), "is no regular file");
    j->text = rr_alloc((size_t)st.st_size + 1, 1);
    if (!j->text)
        return rr_fail_memory(err, "journal", (size_t)st.st_size);
    while (j->n < (size_t)st.st_size) {
        const ssize_t got = read(j->fd, j->text + j->n, (size_t)st.st_size - j->n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return io_error(j, "cannot be read", err);
        if (!got)
            break;
        j->n += (size_t)got;
    }
    return RR_OK;
}

static int write_line(struct rr_journal *j, struct rr_error *err)
{
    if (j->line.failed)
        return rr_fail_memory(err, "journal", j->line.n);
    for (size_t at = 0; at < j->line.n;) {
        const ssize_t put = write(j->fd, j->line.data + at, j->line.n - at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return io_error(j, "cannot be written", err);
        at += (size_t)put;
    }
    return RR_OK;
}

static int bad_line(const struct rr_journal *j, long long line, const char *what,
                    struct rr_error *err)
{
    return rr_fail(err, RR_ERR_DATA, "JOURNAL", RR_AT_LINE(j->path, NULL, line, 0),
                   "%s; remove the file to begin anew", what);
}

/* The first line: {"recrank_journal":1,"settings":"..."}. */
static void make_header(struct rr_buf *b, const char *settings)
{
    rr_buf_puts(b, "{\"recrank_journal\":1,\"settings\":");
    rr_json_add_string(b, settings, strlen(settings));
    rr_buf_puts(b, "}\n");
}

/* Where two settings part: the beginning of the clause, so that both can be shown from there. */
static size_t first_difference(const char *a, const char *b)
{
    size_t at = 0, clause = 0;
    for (; a[at] && a[at] == b[at]; at++)
        if (a[at] == ' ' && at && (a[at - 1] == ',' || a[at - 1] == ';'))
            clause = at + 1;
    return at - clause > 32 ? at - 32 : clause; /* what is shown holds the difference */
}

static int other_run(const struct rr_journal *j, const char *theirs, const char *ours,
                     struct rr_error *err)
{
    const size_t at = first_difference(theirs, ours);
    return rr_fail(err, RR_ERR_DATA, "JOURNAL", RR_AT_LINE(j->path, NULL, 1, 0),
                   "belongs to another run: there '%s', here '%s'; remove the file or name another",
                   rr_show(theirs + at, strlen(theirs + at)).s,
                   rr_show(ours + at, strlen(ours + at)).s);
}

static int check_header(struct rr_journal *j, size_t n, const char *settings, struct rr_error *err)
{
    struct rr_arena arena = {0};
    struct rr_json *root = NULL;
    struct rr_error why;
    const int parsed = rr_json_parse(&root, &arena, j->text, n, j->path, 0, &why);
    const struct rr_json *s = parsed ? NULL : rr_json_get(root, "settings"),
                         *v = parsed ? NULL : rr_json_get(root, "recrank_journal");
    int rc = RR_OK;
    if (parsed == RR_ERR_MEMORY)
        rc = rr_fail_memory(err, "journal", n);
    else if (!s || s->type != RR_JSON_STRING || !v || v->type != RR_JSON_NUMBER || v->number != 1)
        rc = bad_line(j, 1, "no journal of recrank; it was left as it is", err);
    else if (strcmp(s->text, settings) != 0)
        rc = other_run(j, s->text, settings, err);
    rr_arena_free(&arena);
    return rc;
}

/* The key of a line without parsing it whole: it begins {"v":V,"u":U, */
static bool read_key(const char *s, size_t n, struct rr_journal_entry *e)
{
    char head[64];
    const size_t most = n < sizeof head - 1 ? n : sizeof head - 1;
    memcpy(head, s, most);
    head[most] = 0;
    char *end;
    if (strncmp(head, "{\"v\":", 5) != 0)
        return false;
    const long v = strtol(head + 5, &end, 10);
    if (strncmp(end, ",\"u\":", 5) != 0)
        return false;
    const long u = strtol(end + 5, &end, 10);
    if (*end != ',' || v < 0 || u < 0 || v > 1000 || u > 0x7fffffff)
        return false;
    e->variant = (int)v;
    e->user = (int)u;
    return true;
}

static int index_lines(struct rr_journal *j, size_t from, struct rr_error *err)
{
    long long line = 2;
    for (size_t at = from; at < j->n; line++) {
        const char *end = memchr(j->text + at, '\n', j->n - at);
        struct rr_journal_entry e = {.at = at, .n = (size_t)(end - (j->text + at)), .line = line};
        if (!read_key(j->text + at, e.n, &e))
            return bad_line(j, line, "not a line of a journal", err);
        if (!rr_grow(&j->entries, &j->cap_entries, j->n_entries + 1, sizeof e))
            return rr_fail_memory(err, "journal", j->n_entries * sizeof e);
        j->entries[j->n_entries++] = e;
        at += e.n + 1;
    }
    if (j->n_entries)
        qsort(j->entries, j->n_entries, sizeof *j->entries, by_key);
    return RR_OK;
}

/* Nothing is written before the file is known to be a journal of this run, or empty, or the
 * beginning of this very header: what a kill left of it. */
static int begin(struct rr_journal *j, const char *settings, struct rr_error *err)
{
    make_header(&j->line, settings);
    if (j->line.failed)
        return rr_fail_memory(err, "journal", j->line.n);
    const char *end = j->n ? memchr(j->text, '\n', j->n) : NULL;
    if (!end && (j->n >= j->line.n || memcmp(j->text, j->line.data, j->n) != 0))
        return bad_line(j, 1, "no journal of recrank; it was left as it is", err);
    int rc = end ? check_header(j, (size_t)(end - j->text), settings, err) : RR_OK;
    if (rc)
        return rc;
    /* A line without its end was being written when the run was killed. */
    while (j->n && j->text[j->n - 1] != '\n')
        j->n--;
    if (end && (rc = index_lines(j, (size_t)(end - j->text) + 1, err)) != 0)
        return rc; /* and the file stays as it is */
    if (ftruncate(j->fd, (off_t)j->n) != 0 || lseek(j->fd, 0, SEEK_END) < 0)
        return io_error(j, "cannot be written", err);
    return end ? RR_OK : write_line(j, err);
}

int rr_journal_open(struct rr_journal *j, const char *path, const char *settings,
                    struct rr_error *err)
{
    *j = (struct rr_journal){.fd = -1, .path = path};
    if (!path)
        return RR_OK;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int rc = RR_OK;
    j->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (j->fd < 0)
        return rr_fail(err, RR_ERR_OPEN, "JOURNAL", RR_AT_FILE(path), "cannot be opened: %s",
                       strerror(errno));
    if (fcntl(j->fd, F_SETLK, &lock) != 0)
        rc = rr_fail(err, RR_ERR_BUSY, "JOURNAL_BUSY", RR_AT_FILE(path),
                     "another process is writing this journal; wait for it or name another file");
    if (!rc)
        rc = read_all(j, err);
    if (!rc)
        rc = begin(j, settings, err);
    if (rc)
        rr_journal_close(j);
    return rc;
}

void rr_journal_close(struct rr_journal *j)
{
    if (j->fd >= 0)
        close(j->fd);
    rr_free(j->text);
    rr_free(j->entries);
    rr_buf_free(&j->line);
    *j = (struct rr_journal){.fd = -1};
}

/* ---- lines --------------------------------------------------------------------------------------
 */

static void add_ints(struct rr_buf *b, const char *key, const int *v, int n)
{
    rr_buf_printf(b, ",\"%s\":[", key);
    for (int i = 0; i < n; i++)
        rr_buf_printf(b, i ? ",%d" : "%d", v[i]);
    rr_buf_puts(b, "]");
}

int rr_journal_add(struct rr_journal *j, int variant, int user, const struct rr_reply *r,
                   double seconds, struct rr_error *err)
{
    struct rr_buf *b = &j->line;
    if (j->fd < 0)
        return RR_OK;
    rr_buf_clear(b);
    rr_buf_printf(b, "{\"v\":%d,\"u\":%d,\"n\":%d,\"asked\":%u,\"rating\":[", variant, user, r->n,
                  r->asked);
    for (int i = 0; i < r->n && r->asked >> RR_POINTWISE & 1; i++) {
        rr_buf_puts(b, i ? "," : "");
        rr_json_add_double(b, r->rating[i]);
    }
    rr_buf_puts(b, "],\"likelihood\":[");
    for (int i = 0; i < r->n && r->asked >> RR_LIKELIHOOD & 1; i++) {
        rr_buf_puts(b, i ? "," : "");
        rr_json_add_double(b, r->likelihood[i]);
    }
    rr_buf_puts(b, "],\"pairs\":[");
    for (int p = 0; p < r->n_pairs; p++) {
        rr_buf_printf(b, "%s[%d,%d,", p ? "," : "", r->pairs[p].a, r->pairs[p].b);
        rr_json_add_double(b, r->pairs[p].forward);
        rr_buf_puts(b, ",");
        rr_json_add_double(b, r->pairs[p].backward);
        rr_buf_puts(b, "]");
    }
    rr_buf_printf(b, "],\"lists\":%d", r->n_lists);
    add_ints(b, "shown", r->shown, r->n_lists * r->n);
    add_ints(b, "listed", r->listed, r->n_lists * r->n);
    rr_buf_printf(b, ",\"tokens\":[%lld,%lld],\"cut\":%d,\"malformed\":%d,\"invalid\":%d",
                  r->tokens_asked, r->tokens_computed, r->n_cut, r->n_malformed,
                  r->n_invalid_lists);
    rr_buf_puts(b, ",\"seconds\":");
    rr_json_add_double(b, seconds);
    rr_buf_puts(b, "}\n");
    return write_line(j, err);
}

static bool get_int(int *out, const struct rr_json *v, int min, int max)
{
    int64_t i;
    if (!rr_json_int(&i, v, min, max))
        return false;
    *out = (int)i;
    return true;
}

static bool get_count(long long *out, const struct rr_json *v)
{
    int64_t i;
    if (!rr_json_int(&i, v, 0, INT64_MAX / 2))
        return false;
    *out = i;
    return true;
}

static bool get_ints(int *out, const struct rr_json *array, int n, int min, int max)
{
    const struct rr_json *v = array ? array->child : NULL;
    if (!array || array->type != RR_JSON_ARRAY || array->n_children != (size_t)n)
        return false;
    for (int i = 0; i < n; i++, v = v->next)
        if (!get_int(&out[i], v, min, max))
            return false;
    return true;
}

/* A number, or null for NaN. */
static bool get_double(double *out, const struct rr_json *v)
{
    if (!v || (v->type != RR_JSON_NUMBER && v->type != RR_JSON_NULL))
        return false;
    *out = v->type == RR_JSON_NULL ? NAN : v->number;
    return true;
}

/* Whether v[n] names each of 0..n-1 once; with `some`, -1 may stand behind the last. */
static bool distinct(const int *v, int n, bool some)
{
    bool seen[RR_MAX_CANDIDATES] = {false}, ended = false;
    for (int i = 0; i < n; i++) {
        ended = ended || v[i] < 0;
        if ((v[i] < 0 && !some) || (v[i] >= 0 && (ended || seen[v[i]])))
            return false;
        if (v[i] >= 0)
            seen[v[i]] = true;
    }
    return true;
}

static bool get_pairs(struct rr_reply *r, const struct rr_json *array)
{
    const struct rr_json *p = array->child;
    for (int i = 0; i < r->n_pairs; i++, p = p->next) {
        struct rr_pair_reply *x = &r->pairs[i];
        const struct rr_json *v = p->type == RR_JSON_ARRAY && p->n_children == 4 ? p->child : NULL;
        if (!v || !get_int(&x->a, v, 0, r->n - 1) || !get_int(&x->b, v->next, 0, r->n - 1) ||
            !get_double(&x->forward, v->next->next) || isnan(x->forward) ||
            !get_double(&x->backward, v->next->next->next) || x->a == x->b)
            return false;
    }
    return true;
}

static bool get_doubles(double *out, const struct rr_json *array, int n)
{
    const struct rr_json *v = array ? array->child : NULL;
    if (!array || array->type != RR_JSON_ARRAY || array->n_children != (size_t)n)
        return false;
    for (int i = 0; i < n; i++, v = v->next)
        if (!get_double(&out[i], v) || isnan(out[i]))
            return false;
    return true;
}

#define MOST_TOKENS (1LL << 40) /* of one request */

static bool get_numbers(struct rr_reply *r, const struct rr_json *root, double *seconds)
{
    const struct rr_json *tokens = rr_json_get(root, "tokens");
    return tokens && tokens->type == RR_JSON_ARRAY && tokens->n_children == 2 &&
           get_count(&r->tokens_asked, tokens->child) && r->tokens_asked <= MOST_TOKENS &&
           get_count(&r->tokens_computed, tokens->child->next) &&
           r->tokens_computed <= MOST_TOKENS &&
           get_int(&r->n_cut, rr_json_get(root, "cut"), 0, 1 << 30) &&
           get_int(&r->n_malformed, rr_json_get(root, "malformed"), 0, 1 << 20) &&
           get_int(&r->n_invalid_lists, rr_json_get(root, "invalid"), 0, RR_MAX_LISTS) &&
           get_double(seconds, rr_json_get(root, "seconds")) && *seconds >= 0 && *seconds < 1e9;
}

static bool get_lists(struct rr_reply *r, const struct rr_json *root, bool generated)
{
    if (!get_ints(r->shown, rr_json_get(root, "shown"), r->n_lists * r->n, 0, r->n - 1) ||
        !get_ints(r->listed, rr_json_get(root, "listed"), r->n_lists * r->n, -1, r->n - 1))
        return false;
    for (int l = 0; l < r->n_lists; l++)
        if (!distinct(r->shown + l * r->n, r->n, false) ||
            !distinct(r->listed + l * r->n, r->n, generated))
            return false;
    return true;
}

/* Fills r from a line's object; false: the line does not hold what it should. *rc: memory ran out.
 */
static bool get_reply(struct rr_reply *r, const struct rr_journal_shape *shape,
                      const struct rr_json *root, double *seconds, int *rc, struct rr_error *err)
{
    const struct rr_json *pairs = rr_json_get(root, "pairs"), *rating = rr_json_get(root, "rating");
    int n, asked, n_lists;
    if (!get_int(&n, rr_json_get(root, "n"), shape->n, shape->n) ||
        !get_int(&asked, rr_json_get(root, "asked"), (int)shape->asked, (int)shape->asked) ||
        !get_int(&n_lists, rr_json_get(root, "lists"), shape->n_lists, shape->n_lists) || !pairs ||
        pairs->type != RR_JSON_ARRAY || pairs->n_children != (size_t)shape->n_pairs)
        return false;
    *rc = rr_reply_resize(r, n, shape->n_pairs, n_lists, err);
    if (*rc)
        return false;
    r->asked = shape->asked;
    return get_doubles(r->rating, rating, shape->asked >> RR_POINTWISE & 1 ? n : 0) &&
           get_doubles(r->likelihood, rr_json_get(root, "likelihood"),
                       shape->asked >> RR_LIKELIHOOD & 1 ? n : 0) &&
           get_pairs(r, pairs) && get_lists(r, root, shape->generated) &&
           get_numbers(r, root, seconds);
}

int rr_journal_find(struct rr_journal *j, int variant, int user,
                    const struct rr_journal_shape *shape, struct rr_reply *reply, double *seconds,
                    struct rr_error *err)
{
    const struct rr_journal_entry key = {.variant = variant, .user = user};
    const struct rr_journal_entry *e =
        j->n_entries ? bsearch(&key, j->entries, j->n_entries, sizeof key, by_key) : NULL;
    struct rr_arena arena = {0};
    struct rr_json *root;
    if (!e)
        return 0;
    int rc = rr_json_parse(&root, &arena, j->text + e->at, e->n, j->path, e->at, err);
    if (!rc && !get_reply(reply, shape, root, seconds, &rc, err) && !rc)
        rc = bad_line(j, e->line, "does not fit this run's candidates", err);
    rr_arena_free(&arena);
    return rc ? rc : 1;
}
