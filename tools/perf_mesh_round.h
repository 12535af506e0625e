/* perf_mesh_round: who plays whom when everybody is to meet everybody, in as few rounds as there can be, and nobody twice in a round:
 * the circle method of round-robin tournaments (E. Lucas, Recreations mathematiques, 1883). Pure functions. */
#ifndef KOLO_TOOLS_PERF_MESH_ROUND_H
#define KOLO_TOOLS_PERF_MESH_ROUND_H

#define MESH_HOSTS_MAX 256

struct mesh_pair {
    unsigned one, other; /* one < other */
};

/** How many rounds `hosts` need: hosts - 1, or hosts if that is odd (then somebody rests in each). 0 for one host. */
unsigned mesh_rounds(unsigned hosts);

/** The pairs of a round, 0 <= round < mesh_rounds(hosts). Returns how many: hosts / 2. Out: pairs. */
unsigned mesh_round(struct mesh_pair pairs[MESH_HOSTS_MAX / 2], unsigned hosts, unsigned round);

#endif
