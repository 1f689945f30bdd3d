#include "operators.h"
#include "pool.h"

static inline void greatest(const ek_pool *r, const ek_pool_window *w, const int8_t *first, int32_t channels,
                            int8_t *output)
{
    int32_t most[EK_POOL_BLOCK];
    for (int32_t c = 0; c < channels; c++) {
        most[c] = first[c];
    }
    for (int32_t y = 0; y < w->rows; y++) {
        const int8_t *value = first + y * r->in_w * r->channels;
        for (int32_t x = 0; x < w->columns; x++, value += r->channels) {
            for (int32_t c = 0; c < channels; c++) {
                most[c] = ek_greatest(most[c], value[c]);
            }
        }
    }
    for (int32_t c = 0; c < channels; c++) {
        output[c] = (int8_t)ek_clamp(most[c], r->act_min, r->act_max);
    }
}

static void run(const void *record, uint8_t *arena, const uint8_t *data)
{
    (void)data;
    ek_pool_run(record, arena, greatest);
}

const ek_operator ek_max_pool_portable = {EK_OP_MAX_POOL, sizeof(ek_pool), ek_pool_check, run};
