/* What a runtime gives to ek_model.c. Not for users of the models. */
#ifndef EK_ENGINE_H
#define EK_ENGINE_H

#include "ek_model.h"

#ifdef __cplusplus
extern "C" {
#endif

struct ek_load {
    const struct ek_contract *contract;
    const char *path;    /* the verified model file */
    const char *runtime; /* the folder of the runtimes' libraries */
    int threads;
};

/* Statuses are those of ek_model.h; who fails says why by ek_fail(). `close` takes what `open` made, never null. */
struct ek_engine {
    const char *name;
    int (*open)(const struct ek_load *load, void **made);
    int (*run)(void *made, const void *const *inputs, void *const *outputs);
    void (*close)(void *made);
};

extern const struct ek_engine ek_litert;
extern const struct ek_engine ek_executorch;

/* Keep the message for ek_last_error() and answer `status`. */
int ek_fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

#ifdef __cplusplus
}
#endif

#endif
