/* See data.h. */
#include "tools/data.h"

#include <string.h>

static int on_progress(void *arg, long long done, long long total)
{
    progress_step(arg, done, total);
    return tool_interrupted();
}

int data_open(struct opened_data *d, const struct data_options *o, bool hints)
{
    struct rr_error err = {0};
    struct progress p;
    memset(d, 0, sizeof *d);
    int rc = rr_dataset_open(&d->dataset, o->dir, &err);
    if (!rc)
        rc = rr_split_make(&d->split, &d->dataset, &err);
    if (!rc) {
        progress_start(&p, "training the backbone");
        const struct rr_fit_options fo = {
            .seed = (uint64_t)o->seed, .progress = on_progress, .progress_arg = &p};
        rc =
            rr_backbone_fit(&d->backbone, (enum rr_backbone_kind)o->backbone, &d->split, &fo, &err);
        progress_end(&p);
    }
    if (!rc && hints)
        rc = rr_rating_fit(&d->hints, &d->split, (uint64_t)o->seed, &err);
    if (rc) {
        data_close(d);
        return tool_fail(&err);
    }
    d->source = (struct rr_source){&d->split, &d->backbone, hints ? &d->hints : NULL,
                                   (int)o->candidates, (int)o->history};
    return -1;
}

void data_close(struct opened_data *d)
{
    rr_rating_free(&d->hints);
    rr_backbone_free(&d->backbone);
    rr_split_free(&d->split);
    rr_dataset_close(&d->dataset);
}
