#include "transport/verbs/resolver.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "runtime/base/status.h"

struct resolution {
    struct resolver *resolver;
    struct resolution *next; /* that waits for a thread */
    struct ibv_pd *pd;
    struct ibv_ah_attr route;
    bool done;
    bool ended; /* nobody wants the answer */
    int error;
};

struct worker {
    pthread_t thread;
    struct resolver *resolver;
    enum { WORKER_NONE = 0, WORKER_RUNS, WORKER_IS_THROUGH } state; /* through: to be joined */
};

struct resolver {
    pthread_mutex_t lock; /* over all that follows, and over resolutions */
    int fd;
    struct resolution *first, **last; /* that wait */
    struct worker worker[RESOLVER_THREADS];
};

/* Only what says that the neighbour is not there counts. A device may refuse handles for reasons of its own: connecting finds out. */
static int failure(int error)
{
    return error == ETIMEDOUT || error == EHOSTUNREACH || error == ENETUNREACH ? error : 0;
}

static int ask_kernel(struct resolution *resolution)
{
    struct ibv_ah *handle = ibv_create_ah(resolution->pd, &resolution->route);
    if (handle == NULL) {
        return failure(errno);
    }
    ibv_destroy_ah(handle);
    return 0;
}

static void finish(struct resolution *resolution, int error)
{
    uint64_t one = 1;
    resolution->done = true;
    resolution->error = error;
    if (resolution->ended) {
        free(resolution);
    } else {
        (void)!write(resolution->resolver->fd, &one, sizeof one);
    }
}

static struct resolution *take_first(struct resolver *resolver)
{
    struct resolution *first = resolver->first;
    if (first != NULL) {
        resolver->first = first->next;
        resolver->last = first->next == NULL ? &resolver->first : resolver->last;
    }
    return first;
}

static void *work(void *context)
{
    struct worker *worker = context;
    struct resolver *resolver = worker->resolver;
    pthread_mutex_lock(&resolver->lock);
    for (struct resolution *at; (at = take_first(resolver)) != NULL;) {
        pthread_mutex_unlock(&resolver->lock);
        int error = ask_kernel(at);
        pthread_mutex_lock(&resolver->lock);
        finish(at, error);
    }
    worker->state = WORKER_IS_THROUGH;
    pthread_mutex_unlock(&resolver->lock);
    return NULL;
}

/* Signals are for the application's threads. */
static int start(struct worker *worker)
{
    sigset_t everything, before;
    sigfillset(&everything);
    pthread_sigmask(SIG_SETMASK, &everything, &before);
    int error = pthread_create(&worker->thread, NULL, work, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    worker->state = error == 0 ? WORKER_RUNS : WORKER_NONE;
    return error;
}

/* One more thread, if there may be one. Out: how many run. Returns an errno. With the lock. */
static int add_worker(unsigned *running, struct resolver *resolver)
{
    struct worker *free_one = NULL;
    *running = 0;
    for (unsigned i = 0; i < RESOLVER_THREADS; i++) {
        struct worker *worker = &resolver->worker[i];
        if (worker->state == WORKER_IS_THROUGH) {
            pthread_join(worker->thread, NULL); /* it needs the lock no more */
            worker->state = WORKER_NONE;
        }
        *running += worker->state == WORKER_RUNS;
        free_one = worker->state == WORKER_NONE ? worker : free_one;
    }
    int error = free_one != NULL ? start(free_one) : 0;
    *running += free_one != NULL && error == 0;
    return error;
}

kolo_status resolver_open(struct resolver **resolver)
{
    struct resolver *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return fail(KOLO_ERR_MEMORY, "out of memory for a resolver");
    }
    made->last = &made->first;
    made->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (made->fd < 0) {
        int error = errno;
        free(made);
        return fail(KOLO_ERR_SYSTEM, "no event for a resolver: %s", strerror(error));
    }
    pthread_mutex_init(&made->lock, NULL);
    for (unsigned i = 0; i < RESOLVER_THREADS; i++) {
        made->worker[i].resolver = made;
    }
    *resolver = made;
    return KOLO_OK;
}

void resolver_close(struct resolver *resolver)
{
    if (resolver == NULL) {
        return;
    }
    for (unsigned i = 0; i < RESOLVER_THREADS; i++) {
        struct worker *worker = &resolver->worker[i];
        pthread_mutex_lock(&resolver->lock);
        bool started = worker->state != WORKER_NONE;
        pthread_mutex_unlock(&resolver->lock);
        if (started) {
            pthread_join(worker->thread, NULL);
        }
    }
    assert(resolver->first == NULL);
    pthread_mutex_destroy(&resolver->lock);
    close(resolver->fd);
    free(resolver);
}

int resolver_fd(const struct resolver *resolver)
{
    return resolver->fd;
}

void resolver_hear(struct resolver *resolver)
{
    uint64_t count;
    (void)!read(resolver->fd, &count, sizeof count);
}

kolo_status resolver_ask(struct resolution **resolution, struct resolver *resolver,
                         struct ibv_pd *pd, const struct ibv_ah_attr *route)
{
    unsigned running = 0;
    struct resolution *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return fail(KOLO_ERR_MEMORY, "out of memory for a route");
    }
    *made = (struct resolution){.resolver = resolver, .pd = pd, .route = *route};
    pthread_mutex_lock(&resolver->lock);
    int error = add_worker(&running, resolver);
    if (running > 0) {
        *resolver->last = made;
        resolver->last = &made->next;
    }
    pthread_mutex_unlock(&resolver->lock);
    if (running == 0) {
        free(made);
        return fail(KOLO_ERR_SYSTEM, "no thread to look for a neighbour: %s", strerror(error));
    }
    *resolution = made;
    return KOLO_OK;
}

bool resolution_is_done(const struct resolution *resolution, int *error)
{
    pthread_mutex_lock(&resolution->resolver->lock);
    bool done = resolution->done;
    *error = resolution->error;
    pthread_mutex_unlock(&resolution->resolver->lock);
    return done;
}

static void take_out(struct resolver *resolver, struct resolution *resolution)
{
    for (struct resolution **at = &resolver->first; *at != NULL; at = &(*at)->next) {
        if (*at == resolution) {
            *at = resolution->next;
            resolver->last = *at == NULL ? at : resolver->last;
            resolution->done = true; /* no thread has it */
            return;
        }
    }
}

void resolution_end(struct resolution *resolution)
{
    if (resolution == NULL) {
        return;
    }
    struct resolver *resolver = resolution->resolver;
    pthread_mutex_lock(&resolver->lock);
    take_out(resolver, resolution);
    resolution->ended = true;
    bool done = resolution->done;
    pthread_mutex_unlock(&resolver->lock);
    if (done) {
        free(resolution);
    }
}
