/* This computer, with the sanitizers: arena and data are blocks of their exact size. The cases are a file. */
#include "../machine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint8_t *arena, *constants;

void print(const char *text)
{
    fputs(text, stdout);
}

void print_number(uint32_t value)
{
    printf("%" PRIu32, value);
}

uint32_t instructions(void)
{
    return 0u;
}

uint8_t *machine_arena(uint32_t bytes)
{
    free(arena);
    arena = aligned_alloc(16, bytes);
    return arena;
}

const uint8_t *machine_data(const uint8_t *data, uint32_t bytes)
{
    free(constants);
    constants = malloc(bytes + (bytes == 0u));
    return constants == NULL ? NULL : memcpy(constants, data, bytes);
}
