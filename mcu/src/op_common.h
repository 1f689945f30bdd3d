/* What the checks and loops of the operators besides convolution share. */
#ifndef EK_OP_COMMON_H
#define EK_OP_COMMON_H

#include "edgekit/check.h"
#include "edgekit/quant.h"

/* With at most so many int8 values, a sum of them less their zero point fits an int32. */
#define EK_MOST_SUMMED (1 << 22)

static inline bool ek_is_flag(int32_t value)
{
    return value == 0 || value == 1;
}

/* How many positions an array of these dimensions has; -1 if one is not positive or there are more than INT32_MAX. */
static inline int64_t ek_count(const int32_t *dims, int32_t rank)
{
    int64_t count = 1;
    for (int32_t i = 0; i < rank; i++) {
        count *= dims[i];
        if (dims[i] < 1 || count > INT32_MAX) {
            return -1;
        }
    }
    return count;
}

/* Bytes from the first to past the last element (of `bytes` bytes) of a strided array; -1: a number is out of range. */
static inline int64_t ek_extent(const int32_t *dims, const int32_t *strides, int32_t rank, int32_t bytes)
{
    int64_t last = 0;
    for (int32_t i = 0; i < rank; i++) {
        if (dims[i] < 1 || strides[i] < 0) {
            return -1;
        }
        last += (int64_t)(dims[i] - 1) * strides[i];
        if (last > INT32_MAX) {
            return -1;
        }
    }
    return bytes < 1 ? -1 : last + bytes;
}

/* Whether `bytes` from `offset` lie in data, where `constant`, or else in the arena. */
static inline bool ek_operand_ok(const ek_limits *limits, int32_t constant, int32_t offset, int64_t bytes)
{
    return ek_is_flag(constant) && ek_inside(offset, bytes, constant ? limits->data_bytes : limits->arena_bytes);
}

/* Whether two pieces of the arena share no byte: memcpy asks for that. */
static inline bool ek_disjoint(int32_t a, int64_t a_bytes, int32_t b, int64_t b_bytes)
{
    return a + a_bytes <= b || b + b_bytes <= a;
}

/* ek_requantise() with its numbers prepared once, for |x| <= 2^30 and a shift that is not to the left. Kept in locals:
 * a compiler must assume that a store through int8_t * changes a record. */
typedef struct {
    int32_t multiplier, half, away, shift;
} ek_scaler;

static inline ek_scaler ek_scaler_of(int32_t multiplier, int32_t shift)
{
    return (ek_scaler){multiplier, (int32_t)((1u << -shift) >> 1), shift < 0 ? -1 : 0, -shift};
}

static inline int32_t ek_scale(ek_scaler s, int32_t x)
{
    const int32_t high = ek_high_mul_positive(x, s.multiplier);
    return (high + s.half + ((high >> 31) & s.away)) >> s.shift; /* halves away from zero */
}

static inline int32_t ek_least(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static inline int32_t ek_greatest(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

#endif
