/* The rate of float32 fused multiply-adds that never leave the registers: what a matrix product
 * could reach at most.
 *
 *     cc -O2 -march=native -pthread -o f32_peak bench/f32_peak.c && ./f32_peak THREADS
 *
 * prints "GFLOPS WIDTH": 10^9 operations (a multiply-add is two) per second of all threads
 * together, the best of ten tries, and the numbers in a vector. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#if defined __AVX512F__ || (defined __AVX2__ && defined __FMA__)
#include <immintrin.h>
#endif

#if defined __AVX512F__
typedef __m512 vector;
#define WIDTH 16
#define ADD_PRODUCT(a, b, c) _mm512_fmadd_ps(b, c, a)
#define ALL(x) _mm512_set1_ps(x)
#define STORE _mm512_storeu_ps
#elif defined __AVX2__ && defined __FMA__
typedef __m256 vector;
#define WIDTH 8
#define ADD_PRODUCT(a, b, c) _mm256_fmadd_ps(b, c, a)
#define ALL(x) _mm256_set1_ps(x)
#define STORE _mm256_storeu_ps
#else
typedef float vector;
#define WIDTH 1
#define ADD_PRODUCT(a, b, c) ((a) + (b) * (c))
#define ALL(x) (x)
#define STORE(to, x) (*(to) = (x))
#endif

#define CHAINS 12 /* more than latency times units of any core: none waits for another */
#define TIMES 20000000L
#define TRIES 10

static void *work(void *arg)
{
    /* x = x m + a stays near 1: no infinities, no denormals. */
    const vector m = ALL(0.999f), a = ALL(0.001f);
    vector x[CHAINS];
    float *out = arg;
    for (int i = 0; i < CHAINS; i++)
        x[i] = ALL(1 + 0.01f * (float)i);
    for (long t = 0; t < TIMES; t++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++)
            x[i] = ADD_PRODUCT(a, x[i], m);
    }
    for (int i = 0; i < CHAINS; i++)
        STORE(out + (size_t)i * WIDTH, x[i]);
    return NULL;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
    enum { MOST = 64 };
    static float out[MOST][CHAINS * WIDTH]; /* kept, so that the work is not optimised away */
    const int n = argc > 1 ? atoi(argv[1]) : 1;
    double best = 0;
    if (n < 1 || n > MOST) {
        fprintf(stderr, "usage: f32_peak THREADS (1 to %d)\n", MOST);
        return 2;
    }
    for (int try = 0; try < TRIES; try++) {
        pthread_t threads[MOST];
        const double start = seconds();
        for (int i = 0; i < n; i++)
            if (pthread_create(&threads[i], NULL, work, out[i]) != 0)
                return 1;
        for (int i = 0; i < n; i++)
            pthread_join(threads[i], NULL);
        const double rate = 2.0 * CHAINS * WIDTH * TIMES * n / ((seconds() - start) / n);
        best = rate > best ? rate : best;
    }
    printf("%.1f %d\n", best / 1e9, WIDTH);
    return out[0][0] > 2;
}
