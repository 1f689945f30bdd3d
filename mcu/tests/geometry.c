/* Convolutions of every edge geometry in memory of exactly their size: no byte too far, every order the same
 * answer as the definition, and a check() that refuses the same record in memory one byte smaller.
 */
#include <stdbool.h>

#include "edgekit/op_conv.h"
#include "edgekit/op_depthwise.h"
#include "edgekit/quant.h"
#include "edgekit/runtime.h"
#include "tests.h"

#define SCRATCH 65536 /* more than any kernel wants at these sizes */

/* A case as [out_c][k_h][k_w][depth] weights; depthwise has depth 1. */
typedef struct {
    ek_conv conv;
    bool depthwise;
    int32_t taps;              /* per output channel */
    int8_t *weights;
    int32_t *bias, *multiplier, *shift;
} layer;

typedef struct {
    uint8_t *data;
    uint32_t count;
} section;

static int32_t pick(ek_random *random, const int32_t *values, uint32_t count)
{
    return values[random_below(random, count)];
}

#define PICK(random, ...) \
    pick(random, (const int32_t[]){__VA_ARGS__}, sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

static layer random_layer(ek_random *random, bool depthwise)
{
    layer made = {.depthwise = depthwise};
    ek_conv *c = &made.conv;
    c->groups = depthwise ? 1 : PICK(random, 1, 1, 1, 2, 4);
    c->in_h = PICK(random, 1, 1, 2, 3, 5, 8);
    c->in_w = PICK(random, 1, 1, 2, 3, 4, 9);
    c->in_c = c->groups * PICK(random, 1, 2, 3, 4, 5, 8);
    c->out_c = depthwise ? c->in_c * PICK(random, 1, 1, 2, 3) : c->groups * PICK(random, 1, 2, 3, 4, 5);
    c->out_h = PICK(random, 1, 2, 3, 5);
    c->out_w = PICK(random, 1, 2, 3, 6, 9);
    c->k_h = PICK(random, 1, 1, 2, 3, 5, 7);
    c->k_w = PICK(random, 1, 1, 2, 3, 4, 6);
    c->stride_h = PICK(random, 1, 1, 2, 3, 1024);
    c->stride_w = PICK(random, 1, 1, 2, 3, 1024);
    c->dilation_h = PICK(random, 1, 1, 2, 3, 1024);
    c->dilation_w = PICK(random, 1, 1, 2, 3, 1024);
    c->pad_top = PICK(random, 0, 1, 2, 5, 1048575);
    c->pad_left = PICK(random, 0, 1, 2, 5, 1048575);
    if (depthwise && random_below(random, 2) == 0) { /* what may work in place */
        c->out_h = c->in_h;
        c->out_w = c->in_w;
        c->out_c = c->in_c;
        c->stride_h = c->stride_w = 1;
    }
    c->rounding = EK_ROUND_TWICE;
    c->input_zp = PICK(random, -128, -1, 0, 3, 127);
    c->output_zp = PICK(random, -128, 0, 5, 127);
    c->act_min = PICK(random, -128, -128, -20, 127);
    c->act_max = PICK(random, 127, 127, 20);
    if (c->act_max < c->act_min) {
        c->act_max = 127;
    }
    made.taps = c->k_h * c->k_w * (depthwise ? 1 : c->in_c / c->groups);
    return made;
}

static void fill_layer(ek_random *random, layer *made)
{
    const int32_t channels = made->conv.out_c;
    made->weights = exact_memory((size_t)(channels * made->taps));
    made->bias = exact_memory((size_t)channels * 4);
    made->multiplier = exact_memory((size_t)channels * 4);
    made->shift = exact_memory((size_t)channels * 4);
    for (int32_t i = 0; i < channels * made->taps; i++) {
        made->weights[i] = (int8_t)random_word(random);
    }
    for (int32_t i = 0; i < channels; i++) {
        made->bias[i] = PICK(random, 0, 100, -5000, INT32_MAX, INT32_MIN);
        made->multiplier[i] = PICK(random, 0, 1 << 30, INT32_MAX, 1500000000);
        made->shift[i] = PICK(random, -31, -12, -9, -8, -7, -1, 0, 1, 5, 30);
    }
}

static void free_layer(layer *made)
{
    free(made->weights);
    free(made->bias);
    free(made->multiplier);
    free(made->shift);
}

/* The definition, tap by tap. */
static int8_t defined(const layer *l, const int8_t *input, int32_t y, int32_t x, int32_t channel)
{
    const ek_conv *c = &l->conv;
    const int32_t depth = l->depthwise ? 1 : c->in_c / c->groups;
    const int32_t first = l->depthwise ? channel / (c->out_c / c->in_c) : channel / (c->out_c / c->groups) * depth;
    int32_t sum = 0;
    for (int32_t tap = 0; tap < l->taps; tap++) {
        const int32_t iy = y * c->stride_h - c->pad_top + tap / depth / c->k_w * c->dilation_h;
        const int32_t ix = x * c->stride_w - c->pad_left + tap / depth % c->k_w * c->dilation_w;
        const bool inside = iy >= 0 && iy < c->in_h && ix >= 0 && ix < c->in_w;
        const int32_t value = inside ? input[(iy * c->in_w + ix) * c->in_c + first + tap % depth] : c->input_zp;
        sum += value * l->weights[channel * l->taps + tap];
    }
    return ek_output(ek_wrap_add(sum, l->bias[channel]), l->multiplier[channel], l->shift[channel], c->output_zp,
                     c->act_min, c->act_max);
}

/* The parameters first, so that the weights end where the data end. */
static section section_of(layer *l, int32_t *offsets)
{
    const int32_t channels = l->conv.out_c;
    section made = {NULL, (uint32_t)(channels * 12 + channels * l->taps)};
    made.data = exact_memory(made.count);
    const int32_t *parameters[3] = {l->bias, l->multiplier, l->shift};
    for (int32_t i = 0; i < 3; i++) {
        offsets[1 + i] = i * channels * 4;
        memcpy(made.data + offsets[1 + i], parameters[i], (size_t)channels * 4);
    }
    offsets[0] = channels * 12;
    for (int32_t c = 0; c < channels; c++) {
        for (int32_t tap = 0; tap < l->taps; tap++) {
            const int32_t at = l->depthwise ? tap * channels + c : c * l->taps + tap;
            made.data[offsets[0] + at] = (uint8_t)l->weights[c * l->taps + tap];
        }
    }
    return made;
}

static const ek_operator *operator_of(uint16_t kind)
{
    for (uint32_t i = 0; i < ek_operator_count; i++) {
        if (ek_operators[i]->kind == kind) {
            return ek_operators[i];
        }
    }
    fprintf(stderr, "operator %u is not in the table\n", (unsigned)kind);
    exit(2);
}

/* As an ek_depthwise, which differs behind the window. */
static ek_depthwise depthwise_of(const ek_conv *c, int32_t order)
{
    ek_depthwise made;
    memcpy(&made, c, offsetof(ek_conv, groups));
    made.head = (ek_op_head){EK_OP_DEPTHWISE, sizeof made};
    made.depth_multiplier = c->out_c / c->in_c;
    made.input_zp = c->input_zp;
    made.output_zp = c->output_zp;
    made.act_min = c->act_min;
    made.act_max = c->act_max;
    made.layout = c->layout;
    made.order = order;
    made.weights = c->weights;
    made.bias = c->bias;
    made.multiplier = c->multiplier;
    made.shift = c->shift;
    return made;
}

/* Run one variant; 0 if check() and the answer are right. Input and scratch lie first, the output ends the arena. */
static int try_variant(layer *l, int32_t order, bool in_place, const int8_t *input, const int8_t *expected)
{
    ek_conv c = l->conv;
    int32_t offsets[4];
    section data = section_of(l, offsets);
    const int32_t read = c.in_h * c.in_w * c.in_c, made = c.out_h * c.out_w * c.out_c;
    c.head = (ek_op_head){EK_OP_CONV, sizeof c};
    c.layout = EK_CONV_OHWI;
    c.weights = offsets[0], c.bias = offsets[1], c.multiplier = offsets[2], c.shift = offsets[3];
    c.scratch = 0, c.scratch_bytes = SCRATCH;
    c.input = SCRATCH;
    c.output = in_place ? c.input : c.input + read;
    const ek_depthwise dw = depthwise_of(&c, order);
    const void *record = l->depthwise ? (const void *)&dw : &c;
    const ek_operator *operator = operator_of(l->depthwise ? EK_OP_DEPTHWISE : EK_OP_CONV);
    const uint32_t arena_bytes = (uint32_t)(c.output + made);
    uint8_t *arena = exact_memory(arena_bytes);
    memset(arena, 0xa5, arena_bytes);
    memcpy(arena + c.input, input, (size_t)read);
    const ek_limits whole = {arena_bytes, data.count, data.data};
    const ek_limits less_arena = {arena_bytes - 1, data.count, data.data};
    const ek_limits less_data = {arena_bytes, data.count - 1, data.data};
    int wrong = operator->check(record, &whole) != EK_OK ? 1 : 0;
    wrong |= operator->check(record, &less_arena) != EK_BAD_OPERATOR ? 2 : 0;
    wrong |= operator->check(record, &less_data) != EK_BAD_OPERATOR ? 4 : 0;
    if (wrong == 0) {
        operator->run(record, arena, data.data);
        wrong = memcmp(arena + c.output, expected, (size_t)made) != 0 ? 8 : 0;
    }
    free(arena);
    free(data.data);
    return wrong;
}

static bool may_work_in_place(const layer *l)
{
    const ek_conv *c = &l->conv;
    return l->depthwise && c->in_h == c->out_h && c->in_w == c->out_w && c->in_c == c->out_c &&
           (c->stride_h == 1 || c->out_h == 1) && (c->stride_w == 1 || c->out_w == 1);
}

static int report(const layer *l, uint32_t number, int32_t order, bool in_place, int wrong)
{
    const ek_conv *c = &l->conv;
    fprintf(stderr,
            "case %u (%s, order %d, in place %d): finding %d; in %dx%dx%d out %dx%dx%d k %dx%d "
            "stride %dx%d dilation %dx%d pad %d %d groups %d\n",
            (unsigned)number, l->depthwise ? "depthwise" : "conv", (int)order, in_place, wrong,
            (int)c->in_h, (int)c->in_w, (int)c->in_c, (int)c->out_h, (int)c->out_w, (int)c->out_c, (int)c->k_h,
            (int)c->k_w, (int)c->stride_h, (int)c->stride_w, (int)c->dilation_h, (int)c->dilation_w, (int)c->pad_top,
            (int)c->pad_left, (int)c->groups);
    return 1;
}

/* Every order and placement that the geometry may have. Adds to *variants. */
static int try_layer(layer *l, uint32_t number, const int8_t *input, const int8_t *expected, uint32_t *variants)
{
    for (int32_t order = EK_ORDER_ROWS; order <= (l->depthwise ? EK_ORDER_CHANNELS : EK_ORDER_ROWS); order++) {
        for (int in_place = 0; in_place <= (order == EK_ORDER_CHANNELS && may_work_in_place(l)); in_place++) {
            const int wrong = try_variant(l, order, in_place, input, expected);
            if (wrong != 0) {
                return report(l, number, order, in_place, wrong);
            }
            ++*variants;
        }
    }
    return 0;
}

static int one_case(ek_random *random, uint32_t number, uint32_t *variants)
{
    layer l = random_layer(random, number % 2 == 1);
    fill_layer(random, &l);
    const ek_conv *c = &l.conv;
    const int32_t read = c->in_h * c->in_w * c->in_c;
    int8_t *input = exact_memory((size_t)read);
    int8_t *expected = exact_memory((size_t)(c->out_h * c->out_w * c->out_c));
    for (int32_t i = 0; i < read; i++) {
        input[i] = (int8_t)random_word(random);
    }
    for (int32_t y = 0, i = 0; y < c->out_h; y++) {
        for (int32_t x = 0; x < c->out_w; x++) {
            for (int32_t channel = 0; channel < c->out_c; channel++) {
                expected[i++] = defined(&l, input, y, x, channel);
            }
        }
    }
    const int failed = try_layer(&l, number, input, expected, variants);
    free(expected);
    free(input);
    free_layer(&l);
    return failed;
}

int test_geometry(uint32_t seed, uint32_t cases)
{
    ek_random random = random_from(seed);
    uint32_t variants = 0;
    for (uint32_t i = 0; i < cases; i++) {
        if (one_case(&random, i, &variants) != 0) {
            return 1;
        }
    }
    printf("{\"cases\": %u, \"variants\": %u}\n", (unsigned)cases, (unsigned)variants);
    return 0;
}
