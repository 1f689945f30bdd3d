/* Running a packed model. No allocation, no globals: the caller owns the model's bytes and the arena. */
#ifndef EDGEKIT_RUNTIME_H
#define EDGEKIT_RUNTIME_H

#include "edgekit/model.h"

typedef struct {
    const uint8_t *file;
    const ek_header *header;
    const uint32_t *records;   /* offsets */
    const ek_tensor *tensors;
    const uint8_t *data;
    uint8_t *arena;
    uint32_t arena_bytes;      /* what the caller has */
} ek_model;

/* What the check functions hold a record against. */
typedef struct {
    uint32_t arena_bytes;      /* of the header: what the model may touch */
    uint32_t data_bytes;
    const uint8_t *data;       /* shifts and indexes that lie there are checked too */
} ek_limits;

/* One operator: its file src/op_*.c defines one of these; src/table.c lists them. check() must refuse every record
 * with which run() would leave arena or data, overflow, or divide by zero: records come from outside. */
typedef struct {
    uint16_t kind;
    uint16_t bytes;            /* exact size of the record */
    ek_status (*check)(const void *record, const ek_limits *limits);
    void (*run)(const void *record, uint8_t *arena, const uint8_t *data);
} ek_operator;

extern const ek_operator *const ek_operators[];
extern const uint32_t ek_operator_count;

/* Check everything once. `file` and `arena` must be EK_ALIGN-aligned. On failure the model must not be run;
 * *bad_operator (may be NULL) then holds the number of the refused operator, or UINT32_MAX. */
ek_status ek_open(ek_model *model, const void *file, uint32_t bytes, void *arena, uint32_t arena_bytes,
                  uint32_t *bad_operator);
void ek_run(const ek_model *model);
void ek_run_operator(const ek_model *model, uint32_t index);

uint32_t ek_crc32(uint32_t seed, const void *bytes, uint32_t count); /* IEEE 802.3; seed 0 to start */

#endif
