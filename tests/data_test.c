/* The MovieLens-100K reader and the split: what is refused and where it is said to be, what is
 * kept, and the oracles of spec/method.md section 2 when the data is there. */
#include <string.h>
#include "engine/base/sha256.h"
#include "rec/data/split.h"
#include "tests/make_data.h"
#include "tests/test.h"

#define FLAGS "|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0"
#define ITEM(id, title) id "|" title "|01-Jan-1990||http://example.org/" FLAGS "\n"
#define TWO_ITEMS ITEM("1", "First Light (1990)") ITEM("2", "Second Wind (1991)")

static int parse(struct rr_dataset *d, const char *data, size_t n_data, const char *items,
                 size_t n_items, struct rr_error *err)
{
    *d = (struct rr_dataset){0};
    *err = (struct rr_error){0};
    const struct rr_files files = {{data, n_data, "u.data"}, {items, n_items, "u.item"}, {0}};
    return rr_dataset_parse(d, RR_FORMAT_ML100K, &files, NULL, err);
}

struct row {
    const char *name, *data, *items;
    size_t n_data, n_items; /* 0: strlen */
    const char *code, *file;
    long long line, column; /* 0: not checked */
    const char *says;
};

#define GOOD "1\t1\t5\t100\n"
static const struct row rows[] = {
    {"D01 empty data", "", TWO_ITEMS, 0, 0, "EMPTY", "u.data", 0, 0, "empty"},
    {"D01 empty items", GOOD, "", 0, 0, "EMPTY", "u.item", 0, 0, "empty"},
    {"D02 items as data", TWO_ITEMS, TWO_ITEMS, 0, 0, "COLUMNS", "u.data", 1, 1, "u.item"},
    {"D02 data as items", GOOD, GOOD, 0, 0, "COLUMNS", "u.item", 1, 1, "24"},
    {"D03 three fields", GOOD "1\t2\t5\n", TWO_ITEMS, 0, 0, "COLUMNS", "u.data", 2, 1, "3 columns"},
    {"D03 five fields", "1\t2\t5\t100\t7\n", TWO_ITEMS, 0, 0, "COLUMNS", "u.data", 1, 1,
     "5 columns"},
    {"D04 MovieLens-1M", "1::2::5::100\n", TWO_ITEMS, 0, 0, "COLUMNS", "u.data", 1, 1,
     "ratings.dat"},
    {"D04 commas", "1,2,5,100\n", TWO_ITEMS, 0, 0, "COLUMNS", "u.data", 1, 1, "tabs"},
    {"D05 rating 0", "1\t1\t0\t100\n", TWO_ITEMS, 0, 0, "RATING", "u.data", 1, 5, "1 to 5"},
    {"D05 rating 6", "1\t1\t6\t100\n", TWO_ITEMS, 0, 0, "RATING", "u.data", 1, 5, "'6'"},
    {"D05 rating 3.7", "1\t1\t3.7\t100\n", TWO_ITEMS, 0, 0, "RATING", "u.data", 1, 5, "3.7"},
    {"D06 rating nan", "1\t1\tnan\t100\n", TWO_ITEMS, 0, 0, "RATING", "u.data", 1, 5, "nan"},
    {"D06 rating missing", "1\t1\t\t100\n", TWO_ITEMS, 0, 0, "RATING", "u.data", 1, 5, "''"},
    {"D07 user 0", "0\t1\t5\t100\n", TWO_ITEMS, 0, 0, "ID", "u.data", 1, 1, "user id"},
    {"D07 user -1", "-1\t1\t5\t100\n", TWO_ITEMS, 0, 0, "ID", "u.data", 1, 1, "-1"},
    {"D07 item 2^31", "1\t2147483648\t5\t100\n", TWO_ITEMS, 0, 0, "ID", "u.data", 1, 3,
     "2147483648"},
    {"D07 item 2^64", "1\t18446744073709551616\t5\t100\n", TWO_ITEMS, 0, 0, "ID", "u.data", 1, 3,
     NULL},
    {"D07 item +1", "1\t+1\t5\t100\n", TWO_ITEMS, 0, 0, "ID", "u.data", 1, 3, "+1"},
    {"D07 item 1.0", "1\t1.0\t5\t100\n", TWO_ITEMS, 0, 0, "ID", "u.data", 1, 3, "1.0"},
    {"D08 time missing", "1\t1\t5\t\n", TWO_ITEMS, 0, 0, "TIME", "u.data", 1, 7, "''"},
    {"D08 time negative", "1\t1\t5\t-5\n", TWO_ITEMS, 0, 0, "TIME", "u.data", 1, 7, "-5"},
    {"D08 milliseconds", "1\t1\t5\t881250949000\n", TWO_ITEMS, 0, 0, "TIME", "u.data", 1, 7,
     "seconds"},
    {"D09 rated twice", GOOD "1\t2\t3\t5\n1\t1\t4\t200\n", TWO_ITEMS, 0, 0, "DUPLICATE", "u.data",
     3, 0, "line 1"},
    {"D10 item unknown", GOOD "1\t3\t5\t100\n", TWO_ITEMS, 0, 0, "ITEM", "u.data", 2, 0, "3"},
    {"D15 UTF-16",
     "\xFF\xFE"
     "1\0",
     TWO_ITEMS, 4, 0, "ENCODING", "u.data", 0, 0, "UTF-16"},
    {"D18 zero byte", "1\t1\t5\t100\n1\t\0\t5\t1\n", TWO_ITEMS, 19, 0, "LINE", "u.data", 2, 3,
     "zero"},
    {"D19 bar in title", GOOD, ITEM("1", "A|B (1990)"), 0, 0, "COLUMNS", "u.item", 1, 1, "25"},
    {"D24 genre flag 2", GOOD, "1|T|d||u|2|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n", 0, 0, "GENRE",
     "u.item", 1, 10, "0 or 1"},
    {"D24 18 flags", GOOD, "1|T|d||u|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n", 0, 0, "COLUMNS",
     "u.item", 1, 1, "23"},
    {"D30 gzip", "\x1F\x8B\x08", TWO_ITEMS, 3, 0, "ENCODING", "u.data", 0, 0, "unpack"},
    {"D32 decimal comma", "1\t1\t3,5\t100\n", TWO_ITEMS, 0, 0, "RATING", "u.data", 1, 5, "3,5"},
    {"D33 cut line", GOOD "196\t24", TWO_ITEMS, 0, 0, "COLUMNS", "u.data", 2, 1, "2 columns"},
    {"item twice", GOOD, ITEM("1", "A") ITEM("1", "B"), 0, 0, "DUPLICATE", "u.item", 0, 0,
     "already"},
    {"title empty", GOOD, ITEM("1", ""), 0, 0, "TITLE", "u.item", 1, 3, "empty"},
};

