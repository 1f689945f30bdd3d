#include "edgekit/op_copy.h"

#include "op_common.h"
#include "operators.h"

#define LEAST_MEMCPY 16 /* bytes; a call costs more than it gains below */

static ek_status check(const void *record, const ek_limits *limits)
{
    const ek_copy *r = record;
    const int64_t input = ek_extent(r->dims, r->input_strides, EK_COPY_RANK, r->bytes);
    const int64_t output = ek_extent(r->dims, r->output_strides, EK_COPY_RANK, r->bytes);
    const int64_t count = ek_count(r->dims, EK_COPY_RANK);
    const bool starts = r->input_start >= 0 && r->output_start >= 0 && r->input >= 0 && r->output >= 0;
    /* Work in proportion to the output: a record can't make the runtime hang. */
    const bool good = starts && input > 0 && output > 0 && count > 0 &&
                      count * r->bytes <= (int64_t)limits->arena_bytes && ek_is_flag(r->input_constant) &&
                      ek_inside((int64_t)r->input + r->input_start, input,
                                r->input_constant ? limits->data_bytes : limits->arena_bytes) &&
                      ek_inside((int64_t)r->output + r->output_start, output, limits->arena_bytes) &&
                      ek_in_arena(limits, r->output, r->fill_bytes) && ek_is_int8(r->fill_value);
    return good ? EK_OK : EK_BAD_OPERATOR;
}

static void copy_run(uint8_t *to, const uint8_t *from, int32_t bytes)
{
    if (to == from) {
        return;
    }
    if (bytes >= LEAST_MEMCPY && (to + bytes <= from || from + bytes <= to)) {
        memcpy(to, from, (size_t)bytes);
        return;
    }
    for (int32_t i = 0; i < bytes; i++) {
        to[i] = from[i];
    }
}

/* The two innermost dimensions. */
static void copy_plane(const ek_copy *r, uint8_t *to, const uint8_t *from)
{
    const int32_t from_step = r->input_strides[5], to_step = r->output_strides[5], count = r->dims[5];
    for (int32_t i = 0; i < r->dims[4]; i++) {
        const uint8_t *read = from + i * r->input_strides[4];
        uint8_t *write = to + i * r->output_strides[4];
        if (r->bytes == 1) {
            for (int32_t j = 0; j < count; j++, read += from_step, write += to_step) {
                *write = *read;
            }
        } else {
            for (int32_t j = 0; j < count; j++, read += from_step, write += to_step) {
                copy_run(write, read, r->bytes);
            }
        }
    }
}

static void run(const void *record, uint8_t *arena, const uint8_t *data)
{
    const ek_copy *r = record;
    const uint8_t *input = (r->input_constant ? data : arena) + r->input + r->input_start;
    uint8_t *output = arena + r->output + r->output_start;
    const int32_t *in = r->input_strides, *out = r->output_strides;
    if (r->fill_bytes > 0) {
        memset(arena + r->output, r->fill_value, (size_t)r->fill_bytes);
    }
    for (int32_t i = 0; i < r->dims[0]; i++) {
        for (int32_t j = 0; j < r->dims[1]; j++) {
            for (int32_t k = 0; k < r->dims[2]; k++) {
                for (int32_t l = 0; l < r->dims[3]; l++) {
                    copy_plane(r, output + i * out[0] + j * out[1] + k * out[2] + l * out[3],
                               input + i * in[0] + j * in[1] + k * in[2] + l * in[3]);
                }
            }
        }
    }
}

const ek_operator ek_copy_portable = {EK_OP_COPY, sizeof(ek_copy), check, run};
