/* The C tests: main.c tells what they take; each prints one line of JSON and returns 0, or explains and returns 1. */
#ifndef EK_TESTS_H
#define EK_TESTS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* xorshift64*: the same cases on every machine. */
typedef struct {
    uint64_t state;
} ek_random;

static inline uint32_t random_word(ek_random *random)
{
    random->state ^= random->state >> 12;
    random->state ^= random->state << 25;
    random->state ^= random->state >> 27;
    return (uint32_t)((random->state * 0x2545f4914f6cdd1dull) >> 32);
}

static inline uint32_t random_below(ek_random *random, uint32_t bound)
{
    return random_word(random) % bound;
}

static inline ek_random random_from(uint32_t seed)
{
    ek_random random = {0x9e3779b97f4a7c15ull ^ ((uint64_t)seed << 17) ^ seed};
    for (int i = 0; i < 8; i++) {
        random_word(&random);
    }
    return random;
}

/* Aligned, and of exactly this size, so that the sanitizer sees the first byte beyond it. */
static inline void *exact_memory(size_t bytes)
{
    void *memory = NULL;
    if (posix_memalign(&memory, 16, bytes > 0 ? bytes : 1) != 0) {
        fprintf(stderr, "no memory for %zu bytes\n", bytes);
        exit(2);
    }
    return memory;
}

int test_edges(void);
int test_fuzz(const char *path, uint32_t seed, uint32_t cases);
int test_geometry(uint32_t seed, uint32_t cases);

#endif
