/* Collects the messages of a picture and says where everything stands. */
#include "collectives/print_picture.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "runtime/base/status.h"

/* Sizes in SVG units, which are pixels when nothing scales the picture. */
#define ROUND_LABELS 74.0 /* room to the left of the columns, for round numbers */
#define TITLE_HEIGHT 78.0
#define RANK_LABELS 34.0
#define ROUND_GAP 16.0      /* between the arrivals of a round and the starts of the next, */
#define ROUND_GAP_FOLD 34.0 /* and with a mark for a fold in between */
#define BAND_LEAST 50.0     /* height of a round whose messages go nowhere, */
#define BAND_A_COLUMN 6.0   /* more for each column they cross, */
#define BAND_DENSE 190.0    /* and where everyone talks to everyone */
#define MARKS_SPREAD 22.0   /* room for the marks of several chunks at one rank in one round */
#define WIDTH_MIN 620.0
#define LABELLED_RANKS_MAX 16
#define CYLINDER_DISTANCES 2 /* different ones that arrows of one round may go */

/* ---- collecting ------------------------------------------------------------------------------------------------------ */

static int by_round(const void *a, const void *b)
{
    const struct picture_message *first = a, *second = b;
    if (first->round != second->round) {
        return first->round < second->round ? -1 : 1;
    }
    if (first->from != second->from) {
        return first->from < second->from ? -1 : 1;
    }
    return first->to < second->to ? -1 : first->to > second->to;
}

static kolo_status collect(struct picture *picture)
{
    uint64_t count = 0;
    for (uint32_t rank = 0; rank < picture->size; rank++) {
        for (uint32_t i = 0; i < picture->schedules[rank]->instructions; i++) {
            count += picture->schedules[rank]->instruction[i].kind == INSTRUCTION_SEND;
        }
    }
    if (count > PRINT_MESSAGES_MAX) {
        return fail(KOLO_ERR_LIMIT, "%llu messages are too many for a picture: at most %d",
                    (unsigned long long)count, PRINT_MESSAGES_MAX);
    }
    picture->message = calloc(count + 1, sizeof *picture->message);
    if (picture->message == NULL) {
        return fail(KOLO_ERR_MEMORY, "no memory for a picture of %llu messages",
                    (unsigned long long)count);
    }
    for (uint32_t rank = 0; rank < picture->size; rank++) {
        for (uint32_t i = 0; i < picture->schedules[rank]->instructions; i++) {
            const struct instruction *send = &picture->schedules[rank]->instruction[i];
            if (send->kind != INSTRUCTION_SEND) {
                continue;
            }
            uint32_t other = picture->numbered.other[rank][i];
            assert(other != PRINT_ALL);
            const struct instruction *receive = &picture->schedules[send->peer]->instruction[other];
            picture->message[picture->messages++] =
                (struct picture_message){.from = rank,
                                         .to = send->peer,
                                         .round = picture->numbered.round[rank][i],
                                         .chunk = send->chunk,
                                         .chunks = send->chunks,
                                         .reduces = receive->kind == INSTRUCTION_RECEIVE_REDUCE,
                                         .final = receive->final};
        }
    }
    qsort(picture->message, picture->messages, sizeof *picture->message, by_round);
    return KOLO_OK;
}

/* ---- what kind of picture it is ---------------------------------------------------------------------------------------- */

/* How far to the right a message goes, the short way around: -size/2 < distance <= size/2. */
static int distance(const struct picture *picture, const struct picture_message *message)
{
    int size = (int)picture->size;
    int ahead = ((int)message->to - (int)message->from + size) % size;
    return 2 * ahead > size ? ahead - size : ahead;
}

/* Do the messages first .. end of one round go the same few distances from every rank? */
static bool is_round_even(const struct picture *picture, uint32_t first, uint32_t end)
{
    int seen[CYLINDER_DISTANCES];
    unsigned distances = 0;
    for (uint32_t m = first; m < end; m++) {
        int here = distance(picture, &picture->message[m]);
        unsigned d = 0;
        while (d < distances && seen[d] != here) {
            d++;
        }
        if (d == CYLINDER_DISTANCES) {
            return false;
        }
        seen[d] = here;
        distances = d == distances ? distances + 1 : distances;
    }
    return end - first >= picture->size;
}

/* Is the picture the same wherever the circle of ranks is cut? */
static bool is_cylinder(const struct picture *picture)
{
    uint32_t first = 0, end = 0;
    for (uint32_t m = 0; m < picture->messages; m = end) {
        picture_round(&first, &end, picture, m);
        if (!is_round_even(picture, first, end)) {
            return false;
        }
    }
    return picture->size > 2 && picture->messages > 0;
}

static uint32_t busiest_round(const struct picture *picture)
{
    uint32_t most = 0, here = 0;
    for (uint32_t m = 0; m < picture->messages; m++) {
        bool same = m > 0 && picture->message[m].round == picture->message[m - 1].round;
        here = same ? here + 1 : 1;
        most = here > most ? here : most;
    }
    return most;
}

bool picture_has_fold(const struct picture *picture)
{
    for (uint32_t i = 0; i < picture->schedules[0]->instructions; i++) {
        if (picture->schedules[0]->instruction[i].kind == INSTRUCTION_FOLD) {
            return true;
        }
    }
    return false;
}

/* Columns that a message crosses in the picture: negative to the left. */
int picture_columns(const struct picture *picture, const struct picture_message *message)
{
    return picture->cylinder ? distance(picture, message) : (int)message->to - (int)message->from;
}

static int longest(const struct picture *picture)
{
    int most = 0;
    for (uint32_t m = 0; m < picture->messages; m++) {
        int columns = abs(picture_columns(picture, &picture->message[m]));
        most = columns > most ? columns : most;
    }
    return most;
}