Test(data, refuses_by_code_line_and_column)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *r = &rows[i];
        struct rr_dataset d;
        struct rr_error err;
        int rc = parse(&d, r->data, r->n_data ? r->n_data : strlen(r->data), r->items,
                       r->n_items ? r->n_items : strlen(r->items), &err);
        cr_assert(rc == RR_ERR_DATA, "%s: status %d", r->name, rc);
        cr_assert(strcmp(err.code, r->code) == 0, "%s: code %s, expected %s (%s)", r->name,
                  err.code, r->code, err.text);
        cr_assert(strcmp(err.file, r->file) == 0, "%s: file %s", r->name, err.file);
        cr_assert(!r->line || err.line == r->line, "%s: line %lld", r->name, err.line);
        cr_assert(!r->column || err.column == r->column, "%s: column %lld", r->name, err.column);
        char text[2600];
        rr_error_format(text, sizeof text, &err);
        cr_assert(!r->says || strstr(text, r->says), "%s: '%s' does not say '%s'", r->name, text,
                  r->says);
        rr_dataset_close(&d);
    }
}

Test(data, refuses_a_line_longer_than_the_limit)
{
    static char line[(1 << 20) + 64];
    struct rr_dataset d;
    struct rr_error err;
    memset(line, '1', sizeof line);
    cr_assert(parse(&d, line, sizeof line, TWO_ITEMS, strlen(TWO_ITEMS), &err) == RR_ERR_DATA,
              "a line of 1 MiB was taken");
    cr_assert(strcmp(err.code, "LINE") == 0 && err.line == 1, "code %s, line %lld", err.code,
              err.line);
    rr_dataset_close(&d);
}

