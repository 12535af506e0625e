/* The picture: a column a rank, a band a round, time going down. A message is an arrow from its sender at the top of the band to
 * its receiver at the bottom. Where all ranks do the same relative to themselves (rings, circulants), the columns are taken as
 * a cylinder: an arrow that leaves on the right comes in again on the left, instead of crossing everything. */
#include "collectives/print_picture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LEGEND_COLOURS_MAX 16
#define LABEL_MAX 64
#define LABEL_LETTER 6.3 /* width of a letter of a label, about */

#define INK "#1f2933"
#define INK_SOFT "#64748b"
#define LINE_SOFT "#d8dee6"
#define BAND "#f6f8fa"
#define PAPER "#ffffff"

/* ---- colours -------------------------------------------------------------------------------------------------------- */

static double channel(double hue, double offset)
{
    double k = fmod(offset + hue / 30.0, 12.0);
    double part = fmin(fmin(k - 3, 9 - k), 1);
    const double lightness = 0.45, saturation = 0.68;
    return lightness - saturation * fmin(lightness, 1 - lightness) * fmax(part, -1);
}

/* The colour of the `index`-th of `count` things, as "#rrggbb". Few things: colours chosen to be told apart. */
static void colour(char text[8], uint32_t index, uint32_t count)
{
    static const char *const chosen[] = {"#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed",
                                         "#0891b2", "#be185d", "#65a30d", "#475569", "#92400e"};
    if (count <= sizeof chosen / sizeof chosen[0]) {
        snprintf(text, 8, "%s", chosen[index]);
        return;
    }
    double hue = 360.0 * index / count;
    snprintf(text, 8, "#%02x%02x%02x", (unsigned)(255 * channel(hue, 0)) & 255U,
             (unsigned)(255 * channel(hue, 8)) & 255U, (unsigned)(255 * channel(hue, 4)) & 255U);
}

static void message_colour(char text[8], const struct picture *picture,
                           const struct picture_message *message)
{
    switch (picture->colour_by) {
    case COLOUR_SENDER:
        colour(text, message->from, picture->size);
        break;
    case COLOUR_ROUND:
        colour(text, message->round - 1, picture->rounds);
        break;
    case COLOUR_CHUNK:
        colour(text, message->chunk, picture->chunks);
        break;
    }
}

/* ---- drawing ---------------------------------------------------------------------------------------------------------- */

static void draw_text(FILE *to, double x, double y, double size, const char *anchor,
                      const char *style, const char *text)
{
    fprintf(to, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"%.1f\" text-anchor=\"%s\" %s>", x, y, size,
            anchor, style);
    for (const char *c = text; *c != '\0'; c++) {
        switch (*c) {
        case '<':
            fputs("&lt;", to);
            break;
        case '>':
            fputs("&gt;", to);
            break;
        case '&':
            fputs("&amp;", to);
            break;
        default:
            if ((unsigned char)*c >= ' ') {
                fputc(*c, to);
            }
        }
    }
    fputs("</text>\n", to);
}

static void draw_frame(FILE *to, const struct picture *picture, const char *title,
                       const char *subtitle)
{
    fprintf(to,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
            "viewBox=\"0 0 %.0f %.0f\" font-family=\"Inter, 'Helvetica Neue', Arial, "
            "'DejaVu Sans', sans-serif\">\n",
            picture->width, picture->height, picture->width, picture->height);
    fprintf(to, "<rect width=\"100%%\" height=\"100%%\" fill=\"%s\"/>\n", PAPER);
    draw_text(to, PICTURE_MARGIN, PICTURE_MARGIN / 2 + 28, 21, "start",
              "font-weight=\"600\" fill=\"" INK "\"", title);
    draw_text(to, PICTURE_MARGIN, PICTURE_MARGIN / 2 + 52, 13, "start", "fill=\"" INK_SOFT "\"",
              subtitle);
}

static void draw_bands(FILE *to, const struct picture *picture)
{
    double edge = picture->cylinder ? PICTURE_CYLINDER_EDGE : 22;
    double left = picture_x(picture, 0) - edge,
           right = picture_x(picture, picture->size - 1) + edge;
    for (uint32_t round = 1; round <= picture->rounds; round++) {
        char number[16];
        double y = picture_start_y(picture, round);
        if (round % 2 == 1) {
            fprintf(to,
                    "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"6\" "
                    "fill=\"%s\"/>\n",
                    left, y - picture->gap / 2, right - left, picture->band + picture->gap, BAND);
        }
        snprintf(number, sizeof number, "%u", round);
        draw_text(to, left - 14, y + picture->band / 2 + 4, 12, "end", "fill=\"" INK_SOFT "\"",
                  number);
    }
    draw_text(to, left - 14, picture->top - 12, 11, "end", "fill=\"" INK_SOFT "\"", "round");
}

