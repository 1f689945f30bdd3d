#include "edgekit/op_resize.h"
#include "op_common.h"
#include "operators.h"

/* `count` positions in data, each of an input of `input` rows or columns. */
static bool positions_ok(const ek_limits *limits, int32_t offset, int32_t count, int32_t input)
{
    if (!ek_between(input, 1, EK_MAX_SIDE) || !ek_between(count, 1, EK_MAX_SIDE) ||
        !ek_words_in_data(limits, offset, count)) {
        return false;
    }
    const int32_t *positions = (const int32_t *)(const void *)(limits->data + offset);
    for (int32_t i = 0; i < count; i++) {
        if (!ek_between(positions[i], 0, input - 1)) {
            return false;
        }
    }
    return true;
}

static ek_status check(const void *record, const ek_limits *limits)
{
    const ek_resize_nearest *r = record;
    const int64_t input = (int64_t)r->in_h * r->in_w * r->channels;
    const int64_t output = (int64_t)r->out_h * r->out_w * r->channels;
    const bool good = positions_ok(limits, r->rows, r->out_h, r->in_h) &&
                      positions_ok(limits, r->columns, r->out_w, r->in_w) &&
                      ek_between(r->channels, 1, EK_MAX_CHANNELS) &&
                      ek_in_arena(limits, r->input, input) && ek_in_arena(limits, r->output, output) &&
                      ek_disjoint(r->input, input, r->output, output);
    return good ? EK_OK : EK_BAD_OPERATOR;
}

static void run(const void *record, uint8_t *arena, const uint8_t *data)
{
    const ek_resize_nearest *r = record;
    const uint8_t *input = arena + r->input;
    uint8_t *output = arena + r->output;
    const int32_t *rows = (const int32_t *)(const void *)(data + r->rows);
    const int32_t *columns = (const int32_t *)(const void *)(data + r->columns);
    for (int32_t i = 0; i < r->out_h; i++) {
        const uint8_t *row = input + rows[i] * r->in_w * r->channels;
        for (int32_t j = 0; j < r->out_w; j++, output += r->channels) {
            memcpy(output, row + columns[j] * r->channels, (size_t)r->channels);
        }
    }
}

const ek_operator ek_resize_nearest_portable = {EK_OP_RESIZE_NEAREST, sizeof(ek_resize_nearest), check, run};