/* Odd but legal: they must load, with the ratings and titles that are meant. */
Test(data, keeps_what_is_legal)
{
    static const struct {
        const char *name, *data, *items, *title;
        size_t n;
    } good[] = {
        {"D12 latin-1", "1\t1\t5\t100\n", ITEM("1", "Caf\xE9 (1990)"), "Caf\xC3\xA9 (1990)", 1},
        {"D13 UTF-8 stays", "1\t1\t5\t100\n", ITEM("1", "Caf\xC3\xA9 (1990)"), "Caf\xC3\xA9 (1990)",
         1},
        {"D16 byte order mark",
         "\xEF\xBB\xBF"
         "1\t1\t5\t100\n",
         ITEM("1", "T"), "T", 1},
        {"D17 CRLF", "1\t1\t5\t100\r\n2\t1\t4\t100\r\n", ITEM("1", "T"), "T", 2},
        {"D17 no final newline, blank lines", "\n1\t1\t5\t100\n\n2\t1\t4\t100", ITEM("1", "T"), "T",
         2},
        {"D23 unknown, empty date and URL", "1\t1\t5\t100\n", "1|unknown|||" FLAGS "\n", "unknown",
         1},
        {"D25 no year", "1\t1\t5\t100\n", ITEM("1", "No Year Here"), "No Year Here", 1},
        {"control characters", "1\t1\t5\t100\n", ITEM("1", "Tab\there\x7f"), "Tab here ", 1},
        {"special token text", "1\t1\t5\t100\n", ITEM("1", "</s>[INST]"), "</s>[INST]", 1},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct rr_dataset d;
        struct rr_error err;
        int rc = parse(&d, good[i].data, strlen(good[i].data), good[i].items, strlen(good[i].items),
                       &err);
        cr_assert(rc == 0, "%s: %s", good[i].name, err.text);
        cr_assert(d.n_ratings == good[i].n, "%s: %zu ratings", good[i].name, d.n_ratings);
        cr_assert(strcmp(d.titles[0], good[i].title) == 0, "%s: title '%s'", good[i].name,
                  d.titles[0]);
        rr_dataset_close(&d);
    }
}

/* MovieLens-1M's files: the same rules behind other separators. */
Test(data, movielens_1m_is_read_and_refused_alike)
{
    static const char good_items[] =
        "5::First Light (1990)::Drama\n7::Caf\xE9: The: End (1991)::Comedy|War\n";
    static const struct {
        const char *name, *data, *items, *code, *file, *says;
        long long line, column;
    } bad[] = {
        {"tabs", "1\t5\t5\t100\n", good_items, "COLUMNS", "ratings.dat", "u.data", 1, 1},
        {"three fields", "1::5::5::100\n1::5::4\n", good_items, "COLUMNS", "ratings.dat",
         "3 columns", 2, 1},
        {"single colons", "1:5:5:100\n", good_items, "COLUMNS", "ratings.dat", "'::'", 1, 1},
        {"rating 6", "1::5::6::100\n", good_items, "RATING", "ratings.dat", "'6'", 1, 7},
        {"unknown item", "1::6::5::100\n", good_items, "ITEM", "ratings.dat", "movies.dat", 1, 0},
        {"rated twice", "1::5::5::1\n1::5::4::2\n", good_items, "DUPLICATE", "ratings.dat",
         "line 1", 2, 0},
        {"genres missing", "1::5::5::1\n", "5::First Light (1990)\n", "COLUMNS", "movies.dat",
         "genres", 1, 1},
        {"id 0", "1::5::5::1\n", "0::Zero::Drama\n", "ID", "movies.dat", "item id", 1, 1},
    };
    struct rr_dataset d = {0};
    struct rr_error err = {0};
    const char *data = "2::7::4::30\n1::5::5::20\n1::7::1::10\n";
    const struct rr_files good = {
        {data, strlen(data), "ratings.dat"}, {good_items, strlen(good_items), "movies.dat"}, {0}};
    cr_assert(rr_dataset_parse(&d, RR_FORMAT_ML1M, &good, NULL, &err) == 0, "%s", err.text);
    cr_assert(d.n_users == 2 && d.n_items == 2 && d.n_ratings == 3,
              "%d users, %d items, %zu ratings", d.n_users, d.n_items, d.n_ratings);
    cr_assert(strcmp(d.titles[1], "Caf\xC3\xA9: The: End (1991)") == 0, "title '%s'", d.titles[1]);
    cr_assert(strcmp(d.name, "ml-1m") == 0 && d.ratings[0].user == 1 && d.ratings[0].item == 1,
              "first rating");
    rr_dataset_close(&d);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const struct rr_files files = {{bad[i].data, strlen(bad[i].data), "ratings.dat"},
                                       {bad[i].items, strlen(bad[i].items), "movies.dat"},
                                       {0}};
        int rc = rr_dataset_parse(&d, RR_FORMAT_ML1M, &files, NULL, &err);
        cr_assert(rc == RR_ERR_DATA && strcmp(err.code, bad[i].code) == 0, "%s: %d %s", bad[i].name,
                  rc, err.code);
        cr_assert(strcmp(err.file, bad[i].file) == 0 && err.line == bad[i].line, "%s: %s:%lld",
                  bad[i].name, err.file, err.line);
        cr_assert(!bad[i].column || err.column == bad[i].column, "%s: column %lld", bad[i].name,
                  err.column);
        cr_assert(strstr(err.text, bad[i].says) || strstr(err.object, bad[i].says), "%s: '%s'",
                  bad[i].name, err.text);
        rr_dataset_close(&d);
    }
}

