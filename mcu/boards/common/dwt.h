#ifndef EDGEKIT_DWT_H
#define EDGEKIT_DWT_H

void ek_dwt_start(void); /* ek_port_counter() then returns the core's cycles */

#endif
