/* The packed model (.ekm): what the compiler (edgekit/convert/mcu) writes and the runtime runs in place.
 *
 * Everything is little-endian and read where it lies (flash or RAM), so the file must be 16-byte aligned in memory.
 * Offsets are in bytes. A model is checked once by ek_open(); after that no operator looks at a bound again.
 *
 *   header | operator offsets (u32 each) | operator records | tensor descriptors | data (weights, tables) | names
 *
 * Every operator record is an ek_op_head and then int32_t fields only, so that its Python mirror
 * (edgekit/convert/mcu/kernels.py) is a list of names. A test holds the two together.
 */
#ifndef EDGEKIT_MODEL_H
#define EDGEKIT_MODEL_H

#include <stdint.h>

#define EK_MAGIC 0x314d4b45u /* "EKM1" */
#define EK_FORMAT_VERSION 1u
#define EK_ALIGN 16u

typedef enum {
    EK_OK = 0,
    EK_NOT_A_MODEL = 1,    /* magic */
    EK_OTHER_VERSION = 2,  /* format version */
    EK_DAMAGED = 3,        /* length, CRC, or an offset that leaves the file */
    EK_BAD_OPERATOR = 4,   /* a record whose numbers contradict each other or leave arena or data */
    EK_NO_OPERATOR = 5,    /* an operator, or weight layout, that this build does not have */
    EK_ARENA_TOO_SMALL = 6,
    EK_MISALIGNED = 7
} ek_status;

typedef struct {
    uint32_t magic;
    uint16_t version;
    uint16_t flags;           /* bit 0: weights are laid out for the DSP kernels */
    uint32_t file_bytes;
    uint32_t crc32;           /* IEEE, over the bytes from source_sha256 to the end of the file */
    uint8_t source_sha256[32];/* of the .tflite that was compiled */
    uint32_t arena_bytes;
    uint32_t operators;       /* how many */
    uint32_t operators_offset;/* u32 offsets of the records, from the start of the file */
    uint32_t inputs;          /* how many; ek_tensor descriptors, the inputs first */
    uint32_t outputs;
    uint32_t tensors_offset;
    uint32_t data_offset;     /* multiple of EK_ALIGN */
    uint32_t data_bytes;
    uint32_t names_offset;    /* UTF-8, NUL-terminated: model name, then one per operator */
    uint32_t names_bytes;
    uint32_t peak_operator;   /* for people: 1 + number of the operator during which the arena is fullest, or 0 */
    uint32_t reserved;
} ek_header;

/* One model input or output. */
typedef struct {
    uint32_t offset;          /* in the arena */
    uint32_t bytes;
    float scale;              /* real = scale * (stored - zero_point) */
    int32_t zero_point;
    int32_t float_outside;    /* 1: the source model's tensor is float32; the host (de)quantises */
    int32_t rank;
    int32_t dims[6];          /* dims[5] where rank < 6: 0, or the order of the axes for the host, 4 bits each: axis i
                               * here is the source model's axis (dims[5] >> 4 * i) & 15 */
} ek_tensor;

typedef struct {
    uint16_t kind;            /* EK_OP_... */
    uint16_t bytes;           /* of the record, this head included */
} ek_op_head;

enum {
    EK_OP_CONV = 1,           /* also fully connected: a 1x1 convolution over rows */
    EK_OP_DEPTHWISE = 2,
    EK_OP_ADD = 3,            /* also subtraction */
    EK_OP_MUL = 4,
    EK_OP_SQUARED_DIFFERENCE = 5,
    EK_OP_MINMAX = 6,
    EK_OP_AVERAGE_POOL = 7,
    EK_OP_MAX_POOL = 8,
    EK_OP_REDUCE = 9,         /* mean and sum */
    EK_OP_SOFTMAX = 10,
    EK_OP_LOOKUP = 11,        /* every int8 -> int8 function of one value, as a table of 256 bytes */
    EK_OP_COPY = 12,          /* strided: slice, transpose, concatenation, split, broadcast */
    EK_OP_FILL = 13,
    EK_OP_RESIZE_BILINEAR = 14,
    EK_OP_RESIZE_NEAREST = 15,
    EK_OP_BATCH_MATMUL = 16,
    EK_OP_PRELU = 17,
    EK_OP_REDUCE_MAX = 18
};

#endif
