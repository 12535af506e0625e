#include "tools/link_host.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/link_verbs.h"

void link_host_describe(struct link_host *host, const struct link_end *end)
{
    cpu_set_t allowed;
    *host = (struct link_host){0};
    if (gethostname(host->name, sizeof host->name - 1) != 0) {
        snprintf(host->name, sizeof host->name, "?");
    }
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
        host->processors = (uint32_t)CPU_COUNT(&allowed);
    }
    link_verbs_probe(host, end);
}

static void put_text(struct wire_writer *writer, const char *text)
{
    wire_put_blob(writer, text, strlen(text));
}

void link_host_put(struct wire_writer *writer, const struct link_host *host)
{
    put_text(writer, host->name);
    put_text(writer, host->device);
    put_text(writer, host->description);
    wire_put_u64(writer, host->rate_Bps);
    wire_put_u32(writer, host->processors);
    wire_put_u8(writer, host->verbs);
    wire_put_u8(writer, host->iwarp);
}

/* A peer's text is printed on a terminal: no control characters in it. */
static void get_text(struct wire_reader *reader, char *text, size_t capacity)
{
    wire_get_text(reader, text, capacity);
    for (; *text != '\0'; text++) {
        *text = (unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text;
    }
}

void link_host_get(struct wire_reader *reader, struct link_host *host)
{
    get_text(reader, host->name, sizeof host->name);
    get_text(reader, host->device, sizeof host->device);
    get_text(reader, host->description, sizeof host->description);
    host->rate_Bps = wire_get_u64(reader);
    host->processors = wire_get_u32(reader);
    host->verbs = wire_get_u8(reader) != 0;
    host->iwarp = wire_get_u8(reader) != 0;
}