static void lay_out(struct picture *picture)
{
    uint32_t size = picture->size;
    picture->cylinder = is_cylinder(picture);
    picture->dense = busiest_round(picture) > 2 * size + 2;
    picture->labelled = picture->chunks > 1 && !picture->dense && size <= LABELLED_RANKS_MAX;
    picture->colour_by = picture->chunks > 1    ? COLOUR_CHUNK
                         : picture->chunks == 1 ? COLOUR_SENDER
                                                : COLOUR_ROUND;
    picture->column = size <= 4 ? 130 : size <= 8 ? 92 : size <= 16 ? 64 : 40;
    picture->gap = picture_has_fold(picture) ? ROUND_GAP_FOLD : ROUND_GAP;
    picture->band = BAND_LEAST + BAND_A_COLUMN * (longest(picture) < 16 ? longest(picture) : 16);
    picture->band = picture->dense ? BAND_DENSE : picture->band;
    double edge = picture->cylinder ? PICTURE_CYLINDER_EDGE : 12;
    double columns = picture->column * (size - 1);
    double across = PICTURE_MARGIN + ROUND_LABELS + edge + columns + edge + PICTURE_MARGIN;
    picture->width = across > WIDTH_MIN ? across : WIDTH_MIN;
    picture->left = PICTURE_MARGIN + ROUND_LABELS + edge + (picture->width - across) / 2;
    picture->top = PICTURE_MARGIN / 2 + TITLE_HEIGHT + RANK_LABELS;
    picture->height = picture->top + picture->rounds * (picture->band + picture->gap) +
                      picture->gap + RANK_LABELS + 3 * PICTURE_LEGEND_LINE + PICTURE_MARGIN / 2;
}

/* ---- where things stand -------------------------------------------------------------------------------------------------- */

double picture_x(const struct picture *picture, double rank)
{
    return picture->left + rank * picture->column;
}

double picture_start_y(const struct picture *picture, uint32_t round)
{
    return picture->top + picture->gap + (round - 1) * (picture->band + picture->gap);
}

double picture_end_y(const struct picture *picture, uint32_t round)
{
    return picture_start_y(picture, round) + picture->band;
}

/* Do two messages end in the same mark: the same chunk at the same rank in the same round? */
bool picture_same_mark(const struct picture_message *a, const struct picture_message *b)
{
    return a->round == b->round && a->to == b->to && a->chunk == b->chunk;
}

/* The messages of m's round: first and one past the last. */
void picture_round(uint32_t *first, uint32_t *end, const struct picture *picture, uint32_t m)
{
    uint32_t round = picture->message[m].round;
    for (*first = m; *first > 0 && picture->message[*first - 1].round == round; (*first)--) {
    }
    for (*end = m; *end < picture->messages && picture->message[*end].round == round; (*end)++) {
    }
}

/* How far beside the rank's line a message ends, so that the marks of several chunks stand side by side. */
static double mark_offset(const struct picture *picture, uint32_t m)
{
    const struct picture_message *message = &picture->message[m];
    uint32_t first = 0, end = 0, marks = 0, before = 0;
    if (picture->colour_by != COLOUR_CHUNK || picture->dense) {
        return 0;
    }
    picture_round(&first, &end, picture, m);
    for (uint32_t i = first; i < end; i++) {
        const struct picture_message *other = &picture->message[i];
        bool counted = other->to != message->to || picture_continues(picture, i);
        for (uint32_t j = first; j < i && !counted; j++) {
            counted = picture_same_mark(&picture->message[j], other);
        }
        marks += !counted;
        before += !counted && other->chunk < message->chunk;
    }
    if (marks < 2) {
        return 0;
    }
    double step = MARKS_SPREAD / (marks - 1) < 12 ? MARKS_SPREAD / (marks - 1) : 12;
    return (before - (marks - 1) / 2.0) * step;
}

/* Is message m the next part of the one before it: sent by and to the same ranks in the same round? */
bool picture_continues(const struct picture *picture, uint32_t m)
{
    const struct picture_message *message = &picture->message[m];
    return picture->cylinder && m > 0 && message->round == message[-1].round &&
           message->from == message[-1].from && message->to == message[-1].to;
}

struct picture_line picture_line(const struct picture *picture, uint32_t m)
{
    const struct picture_message *message = &picture->message[m];
    double to = (double)message->from + picture_columns(picture, message);
    double offset = mark_offset(picture, m);
    return (struct picture_line){.x1 = picture_x(picture, message->from),
                                 .y1 = picture_start_y(picture, message->round),
                                 .x2 = picture_x(picture, to) + offset,
                                 .y2 = picture_end_y(picture, message->round),
                                 .shift = picture_x(picture, message->to) - picture_x(picture, to)};
}

/* ---- the whole ------------------------------------------------------------------------------------------------------------- */

kolo_status picture_init(struct picture *picture, const struct schedule *const *schedules,
                         uint32_t size)
{
    assert(size > 0);
    *picture = (struct picture){.schedules = schedules, .size = size};
    if (size > PRINT_RANKS_MAX) {
        return fail(KOLO_ERR_LIMIT, "%u ranks are too many for a picture: at most %d", size,
                    PRINT_RANKS_MAX);
    }
    picture->chunks = schedules[0]->blocks * schedules[0]->block_chunks;
    kolo_status status = print_rounds(&picture->numbered, schedules, size);
    picture->rounds = picture->numbered.rounds;
    status = status == KOLO_OK ? collect(picture) : status;
    if (status == KOLO_OK) {
        lay_out(picture);
    }
    return status;
}

void picture_free(struct picture *picture)
{
    free(picture->message);
    print_rounds_free(&picture->numbered);
}
