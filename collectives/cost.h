/* cost: the terms that algorithms' closed formulas are made of. All take a uniform network and return seconds; a rate of 0 in
 * the network means: not limited. */
#ifndef KOLO_COLLECTIVES_COST_H
#define KOLO_COLLECTIVES_COST_H

#include "collectives/network.h"

/** One message's fixed cost: it is sent, travels and is received. */
double cost_hop(const struct network_uniform *network);

/** `bytes` over one link that has the port for itself. */
double cost_link(const struct network_uniform *network, double bytes);

/** `messages` of `bytes` each, over as many links that share a port. */
double cost_port(const struct network_uniform *network, double messages, double bytes);

/** A step in which every rank sends a message of `bytes` to `messages` others, receives as many, and spends `fold_s` on what
 *  it receives, as it comes. */
double cost_exchange(const struct network_uniform *network, double messages, double bytes,
                     double fold_s);

/** A step in which one rank sends to `messages` others, or receives from them and spends `fold_s` on it. */
double cost_fan(const struct network_uniform *network, double messages, double bytes,
                double fold_s);

/** A step in which every rank shows a message to `others`, and looks at theirs: it copies `copied` bytes, what it shows included,
 *  and spends `fold_s` on what it folds, when all are there. */
double cost_show(const struct network_uniform *network, double others, double copied,
                 double fold_s);

/** Folding `bytes` into an accumulator. */
double cost_reduce(const struct network_uniform *network, double bytes);

/** `steps` dependent messages of equal size whose bytes are passed on as they come: a step begins one `hop` after the one
 *  before it, or when the one before it has left the link (`transfer` later), whichever is later. */
double cost_pipeline(double steps, double hop, double transfer);

/** The smallest k with 2^k >= size: rounds of an algorithm that doubles. */
unsigned cost_log2(uint32_t size);

double cost_max(double a, double b);
double cost_min(double a, double b);

#endif