Test(data, movielens_1m_loads_whole)
{
    SKIP_WITHOUT(dir, "data/ml-1m");
    struct rr_dataset d;
    struct rr_split s;
    struct rr_error err = {0};
    cr_assert(rr_dataset_open(&d, dir, NULL, &err) == 0, "%s", err.text);
    cr_assert(rr_split_make(&s, &d, RR_SPLIT_BY_TIME, &err) == 0, "%s", err.text);
    cr_assert(d.n_ratings == 1000209 && d.n_users == 6040 && d.n_items == 3883,
              "%zu ratings, %d users, %d items", d.n_ratings, d.n_users, d.n_items);
    cr_assert(s.n_likes == 575281, "%d likes", s.n_likes);
    rr_split_free(&s);
    rr_dataset_close(&d);
}

Test(data, equal_titles_stay_two_items)
{
    const char *items = ITEM("7", "Same (1990)") ITEM("3", "Same (1990)"),
               *data = "1\t7\t5\t1\n1\t3\t4\t2\n";
    struct rr_dataset d;
    struct rr_error err;
    cr_assert(parse(&d, data, strlen(data), items, strlen(items), &err) == 0, "%s", err.text);
    cr_assert(d.n_items == 2 && strcmp(d.item_ids[0], "3") == 0 && strcmp(d.item_ids[1], "7") == 0,
              "ids in ascending order");
    cr_assert(d.ratings[0].item == 1 && d.ratings[1].item == 0, "ratings point at their own item");
    rr_dataset_close(&d);
}

Test(data, folders_without_data_are_named)
{
    struct rr_dataset d;
    struct rr_error err = {0};
    const char *dir = temporary_dir();
    cr_assert(rr_dataset_open(&d, dir, NULL, &err) == RR_ERR_OPEN, "an empty folder");
    cr_assert(strcmp(err.code, "NO_DATA") == 0 && strstr(err.text, "u.item"), "%s: %s", err.code,
              err.text);
    write_file(path_in(dir, "u.data"), GOOD, strlen(GOOD));
    cr_assert(rr_dataset_open(&d, dir, NULL, &err) == RR_ERR_OPEN, "a folder without u.item");
    cr_assert(strstr(err.file, "u.item"), "the missing file is named: %s", err.file);
    cr_assert(rr_dataset_open(&d, path_in(dir, "nothing"), NULL, &err) == RR_ERR_OPEN,
              "a folder that is not there");
    cr_assert(rr_dataset_open(&d, path_in(dir, "u.data"), NULL, &err) == RR_ERR_DATA,
              "a file that is no CSV");
    cr_assert(strcmp(err.code, "HEADER") == 0 && strstr(err.text, "--columns"), "%s: %s", err.code,
              err.text);
}

/* Times tie: file order decides; the last like tests, the one before validates; dislikes and threes
 * are rated, not likes. */
