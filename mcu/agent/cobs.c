#include "cobs.h"

void ek_cobs_start(ek_cobs_decoder *decoder, uint8_t *out, uint32_t capacity)
{
    decoder->out = out;
    decoder->capacity = capacity;
    decoder->count = 0;
    decoder->left = decoder->code = decoder->bad = decoder->any = 0;
}

static ek_cobs_event end_of_frame(ek_cobs_decoder *decoder)
{
    const uint8_t any = decoder->any;
    const uint8_t good = !decoder->bad && !decoder->left;
    decoder->left = decoder->code = decoder->bad = decoder->any = 0;
    if (!any) {
        return EK_COBS_MORE;
    }
    return good ? EK_COBS_FRAME : EK_COBS_BAD;
}

static void append(ek_cobs_decoder *decoder, uint8_t byte)
{
    if (decoder->count < decoder->capacity) {
        decoder->out[decoder->count++] = byte;
    } else {
        decoder->bad = 1;
    }
}

ek_cobs_event ek_cobs_byte(ek_cobs_decoder *decoder, uint8_t byte)
{
    if (byte == 0) {
        return end_of_frame(decoder);
    }
    if (!decoder->any) {
        decoder->any = 1;
        decoder->count = 0;
    }
    if (decoder->left) {
        append(decoder, byte);
        decoder->left--;
        return EK_COBS_MORE;
    }
    if (decoder->code != 0 && decoder->code != 0xff) { /* the block before ended with a zero of the data */
        append(decoder, 0);
    }
    decoder->code = byte;
    decoder->left = (uint8_t)(byte - 1);
    return EK_COBS_MORE;
}

uint32_t ek_cobs_encode(uint8_t *buffer, uint32_t ahead, uint32_t count)
{
    /* Each block writes at most one byte more than it reads, so writing never catches up with reading. */
    const uint8_t *in = buffer + ahead;
    uint32_t code_at = 0, at = 1;
    uint8_t code = 1;
    for (uint32_t i = 0; i < count; i++) {
        if (code == 0xff) {
            buffer[code_at] = code;
            code_at = at++;
            code = 1;
        }
        if (in[i] != 0) {
            buffer[at++] = in[i];
            code++;
        } else {
            buffer[code_at] = code;
            code_at = at++;
            code = 1;
        }
    }
    buffer[code_at] = code;
    buffer[at++] = 0;
    return at;
}
