#include "cortex_m.h"

void ek_port_write(const uint8_t *bytes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        ek_board_send(bytes[i]);
    }
}
