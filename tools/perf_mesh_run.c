#include "tools/perf_mesh_run.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/base/status.h"

#define LATENCY_BYTES 8
#define LATENCY_SHARE 4 /* latency needs less time than bandwidth */
#define MARGIN_S 25.0   /* connecting, a server that is busy yet, preparing */
#define CONNECTS_MAX 32 /* threads that connect at a time */
#define CONNECT_STACK (256 * 1024)

/* One host's agent. */
struct agent {
    struct mesh_host *host;
    struct link_control control;
    uint64_t deadline_ns; /* of the answer that is awaited */
    bool busy;
    struct mesh_cell *cell;
    unsigned from, to;
};

struct run {
    struct mesh_matrix *matrix;
    const struct mesh_options *options;
    struct agent *agents; /* [hosts] */
    struct pollfd *watched;
    struct mesh_task task;
};

static void lose(struct agent *agent, const char *why)
{
    agent->host->answers = false;
    snprintf(agent->host->why, sizeof agent->host->why, "%.*s", MESH_TEXT_MAX - 1, why);
    link_control_close(&agent->control);
}

struct connecting {
    struct agent *agent;
    double timeout_s;
};

static void *connect_one(void *context)
{
    const struct connecting *one = context;
    struct agent *agent = one->agent;
    uint64_t deadline_ns = clock_after(clock_now_ns(), clock_ns_from_s(one->timeout_s));
    agent->control.fd = -1;
    kolo_status status =
        mesh_agent_open(&agent->control, agent->host->address, agent->host->port, deadline_ns);
    agent->host->answers = status == KOLO_OK;
    if (status != KOLO_OK) {
        lose(agent, kolo_last_error());
    }
    return NULL;
}

/* All at once, in batches: a dead host costs its time-out, and many cost it once. */
static void connect_all(struct run *run)
{
    unsigned hosts = run->matrix->hosts;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, CONNECT_STACK);
    for (unsigned first = 0; first < hosts; first += CONNECTS_MAX) {
        struct connecting one[CONNECTS_MAX];
        pthread_t thread[CONNECTS_MAX];
        bool started[CONNECTS_MAX];
        unsigned count = hosts - first < CONNECTS_MAX ? hosts - first : CONNECTS_MAX;
        for (unsigned i = 0; i < count; i++) {
            one[i] = (struct connecting){&run->agents[first + i], run->options->connect_timeout_s};
            started[i] = pthread_create(&thread[i], &attributes, connect_one, &one[i]) == 0;
            if (!started[i]) {
                connect_one(&one[i]);
            }
        }
        for (unsigned i = 0; i < count; i++) {
            if (started[i]) {
                pthread_join(thread[i], NULL);
            }
        }
    }
    pthread_attr_destroy(&attributes);
}

static void note_failure(struct run *run, unsigned from, unsigned to, kolo_status status,
                         const char *why)
{
    struct mesh_figure figure = {.status = status};
    snprintf(figure.why, sizeof figure.why, "%.*s", MESH_TEXT_MAX - 1, why);
    mesh_note(run->matrix, from, to, &figure);
}

/* Tell the agent at `from` to measure towards `to`. */
static void start(struct run *run, unsigned from, unsigned to)
{
    struct agent *agent = &run->agents[from];
    const struct mesh_host *target = &run->matrix->host[to];
    if (!agent->host->answers || !target->answers ||
        mesh_at(run->matrix, from, to)->outcome == MESH_FAILED) {
        return;
    }
    snprintf(run->task.host, sizeof run->task.host, "%s", target->address);
    run->task.port = (uint16_t)target->port;
    kolo_status status = mesh_agent_tell(&agent->control, &run->task);
    if (status != KOLO_OK) {
        note_failure(run, from, to, status, kolo_last_error());
        lose(agent, kolo_last_error());
        return;
    }
    agent->busy = true;
    agent->from = from;
    agent->to = to;
    agent->deadline_ns =
        clock_after(clock_now_ns(), clock_ns_from_s(2 * run->options->duration_s + MARGIN_S));
}

