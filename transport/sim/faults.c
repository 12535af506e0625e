#include "transport/sim/faults.h"

#include <math.h>
#include <stdlib.h>

#include "runtime/base/clock.h"
#include "runtime/base/status.h"

static bool same(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, TRANSPORT_ID_BYTES) == 0;
}

static bool cut_touches(const struct sim_cut *cut, const struct cable *cable)
{
    const uint8_t *low = cable->ends[0].id;
    const uint8_t *high = cable->ends[1].id;
    if (cut->everybody) {
        return same(cut->a, low) || same(cut->a, high);
    }
    return (same(cut->a, low) && same(cut->b, high)) || (same(cut->a, high) && same(cut->b, low));
}

uint64_t faults_cut_until_ns(const struct cable *cable, uint64_t departure_ns, uint64_t arrival_ns)
{
    const struct sim_network *network = cable->network;
    for (size_t i = 0; i < network->cut_count; i++) {
        const struct sim_cut *cut = &network->cuts[i];
        if (cut->from_ns <= arrival_ns && departure_ns < cut->to_ns && cut_touches(cut, cable)) {
            return cut->to_ns;
        }
    }
    return 0;
}

/* An end finds the other one silent if the cut outlasts its patience. */
static void plan_silence(struct cable *cable, unsigned side, const struct sim_cut *cut)
{
    const struct sim_endpoint *endpoint = cable->ends[side].endpoint;
    if (endpoint == NULL || !cut_touches(cut, cable)) {
        return;
    }
    uint64_t from = cut->from_ns > cable->network->now_ns ? cut->from_ns : cable->network->now_ns;
    uint64_t patience_ends = clock_after(from, endpoint->peer_timeout_ns);
    if (patience_ends < cut->to_ns) {
        cable_plan_loss(cable, side, CABLE_SILENT, patience_ends);
    }
}

void faults_attached(struct cable *cable, unsigned side)
{
    for (size_t i = 0; i < cable->network->cut_count; i++) {
        plan_silence(cable, side, &cable->network->cuts[i]);
    }
}

/* A cut matters for as long as a packet may be under way that met it: until the packets of all cables left after it. */
static void forget_past_cuts(struct sim_network *network)
{
    uint64_t oldest = network->now_ns;
    for (const struct cable *cable = network->cables; cable != NULL; cable = cable->next) {
        for (unsigned i = 0; i < 2 * CABLE_CHANNELS; i++) {
            const struct packet *packet =
                cable->channels[i / CABLE_CHANNELS][i % CABLE_CHANNELS].under_way.first;
            if (packet != NULL && packet->departure_ns < oldest) {
                oldest = packet->departure_ns;
            }
        }
    }
    size_t kept = 0;
    for (size_t i = 0; i < network->cut_count; i++) {
        if (network->cuts[i].to_ns > oldest) {
            network->cuts[kept++] = network->cuts[i];
        }
    }
    network->cut_count = kept;
}

static struct sim_cut *cut_new(struct sim_network *network)
{
    forget_past_cuts(network);
    if (network->cut_count == network->cut_capacity) {
        size_t capacity = network->cut_capacity * 2 + 8;
        struct sim_cut *cuts = realloc(network->cuts, capacity * sizeof *cuts);
        if (cuts == NULL) {
            return NULL;
        }
        network->cuts = cuts;
        network->cut_capacity = capacity;
    }
    return &network->cuts[network->cut_count++];
}

kolo_status sim_network_cut(struct sim_network *network, const uint8_t *a, const uint8_t *b,
                            uint64_t from_ns, uint64_t to_ns)
{
    if (to_ns <= from_ns || to_ns <= network->now_ns) {
        return KOLO_OK;
    }
    struct sim_cut *cut = cut_new(network);
    if (cut == NULL) {
        return fail(KOLO_ERR_MEMORY, "out of memory for a cut of a simulated link");
    }
    *cut = (struct sim_cut){.everybody = b == NULL, .from_ns = from_ns, .to_ns = to_ns};
    memcpy(cut->a, a, TRANSPORT_ID_BYTES);
    if (b != NULL) {
        memcpy(cut->b, b, TRANSPORT_ID_BYTES);
    }
    for (struct cable *cable = network->cables; cable != NULL; cable = cable->next) {
        plan_silence(cable, 0, cut);
        plan_silence(cable, 1, cut);
    }
    return KOLO_OK;
}

bool sim_network_kill(struct sim_network *network, const uint8_t *id)
{
    struct sim_endpoint *endpoint = sim_network_find(network, id);
    if (endpoint == NULL || endpoint->dead) {
        return false;
    }
    endpoint->dead = true;
    sim_network_trace(network, "%u dies", endpoint->number);
    uint64_t noticed = clock_after(network->now_ns, network->config.detection_ns);
    for (struct cable *cable = network->cables; cable != NULL; cable = cable->next) {
        for (unsigned side = 0; side < 2; side++) {
            if (cable->ends[side].endpoint == endpoint && cable->ends[1 - side].endpoint != NULL) {
                cable_plan_loss(cable, 1 - side, CABLE_DIED, noticed);
            }
        }
    }
    return true;
}

void faults_plan(struct sim_network *network)
{
    network->random_cut_ns = CLOCK_FOREVER;
    if (network->config.cuts_per_s > 0) {
        /* Independent of each other: the time between two is distributed exponentially. */
        double uniform = ((double)sim_network_random(network, 1u << 30) + 1) / (double)(1u << 30);
        uint64_t wait = clock_ns_from_s(-log(uniform) / network->config.cuts_per_s);
        network->random_cut_ns = clock_after(network->now_ns, wait);
    }
}

void faults_strike(struct sim_network *network)
{
    uint64_t count = 0;
    for (const struct cable *cable = network->cables; cable != NULL; cable = cable->next) {
        count++;
    }
    uint64_t choice = sim_network_random(network, count);
    uint64_t lasts = 1 + sim_network_random(network, network->config.cut_most_ns);
    const struct cable *cable = network->cables;
    for (; choice > 0; choice--) {
        cable = cable->next;
    }
    if (cable != NULL && cable->ends[0].endpoint != NULL && cable->ends[1].endpoint != NULL) {
        sim_network_trace(network, "%u-%u cut for %llu ns", cable->ends[0].endpoint->number,
                          cable->ends[1].endpoint->number, (unsigned long long)lasts);
        (void)sim_network_cut(network, cable->ends[0].id, cable->ends[1].id, network->now_ns,
                              clock_after(network->now_ns, lasts)); /* said by fail() */
    }
    faults_plan(network);
}