static void draw_ranks(FILE *to, const struct picture *picture)
{
    double bottom = picture->top + picture->rounds * (picture->band + picture->gap) + picture->gap;
    for (uint32_t rank = 0; rank < picture->size; rank++) {
        char label[16];
        double x = picture_x(picture, rank);
        fprintf(to,
                "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" "
                "stroke-width=\"1.5\"/>\n",
                x, picture->top, x, bottom, LINE_SOFT);
        snprintf(label, sizeof label, "%u", rank);
        for (unsigned end = 0; end < 2; end++) {
            double y = end == 0 ? picture->top - 12 : bottom + 12;
            fprintf(to, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"12\" fill=\"%s\"/>\n", x, y - 4, INK);
            draw_text(to, x, y, 11.5, "middle", "font-weight=\"600\" fill=\"" PAPER "\"", label);
        }
    }
    draw_text(to, picture_x(picture, 0) - (picture->cylinder ? PICTURE_CYLINDER_EDGE : 22) - 14,
              bottom + 12, 11, "end", "fill=\"" INK_SOFT "\"", "rank");
}

/* The mark where a message ends: taken over, added up, or added up to the complete result. */
static void draw_arrival(FILE *to, double x, double y, const char *stroke, bool reduces, bool final)
{
    if (!reduces) {
        fprintf(to, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"%s\"/>\n", x, y, stroke);
        return;
    }
    fprintf(to,
            "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"6.5\" fill=\"%s\" stroke=\"%s\" "
            "stroke-width=\"1.6\"/><path d=\"M%.1f %.1fh7M%.1f %.1fv7\" stroke=\"%s\" "
            "stroke-width=\"1.6\"/>\n",
            x, y, final ? stroke : PAPER, stroke, x - 3.5, y, x, y - 3.5, final ? PAPER : stroke);
}

/* A line from one point to another with an arrow head that ends `gap` before it. */
static void draw_line(FILE *to, double x1, double y1, double x2, double y2, double gap,
                      const char *stroke, double line_width)
{
    double length = hypot(x2 - x1, y2 - y1), dx = (x2 - x1) / length, dy = (y2 - y1) / length;
    double tip_x = x2 - dx * gap, tip_y = y2 - dy * gap;
    double base_x = tip_x - dx * 8, base_y = tip_y - dy * 8;
    fprintf(to,
            "<path d=\"M%.1f %.1fL%.1f %.1f\" stroke=\"%s\" stroke-width=\"%.1f\"/>"
            "<path d=\"M%.1f %.1fL%.1f %.1fL%.1f %.1fz\" fill=\"%s\"/>\n",
            x1, y1, base_x, base_y, stroke, line_width, tip_x, tip_y, base_x - dy * 3.6,
            base_y + dx * 3.6, base_x + dy * 3.6, base_y - dx * 3.6, stroke);
}

/* ---- messages ---------------------------------------------------------------------------------------------------------- */

/* Which chunks go the way of message m: those of the messages that continue it as well. */
static void message_label(char label[LABEL_MAX], const struct picture *picture, uint32_t m)
{
    size_t length = 0;
    label[0] = '\0';
    do {
        const struct picture_message *message = &picture->message[m];
        int added = snprintf(label + length, LABEL_MAX - length, "%s%u", length > 0 ? ", " : "",
                             message->chunk);
        length += (size_t)added;
        if (message->chunks > 1 && length < LABEL_MAX) {
            added = snprintf(label + length, LABEL_MAX - length, "\xE2\x80\x93%u",
                             message->chunk + message->chunks - 1);
            length += (size_t)added;
        }
        m++;
    } while (m < picture->messages && picture_continues(picture, m) && length < LABEL_MAX);
}

/* Letters of a text, not its bytes. */
static double letters(const char *text)
{
    double count = 0;
    for (const char *c = text; *c != '\0'; c++) {
        count += ((unsigned char)*c & 0xC0) != 0x80;
    }
    return count;
}

