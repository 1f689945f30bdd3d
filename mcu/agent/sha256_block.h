/* SHA-256's compression (FIPS 180-4), for one file that hashes: the agent's, and that of bundles for Linux. */
#ifndef EDGEKIT_SHA256_BLOCK_H
#define EDGEKIT_SHA256_BLOCK_H

#include <stdint.h>
#include <string.h>

#define BLOCK 64u

static const uint32_t constants[64] = {
    0x428a2f98u, 0x71374491u, 0xb5c0fbcfu, 0xe9b5dba5u, 0x3956c25bu, 0x59f111f1u, 0x923f82a4u, 0xab1c5ed5u,
    0xd807aa98u, 0x12835b01u, 0x243185beu, 0x550c7dc3u, 0x72be5d74u, 0x80deb1feu, 0x9bdc06a7u, 0xc19bf174u,
    0xe49b69c1u, 0xefbe4786u, 0x0fc19dc6u, 0x240ca1ccu, 0x2de92c6fu, 0x4a7484aau, 0x5cb0a9dcu, 0x76f988dau,
    0x983e5152u, 0xa831c66du, 0xb00327c8u, 0xbf597fc7u, 0xc6e00bf3u, 0xd5a79147u, 0x06ca6351u, 0x14292967u,
    0x27b70a85u, 0x2e1b2138u, 0x4d2c6dfcu, 0x53380d13u, 0x650a7354u, 0x766a0abbu, 0x81c2c92eu, 0x92722c85u,
    0xa2bfe8a1u, 0xa81a664bu, 0xc24b8b70u, 0xc76c51a3u, 0xd192e819u, 0xd6990624u, 0xf40e3585u, 0x106aa070u,
    0x19a4c116u, 0x1e376c08u, 0x2748774cu, 0x34b0bcb5u, 0x391c0cb3u, 0x4ed8aa4au, 0x5b9cca4fu, 0x682e6ff3u,
    0x748f82eeu, 0x78a5636fu, 0x84c87814u, 0x8cc70208u, 0x90befffau, 0xa4506cebu, 0xbef9a3f7u, 0xc67178f2u,
};

static uint32_t right(uint32_t word, uint32_t by)
{
    return word >> by | word << (32u - by);
}

/* The message schedule in its last 16 words: word t replaces word t - 16. */
static uint32_t schedule(uint32_t words[16], uint32_t t)
{
    const uint32_t a = words[(t + 1) & 15], b = words[(t + 14) & 15];
    const uint32_t s0 = right(a, 7) ^ right(a, 18) ^ a >> 3;
    const uint32_t s1 = right(b, 17) ^ right(b, 19) ^ b >> 10;
    return words[t & 15] += s0 + words[(t + 9) & 15] + s1;
}

static void add_block(uint32_t hash[8], const uint8_t *block)
{
    uint32_t words[16], v[8];
    for (uint32_t i = 0; i < 16; i++, block += 4) {
        words[i] = (uint32_t)block[0] << 24 | (uint32_t)block[1] << 16 | (uint32_t)block[2] << 8 | block[3];
    }
    memcpy(v, hash, sizeof v);
    for (uint32_t t = 0; t < 64; t++) {
        const uint32_t word = t < 16 ? words[t] : schedule(words, t);
        const uint32_t e = v[4], a = v[0];
        const uint32_t t1 = v[7] + (right(e, 6) ^ right(e, 11) ^ right(e, 25)) + ((e & v[5]) ^ (~e & v[6])) +
                            constants[t] + word;
        const uint32_t t2 = (right(a, 2) ^ right(a, 13) ^ right(a, 22)) + ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
        v[7] = v[6];
        v[6] = v[5];
        v[5] = v[4];
        v[4] = v[3] + t1;
        v[3] = v[2];
        v[2] = v[1];
        v[1] = v[0];
        v[0] = t1 + t2;
    }
    for (uint32_t i = 0; i < 8; i++) {
        hash[i] += v[i];
    }
}

#endif
