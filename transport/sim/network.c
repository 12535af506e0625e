#include "transport/sim/network.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/clock.h"
#include "runtime/base/status.h"
#include "transport/sim/cable.h"
#include "transport/sim/faults.h"

struct sim_network_config sim_network_defaults(void)
{
    return (struct sim_network_config){
        .seed = 1,
        .latency_ns = 5 * NS_PER_US,
        .link_Bps = 3125000000,
        .port_Bps = 3125000000,
        .window_bytes = 256 * 1024,
        .window_messages = 64,
        .segment_bytes = 16 * 1024,
        .span_bytes = 64 * 1024,
        .detection_ns = 10 * NS_PER_US,
    };
}

static kolo_status config_check(const struct sim_network_config *config)
{
    if (config->segment_bytes < 1 || config->segment_bytes > SIM_SEGMENT_MAX) {
        return fail(KOLO_ERR_ARGUMENT, "segment_bytes = %zu is not in 1..%u", config->segment_bytes,
                    SIM_SEGMENT_MAX);
    }
    if (config->window_bytes > SIM_WINDOW_MAX) {
        return fail(KOLO_ERR_ARGUMENT, "window_bytes = %zu is more than %u", config->window_bytes,
                    SIM_WINDOW_MAX);
    }
    if (config->window_messages < 1) {
        return fail(KOLO_ERR_ARGUMENT, "window_messages = 0: no message could ever be sent");
    }
    if (config->span_bytes < SIM_SPAN_MIN) {
        return fail(KOLO_ERR_ARGUMENT, "span_bytes = %zu is less than %u", config->span_bytes,
                    SIM_SPAN_MIN);
    }
    return KOLO_OK;
}

kolo_status sim_network_create(struct sim_network **network,
                               const struct sim_network_config *config)
{
    kolo_status status = config_check(config);
    if (status != KOLO_OK) {
        return status;
    }
    struct sim_network *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return fail(KOLO_ERR_MEMORY, "out of memory for a simulated network");
    }
    made->config = *config;
    made->random = config->seed;
    made->cables_end = &made->cables;
    faults_plan(made);
    *network = made;
    return KOLO_OK;
}

void sim_network_destroy(struct sim_network *network)
{
    if (network == NULL) {
        return;
    }
    assert(network->cables == NULL); /* all transports are gone */
    while (network->endpoints != NULL) {
        struct sim_endpoint *endpoint = network->endpoints;
        network->endpoints = endpoint->next;
        free(endpoint);
    }
    agenda_free(&network->agenda);
    free(network->cuts);
    free(network->shapes);
    free(network);
}

uint64_t sim_network_random(struct sim_network *network, uint64_t limit)
{
    if (limit == 0) {
        return 0;
    }
    /* splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014) */
    network->random += 0x9e3779b97f4a7c15u;
    uint64_t z = network->random;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % limit;
}

void sim_network_trace(struct sim_network *network, const char *format, ...)
{
    if (network->config.trace == NULL) {
        return;
    }
    char line[SIM_TRACE_MAX];
    int used = snprintf(line, sizeof line, "%llu ns: ", (unsigned long long)network->now_ns);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line + used, sizeof line - (size_t)used, format, arguments);
    va_end(arguments);
    network->config.trace(network->config.trace_context, line);
}

/* ---- time ---- */

uint64_t sim_network_now_ns(const struct sim_network *network)
{
    return network->now_ns;
}

uint64_t sim_network_next_ns(const struct sim_network *network)
{
    const struct agenda_event *next = agenda_first(&network->agenda);
    return next == NULL ? CLOCK_FOREVER : next->time_ns;
}

void sim_network_advance_to(struct sim_network *network, uint64_t time_ns)
{
    for (;;) {
        uint64_t next = sim_network_next_ns(network);
        if (network->random_cut_ns <= next && network->random_cut_ns <= time_ns) {
            network->now_ns = network->random_cut_ns;
            faults_strike(network);
            continue;
        }
        if (next == CLOCK_FOREVER || next > time_ns) {
            break;
        }
        struct agenda_event *event = agenda_first(&network->agenda);
        assert(event->time_ns >= network->now_ns);
        network->now_ns = event->time_ns;
        agenda_remove(&network->agenda, event);
        event->happen(event);
    }
    if (time_ns > network->now_ns) {
        network->now_ns = time_ns;
    }
}

bool sim_network_advance(struct sim_network *network)
{
    uint64_t next = sim_network_next_ns(network);
    if (next == CLOCK_FOREVER) {
        return false;
    }
    sim_network_advance_to(network, next);
    return true;
}

/* ---- endpoints ---- */

struct sim_endpoint *sim_network_find(const struct sim_network *network, const uint8_t *id)
{
    struct sim_endpoint *endpoint = network->endpoints;
    while (endpoint != NULL && memcmp(endpoint->id, id, TRANSPORT_ID_BYTES) != 0) {
        endpoint = endpoint->next;
    }
    return endpoint;
}

struct sim_endpoint *sim_network_add(struct sim_network *network,
                                     const struct transport_config *config)
{
    struct sim_endpoint *endpoint = calloc(1, sizeof *endpoint);
    if (endpoint == NULL) {
        return NULL;
    }
    endpoint->network = network;
    memcpy(endpoint->id, config->self, TRANSPORT_ID_BYTES);
    endpoint->number = network->endpoint_count++;
    endpoint->peer_timeout_ns = config->peer_timeout_ns;
    endpoint->port_Bps = network->config.port_Bps;
    endpoint->next = network->endpoints;
    network->endpoints = endpoint;
    return endpoint;
}

bool sim_network_count(const struct sim_network *network, const uint8_t *id, uint64_t *sent,
                       uint64_t *received)
{
    const struct sim_endpoint *endpoint = sim_network_find(network, id);
    if (endpoint == NULL) {
        return false;
    }
    if (sent != NULL) {
        *sent = endpoint->sent;
    }
    if (received != NULL) {
        *received = endpoint->received;
    }
    return true;
}

size_t sim_network_held_bytes(const struct sim_network *network)
{
    return network->held_bytes;
}

bool sim_network_slow(struct sim_network *network, const uint8_t *id, uint64_t port_Bps)
{
    struct sim_endpoint *endpoint = sim_network_find(network, id);
    if (endpoint == NULL) {
        return false;
    }
    endpoint->port_Bps = port_Bps;
    return true;
}

kolo_status sim_network_shape(struct sim_network *network, const uint8_t *a, const uint8_t *b,
                              uint64_t latency_ns, uint64_t link_Bps)
{
    if (network->shape_count == network->shape_capacity) {
        size_t capacity = network->shape_capacity * 2 + 8;
        struct sim_shape *shapes = realloc(network->shapes, capacity * sizeof *shapes);
        if (shapes == NULL) {
            return fail(KOLO_ERR_MEMORY, "out of memory for the shape of a simulated link");
        }
        network->shapes = shapes;
        network->shape_capacity = capacity;
    }
    struct sim_shape *shape = &network->shapes[network->shape_count++];
    bool swap = memcmp(a, b, TRANSPORT_ID_BYTES) > 0; /* as the ends of a cable: smaller id first */
    memcpy(shape->a, swap ? b : a, TRANSPORT_ID_BYTES);
    memcpy(shape->b, swap ? a : b, TRANSPORT_ID_BYTES);
    shape->latency_ns = latency_ns;
    shape->link_Bps = link_Bps;
    return KOLO_OK;
}
