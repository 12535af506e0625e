#include "runtime/membership/notice.h"

#include <assert.h>
#include <string.h>

#include "runtime/base/log.h"
#include "runtime/base/wire.h"

_Static_assert(CONTROL_PAYLOAD_MAX >= STATUS_TEXT_MAX + 16, "a notice fits into a frame");

void notice_send(struct control *control, kolo_status status, uint32_t culprit, const char *text)
{
    uint8_t bytes[CONTROL_PAYLOAD_MAX];
    struct wire_writer writer = {.bytes = bytes, .capacity = sizeof bytes};
    wire_put_u16(&writer, (uint16_t)status);
    wire_put_u32(&writer, culprit);
    wire_put_blob(&writer, text, strnlen(text, STATUS_TEXT_MAX - 1));
    assert(!writer.failed);
    if (control_send(control, CONTROL_NOTICE, bytes, writer.length) != KOLO_OK) {
        log_line(LOG_DEBUG, "a peer left before it could be told of the failure");
    }
}

static bool known(unsigned status)
{
    return status != KOLO_OK &&
           strcmp(kolo_status_name((kolo_status)status), "KOLO_ERR_UNKNOWN") != 0;
}

bool notice_get(struct notice *notice, const struct control_frame *frame)
{
    assert(frame->kind == CONTROL_NOTICE);
    struct wire_reader reader = {.bytes = frame->payload, .length = frame->length};
    unsigned status = wire_get_u16(&reader);
    notice->culprit = wire_get_u32(&reader);
    wire_get_text(&reader, notice->text, sizeof notice->text);
    notice->status = (kolo_status)status;
    return !reader.failed && known(status);
}
