/* train_progress: what rank 0 says while it trains: the ring that was formed, and a line with step, losses, bytes a second and
 * the share of time in communication: in place on a terminal, else about one a second. */
#ifndef KOLO_TOOLS_TRAIN_PROGRESS_H
#define KOLO_TOOLS_TRAIN_PROGRESS_H

#include <kolo/kolo.h>
#include <stdbool.h>
#include <stdint.h>

struct train_progress {
    kolo_comm *comm; /* borrowed */
    bool terminal;   /* standard output is one */
    int steps;       /* of the whole run */
    uint64_t begin_ns, shown_ns;
    uint64_t waited_ns;       /* by this peer for gradients, since begin; the caller adds to it */
    uint64_t shown_waited_ns; /* as they were when the last line was shown */
    kolo_statistics shown;
    double validation; /* the latest */
};

/** Begin now. */
void train_progress_begin(struct train_progress *progress, kolo_comm *comm, int steps);

/** Print the ring: its order, and how this rank reaches each peer. */
void train_progress_ring(const kolo_comm *comm);

/** Print the line if it is time to, or if `step` is the last. `validated`: there is a new validation loss; that is shown. */
void train_progress_step(struct train_progress *progress, int step, double loss, bool validated);

/** Print what the whole run has come to. */
void train_progress_end(const struct train_progress *progress, double loss);

#endif
