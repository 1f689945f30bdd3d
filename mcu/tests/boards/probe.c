/* A program for a board in the agent's place, which tests the board itself. It answers one letter at a time:
 * c: counts loops of 1 to 50 and of a million rounds; d: a variable that begins with 1000 and is counted up;
 * s: stack and static bytes; f: a bad address; u: an undefined instruction; o: a stack that grows without end. */
#include "cortex_m.h"

static uint32_t initialised = 1000;

static void text(const char *line)
{
    while (*line != 0) {
        ek_board_send((uint8_t)*line++);
    }
}

static void number(uint32_t value)
{
    char digits[12] = {0};
    uint32_t at = sizeof digits - 1;
    do {
        digits[--at] = (char)('0' + value % 10u);
        value /= 10u;
    } while (value != 0);
    text(digits + at);
    text(" ");
}

/* Two instructions a round. */
__attribute__((noinline)) static void rounds(uint32_t count)
{
    __asm volatile("1: subs %0, %0, #1\n bne 1b" : "+r"(count)::"cc");
}

__attribute__((noinline)) static uint32_t counted(uint32_t count)
{
    const uint32_t before = ek_port_counter();
    rounds(count);
    return ek_port_counter() - before;
}

static void count_rounds(void)
{
    for (uint32_t count = 1; count <= 50; count++) {
        number(counted(count));
    }
    number(counted(1000000));
}

static void use_stack(void)
{
    volatile uint8_t room[3000];
    room[0] = 1;
    room[sizeof room - 1] = room[0];
}

int main(void)
{
    ek_port_init();
    for (;;) {
        const int letter = ek_port_getc();
        switch (letter) {
        case 'c':
            count_rounds();
            break;
        case 'd':
            number(initialised++);
            break;
        case 's':
            ek_port_stack_repaint();
            number(ek_port_stack_used());
            use_stack();
            number(ek_port_stack_used());
            number(ek_port_static_bytes());
            break;
        case 'f':
            EK_REG(0xE1000000u) = 1;
            break;
        case 'u':
            __asm volatile(".short 0xde00");
            break;
        case 'o':
            __asm volatile("1: push {r0-r7}\n b 1b" ::: "memory");
            break;
        default:
            continue;
        }
        text("\n");
    }
}
