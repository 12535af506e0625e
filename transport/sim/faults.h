/* faults: what goes wrong in a simulated network, on request (network.h) or at random: cuts and deaths. */
#ifndef KOLO_TRANSPORT_SIM_FAULTS_H
#define KOLO_TRANSPORT_SIM_FAULTS_H

#include "transport/sim/cable.h"

/** If a cut stands between the packet's departure and arrival at the cable's other end: when that cut ends; else 0. */
uint64_t faults_cut_until_ns(const struct cable *cable, uint64_t departure_ns, uint64_t arrival_ns);

/** A cable has got an end: it will notice the cuts that are known already. */
void faults_attached(struct cable *cable, unsigned side);

/** Plan the next random cut, if the network has them. */
void faults_plan(struct sim_network *network);

/** The planned random cut is due: cut some link for a while, and plan the next. */
void faults_strike(struct sim_network *network);

#endif
