#include "ek_preprocess.h"

#include <float.h>

#if defined(__FAST_MATH__)
#error "-ffast-math changes results: compile this file without it"
#endif
#if FLT_EVAL_METHOD != 0
#error "float and double have to be evaluated as such: on 32-bit x86 use -msse2 -mfpmath=sse"
#endif
/* A fused multiply-add rounds once where the definition rounds twice. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#elif defined(_MSC_VER)
#pragma fp_contract(off)
#endif

#define PRECISION_BITS 22 /* of weights */
#define HALF (1 << (PRECISION_BITS - 1))
#define ONE (1 << PRECISION_BITS)

/* One direction of the picture: which source pixels make up each position of the input, one after the other. */
struct axis {
    enum ek_interpolation interpolation;
    uint32_t size, resized; /* pixels before and after */
    uint32_t position;      /* the next one, after resizing */
    double scale, stretch, support;
    double at;              /* nearest: the source position, summed up as Pillow does */
    uint32_t taps;          /* at most so many source pixels per position */
};

struct plan {
    struct axis columns, rows;
    bool rows_first;      /* which of the two passes comes first, since each rounds to 8 bits */
    uint32_t lines;       /* between the passes: the last resized ones, or with rows first the one */
    size_t sums, weights; /* counts of int32_t */
    size_t bytes;         /* of scratch in all */
};

/* The parts of the scratch memory. */
struct work {
    int32_t *sums;           /* of the line that is being made */
    int32_t *column_weights; /* taps per position */
    uint32_t *column_low, *column_count;
    int32_t *row_weights;
    uint8_t *made;           /* a line of the input */
    uint8_t *lines;          /* between the passes */
};

