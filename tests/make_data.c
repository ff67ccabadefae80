/* See make_data.h. */
#include "tests/make_data.h"

#include "engine/base/rng.h"
#include "tests/test.h"

void make_data(struct rr_buf *u_data, struct rr_buf *u_item, int n_users, int n_items,
               unsigned seed)
{
    static const char *const first[] = {"Silent",  "Golden", "Broken", "Distant",
                                        "Crimson", "Hidden", "Paper"};
    static const char *const second[] = {"Harbour", "Orchard", "Engine", "Letters",
                                         "Winter",  "Compass", "Garden"};
    struct rr_rng rng;
    rr_rng_seed(&rng, seed);
    for (int i = 1; i <= n_items; i++)
        rr_buf_printf(
            u_item,
            "%d|%s %s %d "
            "(19%02d)|01-Jan-1990||http://example.org/|0|1|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n",
            i, first[i % 7], second[i / 7 % 7], i, i % 100);
    for (int u = 1; u <= n_users; u++)
        for (int i = 1; i <= n_items; i++) {
            const int mine = u % 3 == i % 3;
            if (rr_rng_below(&rng, 100) >= (mine ? 60u : 15u))
                continue;
            const int rating =
                mine ? 3 + (int)rr_rng_below(&rng, 3) : 1 + (int)rr_rng_below(&rng, 4);
            rr_buf_printf(u_data, "%d\t%d\t%d\t%d\n", u, i, rating,
                          880000000 + (int)rr_rng_below(&rng, 1000000));
        }
}

const char *make_data_dir(int n_users, int n_items, unsigned seed)
{
    const char *dir = temporary_dir();
    struct rr_buf data = {0}, items = {0};
    make_data(&data, &items, n_users, n_items, seed);
    write_file(path_in(dir, "u.data"), data.data, data.n);
    write_file(path_in(dir, "u.item"), items.data, items.n);
    rr_buf_free(&data);
    rr_buf_free(&items);
    return dir;
}
