/* Consistent overhead byte stuffing (Cheshire and Baker, 1999): frames without a zero byte, ended by one. */
#ifndef EDGEKIT_COBS_H
#define EDGEKIT_COBS_H

#include <stdint.h>

/* How much longer `count` bytes may get, the zero at the end included. */
#define EK_COBS_OVERHEAD(count) ((count) / 254u + 2u)

typedef struct {
    uint8_t *out;             /* where the decoded bytes go */
    uint32_t capacity, count;
    uint8_t left;             /* bytes until the next code byte */
    uint8_t code;             /* of the block being read; 0 before the first */
    uint8_t bad;              /* too long: dropped up to the next zero */
    uint8_t any;              /* something arrived since the last zero */
} ek_cobs_decoder;

typedef enum { EK_COBS_MORE, EK_COBS_FRAME, EK_COBS_BAD } ek_cobs_event;

void ek_cobs_start(ek_cobs_decoder *decoder, uint8_t *out, uint32_t capacity);
/* One received byte. EK_COBS_FRAME: `count` bytes lie at `out` until the next call. EK_COBS_BAD: a frame ended that was
 * cut off or too long. Zeros between frames are nothing. */
ek_cobs_event ek_cobs_byte(ek_cobs_decoder *decoder, uint8_t byte);
/* Encode in place: the `count` bytes begin `ahead` >= EK_COBS_OVERHEAD(count) - 1 bytes behind `buffer`; the frame, its
 * zero included, begins at `buffer`. Returns its length. */
uint32_t ek_cobs_encode(uint8_t *buffer, uint32_t ahead, uint32_t count);

#endif