static double filter(enum ek_interpolation interpolation, double x)
{
    if (interpolation == EK_BOX)
        return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
    if (x < 0.0)
        x = -x;
    if (interpolation == EK_BILINEAR)
        return x < 1.0 ? 1.0 - x : 0.0;
    if (x < 1.0)
        return (1.5 * x - 2.5) * x * x + 1.0;
    return x < 2.0 ? (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5 : 0.0;
}

static struct axis axis_of(enum ek_interpolation interpolation, uint32_t size, uint32_t resized)
{
    static const double supports[] = {0.0, 1.0, 0.5, 2.0};
    struct axis axis = {.interpolation = interpolation, .size = size, .resized = resized, .taps = 1};
    axis.scale = (double)size / (double)resized;
    axis.at = axis.scale * 0.5;
    axis.stretch = axis.scale < 1.0 ? 1.0 : axis.scale;
    axis.support = supports[interpolation] * axis.stretch;
    if (interpolation != EK_NEAREST && size != resized) {
        uint32_t reach = (uint32_t)axis.support;
        if ((double)reach < axis.support)
            reach++;
        axis.taps = 2 * reach + 1 < size ? 2 * reach + 1 : size;
    }
    return axis;
}

static void skip(struct axis *axis, uint32_t positions)
{
    axis->position += positions;
    if (axis->interpolation == EK_NEAREST)
        for (uint32_t i = 0; i < positions; i++)
            axis->at += axis->scale;
}

/* The source pixels of the next position: the first of them, their number, and their weights. */
static uint32_t next(struct axis *axis, int32_t *weights, uint32_t *low)
{
    uint32_t position = axis->position++;
    if (axis->interpolation == EK_NEAREST || axis->size == axis->resized) {
        uint32_t nearest = axis->size == axis->resized ? position : (uint32_t)axis->at;
        axis->at += axis->scale;
        *low = nearest < axis->size ? nearest : axis->size - 1;
        weights[0] = ONE;
        return 1;
    }
    double center = ((double)position + 0.5) * axis->scale;
    double begin = center - axis->support + 0.5, end = center + axis->support + 0.5;
    uint32_t first = begin < 0.0 ? 0 : (uint32_t)begin;
    uint32_t last = end < (double)axis->size ? (uint32_t)end : axis->size;
    double shrink = 1.0 / axis->stretch, total = 0.0;
    for (uint32_t i = first; i < last; i++)
        total += filter(axis->interpolation, ((double)i - center + 0.5) * shrink);
    for (uint32_t i = first; i < last; i++) {
        double weight = filter(axis->interpolation, ((double)i - center + 0.5) * shrink);
        if (total != 0.0)
            weight /= total;
        weight *= (double)ONE;
        weights[i - first] = (int32_t)(weight < 0.0 ? weight - 0.5 : weight + 0.5);
    }
    *low = first;
    return last - first;
}

/* Half of the difference, halves to even. */
static uint32_t centred(uint32_t resized, uint32_t side)
{
    uint32_t twice = resized - side, half = twice / 2;
    return half + (twice & half & 1);
}

static bool in_range(uint32_t side)
{
    return side >= 1 && side <= EK_PREPROCESS_MAX_SIDE;
}

static enum ek_preprocess_status check(const struct ek_preprocess_steps *steps, uint32_t width, uint32_t height)
{
    if (!steps)
        return EK_PREPROCESS_NULL;
    if ((steps->channels != 1 && steps->channels != 3) || !in_range(steps->height) || !in_range(steps->width) ||
        !in_range(steps->base_height) || !in_range(steps->base_width) || (unsigned)steps->interpolation > EK_BICUBIC)
        return EK_PREPROCESS_BAD_STEPS;
    return in_range(width) && in_range(height) ? EK_PREPROCESS_OK : EK_PREPROCESS_BAD_SIZE;
}

/* Expects checked arguments; plan.bytes is 0 if the memory of this machine can't hold the scratch. */
static struct plan plan_of(const struct ek_preprocess_steps *steps, uint32_t width, uint32_t height)
{
    double by_height = (double)steps->base_height / (double)height;
    double by_width = (double)steps->base_width / (double)width;
    double scale = by_height > by_width ? by_height : by_width;
    double covering_width = (double)width * scale, covering_height = (double)height * scale;
    uint32_t resized_width = (uint32_t)(covering_width + 1e-6), resized_height = (uint32_t)(covering_height + 1e-6);
    if (resized_width < steps->width)
        resized_width = steps->width;
    if (resized_height < steps->height)
        resized_height = steps->height;
    struct plan plan = {.columns = axis_of(steps->interpolation, width, resized_width),
                        .rows = axis_of(steps->interpolation, height, resized_height)};
    int32_t fewer_rows = (int32_t)height - (int32_t)resized_height;
    int32_t fewer_columns = (int32_t)width - (int32_t)resized_width;
    plan.rows_first = fewer_rows > 0 && fewer_rows > 2 * fewer_columns;
    plan.lines = plan.rows_first ? 1 : plan.rows.taps;

    uint64_t line = (uint64_t)(plan.rows_first ? width : steps->width) * steps->channels;
    uint64_t weights = (uint64_t)plan.columns.taps * steps->width;
    uint64_t words = line + weights + 2 * (uint64_t)steps->width + plan.rows.taps;
    uint64_t made = (uint64_t)steps->width * steps->channels, alignment = sizeof(int32_t) - 1;
    uint64_t bytes = words * sizeof(int32_t) + made + line * plan.lines + alignment;
    plan.sums = (size_t)line;
    plan.weights = (size_t)weights;
    plan.bytes = bytes <= SIZE_MAX / 2 ? (size_t)bytes : 0;
    return plan;
}

static struct work work_of(const struct plan *plan, const struct ek_preprocess_steps *steps, void *scratch)
{
    uintptr_t misaligned = (uintptr_t)scratch % sizeof(int32_t);
    struct work work;
    work.sums = (int32_t *)(void *)((uint8_t *)scratch + (misaligned ? sizeof(int32_t) - misaligned : 0));
    work.column_weights = work.sums + plan->sums;
    work.column_low = (uint32_t *)(work.column_weights + plan->weights);
    work.column_count = work.column_low + steps->width;
    work.row_weights = (int32_t *)(work.column_count + steps->width);
    work.made = (uint8_t *)(work.row_weights + plan->rows.taps);
    work.lines = work.made + (size_t)steps->width * steps->channels;
    return work;
}

static int32_t grey(const uint8_t *rgb)
{
    return (int32_t)((19595u * rgb[0] + 38470u * rgb[1] + 7471u * rgb[2] + 0x8000u) >> 16);
}

static uint8_t rounded(int32_t sum)
{
    return sum < 0 ? 0 : sum >> PRECISION_BITS > 255 ? 255 : (uint8_t)(sum >> PRECISION_BITS);
}

/* One line resized to the input's width. `source` has `depth` bytes per pixel, 3 or the input's channels. */
static void resize_columns(const struct ek_preprocess_steps *steps, const struct plan *plan, const struct work *work,
                           const uint8_t *source, uint32_t depth, uint8_t *line)
{
    for (uint32_t x = 0; x < steps->width; x++) {
        const int32_t *weights = work->column_weights + (size_t)x * plan->columns.taps;
        const uint8_t *pixel = source + (size_t)work->column_low[x] * depth;
        uint32_t count = work->column_count[x];
        if (steps->channels == 3) {
            int32_t red = HALF, green = HALF, blue = HALF;
            for (uint32_t i = 0; i < count; i++, pixel += 3) {
                red += weights[i] * pixel[0];
                green += weights[i] * pixel[1];
                blue += weights[i] * pixel[2];
            }
            *line++ = rounded(red);
            *line++ = rounded(green);
            *line++ = rounded(blue);
        } else {
            int32_t sum = HALF;
            for (uint32_t i = 0; i < count; i++, pixel += depth)
                sum += weights[i] * (depth == 3 ? grey(pixel) : pixel[0]);
            *line++ = rounded(sum);
        }
    }
}

/* One line of the input, from bytes with its channels side by side. */
static void store(const struct ek_preprocess_steps *steps, uint32_t y, const uint8_t *line, void *input)
{
    size_t area = (size_t)steps->height * steps->width, before = (size_t)y * steps->width;
    for (uint32_t x = 0; x < steps->width; x++) {
        for (uint32_t c = 0; c < steps->channels; c++) {
            uint8_t value = *line++;
            size_t to = steps->channels_last ? (before + x) * steps->channels + c : c * area + before + x;
            if (steps->table)
                ((int8_t *)input)[to] = steps->table[c][value];
            else
                ((float *)input)[to] = ((float)value / 255.0f - steps->mean[c]) / steps->std[c];
        }
    }
}

static void begin_sums(int32_t *sums, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sums[i] = HALF;
}

static void end_sums(const int32_t *sums, size_t count, uint8_t *line)
{
    for (size_t i = 0; i < count; i++)
        line[i] = rounded(sums[i]);
}

/* Every source line is resized once, and those are kept that the next line of the input may need. */
static void columns_then_rows(const struct ek_preprocess_steps *steps, struct plan *plan, const struct work *work,
                              const uint8_t *rgb, size_t stride, void *input)
{
    size_t bytes = (size_t)steps->width * steps->channels;
    uint32_t ready = 0;
    for (uint32_t y = 0; y < steps->height; y++) {
        uint32_t low, count = next(&plan->rows, work->row_weights, &low);
        if (ready < low)
            ready = low;
        for (; ready < low + count; ready++)
            resize_columns(steps, plan, work, rgb + ready * stride, 3, work->lines + ready % plan->lines * bytes);
        begin_sums(work->sums, bytes);
        for (uint32_t row = 0; row < count; row++) {
            const uint8_t *line = work->lines + (low + row) % plan->lines * bytes;
            for (size_t i = 0; i < bytes; i++)
                work->sums[i] += work->row_weights[row] * line[i];
        }
        end_sums(work->sums, bytes, work->made);
        store(steps, y, work->made, input);
    }
}

static void rows_then_columns(const struct ek_preprocess_steps *steps, struct plan *plan, const struct work *work,
                              const uint8_t *rgb, size_t stride, void *input)
{
    uint32_t first = work->column_low[0], channels = steps->channels;
    uint32_t end = work->column_low[steps->width - 1] + work->column_count[steps->width - 1];
    size_t begin = (size_t)first * channels, bytes = (size_t)(end - first) * channels;
    for (uint32_t y = 0; y < steps->height; y++) {
        uint32_t low, count = next(&plan->rows, work->row_weights, &low);
        begin_sums(work->sums, bytes);
        for (uint32_t row = 0; row < count; row++) {
            const uint8_t *line = rgb + (low + row) * stride + (size_t)first * 3;
            int32_t weight = work->row_weights[row];
            for (size_t i = 0; i < bytes; i++)
                work->sums[i] += weight * (channels == 3 ? line[i] : grey(line + i * 3));
        }
        end_sums(work->sums, bytes, work->lines + begin);
        resize_columns(steps, plan, work, work->lines, channels, work->made);
        store(steps, y, work->made, input);
    }
}

size_t ek_preprocess_scratch_bytes(const struct ek_preprocess_steps *steps, uint32_t width, uint32_t height)
{
    return check(steps, width, height) == EK_PREPROCESS_OK ? plan_of(steps, width, height).bytes : 0;
}

enum ek_preprocess_status ek_preprocess(const struct ek_preprocess_steps *steps, const uint8_t *rgb, uint32_t width,
                                        uint32_t height, size_t stride, void *scratch, size_t scratch_bytes,
                                        void *input)
{
    enum ek_preprocess_status status = check(steps, width, height);
    if (status != EK_PREPROCESS_OK)
        return status;
    if (!rgb || !scratch || !input || (!steps->table && (!steps->mean || !steps->std)))
        return EK_PREPROCESS_NULL;
    if (stride < (size_t)width * 3 || stride > SIZE_MAX / height)
        return EK_PREPROCESS_BAD_STRIDE;
    struct plan plan = plan_of(steps, width, height);
    if (plan.bytes == 0 || scratch_bytes < plan.bytes)
        return EK_PREPROCESS_SCRATCH_TOO_SMALL;

    struct work work = work_of(&plan, steps, scratch);
    skip(&plan.columns, centred(plan.columns.resized, steps->width));
    skip(&plan.rows, centred(plan.rows.resized, steps->height));
    for (uint32_t x = 0; x < steps->width; x++)
        work.column_count[x] =
            next(&plan.columns, work.column_weights + (size_t)x * plan.columns.taps, &work.column_low[x]);
    if (plan.rows_first)
        rows_then_columns(steps, &plan, &work, rgb, stride, input);
    else
        columns_then_rows(steps, &plan, &work, rgb, stride, input);
    return EK_PREPROCESS_OK;
}