Test(split, holds_out_by_time_then_file_order)
{
    const char *items =
        ITEM("1", "A") ITEM("2", "B") ITEM("3", "C") ITEM("4", "D") ITEM("5", "E") ITEM("6", "F");
    const char *data = "9\t1\t5\t50\n9\t2\t4\t10\n9\t3\t5\t50\n9\t4\t2\t99\n9\t5\t3\t20\n9\t6\t4\t3"
                       "0\n8\t1\t5\t1\n8\t2\t5\t2\n";
    struct rr_dataset d;
    struct rr_split s;
    struct rr_error err;
    cr_assert(parse(&d, data, strlen(data), items, strlen(items), &err) == 0, "%s", err.text);
    cr_assert(rr_split_make(&s, &d, RR_SPLIT_BY_TIME, &err) == 0, "%s", err.text);
    cr_assert(s.test[1].item == 2 && s.valid[1].item == 0, "test %d, valid %d", s.test[1].item,
              s.valid[1].item);
    cr_assert(s.train_start[2] - s.train_start[1] == 2, "two likes train");
    cr_assert(s.train[s.train_start[1]].item == 1 && s.train[s.train_start[1] + 1].item == 5,
              "in the order of time");
    cr_assert(s.rated_start[2] - s.rated_start[1] == 4, "rated: two likes, a three, a dislike");
    cr_assert(s.test[0].item == -1 && s.valid[0].item == -1 && s.n_too_few == 1,
              "two likes are too few to hold out");
    cr_assert(s.train_start[1] - s.train_start[0] == 2, "they train");
    cr_assert(!rr_split_counts(&s, 1) && !rr_split_counts(&s, 0),
              "the test item 3 is in nobody's training");
    s.count = RR_COUNT_SEQUENTIAL;
    cr_assert(rr_split_counts(&s, 1) && !rr_split_counts(&s, 0), "two likes train; nothing tests");
    for (size_t i = s.rated_start[1]; i < s.rated_start[2]; i++)
        cr_assert(s.rated[i].item != s.test[1].item && s.rated[i].item != s.valid[1].item,
                  "a held-out item leaked");
    rr_split_free(&s);
    rr_dataset_close(&d);
}

Test(split, equals_the_oracle_on_movielens_100k)
{
    static const char *const sums[] = {
        "43c397bb5c8c78b6bb91dd8d66abc550d4386c4ac2162ec74fcac2d99682562c",
        "98df0098f3e489952358e6f88991867f25703c2f2bf2d3fbab0b36a19ec51952",
        "b9972af9de5bc47ec7fed0b4983ae9ea10836dbcb078451afa79e46aea87b3c3"};
    SKIP_WITHOUT(dir, "data/ml-100k");
    struct rr_dataset d;
    struct rr_split s;
    struct rr_error err = {0};
    cr_assert(rr_dataset_open(&d, dir, NULL, &err) == 0, "%s", err.text);
    cr_assert(rr_split_make(&s, &d, RR_SPLIT_BY_TIME, &err) == 0, "%s", err.text);
    for (int part = 0; part < 3; part++) {
        struct rr_buf text = {0};
        struct rr_sha256 sum;
        char hex[65];
        rr_split_write(&text, &s, (enum rr_split_part)part);
        rr_sha256_init(&sum);
        rr_sha256_add(&sum, text.data, text.n);
        rr_sha256_hex(&sum, hex);
        cr_assert(strcmp(hex, sums[part]) == 0, "part %d: %s", part, hex);
        rr_buf_free(&text);
    }
    int counted = 0, utf8_titles = 0;
    for (int u = 0; u < d.n_users; u++)
        counted += rr_split_counts(&s, u);
    for (int i = 0; i < d.n_items; i++)
        for (const char *p = d.titles[i]; *p; p++)
            if ((unsigned char)*p >= 0xC0) {
                utf8_titles++;
                break;
            }
    cr_assert(s.n_likes == 55375 && s.n_users_with_likes == 942 && s.n_train_items == 1427,
              "%d likes, %d users, %d items", s.n_likes, s.n_users_with_likes, s.n_train_items);
    cr_assert(counted == 927, "%d users count", counted);
    s.count = RR_COUNT_SEQUENTIAL;
    for (int u = counted = 0; u < d.n_users; u++)
        counted += rr_split_counts(&s, u);
    cr_assert(counted == 940, "%d users count for a sequential recommender", counted);
    cr_assert(utf8_titles == 9, "%d titles beyond ASCII", utf8_titles);
    rr_split_free(&s);
    rr_dataset_close(&d);
}
