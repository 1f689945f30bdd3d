/* What the agent and the compiler take from libc. Built without loop recognition (-fno-tree-loop-distribute-patterns),
 * or each would become a call of itself. What a program does not use, the linker drops. */
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t count);
void *memmove(void *to, const void *from, size_t count);
void *memset(void *to, int value, size_t count);
int memcmp(const void *left, const void *right, size_t count);

void *memcpy(void *restrict to, const void *restrict from, size_t count)
{
    uint8_t *out = to;
    const uint8_t *in = from;
    if ((((uintptr_t)out | (uintptr_t)in) & 3u) == 0) {
        for (; count >= 16; count -= 16, out += 16, in += 16) {
            const uint32_t *source = (const uint32_t *)(const void *)in;
            uint32_t a = source[0], b = source[1], c = source[2], d = source[3];
            uint32_t *target = (uint32_t *)(void *)out;
            target[0] = a, target[1] = b, target[2] = c, target[3] = d;
        }
        for (; count >= 4; count -= 4, out += 4, in += 4) {
            *(uint32_t *)(void *)out = *(const uint32_t *)(const void *)in;
        }
    }
    while (count-- > 0) {
        *out++ = *in++;
    }
    return to;
}

void *memmove(void *to, const void *from, size_t count)
{
    uint8_t *out = to;
    const uint8_t *in = from;
    if ((uintptr_t)out - (uintptr_t)in >= count) {
        return memcpy(to, from, count); /* to lies before from, or behind its end: forwards is right */
    }
    while (count-- > 0) {
        out[count] = in[count];
    }
    return to;
}

void *memset(void *to, int value, size_t count)
{
    uint8_t *out = to;
    for (; count > 0 && ((uintptr_t)out & 3u) != 0; count--) {
        *out++ = (uint8_t)value;
    }
    uint32_t word = (uint8_t)value * 0x01010101u;
    for (; count >= 4; count -= 4, out += 4) {
        *(uint32_t *)(void *)out = word;
    }
    while (count-- > 0) {
        *out++ = (uint8_t)value;
    }
    return to;
}

int memcmp(const void *left, const void *right, size_t count)
{
    const uint8_t *a = left, *b = right;
    for (; count > 0; count--, a++, b++) {
        if (*a != *b) {
            return *a < *b ? -1 : 1;
        }
    }
    return 0;
}
