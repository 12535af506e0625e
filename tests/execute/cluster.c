// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on

#include "tests/execute/cluster.h"

#include <string.h>

#include "runtime/plan/costs.h"

void cluster_id(uint8_t id[TRANSPORT_ID_BYTES], uint32_t rank)
{
    memset(id, 0x5a, TRANSPORT_ID_BYTES);
    memcpy(id, &rank, sizeof rank);
}

static bool progress_all(struct cluster *cluster)
{
    bool moved = false;
    for (uint32_t rank = 0; rank < cluster->size; rank++) {
        moved |= transport_sim.progress(cluster->transport[rank]);
        if (cluster->operation[rank].running) {
            moved |= operation_step(&cluster->operation[rank]);
        }
    }
    return moved;
}

static void connect_pair(struct cluster *cluster, uint32_t a, uint32_t b)
{
    uint8_t offer_a[TRANSPORT_OFFER_BYTES], offer_b[TRANSPORT_OFFER_BYTES];
    size_t bytes_a = 0, bytes_b = 0;
    struct link_config config = {.dials = true, .token = a * 1000 + b, .peer_name = "the other"};
    cluster_id(config.peer, b);
    assert_int_equal(transport_sim.link_create(&cluster->link[a][b], offer_a, &bytes_a,
                                               cluster->transport[a], &config),
                     0);
    config.dials = false;
    cluster_id(config.peer, a);
    assert_int_equal(transport_sim.link_create(&cluster->link[b][a], offer_b, &bytes_b,
                                               cluster->transport[b], &config),
                     0);
    assert_int_equal(transport_sim.link_connect(cluster->link[a][b], offer_b, bytes_b), KOLO_OK);
    assert_int_equal(transport_sim.link_connect(cluster->link[b][a], offer_a, bytes_a), KOLO_OK);
}

static bool all_up(const struct cluster *cluster)
{
    for (uint32_t a = 0; a < cluster->size; a++) {
        for (uint32_t b = 0; b < cluster->size; b++) {
            if (a != b && transport_sim.link_state(cluster->link[a][b], NULL, NULL) != LINK_UP) {
                return false;
            }
        }
    }
    return true;
}

static void open_all(struct cluster *cluster, uint32_t size,
                     const struct sim_network_config *config, const char *algorithm, bool shown)
{
    assert_true(size <= CLUSTER_RANKS_MAX);
    memset(cluster, 0, sizeof *cluster);
    cluster->size = size;
    assert_int_equal(sim_network_create(&cluster->network, config), KOLO_OK);
    struct network_uniform costs = costs_of(COSTS_NETWORK, 1, 1, (double)config->port_Bps);
    costs.shown_bytes = shown ? TRANSPORT_SHOWN_BYTES : 0;
    for (uint32_t rank = 0; rank < size; rank++) {
        struct transport_config wire = {.peer_timeout_ns = 1000000000, .wire = cluster->network};
        cluster_id(wire.self, rank);
        assert_int_equal(transport_sim.create(&cluster->transport[rank], &wire), KOLO_OK);
        assert_int_equal(plans_create(&cluster->plans[rank], rank, size, &costs, algorithm),
                         KOLO_OK);
        cluster->operation[rank].board = shown ? cluster->transport[rank] : NULL;
        cluster->operation[rank].board_bytes = TRANSPORT_SHOWN_BYTES;
    }
    for (uint32_t a = 0; a < size; a++) {
        for (uint32_t b = a + 1; b < size; b++) {
            connect_pair(cluster, a, b);
        }
    }
    while (!all_up(cluster)) {
        if (!progress_all(cluster)) {
            assert_true(sim_network_advance(cluster->network));
        }
    }
}

void cluster_open(struct cluster *cluster, uint32_t size, const struct sim_network_config *config,
                  const char *algorithm)
{
    open_all(cluster, size, config, algorithm, false);
}

void cluster_open_shown(struct cluster *cluster, uint32_t size,
                        const struct sim_network_config *config, const char *algorithm)
{
    open_all(cluster, size, config, algorithm, true);
}

void cluster_close(struct cluster *cluster)
{
    for (uint32_t rank = 0; rank < cluster->size; rank++) {
        operation_free(&cluster->operation[rank]);
        plans_free(cluster->plans[rank]);
        transport_sim.destroy(cluster->transport[rank]);
    }
    sim_network_destroy(cluster->network);
}

void cluster_begin(struct cluster *cluster, const struct request *request)
{
    cluster->sequence++;
    for (uint32_t rank = 0; rank < cluster->size; rank++) {
        const struct plan *plan = NULL;
        const struct request *own = &request[rank];
        bool blocks = own->collective == COLLECTIVE_ALL_GATHER ||
                      own->collective == COLLECTIVE_REDUCE_SCATTER;
        uint64_t bytes = own->count * kolo_type_size(own->type) * (blocks ? cluster->size : 1);
        assert_int_equal(plans_get(&plan, cluster->plans[rank], own->collective, bytes, own->root),
                         KOLO_OK);
        assert_int_equal(operation_begin(&cluster->operation[rank], plan, own, cluster->sequence,
                                         cluster->link[rank]),
                         KOLO_OK);
    }
}

static unsigned running(const struct cluster *cluster)
{
    unsigned count = 0;
    for (uint32_t rank = 0; rank < cluster->size; rank++) {
        count += cluster->operation[rank].running;
    }
    return count;
}

unsigned cluster_run(struct cluster *cluster)
{
    while (running(cluster) > 0) {
        if (!progress_all(cluster) && !sim_network_advance(cluster->network)) {
            break;
        }
    }
    return running(cluster);
}
