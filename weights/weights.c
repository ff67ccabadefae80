/* Tells formats apart and owns what they map. */
#include "weights/weights.h"

#include <string.h>
#include "engine/base/cursor.h"
#include "engine/base/sha256.h"
#include "weights/gguf.h"

#define NOTHING ((struct rr_weights){.special = {.bos = -1, .pad = -1}})

int rr_weights_map(struct rr_weights *w, const char *path, const struct rr_map **map,
                   struct rr_error *err)
{
    if (w->memory.data) {
        *map = &w->memory;
        return RR_OK;
    }
    struct rr_map *maps = rr_alloc(w->n_maps + 1, sizeof *maps);
    if (!maps)
        return rr_fail_memory(err, "file list", w->n_maps * sizeof *maps);
    rr_copy(maps, w->maps, w->n_maps * sizeof *maps);
    rr_free(w->maps);
    w->maps = maps;
    int rc = rr_map_open(&maps[w->n_maps], path, err);
    if (!rc)
        *map = &maps[w->n_maps++];
    return rc;
}

struct rr_error *rr_weights_warn(struct rr_weights *w)
{
    return w->n_warnings++ ? NULL : &w->warning;
}

enum format { GGUF, LLAMA2C, UNKNOWN };

/* llama2.c has no magic: seven int32 that make sense as the shape of a transformer. */
static bool plausible_llama2c(const unsigned char *p, size_t n)
{
    if (n < 28)
        return false;
    int32_t v[7];
    for (int i = 0; i < 7; i++)
        v[i] = (int32_t)rr_load_u32(p + 4 * i);
    return v[0] > 0 && v[0] <= 1 << 16 && v[1] > 0 && v[1] <= 1 << 18 && v[2] > 0 && v[2] <= 1024 &&
           v[3] > 0 && v[3] <= 1024 && v[4] > 0 && v[4] <= v[3] && v[5] != 0 && v[5] > -(1 << 24) &&
           v[5] < 1 << 24 && v[6] > 0 && v[6] <= 1 << 22;
}

static int unknown_format(const char *path, const struct rr_map *m, struct rr_error *err)
{
    const char *head = (const char *)m->data, *looks = "";
    if (!m->size)
        return rr_fail(err, RR_ERR_DATA, "TRUNCATED", RR_AT_BYTE(path, "file", 0),
                       "the file is empty; expected a model");
    if (m->size >= 4 && (memcmp(head, "PK\3\4", 4) == 0 || memcmp(head, "\x80\x02", 2) == 0))
        looks = "PyTorch pickle files are not supported: convert to safetensors or GGUF";
    else if (m->size >= 9 && m->data[8] == '{')
        looks = "a safetensors file is loaded by its folder, which must hold config.json too";
    else if (m->size && head[0] == '{')
        looks = "a tokenizer.json alone is read by recrank tokenize";
    else if (m->size >= 9 && memcmp(head, "version h", 9) == 0)
        looks = "this is a Git LFS pointer: run git lfs pull";
    else if (m->size >= 4 && memcmp(head, "24ka", 4) == 0)
        looks = "llama2.c's export versions 1 and 2 are not supported: export version 0";
    return rr_fail(
        err, RR_ERR_DATA, "NOT_A_MODEL", RR_AT_BYTE(path, "file", 0),
        "begins with '%s'; expected a GGUF file, a llama2.c .bin, or a Hugging Face folder%s%s",
        rr_show(head, m->size < 8 ? m->size : 8).s, looks[0] ? ". " : "", looks);
}

/* The format of a file by its first bytes. A short or empty file that calls itself .gguf is a
 * damaged GGUF. */
static int detect(enum format *f, const char *path, struct rr_error *err)
{
    struct rr_map m;
    int rc = rr_map_open(&m, path, err);
    if (rc)
        return rc;
    const size_t n = strlen(path);
    const bool named_gguf = n > 5 && strcmp(path + n - 5, ".gguf") == 0;
    *f = UNKNOWN;
    if ((m.size >= 4 && memcmp(m.data, "GGUF", 4) == 0) || named_gguf)
        *f = GGUF;
    else if (plausible_llama2c(m.data, m.size))
        *f = LLAMA2C;
    else
        rc = unknown_format(path, &m, err);
    rr_map_close(&m);
    return rc;
}

static int read_model(struct rr_weights *w, struct rr_error *err)
{
    enum format f;
    if (rr_path_is_dir(w->path))
        return rr_weights_read_hf(w, err);
    int rc = detect(&f, w->path, err);
    if (rc)
        return rc;
    return f == GGUF ? rr_weights_read_gguf(w, err) : rr_weights_read_llama2c(w, err);
}

