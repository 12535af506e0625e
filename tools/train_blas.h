/* train_blas: matrix products from a BLAS library, loaded when training begins: so the other subcommands neither need the
 * library nor pay for starting it, and any BLAS with the C interface will do. */
#ifndef KOLO_TOOLS_TRAIN_BLAS_H
#define KOLO_TOOLS_TRAIN_BLAS_H

#include <stdbool.h>

/** Load a BLAS: KOLO_BLAS names the library, else OpenBLAS, BLIS and others are tried. It will use one thread: the peers of a
 *  host share its processors. Returns its name; NULL if there is none (train_blas_tried() says what was looked for).
 *  Call once, before there are other threads. */
const char *train_blas_load(void);

/** The names that train_blas_load() looked for, with commas. */
const char *train_blas_tried(void);

/* Row-major matrices without gaps, of rows x columns: */

/** c[m x n] = a[m x k] b[k x n]. */
void train_blas_multiply(float *c, const float *a, const float *b, int m, int n, int k);

/** c[m x n] = a[k x m] transposed, times b[k x n]. */
void train_blas_multiply_left_transposed(float *c, const float *a, const float *b, int m, int n,
                                         int k);

/** c[m x n] = a[m x k] times b[n x k] transposed. */
void train_blas_multiply_right_transposed(float *c, const float *a, const float *b, int m, int n,
                                          int k);

#endif
