/* print: shows schedules to a person: one rank's instructions as text, or all ranks' messages as a picture. The streams are
 * the caller's. */
#ifndef KOLO_COLLECTIVES_PRINT_H
#define KOLO_COLLECTIVES_PRINT_H

#include "collectives/schedule.h"

#include <stdio.h>

#define PRINT_RANKS_MAX 64       /* of a picture: more cannot be told apart */
#define PRINT_MESSAGES_MAX 20000 /* of a picture */
#define PRINT_ALL UINT32_MAX

/** What print_rounds() finds: in which round each message is, when every message takes one round and starts as soon as its
 *  dependencies allow. */
struct print_rounds {
    uint32_t size;
    uint32_t rounds; /* number of rounds; the first is 1 */
    uint32_t **
        round; /* [size][instructions]: of a message, its round; of local work, the round it follows */
    uint32_t **
        other; /* [size][instructions]: of a message, the instruction at its peer; else PRINT_ALL */
};

/** Number the rounds of right schedules (verify.h says whether they are), schedules[size].
 *  Returns KOLO_OK, KOLO_ERR_MEMORY, KOLO_ERR_INTERNAL (sends and receives do not meet, or wait for each other in a cycle).
 *  Out: rounds, to be freed with print_rounds_free in any case. */
kolo_status print_rounds(struct print_rounds *rounds, const struct schedule *const *schedules,
                         uint32_t size);
void print_rounds_free(struct print_rounds *rounds);

/** Write one rank's instructions, one a line, at most `lines` of them (PRINT_ALL: all) with a note on how many are left out.
 *  In: rounds: for a column of round numbers; NULL: none. */
void print_schedule(FILE *to, const struct schedule *schedule, const struct print_rounds *rounds,
                    uint32_t lines);

/** What the marks in print_schedule()'s lines mean, one line or two. */
void print_schedule_key(FILE *to);

/** Draw rounds (downwards) x ranks (columns) as an SVG document. `title` and `subtitle` are plain text.
 *  Returns KOLO_OK; KOLO_ERR_LIMIT beyond PRINT_RANKS_MAX or PRINT_MESSAGES_MAX; KOLO_ERR_MEMORY, KOLO_ERR_INTERNAL as
 *  print_rounds(); nothing has been written then. */
kolo_status print_svg(FILE *to, const struct schedule *const *schedules, uint32_t size,
                      const char *title, const char *subtitle);

#endif
