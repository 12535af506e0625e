#include "transport/verbs/slots.h"

#include <errno.h>
#include <sys/mman.h>

#include "runtime/base/log.h"
#include "runtime/base/status.h"
#include "transport/verbs/registration.h"

/* Rails on ports of one device share a registration, or its failure: the first of them has it. */
static unsigned first_of_device(const struct device_port *ports, unsigned rail)
{
    unsigned first = 0;
    while (ports[first].pd != ports[rail].pd) {
        first++;
    }
    return first;
}

/* Is it the same as that of a rail before? */
static bool shares(const struct slots *slots, unsigned rail)
{
    for (unsigned i = 0; i < rail; i++) {
        if (slots->regions[i] == slots->regions[rail]) {
            return true;
        }
    }
    return false;
}

static kolo_status register_slots(struct slots *slots, const struct device_port *port,
                                  unsigned rail)
{
    kolo_status status = registration_make(
        &slots->regions[rail], port, slots->memory, SLOTS_BYTES,
        IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ, true);
    if (status != KOLO_OK) {
        slots->regions[rail] = NULL;
    }
    return status;
}

kolo_status slots_open(struct slots *slots, const struct devices *devices)
{
    *slots = (struct slots){0};
    void *memory =
        mmap(NULL, SLOTS_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return fail(KOLO_ERR_MEMORY, "no %zu bytes for the slots of a verbs link: %s",
                    (size_t)SLOTS_BYTES, strerror(errno));
    }
    slots->memory = memory;
    slots->rails = devices->ports;
    kolo_status status = KOLO_OK;
    unsigned registered = 0;
    for (unsigned i = 0; i < devices->ports; i++) {
        unsigned first = first_of_device(devices->port, i);
        if (first == i) {
            kolo_status made = register_slots(slots, &devices->port[i], i);
            status = made != KOLO_OK ? made : status;
        }
        slots->regions[i] = slots->regions[first];
        registered += slots->regions[i] != NULL;
    }
    if (registered == 0) {
        slots_close(slots);
        return status;
    }
    return KOLO_OK;
}

void slots_close(struct slots *slots)
{
    bool busy = false;
    for (unsigned i = 0; i < slots->rails; i++) {
        bool own = slots->regions[i] != NULL && !shares(slots, i);
        int error = own ? ibv_dereg_mr(slots->regions[i]) : 0;
        if (error != 0) {
            busy = true;
            log_line(LOG_WARN, "verbs: slots stay registered: %s", strerror(error));
        }
    }
    if (slots->memory != NULL && !busy) { /* memory that a device may still write must stay */
        munmap(slots->memory, SLOTS_BYTES);
    }
    *slots = (struct slots){0};
}