/* Look whether it has answered, or never will. */
static void hear(struct run *run, struct agent *agent)
{
    struct mesh_figure figure;
    bool got = false;
    kolo_status status = mesh_agent_hear(&agent->control, &got, &figure);
    if (status == KOLO_OK && !got && clock_now_ns() >= agent->deadline_ns) {
        status = fail_quietly(KOLO_ERR_TIMEOUT, "%s has not answered in time", agent->host->name);
    }
    if (status != KOLO_OK) {
        note_failure(run, agent->from, agent->to, status, kolo_last_error());
        lose(agent, kolo_last_error());
        agent->busy = false;
    } else if (got) {
        mesh_note(run->matrix, agent->from, agent->to, &figure);
        agent->busy = false;
    }
}

/* Until all that are busy have answered, or have had their time. */
static void await_all(struct run *run)
{
    for (;;) {
        uint64_t next_ns = CLOCK_FOREVER;
        for (unsigned i = 0; i < run->matrix->hosts; i++) {
            struct agent *agent = &run->agents[i];
            if (agent->busy) {
                hear(run, agent);
            }
            run->watched[i] =
                (struct pollfd){.fd = agent->busy ? agent->control.fd : -1, .events = POLLIN};
            next_ns = agent->busy && agent->deadline_ns < next_ns ? agent->deadline_ns : next_ns;
        }
        if (next_ns == CLOCK_FOREVER) {
            return;
        }
        (void)poll(run->watched, run->matrix->hosts,
                   clock_ms_until(next_ns, clock_now_ns(), INT_MAX));
    }
}

/* All pairs of a round, at the same time, in one direction. */
static void measure_direction(struct run *run, const struct mesh_pair *pairs, unsigned count,
                              bool back)
{
    for (unsigned i = 0; i < count; i++) {
        start(run, back ? pairs[i].other : pairs[i].one, back ? pairs[i].one : pairs[i].other);
    }
    await_all(run);
}

static void prepare_task(struct run *run, uint32_t mode)
{
    const struct mesh_options *options = run->options;
    bool latency = mode == LINK_LATENCY;
    struct link_request *request = &run->task.request;
    link_request_init(request);
    request->modes = mode;
    request->size_count = 1;
    request->size_bytes[0] = latency ? LATENCY_BYTES : options->size_bytes;
    request->duration_ns = clock_ns_from_s(options->duration_s / (latency ? LATENCY_SHARE : 1));
    request->pairs = latency ? 1 : (uint32_t)options->pairs;
    run->task.tests = options->tests;
}

static void play(struct run *run, unsigned round)
{
    static const uint32_t modes[] = {LINK_BANDWIDTH, LINK_LATENCY};
    struct mesh_pair pairs[MESH_HOSTS_MAX / 2];
    unsigned count = mesh_round(pairs, run->matrix->hosts, round);
    for (unsigned i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        prepare_task(run, modes[i]);
        measure_direction(run, pairs, count, false);
        measure_direction(run, pairs, count, true);
    }
}

static void tournament(struct run *run, void (*progress)(unsigned round, unsigned rounds))
{
    unsigned hosts = run->matrix->hosts, rounds = mesh_rounds(hosts);
    for (unsigned i = 0; i < hosts; i++) {
        run->matrix->host[i] = run->options->host[i];
        run->agents[i].host = &run->matrix->host[i];
    }
    connect_all(run);
    for (unsigned round = 0; round < rounds; round++) {
        if (progress != NULL) {
            progress(round, rounds);
        }
        play(run, round);
    }
    for (unsigned i = 0; i < hosts; i++) {
        link_control_close(&run->agents[i].control);
    }
    mesh_judge(run->matrix, run->options->threshold);
}

bool mesh_run(struct mesh_matrix *matrix, const struct mesh_options *options,
              void (*progress)(unsigned round, unsigned rounds))
{
    struct run run = {.matrix = matrix, .options = options};
    if (!mesh_matrix_init(matrix, options->hosts)) {
        return false;
    }
    run.agents = calloc(options->hosts, sizeof *run.agents);
    run.watched = calloc(options->hosts, sizeof *run.watched);
    bool room = run.agents != NULL && run.watched != NULL;
    if (room) {
        tournament(&run, progress);
    } else {
        mesh_matrix_free(matrix);
    }
    free(run.agents);
    free(run.watched);
    return room;
}
