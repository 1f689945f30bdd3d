/* Runs a bundle's models inside this process. The typed API of each model (one header per model) is made of this. */
#ifndef EK_MODEL_H
#define EK_MODEL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EK_MAX_RANK 8u
#define EK_MAX_TENSORS 16u
#define EK_MAX_PATH 4096u

/* What every call answers. ek_last_error() says more in words. */
enum ek_status {
    EK_OK = 0,
    EK_WRONG_ARGUMENT, /* a null pointer, an unknown variant, a number out of range */
    EK_NO_FILE,        /* a file of the bundle is missing or can't be read */
    EK_CHANGED,        /* the model file is not the one that the bundle was made with */
    EK_NO_RUNTIME,     /* the runtime's library can't be loaded, or this program was built without it */
    EK_REFUSED,        /* the runtime refused the file or failed on it */
    EK_NO_MEMORY
};

/* One input or output as the file takes or gives it, in row-major order. */
struct ek_tensor {
    const char *name;
    const char *dtype; /* numpy's name */
    uint32_t rank;
    int64_t shape[EK_MAX_RANK];
    size_t bytes;
};

struct ek_variant {
    const char *id, *engine;
    const char *path; /* below the bundle's folder */
    const char *sha256;
    int threads;
};

/* A device that was measured, with the variant and threads that were best there. `soc` may be null. */
struct ek_device {
    const char *name, *soc;
    size_t variant;
    int threads;
};

/* All that is known of one model; the first variant is for devices that are not listed. */
struct ek_contract {
    const char *name;
    const struct ek_variant *variants;
    size_t variant_count;
    const struct ek_device *devices;
    size_t device_count;
    const struct ek_tensor *inputs;
    size_t input_count;
    const struct ek_tensor *outputs;
    size_t output_count;
};

struct ek_model;

/* Verifies the sha256 of the model's file and loads it.
 * bundle: the bundle's folder. variant: its id, or null for the one of this device. threads: 0 for the measured ones.
 * On EK_OK `*made` is to be given to ek_close(); otherwise it is null. One model is used by one thread at a time.
 * ExecuTorch has one pool of threads for the process: opening with another number than before resizes it for every
 * model, so open none while another runs. */
int ek_open(const struct ek_contract *contract, const char *bundle, const char *variant, int threads,
            struct ek_model **made);

/* One inference: `inputs` and `outputs` are one pointer per tensor of the contract, of its size and type. */
int ek_run(struct ek_model *model, const void *const *inputs, void *const *outputs);

/* Which variant was opened, and with how many threads. */
const struct ek_variant *ek_variant_of(const struct ek_model *model);
int ek_threads_of(const struct ek_model *model);

/* Null is allowed. */
void ek_close(struct ek_model *model);

/* The last failure of this thread in words; empty if there was none. */
const char *ek_last_error(void);

/* The processor's name by which devices were measured, from /proc/cpuinfo; empty if that does not tell. */
void ek_device_name(char *name, size_t size);

#ifdef __cplusplus
}
#endif

#endif
