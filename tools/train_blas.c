#include "tools/train_blas.h"

#include <assert.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

/* The values of the C interface to the BLAS (BLAS Technical Forum standard, 2001, appendix B). */
enum { ROW_MAJOR = 101, NO_TRANSPOSE = 111, TRANSPOSE = 112 };

typedef void sgemm_function(int order, int transpose_a, int transpose_b, int m, int n, int k,
                            float alpha, const float *a, int lda, const float *b, int ldb,
                            float beta, float *c, int ldc);

static sgemm_function *sgemm;

static const char *const libraries[] = {"libopenblas.so.0", "libblis.so.4", "libblas.so.3",
                                        "libcblas.so.3", NULL};

const char *train_blas_tried(void)
{
    return "libopenblas.so.0, libblis.so.4, libblas.so.3, libcblas.so.3";
}

static const char *load(const char *name)
{
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        return NULL;
    }
    void *symbol = dlsym(library, "cblas_sgemm");
    if (symbol == NULL) {
        dlclose(library);
        return NULL;
    }
    memcpy(&sgemm, &symbol, sizeof sgemm); /* ISO C knows no cast from an object to a function */
    return name;
}

const char *train_blas_load(void)
{
    static const char *const thread_settings[] = {"OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS",
                                                  "MKL_NUM_THREADS", "OMP_NUM_THREADS"};
    for (size_t i = 0; i < sizeof thread_settings / sizeof *thread_settings; i++) {
        setenv(thread_settings[i], "1", 1);
    }
    const char *wanted = getenv("KOLO_BLAS");
    if (wanted != NULL && *wanted != 0) {
        return load(wanted);
    }
    const char *loaded = NULL;
    for (int i = 0; libraries[i] != NULL && loaded == NULL; i++) {
        loaded = load(libraries[i]);
    }
    return loaded;
}

void train_blas_multiply(float *c, const float *a, const float *b, int m, int n, int k)
{
    assert(sgemm != NULL);
    sgemm(ROW_MAJOR, NO_TRANSPOSE, NO_TRANSPOSE, m, n, k, 1, a, k, b, n, 0, c, n);
}

void train_blas_multiply_left_transposed(float *c, const float *a, const float *b, int m, int n,
                                         int k)
{
    assert(sgemm != NULL);
    sgemm(ROW_MAJOR, TRANSPOSE, NO_TRANSPOSE, m, n, k, 1, a, m, b, n, 0, c, n);
}

void train_blas_multiply_right_transposed(float *c, const float *a, const float *b, int m, int n,
                                          int k)
{
    assert(sgemm != NULL);
    sgemm(ROW_MAJOR, NO_TRANSPOSE, TRANSPOSE, m, n, k, 1, a, k, b, k, 0, c, n);
}
