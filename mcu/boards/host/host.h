/* The connection of the host board. */
#ifndef EDGEKIT_HOST_H
#define EDGEKIT_HOST_H

#include <setjmp.h>

extern jmp_buf host_restart;  /* where a reset goes */

/* Each returns 0, or -1 with errno set; the pty's name or the TCP port is printed on standard output. */
int host_use_pty(void);
int host_use_tcp(void);
void host_use_stdio(void);
/* End the process when standard input ends: whoever started it is gone. */
void host_end_with_stdin(void);

#endif
