/* Frames from text to wire bytes and back, for the test that holds C and Python together. Each line of the input:
 *   encode PROTOCOL TYPE SESSION SEQUENCE NEXT HEX   -> the frame on the wire, in hexadecimal
 *   decode HEX                                       -> PROTOCOL TYPE SESSION SEQUENCE NEXT HEX, or "damaged", "more"
 *   sha256 HEX                                       -> the digest
 * An empty HEX is written "-". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frames.h"
#include "sha256.h"

static uint32_t from_hex(const char *text, uint8_t *bytes, uint32_t capacity)
{
    uint32_t count = 0;
    for (; text[0] && text[0] != '-'; text += 2) {
        unsigned value;
        if (count == capacity || sscanf(text, "%2x", &value) != 1) {
            exit(2);
        }
        bytes[count++] = (uint8_t)value;
    }
    return count;
}

static void print_hex(const uint8_t *bytes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        printf("%02x", bytes[i]);
    }
    puts(count ? "" : "-");
}

static void encode(const unsigned numbers[5], const char *hex)
{
    uint8_t buffer[EK_WIRE_BYTES];
    ek_frame frame = {.protocol = (uint8_t)numbers[0], .type = (uint8_t)numbers[1], .session = (uint16_t)numbers[2],
                      .sequence = (uint16_t)numbers[3], .next = (uint16_t)numbers[4]};
    frame.payload_bytes = from_hex(hex, buffer + EK_PAYLOAD_AT, EK_PAYLOAD_BYTES);
    print_hex(buffer, ek_frame_encode(buffer, &frame));
}

/* Every frame of the bytes, one line each. */
static void decode(const uint8_t *bytes, uint32_t count)
{
    static uint8_t raw[EK_FRAME_BYTES];
    ek_cobs_decoder decoder;
    ek_cobs_event event = EK_COBS_MORE;
    ek_cobs_start(&decoder, raw, sizeof raw);
    for (uint32_t i = 0; i < count; i++) {
        ek_frame frame;
        event = ek_cobs_byte(&decoder, bytes[i]);
        if (event == EK_COBS_MORE) {
            continue;
        }
        if (event == EK_COBS_BAD || ek_frame_parse(raw, decoder.count, &frame) != EK_FRAME_OK) {
            puts("damaged");
            continue;
        }
        printf("%u %u %u %u %u ", frame.protocol, frame.type, frame.session, frame.sequence, frame.next);
        print_hex(frame.payload, frame.payload_bytes);
    }
    if (event == EK_COBS_MORE) {
        puts("more");
    }
}

int main(void)
{
    static char line[16384], hex[16384];
    static uint8_t bytes[8192];
    unsigned n[5];
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "encode %u %u %u %u %u %16383s", &n[0], &n[1], &n[2], &n[3], &n[4], hex) == 6) {
            encode(n, hex);
        } else if (sscanf(line, "decode %16383s", hex) == 1) {
            decode(bytes, from_hex(hex, bytes, sizeof bytes));
        } else if (sscanf(line, "sha256 %16383s", hex) == 1) {
            uint8_t digest[EK_SHA256_BYTES];
            ek_sha256(bytes, from_hex(hex, bytes, sizeof bytes), digest);
            print_hex(digest, sizeof digest);
        } else {
            return 2;
        }
        fflush(stdout);
    }
    return 0;
}
