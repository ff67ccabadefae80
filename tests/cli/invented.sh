# Sourced: a small invented data set in MovieLens-100K's format, with three tastes. usage: invented FOLDER
invented() {
    mkdir "$1"
    awk 'BEGIN { for (i = 1; i <= 30; i++) printf "%d|Film %d (19%02d)|||http://x|0|1|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n", i, i, i + 40 }' >"$1/u.item"
    awk 'BEGIN { srand(3); for (u = 1; u <= 40; u++) for (i = 1; i <= 30; i++)
        if (rand() < (u % 3 == i % 3 ? .8 : .2)) printf "%d\t%d\t%d\t%d\n", u, i, u % 3 == i % 3 ? 3 + int(3 * rand()) : 1 + int(4 * rand()), 880000000 + int(1e6 * rand()) }' >"$1/u.data"
}
