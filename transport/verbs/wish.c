#include "transport/verbs/wish.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/status.h"

#define PORT_NUMBER_MAX 255

static kolo_status parse_one(struct wish_port *port, const char *text, size_t length)
{
    char number[sizeof "255 "] = "";
    const char *colon = memchr(text, ':', length);
    size_t name = colon != NULL ? (size_t)(colon - text) : length;
    size_t digits = colon != NULL ? length - name - 1 : 0;
    if (name == 0 || name >= sizeof port->device || (colon != NULL && digits == 0) ||
        digits >= sizeof number) {
        return fail_quietly(KOLO_ERR_ARGUMENT,
                            "\"%.*s\" names no RDMA port: write DEVICE or DEVICE:PORT, as mlx5_0:1",
                            (int)(length < 80 ? length : 80), text);
    }
    memcpy(port->device, text, name);
    port->device[name] = 0;
    port->number = 0;
    if (colon == NULL) {
        return KOLO_OK;
    }
    char *end = NULL;
    memcpy(number, colon + 1, digits);
    number[digits] = 0;
    unsigned long value = number[0] >= '0' && number[0] <= '9' ? strtoul(number, &end, 10) : 0;
    if (value < 1 || value > PORT_NUMBER_MAX || *end != 0) {
        return fail_quietly(KOLO_ERR_ARGUMENT,
                            "\"%.*s\" names no port of an RDMA device: ports are counted from 1",
                            (int)length, text);
    }
    port->number = (unsigned)value;
    return KOLO_OK;
}

static bool same_port(const struct wish_port *a, const struct wish_port *b)
{
    return strcmp(a->device, b->device) == 0 &&
           (a->number == b->number || a->number == 0 || b->number == 0);
}

kolo_status wish_parse(struct wish_port wanted[DEVICE_RAILS_MAX], unsigned *count,
                       const char *names)
{
    assert(names != NULL);
    *count = 0;
    for (const char *at = names;; at++) {
        size_t length = strcspn(at, ",");
        struct wish_port port = {0};
        kolo_status status = parse_one(&port, at, length);
        if (status != KOLO_OK) {
            return status;
        }
        if (*count == DEVICE_RAILS_MAX) {
            return fail_quietly(KOLO_ERR_LIMIT, "\"%s\" names more than %d RDMA ports", names,
                                DEVICE_RAILS_MAX);
        }
        for (unsigned i = 0; i < *count; i++) {
            if (same_port(&port, &wanted[i])) {
                return fail_quietly(KOLO_ERR_ARGUMENT, "\"%s\" names an RDMA port of %s twice",
                                    names, port.device);
            }
        }
        wanted[(*count)++] = port;
        at += length;
        if (*at == 0) {
            return KOLO_OK;
        }
    }
}
