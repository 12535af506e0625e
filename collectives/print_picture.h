/* print_picture: what print_svg.c draws, and where: the messages of all ranks by round, and the places of columns, bands, arrows
 * and marks. Knows nothing of SVG. */
#ifndef KOLO_COLLECTIVES_PRINT_PICTURE_H
#define KOLO_COLLECTIVES_PRINT_PICTURE_H

#include "collectives/print.h"

/* In SVG units, which are pixels when nothing scales the picture. */
#define PICTURE_MARGIN 36.0
#define PICTURE_CYLINDER_EDGE 34.0 /* by how much arrows leave the columns on either side */
#define PICTURE_LEGEND_LINE 26.0

/** What colours tell apart. */
enum picture_colours { COLOUR_CHUNK, COLOUR_SENDER, COLOUR_ROUND };

struct picture_message {
    uint32_t from, to, round;
    uint32_t chunk, chunks;
    bool reduces; /* the receiver adds it up */
    bool final;   /* ... and has the complete result then */
};

struct picture {
    const struct schedule *const *schedules; /* [size], borrowed */
    uint32_t size, rounds, chunks;
    struct print_rounds numbered;
    struct picture_message *message; /* [messages], by round, sender, receiver */
    uint32_t messages;
    bool cylinder; /* what leaves on the right comes in on the left */
    bool dense;    /* some round has more messages than can be marked one by one */
    bool labelled; /* arrows carry chunk numbers */
    enum picture_colours colour_by;
    double column, band, gap; /* distances */
    double left, top;         /* of the first rank's line, of the first round */
    double width, height;
};

/** Collect and lay out. Returns KOLO_OK, KOLO_ERR_LIMIT, KOLO_ERR_MEMORY, KOLO_ERR_INTERNAL (see print_svg). Out: picture, to be
 *  freed with picture_free in any case. */
kolo_status picture_init(struct picture *picture, const struct schedule *const *schedules,
                         uint32_t size);
void picture_free(struct picture *picture);

/** The line of a rank (or of a place between or beside ranks); the top and bottom of a round's band. */
double picture_x(const struct picture *picture, double rank);
double picture_start_y(const struct picture *picture, uint32_t round);
double picture_end_y(const struct picture *picture, uint32_t round);

/** Columns that a message crosses: negative to the left. */
int picture_columns(const struct picture *picture, const struct picture_message *message);

/** Does rank 0 fold slots (then all ranks that have results do)? */
bool picture_has_fold(const struct picture *picture);

/** Do two messages end in the same mark: the same chunk at the same rank in the same round? */
bool picture_same_mark(const struct picture_message *a, const struct picture_message *b);

/** Is message m the other part of the one before it, where a range of chunks wraps around? Both are one arrow then. */
bool picture_continues(const struct picture *picture, uint32_t m);

/** The messages of message m's round. Out: first, end: one past the last. */
void picture_round(uint32_t *first, uint32_t *end, const struct picture *picture, uint32_t m);

/** Where a message starts and ends. `shift`: how far to the side it is to be drawn again; 0 if it does not wrap around. */
struct picture_line {
    double x1, y1, x2, y2;
    double shift;
};
struct picture_line picture_line(const struct picture *picture, uint32_t m);

#endif
