/* A program of its own: an invented catalogue and invented users, in MovieLens-1M's format, for
 * demonstrations and tests that may ship with the project. usage: make_catalogue SEED OUTDIR
 *
 * Same seed, same bytes, whatever the machine and the compiler: whole numbers only, and a generator
 * of its own. It knows nothing of recrank, whose reader is thereby tested from outside.
 *
 * The world: a mood is a theme in an era, and every title belongs to one, which its words and its
 * year betray. Moods are the nodes of a fixed graph: a ring of themes by a row of eras. A user
 * stays in a mood for some titles, then goes on to a neighbour, more often forward on the ring
 * than back, and has a favourite mood to jump back to now and then. So what was liked lately tells
 * more of what comes next than all that was ever liked, which is what matrix factorisation sees.
 * Who liked a part of a series often takes the next one soon. The rest is popularity, which has a
 * long tail, and chance. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    N_THEMES = 12,
    N_ERAS = 2,
    N_MOODS = N_THEMES * N_ERAS,
    PER_MOOD = 21,
    N_TITLES = N_MOODS * PER_MOOD,
    N_USERS = 1000,
    N_ADJECTIVES = 8,
    N_NOUNS = 10,
    N_PLACES = 3,
    NAME_BYTES = 72,  /* of a title without the number of its part */
    TITLE_BYTES = 80, /* with it */
    NONE = -1
};

/* Exit codes, as recrank's. */
enum { EXIT_MISUSED = 2, EXIT_CANNOT_OPEN = 66, EXIT_IO = 74 };

/* ---- words --------------------------------------------------------------------------------------
 */

/* Neighbours on the ring are akin. Names of places and heroes are made up. */
static const struct theme {
    const char *genres;
    const char *adjectives[N_ADJECTIVES], *nouns[N_NOUNS], *places[N_PLACES];
} themes[N_THEMES] = {
    {"Adventure|Sci-Fi",
     {"Orbital", "Stellar", "Cosmic", "Weightless", "Distant", "Lunar", "Solar", "Uncharted"},
     {"Comet", "Nebula", "Beacon", "Capsule", "Pulsar", "Asteroid", "Shuttle", "Eclipse", "Airlock",
      "Telescope"},
     {"Velmar", "Ostrel", "Quenna"}},
    {"Sci-Fi|Thriller",
     {"Electric", "Synthetic", "Digital", "Chrome", "Binary", "Magnetic", "Recursive", "Wired"},
     {"Android", "Circuit", "Signal", "Laboratory", "Algorithm", "Antenna", "Mainframe",
      "Prototype", "Turbine", "Replica"},
     {"Ilmo", "Tessin", "Novadrell"}},
    {"Crime|Thriller",
     {"Perfect", "Stolen", "Counterfeit", "Velvet", "Double", "Locked", "Borrowed", "Marked"},
     {"Vault", "Diamond", "Alibi", "Ransom", "Getaway", "Safecracker", "Forgery", "Ledger",
      "Briefcase", "Casino"},
     {"Callory", "Ferrol", "Tornetti"}},
    {"Crime|Mystery",
     {"Crooked", "Silent", "Smoky", "Nameless", "Rainy", "Sleepless", "Hidden", "Bitter"},
     {"Detective", "Witness", "Alley", "Clue", "Matchbook", "Informer", "Verdict", "Trenchcoat",
      "Dossier", "Streetlamp"},
     {"Harlow", "Orsk", "Grenmouth"}},
    {"Horror|Mystery",
     {"Haunted", "Pale", "Whispering", "Cursed", "Hollow", "Midnight", "Restless", "Forgotten"},
     {"Phantom", "Cellar", "Mansion", "Lantern", "Graveyard", "Seance", "Apparition", "Crypt",
      "Staircase", "Portrait"},
     {"Ashgrove", "Morrowfen", "Duskerton"}},
    {"Children's|Fantasy",
     {"Enchanted", "Golden", "Crystal", "Tiny", "Sleeping", "Emerald", "Magical", "Winged"},
     {"Dragon", "Wizard", "Unicorn", "Castle", "Spell", "Goblin", "Princess", "Amulet", "Griffin",
      "Cauldron"},
     {"Ellowyn", "Farn", "Mirrenwald"}},
    {"Action|Adventure",
     {"Sunken", "Stormy", "Crimson", "Salty", "Barnacled", "Mutinous", "Tidal", "Shipwrecked"},
     {"Galleon", "Buccaneer", "Compass", "Harbour", "Cutlass", "Lagoon", "Anchor", "Mermaid",
      "Treasure", "Cannon"},
     {"Tamsa", "Verrano", "Sorrel"}},
    {"Action|Western",
     {"Dusty", "Lonesome", "Iron", "Outlawed", "Sunburnt", "Wandering", "Stubborn", "Galloping"},
     {"Sheriff", "Saddle", "Stagecoach", "Canyon", "Mustang", "Homestead", "Revolver", "Prairie",
      "Lasso", "Saloon"},
     {"Orlo", "Addison", "Tumblegate"}},
    {"Comedy|Drama",
     {"Muddy", "Cheerful", "Rustic", "Neighbourly", "Clumsy", "Crowded", "Homemade", "Lazy"},
     {"Orchard", "Tractor", "Postman", "Bakery", "Goose", "Grandmother", "Barn", "Picnic", "Mayor",
      "Scarecrow"},
     {"Wimborough", "Hatterby", "Pottle"}},
    {"Comedy|Romance",
     {"Blushing", "Hopeful", "Tender", "Accidental", "Charming", "Reluctant", "Secret", "Sweet"},
     {"Bride", "Letter", "Bouquet", "Honeymoon", "Valentine", "Umbrella", "Proposal", "Kiss",
      "Balcony", "Matchmaker"},
     {"Amarelle", "Fiorina", "Dellamere"}},
    {"Musical|Romance",
     {"Dancing", "Singing", "Syncopated", "Glittering", "Melodious", "Swinging", "Encore", "Jazzy"},
     {"Orchestra", "Waltz", "Trumpet", "Serenade", "Ballroom", "Chorus", "Melody", "Pianist",
      "Spotlight", "Rhapsody"},
     {"Bellavue", "Lyra", "Tangolina"}},
    {"Adventure|Documentary",
     {"Frozen", "Vertical", "Windswept", "Untamed", "Glacial", "Remote", "Highland", "Snowbound"},
     {"Summit", "Glacier", "Expedition", "Avalanche", "Ridge", "Explorer", "Basecamp", "Wolverine",
      "Plateau", "Crevasse"},
     {"Karvel", "Oster", "Nisk"}},
};

