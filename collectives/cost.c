#include "collectives/cost.h"

double cost_max(double a, double b)
{
    return a > b ? a : b;
}

double cost_min(double a, double b)
{
    return a < b ? a : b;
}

/* A rate of 0 is no limit. */
static double at_rate(double bytes, double rate_Bps)
{
    return rate_Bps > 0 ? bytes / rate_Bps : 0;
}

double cost_hop(const struct network_uniform *network)
{
    return network->latency_s + 2 * network->overhead_s;
}

double cost_link(const struct network_uniform *network, double bytes)
{
    return cost_port(network, 1, bytes);
}

double cost_port(const struct network_uniform *network, double messages, double bytes)
{
    return cost_max(at_rate(bytes, network->link_Bps),
                    at_rate(messages * bytes, network->port_Bps));
}

/* Both directions are handled by one processor. */
double cost_exchange(const struct network_uniform *network, double messages, double bytes,
                     double fold_s)
{
    double processor = 2 * messages * network->overhead_s + fold_s;
    return cost_max(cost_fan(network, messages, bytes, fold_s), processor);
}

/* The port is busy; or the last message is prepared late; or the processor falls behind what comes. */
double cost_fan(const struct network_uniform *network, double messages, double bytes, double fold_s)
{
    double handled = network->latency_s + (messages + 1) * network->overhead_s;
    return cost_max(cost_hop(network) + cost_port(network, messages, bytes), handled + fold_s);
}

/* A look is a cache line that another processor has written: less than a message, for which this one has to write back. */
#define LOOKS_PER_MESSAGE 4

/* What is shown is copied once, by its owner; a message is copied by both of its ends. */
#define COPIES_OF_A_MESSAGE 2

/* What is shown is copied once, by its owner; a message is copied by both of its ends. */
#define COPIES_OF_A_MESSAGE 2

/* All sources at once: each is read once, and the sum written once. One by one, the sum is read and written with each. */
#define FOLDED_AT_ONCE 3

double cost_show(const struct network_uniform *network, double others, double copied, double fold_s)
{
    double looks_s = others * network->overhead_s / LOOKS_PER_MESSAGE;
    return network->latency_s + network->overhead_s + looks_s +
           at_rate(copied, network->link_Bps) / COPIES_OF_A_MESSAGE + fold_s / FOLDED_AT_ONCE;
}

double cost_reduce(const struct network_uniform *network, double bytes)
{
    return at_rate(bytes, network->reduce_Bps);
}

double cost_pipeline(double steps, double hop, double transfer)
{
    return steps < 1 ? 0 : (steps - 1) * cost_max(hop, transfer) + hop + transfer;
}

unsigned cost_log2(uint32_t size)
{
    unsigned rounds = 0;
    while (((uint64_t)1 << rounds) < size) {
        rounds++;
    }
    return rounds;
}
