/* OpenBLAS dsyrk over blocks of 1,024 rows, one thread: the opponent of the statistics kernel.  usage: dsyrk ROWS COLUMNS
   Prints `best SECONDS` of seven rounds. */
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    size_t n = strtoull(argv[1], 0, 10), p = strtoull(argv[2], 0, 10);
    double *x = malloc(n * p * 8), *g = malloc(p * p * 8), best = 1e9;
    if (!x || !g) return 1;
    for (size_t i = 0; i < n * p; i++) x[i] = (double)(i * 2654435761u % 1000) / 1000;
    for (int round = 0; round < 7; round++) {
        memset(g, 0, p * p * 8);
        double start = now();
        for (size_t b = 0; b < n; b += 1024) {
            size_t m = n - b < 1024 ? n - b : 1024;
            cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, p, m, 1.0, x + b * p, p, 1.0, g, p);
        }
        double seconds = now() - start;
        if (seconds < best) best = seconds;
    }
    printf("%zu x %zu dsyrk best %.6f %s\n", n, p, best, openblas_get_corename());
    return 0;
}
