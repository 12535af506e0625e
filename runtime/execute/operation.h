/* operation: one collective under way on this rank: steps the instructions of a schedule over links. It never blocks and knows no
 * clock: whoever drives it calls operation_step() and wires' progress in turn. One operation at a time uses it; its arrays are
 * kept from one to the next, so that nothing is allocated while data moves.
 *
 * Large operations whose schedule needs private memory are done in passes over parts of the blocks. Small exchanges are shown on a
 * board, where there is one, instead of sent (exchange.h). */
#ifndef KOLO_EXECUTE_OPERATION_H
#define KOLO_EXECUTE_OPERATION_H

#include <kolo/kolo.h>
#include <stdbool.h>
#include <stdint.h>

#include "runtime/execute/fingerprint.h"
#include "runtime/plan/plan.h"

#define OPERATION_PRIVATE_BYTES                                                                    \
    (4u << 20) /* WORK and SLOT memory of one operation, unless a single element needs more */
#define OPERATION_NO_PEER UINT32_MAX

/** What is asked for: a checked call. */
struct request {
    enum collective collective;
    void *out;
    const void *in;
    uint64_t count; /* elements, of a block */
    kolo_type type;
    kolo_operator op;
    uint32_t root;
};

struct step; /* one instruction under way */

struct operation {
    const struct plan *plan;
    uint64_t plan_serial;
    struct request request;
    struct fingerprint fingerprint;
    struct link **link;     /* [size] borrowed */
    uint64_t pass_elements; /* of a block, in one pass */
    uint64_t pass_first;    /* where the current pass begins */
    uint32_t pass;
    uint64_t pass_count; /* elements of a block in this pass */
    struct step *step;   /* [steps_room] */
    uint32_t steps_room;
    uint32_t *live; /* [steps_room] instructions that may be able to move */
    uint32_t live_count;
    const void **source; /* [sources_room] for folding */
    uint32_t sources_room;
    uint8_t *private_memory; /* WORK, the packed input, SLOTs */
    bool
        packed; /* INPUT of a pass is a packed copy: ranges of several blocks are contiguous in it */
    size_t private_room;
    size_t slot_bytes; /* distance of slots */
    struct transport *
        board; /* borrowed: the transport of all links, if it shows and all ranks have agreed to; else NULL. Set between operations */
    size_t board_bytes; /* the longest message that all have agreed to show */
    uint64_t past;  /* all operations before this one (fingerprint_chain). Set between operations */
    uint64_t shows; /* messages shown so far */
    bool shown;     /* this operation is shown */
    size_t shown_bytes;                     /* what each rank shows then */
    uint32_t next_look;                     /* the next instruction of one that is shown */
    uint8_t header[TRANSPORT_HEADER_BYTES]; /* the same */
    bool running;
    bool
        laid_out; /* the steps hold places and lengths of this very plan and request, from the operation before */

    /* Why it failed. */
    kolo_status status;
    uint32_t culprit;          /* a rank, or OPERATION_NO_PEER */
    struct fingerprint theirs; /* KOLO_ERR_MISMATCH: what the culprit is doing */
    bool
        theirs_known; /* else, and KOLO_ERR_MISMATCH: it does the same, but has called something else before */
};

/** Zero-initialise first. Begin: reserve what is missing (arrays, private memory), set up, post. `link` is borrowed until the end.
 *  KOLO_ERR_MEMORY: nothing is under way then. */
kolo_status operation_begin(struct operation *operation, const struct plan *plan,
                            const struct request *request, uint32_t sequence, struct link **link);

/** Do what can be done now. Returns true if anything moved. Afterwards `running` is false if it is done (status KOLO_OK) or has
 *  failed (status, culprit); a failed one may still have transfers posted: cut the links before the buffers go. */
bool operation_step(struct operation *operation);

/** If the operation is under way or has failed, it shall end well for nobody: take back what this rank shows for it, so that a peer
 *  which comes late does not find it. */
void operation_withdraw(const struct operation *operation);

/** The ranks that it waits for, as text: "rank 2 (to send), rank 3 (to receive)". Returns text. */
const char *operation_waits_for(const struct operation *operation, char *text, size_t text_bytes);

/** Free the arrays. */
void operation_free(struct operation *operation);

#endif
