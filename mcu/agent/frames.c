#include "frames.h"

#include "edgekit/runtime.h"

_Static_assert(EK_WINDOW * EK_WIRE_BYTES < EK_RING_BYTES, "a window of frames must fit into the ring");

ek_frame_status ek_frame_parse(const uint8_t *raw, uint32_t bytes, ek_frame *frame)
{
    if (bytes < EK_HEADER_BYTES + EK_CRC_BYTES || bytes > EK_FRAME_BYTES) {
        return EK_FRAME_DAMAGED;
    }
    bytes -= EK_CRC_BYTES;
    if (ek_get32(raw + bytes) != ek_crc32(0, raw, bytes)) {
        return EK_FRAME_DAMAGED;
    }
    frame->protocol = raw[0];
    frame->type = raw[1];
    frame->session = (uint16_t)ek_get16(raw + 2);
    frame->sequence = (uint16_t)ek_get16(raw + 4);
    frame->next = (uint16_t)ek_get16(raw + 6);
    frame->payload = raw + EK_HEADER_BYTES;
    frame->payload_bytes = bytes - EK_HEADER_BYTES;
    return EK_FRAME_OK;
}

uint32_t ek_frame_encode(uint8_t *buffer, const ek_frame *frame)
{
    const uint32_t bytes = EK_HEADER_BYTES + frame->payload_bytes;
    uint8_t *raw = buffer + EK_RAW_AT;
    raw[0] = frame->protocol;
    raw[1] = frame->type;
    ek_put16(raw + 2, frame->session);
    ek_put16(raw + 4, frame->sequence);
    ek_put16(raw + 6, frame->next);
    ek_put32(raw + bytes, ek_crc32(0, raw, bytes));
    return ek_cobs_encode(buffer, EK_RAW_AT, bytes + EK_CRC_BYTES);
}
