/* One frame: header, payload, CRC-32 of both, all little-endian, in COBS. See PROTOCOL.md. */
#ifndef EDGEKIT_FRAMES_H
#define EDGEKIT_FRAMES_H

#include <stdint.h>

#include "cobs.h"

#define EK_PROTOCOL 1u
#define EK_HEADER_BYTES 8u
#define EK_CRC_BYTES 4u
#define EK_BULK_BYTES 992u     /* of a blob in one frame; a multiple of every store_write_bytes */
#define EK_PAYLOAD_BYTES 1000u /* at most */
#define EK_FRAME_BYTES (EK_HEADER_BYTES + EK_PAYLOAD_BYTES + EK_CRC_BYTES)
#define EK_WIRE_BYTES (EK_FRAME_BYTES + EK_COBS_OVERHEAD(EK_FRAME_BYTES))
/* A frame is encoded in place: its raw bytes begin so far behind the encoded ones. The zero at the end takes one byte
 * more, so that the longest needs a buffer of EK_WIRE_BYTES. */
#define EK_RAW_AT (EK_COBS_OVERHEAD(EK_FRAME_BYTES) - 1u)
#define EK_PAYLOAD_AT (EK_RAW_AT + EK_HEADER_BYTES)
#define EK_WINDOW 4u
/* What a board's receive ring must hold at least: a window of the longest frames (4 * 1017 bytes). */
#define EK_RING_BYTES 4096u

/* Requests; an answer has the request's type with the top bit set. */
enum {
    EK_IDENTIFY = 1,
    EK_LOAD_BEGIN = 2,
    EK_LOAD_DATA = 3,
    EK_LOAD_END = 4,
    EK_OPEN = 5,
    EK_INPUT = 6,
    EK_RUN = 7,
    EK_OUTPUT = 8,
    EK_BENCH = 9,
    EK_PROFILE = 10,
    EK_MEMORY = 11,
    EK_RESET = 12,
    EK_ANSWER = 0x80,
    EK_ERROR = 0xe0,          /* the request failed: u16 error, u16 0, u32 detail */
    EK_RESEND = 0xe1,         /* something is missing or damaged: send again from `next` */
    EK_WORKING = 0xe2,        /* the request is in work and may take long */
    EK_ACKNOWLEDGED = 0xe3    /* a repeated request that was answered long ago */
};

/* Errors; `detail` in brackets. */
enum {
    EK_BAD_REQUEST = 1,       /* length or field of a request (its type) */
    EK_UNKNOWN_REQUEST = 2,   /* (its type) */
    EK_NO_SESSION = 3,        /* identify first: the board was started again, or another host took over */
    EK_OTHER_PROTOCOL = 4,    /* (the agent's protocol version) */
    EK_OUTSIDE_STORE = 5,     /* (bytes of the store) */
    EK_NOT_LOADING = 6,       /* data without a begin, not in order, or past the end (bytes received so far) */
    EK_STORE_FAILED = 7,      /* (the board's error number) */
    EK_DIGEST_DIFFERS = 8,    /* what lies in the store is not what was announced */
    EK_NO_MODEL = 9,          /* open without a verified model */
    EK_NOT_OPEN = 10,
    EK_NO_INPUTS = 11,        /* inputs are missing or of the wrong size (bytes that the model takes) */
    EK_OUT_OF_RANGE = 12      /* (the limit) */
};

typedef struct {
    uint8_t protocol, type;
    uint16_t session, sequence, next;
    const uint8_t *payload;
    uint32_t payload_bytes;
} ek_frame;

typedef enum { EK_FRAME_OK, EK_FRAME_DAMAGED } ek_frame_status;

static inline uint32_t ek_get16(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8;
}

static inline uint32_t ek_get32(const uint8_t *at)
{
    return ek_get16(at) | ek_get16(at + 2) << 16;
}

static inline void ek_put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

static inline void ek_put32(uint8_t *at, uint32_t value)
{
    ek_put16(at, value);
    ek_put16(at + 2, value >> 16);
}

/* `raw` is what ek_cobs_byte() decoded; the frame points into it. */
ek_frame_status ek_frame_parse(const uint8_t *raw, uint32_t bytes, ek_frame *frame);
/* Complete and encode in place the frame whose payload lies at buffer + EK_PAYLOAD_AT, with 5 bytes free behind it;
 * frame->payload is not looked at. Returns the bytes on the wire, which begin at `buffer`. */
uint32_t ek_frame_encode(uint8_t *buffer, const ek_frame *frame);

#endif
