/* The resident agent: takes frames from the port, keeps a model in the store, runs it. See PROTOCOL.md.
 *
 * All of its memory is one ek_agent, about 2.4 KB; the board's receive ring comes on top. Nothing that arrives can make
 * it read or write outside, wait for a byte that does not come, or run a model that ek_open() did not pass. How long a
 * model runs is its own matter: nothing is received meanwhile, and a slow one is ended by the board's reset button. */
#ifndef EDGEKIT_AGENT_H
#define EDGEKIT_AGENT_H

#include <stdint.h>

#include "cobs.h"
#include "edgekit/runtime.h"
#include "frames.h"
#include "sha256.h"

enum { EK_BLOB_MODEL = 0, EK_BLOB_INPUTS = 1, EK_BLOBS = 2 };
typedef enum { EK_BLOB_EMPTY = 0, EK_BLOB_LOADING, EK_BLOB_VERIFIED } ek_blob_state;

/* Something loaded into the store. */
typedef struct {
    ek_blob_state state;
    uint32_t offset, bytes, received;
    uint8_t sha256[EK_SHA256_BYTES];
} ek_blob;

/* The last board write may be padded to store_write_bytes, so the frame has that much room behind it. */
#define EK_WRITE_BYTES_MAX 32u

typedef struct {
    ek_cobs_decoder decoder;
    _Alignas(4) uint8_t received[EK_FRAME_BYTES + EK_WRITE_BYTES_MAX];
    _Alignas(4) uint8_t answer[EK_WIRE_BYTES]; /* the last one, encoded, in case it gets lost */
    uint32_t answer_bytes;
    uint16_t session, expected;   /* session 0: none yet */
    uint8_t resend_asked;         /* once for every gap, or one lost frame would be answered by many */
    uint8_t is_open;
    uint8_t is_resetting;
    ek_blob blobs[EK_BLOBS];
    uint32_t loading;             /* the blob that data goes to */
    ek_model model;
    uint32_t input_bytes, output_bytes; /* of all inputs, all outputs of the open model */
    uint32_t input_have;          /* written since the last run, in order */
} ek_agent;

void ek_agent_start(ek_agent *agent);
/* One received byte; answers go out through ek_port_write(). */
void ek_agent_byte(ek_agent *agent, uint8_t byte);
/* Take everything that has arrived. */
void ek_agent_poll(ek_agent *agent);

#endif
