#include "tests/transport/sim/lab.h"

#include <stdio.h>
#include <stdlib.h>

struct sim_network_config lab_config(void)
{
    struct sim_network_config config = sim_network_defaults();
    config.latency_ns = 1000;
    config.link_Bps = NS_PER_S;
    config.port_Bps = 0;
    config.window_bytes = 1u << 20;
    config.segment_bytes = 1000;
    config.detection_ns = 5000;
    return config;
}

static void trace_line(void *context, const char *line)
{
    struct lab *lab = context;
    size_t bytes = strlen(line);
    assert_true(lab->trace_bytes + bytes + 2 < LAB_TRACE_BYTES);
    memcpy(lab->trace + lab->trace_bytes, line, bytes);
    lab->trace_bytes += bytes;
    lab->trace[lab->trace_bytes++] = '\n';
    lab->trace[lab->trace_bytes] = '\0';
}

void lab_open(struct lab *lab, const struct sim_network_config *config, unsigned size,
              uint64_t peer_timeout_ns)
{
    *lab = (struct lab){.size = size};
    lab->trace = calloc(1, LAB_TRACE_BYTES);
    assert_non_null(lab->trace);
    struct sim_network_config traced = *config;
    traced.trace = trace_line;
    traced.trace_context = lab;
    assert_int_equal(sim_network_create(&lab->network, &traced), KOLO_OK);
    for (unsigned i = 0; i < size; i++) {
        memset(lab->ids[i], (int)i + 1, TRANSPORT_ID_BYTES);
        struct transport_config endpoint = {.peer_timeout_ns = peer_timeout_ns,
                                            .wire = lab->network};
        memcpy(endpoint.self, lab->ids[i], sizeof endpoint.self);
        assert_int_equal(transport_sim.create(&lab->transports[i], &endpoint), KOLO_OK);
    }
}

static size_t link_create(struct lab *lab, unsigned a, unsigned b, uint8_t *offer)
{
    char name[16];
    snprintf(name, sizeof name, "peer %u", b);
    size_t bytes;
    struct link_config config = {
        .dials = a < b, .token = a < b ? a * 100 + b : b * 100 + a, .peer_name = name};
    memcpy(config.peer, lab->ids[b], sizeof config.peer);
    assert_int_equal(
        transport_sim.link_create(&lab->links[a][b], offer, &bytes, lab->transports[a], &config),
        KOLO_OK);
    return bytes;
}

void lab_connect(struct lab *lab)
{
    for (unsigned a = 0; a < lab->size; a++) {
        for (unsigned b = a + 1; b < lab->size; b++) {
            uint8_t offers[2][TRANSPORT_OFFER_BYTES];
            size_t bytes[2] = {link_create(lab, a, b, offers[0]),
                               link_create(lab, b, a, offers[1])};
            assert_int_equal(transport_sim.link_connect(lab->links[a][b], offers[1], bytes[1]),
                             KOLO_OK);
            assert_int_equal(transport_sim.link_connect(lab->links[b][a], offers[0], bytes[0]),
                             KOLO_OK);
        }
    }
    lab_run_until(lab, sim_network_now_ns(lab->network) + 1000000);
    for (unsigned i = 0; i < lab->size * lab->size; i++) {
        if (i / lab->size != i % lab->size) {
            assert_int_equal(lab_state(lab, i / lab->size, i % lab->size), LINK_UP);
        }
    }
}

void lab_close(struct lab *lab)
{
    for (unsigned i = 0; i < lab->size; i++) {
        transport_sim.destroy(lab->transports[i]);
    }
    sim_network_destroy(lab->network);
    free(lab->trace);
}

void lab_progress(struct lab *lab)
{
    bool happened = true;
    while (happened) {
        happened = false;
        for (unsigned i = 0; i < lab->size; i++) {
            happened = transport_sim.progress(lab->transports[i]) || happened;
        }
    }
}

void lab_run(struct lab *lab)
{
    do {
        lab_progress(lab);
    } while (sim_network_advance(lab->network));
}

void lab_run_until(struct lab *lab, uint64_t time_ns)
{
    lab_progress(lab);
    while (sim_network_next_ns(lab->network) <= time_ns) {
        sim_network_advance(lab->network);
        lab_progress(lab);
    }
    sim_network_advance_to(lab->network, time_ns);
    lab_progress(lab);
}

uint64_t lab_run_transfer(struct lab *lab, const struct transfer *transfer)
{
    lab_progress(lab);
    while (transfer->state == TRANSFER_POSTED) {
        assert_true(sim_network_advance(lab->network)); /* else nothing is left to happen */
        lab_progress(lab);
    }
    return sim_network_now_ns(lab->network);
}

void lab_trace_clear(struct lab *lab)
{
    lab->trace_bytes = 0;
    lab->trace[0] = '\0';
}

enum link_state lab_state(const struct lab *lab, unsigned a, unsigned b)
{
    return transport_sim.link_state(lab->links[a][b], NULL, NULL);
}

void lab_send(struct lab *lab, unsigned a, unsigned b, unsigned lane, struct transfer *transfer)
{
    transport_sim.send(lab->links[a][b], lane, transfer);
}

void lab_receive(struct lab *lab, unsigned a, unsigned b, unsigned lane, struct transfer *transfer)
{
    transport_sim.receive(lab->links[a][b], lane, transfer);
}

struct transfer lab_transfer(uint8_t *data, size_t length)
{
    return (struct transfer){.data = data, .length = length, .ready = length};
}
