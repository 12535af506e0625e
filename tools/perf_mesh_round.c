#include "tools/perf_mesh_round.h"

#include <assert.h>

unsigned mesh_rounds(unsigned hosts)
{
    assert(hosts <= MESH_HOSTS_MAX);
    return hosts < 2 ? 0 : hosts - (hosts % 2 == 0 ? 1 : 0);
}

/* The last place stands still, the others go around it by one each round; opposite places meet. With an odd number of hosts the
 * last place is empty. */
unsigned mesh_round(struct mesh_pair pairs[MESH_HOSTS_MAX / 2], unsigned hosts, unsigned round)
{
    unsigned rounds = mesh_rounds(hosts), places = rounds + 1, found = 0;
    assert(round < rounds);
    for (unsigned i = 0; i < places / 2; i++) {
        unsigned one = (round + i) % rounds;
        unsigned other = i == 0 ? rounds : (round + rounds - i) % rounds;
        if (other >= hosts) {
            continue; /* the empty place: `one` rests */
        }
        pairs[found++] =
            one < other ? (struct mesh_pair){one, other} : (struct mesh_pair){other, one};
    }
    return found;
}