static void draw_label(FILE *to, const struct picture *picture, uint32_t m)
{
    char style[96], label[LABEL_MAX], stroke[8];
    struct picture_line line = picture_line(picture, m);
    message_colour(stroke, picture, &picture->message[m]);
    double columns = abs(picture_columns(picture, &picture->message[m]));
    bool wraps = fabs(line.shift) > 0;
    message_label(label, picture, m);
    double width = LABEL_LETTER * letters(label) + 3;
    double along = wraps ? fmax(width / 2 + 5, PICTURE_CYLINDER_EDGE / 2) / fabs(line.x2 - line.x1)
                   : columns > 1 ? 0.45 / columns
                                 : 0.36;
    double x = line.x1 + (line.x2 - line.x1) * along;
    double y = line.y1 + (line.y2 - line.y1) * along + 3.5;
    fprintf(to, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"11\" rx=\"3\" fill=\"%s\"/>\n",
            x - width / 2, y - 9, width, picture->message[m].round % 2 == 1 ? BAND : PAPER);
    snprintf(style, sizeof style, "font-weight=\"600\" fill=\"%s\"", stroke);
    draw_text(to, x, y, 10.5, "middle", style, label);
}

static void draw_message(FILE *to, const struct picture *picture, uint32_t m)
{
    char stroke[8];
    const struct picture_message *message = &picture->message[m];
    struct picture_line line = picture_line(picture, m);
    message_colour(stroke, picture, message);
    bool several =
        message->chunks > 1 || (m + 1 < picture->messages && picture_continues(picture, m + 1));
    double gap = message->reduces ? 8 : 5, width = several ? 2.6 : 1.8;
    bool wraps = fabs(line.shift) > 0;
    if (wraps) { /* drawn twice; the clip shows the end of the one and the start of the other */
        fputs("<g clip-path=\"url(#columns)\">\n", to);
        draw_line(to, line.x1 + line.shift, line.y1, line.x2 + line.shift, line.y2, gap, stroke,
                  width);
    }
    draw_line(to, line.x1, line.y1, line.x2, line.y2, gap, stroke, width);
    if (wraps) {
        fputs("</g>\n", to);
    }
    fprintf(to, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.6\" fill=\"%s\"/>\n", line.x1, line.y1,
            stroke);
}

/* The mark where message m ends, once for all that share it: complete if one of them completes the result. */
static void draw_mark(FILE *to, const struct picture *picture, uint32_t m)
{
    char stroke[8];
    const struct picture_message *message = &picture->message[m];
    uint32_t first = 0, end = 0;
    bool reduces = false, final = false;
    picture_round(&first, &end, picture, m);
    for (uint32_t i = first; i < end; i++) {
        if (picture_same_mark(&picture->message[i], message)) {
            if (i < m) {
                return;
            }
            reduces = reduces || picture->message[i].reduces;
            final = final || picture->message[i].final;
        }
    }
    struct picture_line line = picture_line(picture, m);
    message_colour(stroke, picture, message);
    if (picture->colour_by == COLOUR_SENDER) {
        snprintf(stroke, sizeof stroke, "%s", INK_SOFT); /* it stands for several senders */
    }
    draw_arrival(to, line.x2 + line.shift, line.y2, stroke, reduces, final);
}

/* Lines first, so that marks and labels lie on top of them. */
static void draw_messages(FILE *to, const struct picture *picture)
{
    for (unsigned layer = 0; layer < 3; layer++) {
        for (uint32_t m = 0; m < picture->messages; m++) {
            if (picture_continues(picture, m)) {
                continue;
            }
            if (layer == 0) {
                draw_message(to, picture, m);
            } else if (layer == 1) {
                draw_mark(to, picture, m);
            } else if (picture->labelled) {
                draw_label(to, picture, m);
            }
        }
    }
}

/* Work without a message: a diamond where slots are folded. */
static void draw_folds(FILE *to, const struct picture *picture)
{
    for (uint32_t rank = 0; rank < picture->size; rank++) {
        const struct schedule *schedule = picture->schedules[rank];
        for (uint32_t i = 0; i < schedule->instructions; i++) {
            uint32_t round = picture->numbered.round[rank][i];
            if (schedule->instruction[i].kind == INSTRUCTION_FOLD && round > 0) {
                fprintf(to, "<path d=\"M%.1f %.1fl7 7l-7 7l-7 -7z\" fill=\"%s\" stroke=\"%s\"/>\n",
                        picture_x(picture, rank), picture_end_y(picture, round) + 1, INK, PAPER);
            }
        }
    }
}