/* One for each mood: the same name stands in all titles of its family. */
static const char *const heroes[N_MOODS] = {
    "Tolvan",   "Brindle", "Okariss",   "Marrowby", "Fenwright", "Selka",    "Dandrill", "Pemba",
    "Yorvick",  "Quillan", "Ambersley", "Torvane",  "Lisbetta",  "Gorran",   "Wexcombe", "Nadira",
    "Holloran", "Zephine", "Cobbett",   "Ravelle",  "Thistley",  "Penhallo", "Drummel",  "Ilvane"};

/* ---- chance -------------------------------------------------------------------------------------
 */

struct chance {
    uint64_t state;
};

/* SplitMix64 (Steele, Lea and Flood, 2014). */
static uint64_t draw(struct chance *c)
{
    uint64_t z = c->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* From 0 up to n - 1; the bias, below n / 2^32, does not matter here. */
static int below(struct chance *c, int n)
{
    return (int)(((draw(c) >> 32) * (uint64_t)n) >> 32);
}

static bool percent(struct chance *c, int n)
{
    return below(c, 100) < n;
}

/* ---- catalogue ----------------------------------------------------------------------------------
 */

struct title {
    char name[TITLE_BYTES];
    int mood, year;
    int next;       /* the next part of its series or family, or NONE */
    int popularity; /* relative */
    int quality;    /* percent points on the chance of being liked */
};

struct world {
    struct chance chance;
    struct title titles[N_TITLES]; /* mood by mood, PER_MOOD each */
    int n_titles;
};

static int theme_of(int mood)
{
    return mood / N_ERAS;
}

static int era_of(int mood)
{
    return mood % N_ERAS;
}

static bool is_taken(const struct world *w, const char *name)
{
    for (int i = 0; i < w->n_titles; i++)
        if (strcmp(w->titles[i].name, name) == 0)
            return true;
    return false;
}

/* A name that no title has, in the words of the mood's theme; hero: NULL or who is in it. */
static void invent(char name[NAME_BYTES], struct world *w, int mood, const char *hero)
{
    const struct theme *t = &themes[theme_of(mood)];
    struct chance *c = &w->chance;
    do {
        const int noun = below(c, N_NOUNS);
        const char *a = t->adjectives[below(c, N_ADJECTIVES)], *n = t->nouns[noun];
        const char *other = t->nouns[(noun + 1 + below(c, N_NOUNS - 1)) % N_NOUNS];
        const char *place = t->places[below(c, N_PLACES)];
        if (hero)
            snprintf(name, NAME_BYTES, "%s and the %s %s", hero, a, n);
        else
            switch (below(c, 4)) {
            case 0:
                snprintf(name, NAME_BYTES, "The %s %s of %s", a, n, place);
                break;
            case 1:
                snprintf(name, NAME_BYTES, "The %s and the %s %s", other, a, n);
                break;
            case 2:
                snprintf(name, NAME_BYTES, "%s under the %s %s", other, a, n);
                break;
            default:
                snprintf(name, NAME_BYTES, "%s %s, %s", a, n, place);
            }
    } while (is_taken(w, name));
}

static struct title *add_title(struct world *w, int mood, int year)
{
    struct title *t = &w->titles[w->n_titles++];
    t->mood = mood;
    t->year = year;
    t->next = NONE;
    t->quality = below(&w->chance, 31) - 15;
    return t;
}

/* Parts of one story, two years apart. With a hero every part has a name of its own, else they are
 * numbered. */
static void add_series(struct world *w, int mood, int year, int parts, const char *hero)
{
    static const char *const numbers[] = {"", " II", " III", " Returns"};
    char name[NAME_BYTES];
    for (int k = 0; k < parts; k++) {
        if (hero || k == 0)
            invent(name, w, mood, hero);
        struct title *t = add_title(w, mood, year + 2 * k);
        snprintf(t->name, TITLE_BYTES, "%s%s", name, hero ? "" : numbers[k]);
        if (k + 1 < parts)
            t->next = w->n_titles;
    }
}

/* Each mood has two series of numbered parts, a hero's family, and single titles. Chance is drawn
 * in statements of their own: C does not say which argument of a call is computed first. */
static void make_titles(struct world *w)
{
    static const int first_year[N_ERAS] = {1951, 1980};
    struct chance *c = &w->chance;
    int order[N_TITLES] = {0};
    for (int mood = 0; mood < N_MOODS; mood++) {
        const int first = first_year[era_of(mood)], end = w->n_titles + PER_MOOD;
        for (int s = 0; s < 3; s++) {
            const int year = first + below(c, 12), parts = 3 + below(c, 2);
            add_series(w, mood, year, parts, s == 2 ? heroes[mood] : NULL);
        }
        while (w->n_titles < end)
            add_series(w, mood, first + below(c, 18), 1, NULL);
    }
    /* Popularity falls with a rank that chance decides: a long tail. */
    for (int i = 0; i < N_TITLES; i++) {
        const int k = below(c, i + 1);
        order[i] = order[k];
        order[k] = i;
    }
    for (int i = 0; i < N_TITLES; i++)
        w->titles[order[i]].popularity = 100000 / (4 + i);
}

/* ---- users --------------------------------------------------------------------------------------
 */

struct user {
    int mood, favourite, generosity;
    int stayed; /* titles seen since the mood last changed */
    int part;   /* the next part of what was liked last, not seen yet; or NONE */
    bool seen[N_TITLES];
};

static int neighbour(struct chance *c, int mood)
{
    const int theme = theme_of(mood), era = era_of(mood), roll = below(c, 100);
    if (roll < 20)
        return theme * N_ERAS + (1 - era);
    return (theme + (roll < 95 ? 1 : N_THEMES - 1)) % N_THEMES * N_ERAS + era;
}

/* Nobody leaves a mood at once. */
static void drift(struct user *u, struct chance *c)
{
    if (u->stayed++ < 4 || !percent(c, 19))
        return;
    u->mood = percent(c, 25) ? u->favourite : neighbour(c, u->mood);
    u->stayed = 0;
}

/* One of n titles from `first` on that the user has not seen, by popularity; NONE: all are seen. */
static int popular(const struct world *w, struct chance *c, const struct user *u, int first, int n)
{
    int total = 0;
    for (int i = first; i < first + n; i++)
        total += u->seen[i] ? 0 : w->titles[i].popularity;
    if (total == 0)
        return NONE;
    int roll = below(c, total);
    for (int i = first; i < first + n; i++)
        if (!u->seen[i] && (roll -= w->titles[i].popularity) < 0)
            return i;
    return NONE;
}

/* What the user sees next, and in *score how likely it is liked, in percent. */
static int choose(const struct world *w, struct chance *c, const struct user *u, int *score)
{
    const int roll = below(c, 100);
    int item = NONE;
    *score = 95;
    if (roll < 40 && u->part != NONE)
        return u->part;
    if (roll < 55) {
        *score = 90;
        item = popular(w, c, u, u->mood * PER_MOOD, PER_MOOD);
    }
    if (item == NONE && roll < 62) {
        *score = 50;
        item = popular(w, c, u, neighbour(c, u->mood) * PER_MOOD, PER_MOOD);
    }
    if (item == NONE) {
        *score = 14;
        item = popular(w, c, u, 0, N_TITLES);
    }
    return item;
}

static int rate(struct chance *c, int score)
{
    if (percent(c, score))
        return percent(c, 45) ? 5 : 4;
    return percent(c, 55) ? 3 : percent(c, 65) ? 2 : 1;
}

static void write_user(FILE *f, const struct world *w, struct chance *c, int id)
{
    struct user u = {.part = NONE};
    /* From 20 to 120, few of them many. */
    const int n = 20 + below(c, 101) * below(c, 101) / 100;
    long time = below(c, 4000000);
    u.favourite = below(c, N_MOODS);
    u.mood = u.favourite;
    u.generosity = below(c, 21) - 10;
    for (int k = 0; k < n; k++) {
        int score;
        drift(&u, c);
        const int item = choose(w, c, &u, &score);
        const struct title *t = &w->titles[item];
        const int rating = rate(c, score + t->quality + u.generosity);
        u.seen[item] = true;
        if (u.part == item)
            u.part = NONE;
        if (rating >= 4 && t->next != NONE && !u.seen[t->next])
            u.part = t->next;
        /* Some titles an evening, then days without. */
        time += percent(c, 70) ? 60 + below(c, 240) : 40000 + below(c, 160000);
        fprintf(f, "%d::%d::%d::%ld\n", id, item + 1, rating, time);
    }
}

/* ---- files --------------------------------------------------------------------------------------
 */

static void write_movies(FILE *f, struct world *w)
{
    for (int i = 0; i < w->n_titles; i++) {
        const struct title *t = &w->titles[i];
        fprintf(f, "%d::%s (%d)::%s\n", i + 1, t->name, t->year, themes[theme_of(t->mood)].genres);
    }
}

static void write_ratings(FILE *f, struct world *w)
{
    for (int id = 1; id <= N_USERS; id++)
        write_user(f, w, &w->chance, id);
}

/* Writes beside the file and renames, so that no half of it is ever taken for the whole. */
static int write_file(const char *dir, const char *name, struct world *w,
                      void (*write)(FILE *, struct world *))
{
    char path[4096], part[4096 + 8];
    const int n = snprintf(path, sizeof path, "%s/%s", dir, name);
    if (n < 0 || (size_t)n >= sizeof path) {
        fprintf(stderr, "make_catalogue: the name of the folder is too long\n");
        return EXIT_CANNOT_OPEN;
    }
    snprintf(part, sizeof part, "%s.part", path);
    FILE *f = fopen(part, "wb"); /* binary: the same line ends everywhere */
    if (!f) {
        fprintf(stderr, "make_catalogue: cannot write %s: is %s a folder that may be written to?\n",
                part, dir);
        return EXIT_CANNOT_OPEN;
    }
    write(f, w);
    const bool failed = ferror(f) != 0;
    if (fclose(f) != 0 || failed || rename(part, path) != 0) {
        fprintf(stderr, "make_catalogue: writing %s failed: is the disk full?\n", path);
        remove(part);
        return EXIT_IO;
    }
    return EXIT_SUCCESS;
}

/* A whole number without sign, below 2^64. */
static bool parse_seed(uint64_t *seed, const char *s)
{
    uint64_t v = 0;
    if (!*s)
        return false;
    for (; *s; s++) {
        const unsigned digit = (unsigned)(*s - '0');
        if (*s < '0' || *s > '9' || v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *seed = v;
    return true;
}

int main(int argc, char **argv)
{
    static struct world w;
    if (argc != 3 || !parse_seed(&w.chance.state, argv[1])) {
        fprintf(stderr, "usage: make_catalogue SEED OUTDIR\n"
                        "writes movies.dat and ratings.dat (MovieLens-1M's format) into the folder "
                        "OUTDIR; SEED is a whole number\n");
        return EXIT_MISUSED;
    }
    make_titles(&w);
    int rc = write_file(argv[2], "movies.dat", &w, write_movies);
    if (!rc)
        rc = write_file(argv[2], "ratings.dat", &w, write_ratings);
    return rc;
}
