/* SHA-256 (FIPS 180-4). */
#ifndef EDGEKIT_SHA256_H
#define EDGEKIT_SHA256_H

#include <stdint.h>

#define EK_SHA256_BYTES 32u

/* The digest of `count` bytes in one go; < 2^29 bytes. */
void ek_sha256(const uint8_t *bytes, uint32_t count, uint8_t digest[EK_SHA256_BYTES]);

#endif