/* ---- the legend --------------------------------------------------------------------------------------------------------- */

static double legend_entry(FILE *to, double x, double y, const char *text)
{
    draw_text(to, x + 14, y + 4, 12, "start", "fill=\"" INK "\"", text);
    return x + 14 + 6.6 * (double)strlen(text) + 26;
}

static void draw_marks(FILE *to, const struct picture *picture, double y)
{
    bool stored = false, added = false, complete = false;
    for (uint32_t m = 0; m < picture->messages; m++) {
        stored = stored || !picture->message[m].reduces;
        added = added || (picture->message[m].reduces && !picture->message[m].final);
        complete = complete || picture->message[m].final;
    }
    double x = PICTURE_MARGIN + 8;
    if (stored) {
        draw_arrival(to, x, y, INK_SOFT, false, false);
        x = legend_entry(to, x, y, picture->chunks > 0 ? "stored" : "empty message");
    }
    if (added) {
        draw_arrival(to, x, y, INK_SOFT, true, false);
        x = legend_entry(to, x, y, "added to the partial sum");
    }
    if (complete) {
        draw_arrival(to, x, y, INK_SOFT, true, true);
        x = legend_entry(to, x, y, "added, result complete");
    }
    if (picture_has_fold(picture)) {
        fprintf(to, "<path d=\"M%.1f %.1fl7 7l-7 7l-7 -7z\" fill=\"%s\"/>\n", x, y - 7, INK);
        legend_entry(to, x, y, "all folded in rank order");
    }
}

static void draw_colours(FILE *to, const struct picture *picture, double y)
{
    static const char *const names[] = {
        [COLOUR_CHUNK] = "chunk", [COLOUR_SENDER] = "sender", [COLOUR_ROUND] = "round"};
    uint32_t counts[] = {[COLOUR_CHUNK] = picture->chunks,
                         [COLOUR_SENDER] = picture->size,
                         [COLOUR_ROUND] = picture->rounds};
    uint32_t count = counts[picture->colour_by];
    double x = PICTURE_MARGIN + 48, step = count > 10 ? 27 : 34;
    draw_text(to, PICTURE_MARGIN, y + 4, 12, "start", "fill=\"" INK "\"",
              names[picture->colour_by]);
    for (uint32_t c = 0; c < count && c < LEGEND_COLOURS_MAX; c++) {
        char fill[8], number[16];
        colour(fill, c, count);
        snprintf(number, sizeof number, "%u", picture->colour_by == COLOUR_ROUND ? c + 1 : c);
        fprintf(to,
                "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"18\" rx=\"4\" "
                "fill=\"%s\"/>\n",
                x, y - 9, step - 5, fill);
        draw_text(to, x + (step - 5) / 2, y + 4, 11, "middle",
                  "font-weight=\"600\" fill=\"" PAPER "\"", number);
        x += step;
    }
    if (count > LEGEND_COLOURS_MAX) {
        draw_text(to, x + 2, y + 4, 12, "start", "fill=\"" INK_SOFT "\"", "…");
    }
}

static void draw(FILE *to, const struct picture *picture, const char *title, const char *subtitle)
{
    double edge = picture->cylinder ? PICTURE_CYLINDER_EDGE : 0;
    draw_frame(to, picture, title, subtitle);
    fprintf(to,
            "<clipPath id=\"columns\"><rect x=\"%.1f\" y=\"0\" width=\"%.1f\" "
            "height=\"%.1f\"/></clipPath>\n",
            picture_x(picture, 0) - edge, picture->column * (picture->size - 1) + 2 * edge,
            picture->height);
    draw_bands(to, picture);
    draw_ranks(to, picture);
    fputs("<g fill=\"none\" stroke-linecap=\"round\">\n", to);
    draw_messages(to, picture);
    draw_folds(to, picture);
    fputs("</g>\n", to);
    double y = picture->height - PICTURE_MARGIN / 2 - 2 * PICTURE_LEGEND_LINE;
    draw_marks(to, picture, y);
    draw_colours(to, picture, y + PICTURE_LEGEND_LINE);
    fputs("</svg>\n", to);
}

kolo_status print_svg(FILE *to, const struct schedule *const *schedules, uint32_t size,
                      const char *title, const char *subtitle)
{
    struct picture picture;
    kolo_status status = picture_init(&picture, schedules, size);
    if (status == KOLO_OK) {
        draw(to, &picture, title, subtitle);
    }
    picture_free(&picture);
    return status;
}
