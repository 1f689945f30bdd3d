#include "operators.h"
#include "pool.h"

/* The mean of `count` values, halves away from zero, as the reference rounds. */
static inline int32_t mean(int32_t sum, int32_t count)
{
    return (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
}

static inline void average(const ek_pool *r, const ek_pool_window *w, const int8_t *first, int32_t channels,
                           int8_t *output)
{
    int32_t sums[EK_POOL_BLOCK] = {0};
    for (int32_t y = 0; y < w->rows; y++) {
        const int8_t *value = first + y * r->in_w * r->channels;
        for (int32_t x = 0; x < w->columns; x++, value += r->channels) {
            for (int32_t c = 0; c < channels; c++) {
                sums[c] += value[c];
            }
        }
    }
    for (int32_t c = 0; c < channels; c++) {
        output[c] = (int8_t)ek_clamp(mean(sums[c], w->rows * w->columns), r->act_min, r->act_max);
    }
}

static void run(const void *record, uint8_t *arena, const uint8_t *data)
{
    (void)data;
    ek_pool_run(record, arena, average);
}

const ek_operator ek_average_pool_portable = {EK_OP_AVERAGE_POOL, sizeof(ek_pool), ek_pool_check, run};
