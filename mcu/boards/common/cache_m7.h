#ifndef EDGEKIT_CACHE_M7_H
#define EDGEKIT_CACHE_M7_H

#include <stdint.h>

void ek_caches_on(void);
/* Forget what the data cache holds of flash that was erased or written. Flash is write-through, nothing is lost. */
void ek_cache_forget(const uint8_t *start, uint32_t bytes);

#endif
