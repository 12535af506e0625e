/* network: the model that costs and simulations are made on. */
#ifndef KOLO_COLLECTIVES_NETWORK_H
#define KOLO_COLLECTIVES_NETWORK_H

#include <stdint.h>

/** All links alike. */
struct network_uniform {
    double
        latency_s; /* alpha: from the first byte sent to the first byte received, an empty message included */
    double
        overhead_s;  /* processor time to send or to receive one message; 0 in textbook formulas */
    double link_Bps; /* of one link, one direction; 0: not limited */
    double port_Bps; /* of a node, all its links together, each direction; 0: not limited */
    double reduce_Bps; /* input bytes folded into an accumulator; 0: costs nothing */
    double
        crowd; /* ranks that take turns on a processor; 0: each has its own. Asked only when choosing an algorithm */
    double
        shown_bytes; /* a message up to this length can be shown to all others at once (exchange.h); 0: none can. As crowd */
};

#endif
