/* clang-format off */
/* recrank: ranks a user's candidate items with a LLaMA, the RecRanker way (arXiv 2312.16018).
 *
 *     #include <stdio.h>
 *     #include <recrank.h>
 *
 *     int main(void)
 *     {
 *         struct rr_error err = {0};
 *         struct rr_recrank *r;
 *         struct rr_rated history[] = {{"A film I liked", 5}, {"A film I did not", 2}};
 *         struct rr_asked candidates[] = {{"First", RR_NO_HINT}, {"Second", RR_NO_HINT}};
 *         struct rr_request q = {history, 2, candidates, 2, 0, 0};
 *         struct rr_ranked order[2];
 *         char text[4096];
 *         if (rr_recrank_open(&r, "model.gguf", NULL, NULL, &err) == 0) {
 *             if (rr_recrank_rank(r, &q, order, &err) == 0)
 *                 printf("best: %s\n", candidates[order[0].candidate].title);
 *             rr_recrank_close(r);
 *         }
 *         if (err.status) {
 *             rr_error_format(text, sizeof text, &err);
 *             fprintf(stderr, "%s\n", text);
 *         }
 *         return err.status != 0;
 *     }
 *
 * Build it with: cc example.c $(pkg-config --cflags --libs recrank)
 *
 * The library never prints, exits or reads the environment. Every function that can fail returns 0
 * or a negative enum rr_status and fills *err, which may be NULL. */
/* clang-format on */
#ifndef RECRANK_H
#define RECRANK_H

#include <math.h>
#include <stdint.h>
#include "engine/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The library's version, "major.minor.patch". */
const char *rr_version(void);

#define RR_NO_HINT ((float)NAN)

/* A title the user has rated. Titles are UTF-8; they are data: no text in them becomes a special
 * token. */
struct rr_rated {
    const char *title;
    float rating;
};

/* A candidate, and what a conventional recommender predicts as its rating (RR_NO_HINT: nothing
 * is said about it). */
struct rr_asked {
    const char *title;
    float hint;
};

#define RR_MAX_CANDIDATES 1000

struct rr_request {
    const struct rr_rated *history; /* oldest first */
    int n_history;
    const struct rr_asked *candidates; /* in retrieval order, which decides among equal scores */
    int n_candidates;                  /* 1 to RR_MAX_CANDIDATES */
    int order_is_hint; /* nonzero: the retrieval order is a recommender's opinion, and the pairwise
                          and listwise questions may say so */
    uint64_t id;       /* whatever is shuffled for this request follows from this and the seed */
};

struct rr_ranked {
    int candidate; /* index into candidates */
    double score;  /* larger is better; its unit is that of the order asked for */
};

/* What decides the order. */
enum rr_order {
    RR_ORDER_HYBRID, /* all questions and the likelihood; a quarter of the sum of their utilities */
    RR_ORDER_POINTWISE, /* the expected rating: sum of r p(r) over the answers */
    RR_ORDER_PAIRWISE,  /* mean log-odds of being preferred */
    RR_ORDER_LISTWISE,  /* minus the mean place in the list that the model gives */
    RR_ORDER_LIKELIHOOD /* log-likelihood of the title as the next liked one */
};

/* Zero means the default everywhere. */
struct rr_recrank_options {
    int n_threads;     /* 0: as many as this process may use */
    const char *cpu;   /* highest instruction set, as recrank --cpu has them; NULL: the best */
    int n_context;     /* tokens of the longest prompt; 0: the model's own, at least 1024 */
    int max_history;   /* newest rated titles shown, and newest liked ones; 0: as the model was
                          tuned, else 50 */
    int rating_levels; /* the scale is 1 to this, at most 10; 0: 5 */
    float like,
        dislike; /* ratings from `like` on are likes, up to `dislike` dislikes; both 0: 4, 2 */
    const char *noun, *nouns; /* what an item is called, one and many; NULL: "movie", "movies" */
    const char *cache; /* what keys and values are stored as: "f32", "f16" or "q8_0"; NULL: "f32" */
    const char *chat;  /* the chat template that questions are put in: "auto": what came with the
                          model; "llama2", "llama3", "chatml" or "zephyr"; NULL: none */
    enum rr_order order; /* only what it needs is asked */
    uint64_t seed;       /* of what is shuffled */
};

struct rr_recrank;

/* Opens a model (GGUF file, Hugging Face folder, llama2.c .bin) and its tokenizer (NULL: the one
 * in the model's files), and takes the memory of the model's passes. options may be NULL. On
 * failure *recrank is NULL. */
int rr_recrank_open(struct rr_recrank **r, const char *model, const char *tokenizer,
                    const struct rr_recrank_options *options, struct rr_error *err);
/* NULL is allowed. */
void rr_recrank_close(struct rr_recrank *r);

/* Orders the candidates, best first, into out[n_candidates]. One call at a time per object;
 * several objects may work in parallel. History that does not fit into the context is cut,
 * oldest first. RR_ERR_DATA "PROMPT_TOO_LONG": not even an empty history fits. */
int rr_recrank_rank(struct rr_recrank *r, const struct rr_request *request, struct rr_ranked *out,
                    struct rr_error *err);

#ifdef __cplusplus
}
#endif
#endif
