/* notice: what a process tells its peers when it fails, so that all tell the same story. The payload of CONTROL_NOTICE. */
#ifndef KOLO_MEMBERSHIP_NOTICE_H
#define KOLO_MEMBERSHIP_NOTICE_H

#include <kolo/kolo.h>
#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/status.h"
#include "runtime/membership/control.h"

#define NOTICE_NOBODY UINT32_MAX

struct notice {
    kolo_status status;
    uint32_t culprit; /* a rank, or NOTICE_NOBODY */
    char text[STATUS_TEXT_MAX];
};

/** Send it. Does not block; a peer that is gone is none of our business. */
void notice_send(struct control *control, kolo_status status, uint32_t culprit, const char *text);

/** Decode a frame of this kind. False if it makes no sense. */
bool notice_get(struct notice *notice, const struct control_frame *frame);

#endif
