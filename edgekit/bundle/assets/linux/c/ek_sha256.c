#include "ek_sha256.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "sha256_block.h"

struct state {
    uint32_t hash[8];
    uint64_t bytes;
};

/* The last, incomplete block with its padding and the length in bits. */
static void finish(struct state *state, const uint8_t *rest, size_t count)
{
    uint8_t last[2 * BLOCK] = {0};
    const size_t size = count < BLOCK - 8 ? BLOCK : 2 * BLOCK;
    const uint64_t bits = state->bytes * 8;
    memcpy(last, rest, count);
    last[count] = 0x80;
    for (uint32_t i = 0; i < 8; i++) {
        last[size - 1 - i] = (uint8_t)(bits >> (8 * i));
    }
    for (size_t at = 0; at < size; at += BLOCK) {
        add_block(state->hash, last + at);
    }
}

int ek_sha256_file(const char *path, char hex[65])
{
    struct state state = {{0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au, 0x510e527fu, 0x9b05688cu, 0x1f83d9abu,
                           0x5be0cd19u},
                          0};
    uint8_t buffer[256 * BLOCK];
    size_t count;
    FILE *file = fopen(path, "rb");
    if (!file) {
        return -1;
    }
    do {
        size_t at = 0;
        count = fread(buffer, 1, sizeof buffer, file);
        state.bytes += count;
        for (; count - at >= BLOCK; at += BLOCK) {
            add_block(state.hash, buffer + at);
        }
        if (count < sizeof buffer) {
            finish(&state, buffer + at, count - at);
        }
    } while (count == sizeof buffer);
    const int failed = ferror(file);
    fclose(file);
    for (uint32_t i = 0; i < 8; i++) {
        snprintf(hex + 8 * i, 9, "%08x", (unsigned)state.hash[i]);
    }
    return failed ? -1 : 0;
}