static int tokenizer_of_gguf(struct rr_tokenizer **t, const char *path, const struct rr_map *m,
                             struct rr_error *err)
{
    struct rr_gguf g;
    int rc = rr_gguf_parse(&g, m->data, m->size, path, err);
    if (rc)
        return rc;
    rc = rr_tokenizer_from_gguf(t, &g, err);
    if (!rc && !*t)
        rc = rr_fail(err, RR_ERR_DATA, "NO_TOKENIZER", RR_AT_OBJECT(path, "tokenizer.ggml.model"),
                     "the file carries no tokenizer; give one beside it");
    rr_gguf_free(&g);
    return rc;
}

/* For a model of so many tokens. */
static int tokenizer_at(struct rr_tokenizer **t, const char *path, size_t n_vocab,
                        struct rr_error *err)
{
    struct rr_map m;
    *t = NULL;
    if (rr_path_is_dir(path)) {
        char *inside = rr_tokenizer_inside(path);
        int rc = inside ? rr_tokenizer_for_model(t, inside, n_vocab, err)
                        : rr_fail_memory(err, "file name", strlen(path));
        rr_free(inside);
        return rc;
    }
    int rc = rr_map_open(&m, path, err);
    if (rc)
        return rc;
    const bool gguf = m.size >= 4 && memcmp(m.data, "GGUF", 4) == 0;
    const bool model = !gguf && plausible_llama2c(m.data, m.size);
    if (gguf)
        rc = tokenizer_of_gguf(t, path, &m, err);
    else if (model)
        rc = rr_fail(err, RR_ERR_DATA, "NO_TOKENIZER", RR_AT_FILE(path),
                     "a llama2.c model carries no tokenizer; give its tokenizer file");
    rr_map_close(&m);
    return rc || gguf ? rc : rr_tokenizer_for_model(t, path, n_vocab, err);
}

int rr_weights_tokenizer(struct rr_tokenizer **t, const char *path, struct rr_error *err)
{
    return tokenizer_at(t, path, SIZE_MAX, err);
}

/* What every way to open a model ends with; closes w after a failure. */
static int finish(struct rr_weights *w, int rc, const char *tokenizer_path, struct rr_error *err)
{
    if (!rc && tokenizer_path)
        rc = tokenizer_at(&w->tokenizer, tokenizer_path, (size_t)w->model.h.n_vocab, err);
    if (!rc && w->tokenizer_error.status == RR_ERR_MEMORY)
        rc = rr_weights_need_tokenizer(w, err);
    if (!rc && w->tokenizer)
        rr_tokenizer_name(w->tokenizer, &w->special);
    if (!rc && w->tokenizer && rr_tokenizer_size(w->tokenizer) > w->model.h.n_vocab)
        rc = rr_fail(err, RR_ERR_DATA, "VOCAB",
                     RR_AT_OBJECT(tokenizer_path ? tokenizer_path : w->path, "tokenizer"),
                     "the tokenizer has %d pieces, the model %d: they do not belong together",
                     rr_tokenizer_size(w->tokenizer), w->model.h.n_vocab);
    const struct rr_error *odd = !rc && w->tokenizer ? rr_tokenizer_warning(w->tokenizer) : NULL;
    struct rr_error *first = odd ? rr_weights_warn(w) : NULL;
    if (first)
        *first = *odd;
    if (!rc && w->tokenizer && rr_tokenizer_size(w->tokenizer) < w->model.h.n_vocab)
        (void)rr_fail(
            rr_weights_warn(w), RR_ERR_DATA, "VOCAB",
            RR_AT_OBJECT(tokenizer_path ? tokenizer_path : w->path, "tokenizer"),
            "the tokenizer has %d pieces, the model %d: the model's last rows are not used",
            rr_tokenizer_size(w->tokenizer), w->model.h.n_vocab);
    if (rc)
        rr_weights_close(w);
    return rc;
}

int rr_weights_open(struct rr_weights *w, const char *path, const char *tokenizer_path,
                    struct rr_error *err)
{
    *w = NOTHING;
    w->path = rr_arena_copy(&w->arena, path, strlen(path));
    w->other_tokenizer = tokenizer_path != NULL;
    int rc = w->path ? read_model(w, err) : rr_fail_memory(err, "file name", strlen(path));
    return finish(w, rc, tokenizer_path, err);
}

int rr_weights_open_memory(struct rr_weights *w, const char *name, const void *bytes, size_t n,
                           struct rr_error *err)
{
    *w = NOTHING;
    w->memory = (struct rr_map){bytes, n};
    w->path = rr_arena_copy(&w->arena, name, strlen(name));
    int rc = w->path ? rr_weights_read_gguf(w, err) : rr_fail_memory(err, "name", strlen(name));
    return finish(w, rc, NULL, err);
}

const char *rr_weights_note(const struct rr_weights *w, const char *key)
{
    for (size_t i = 0; i < w->n_notes; i++)
        if (strcmp(w->notes[i].key, key) == 0)
            return w->notes[i].value;
    return NULL;
}

int rr_weights_need_tokenizer(const struct rr_weights *w, struct rr_error *err)
{
    if (w->tokenizer)
        return RR_OK;
    if (w->tokenizer_error.status) {
        if (err)
            *err = w->tokenizer_error;
        return w->tokenizer_error.status;
    }
    return rr_fail(
        err, RR_ERR_DATA, "NO_TOKENIZER", RR_AT_FILE(w->path),
        "no tokenizer came with this model; give its tokenizer.model or llama2.c tokenizer "
        "(--tokenizer)");
}

void rr_weights_close(struct rr_weights *w)
{
    rr_tokenizer_close(w->tokenizer);
    for (size_t i = 0; i < w->n_maps; i++)
        rr_map_close(&w->maps[i]);
    rr_free(w->maps);
    rr_arena_free(&w->arena);
    *w = NOTHING;
}

char *rr_tokenizer_inside(const char *dir)
{
    char *path = rr_path_join(dir, "tokenizer.model"), *json = rr_path_join(dir, "tokenizer.json");
    const bool both = path && json; /* or there was no memory */
    char *found = !both ? NULL : !rr_path_exists(path) && rr_path_exists(json) ? json : path;
    if (found != path)
        rr_free(path);
    if (found != json)
        rr_free(json);
    return found;
}

double rr_weights_parameters(const struct rr_weights *w)
{
    double sum = 0;
    for (size_t i = 0; i < w->n_tensors; i++) {
        double n = 1;
        for (int d = 0; d < w->tensors[i].n_dims; d++)
            n *= (double)w->tensors[i].shape[d];
        sum += n;
    }
    return sum;
}

double rr_weights_bytes(const struct rr_weights *w)
{
    double sum = 0;
    for (size_t i = 0; i < w->n_tensors; i++)
        sum += (double)w->tensors[i].n_bytes;
    return sum;
}

#define SAMPLE_BYTES 4096
#define SAMPLES 64

/* As text, which is the same on every machine. */
static void add_hparams(struct rr_sha256 *sum, const struct rr_hparams *h)
{
    char text[512];
    const int n = snprintf(
        text, sizeof text, "%d %d %d %d %d %d %d %d %a, rope %a %d %a %a %a %d %d", h->n_layers,
        h->n_embd, h->n_heads, h->n_kv_heads, h->head_dim, h->n_ff, h->n_vocab, h->n_context,
        h->rms_eps, h->rope.theta, (int)h->rope.scaling, h->rope.factor, h->rope.low_freq_factor,
        h->rope.high_freq_factor, h->rope.original_context, h->rope.interleaved);
    rr_sha256_add(sum, text, (size_t)n + 1);
    if (h->rope.freq_factors)
        rr_sha256_add(sum, h->rope.freq_factors,
                      (size_t)h->head_dim / 2 * sizeof *h->rope.freq_factors);
}

void rr_weights_fingerprint(const struct rr_weights *w, char hex[65])
{
    struct rr_sha256 sum;
    rr_sha256_init(&sum);
    add_hparams(&sum, &w->model.h);
    if (w->adapter[0])
        rr_sha256_add(&sum, w->adapter, sizeof w->adapter);
    for (size_t t = 0; t < w->n_tensors; t++) {
        const struct rr_stored *x = &w->tensors[t];
        rr_sha256_add(&sum, x->name, strlen(x->name) + 1);
        rr_sha256_add(&sum, x->type_name, strlen(x->type_name) + 1);
        for (int d = 0; d < x->n_dims; d++) {
            unsigned char b[8];
            for (int i = 0; i < 8; i++)
                b[i] = (unsigned char)(x->shape[d] >> 8 * i);
            rr_sha256_add(&sum, b, sizeof b);
        }
        if (x->n_bytes <= (uint64_t)SAMPLE_BYTES * SAMPLES) {
            rr_sha256_add(&sum, x->data, (size_t)x->n_bytes);
            continue;
        }
        const uint64_t step = (x->n_bytes - SAMPLE_BYTES) / (SAMPLES - 1);
        for (uint64_t i = 0; i < SAMPLES; i++)
            rr_sha256_add(&sum, x->data + (i + 1 < SAMPLES ? i * step : x->n_bytes - SAMPLE_BYTES),
                          SAMPLE_BYTES);
    }
    rr_sha256_hex(&sum, hex);
}
