/* SHA-256 (FIPS 180-4) of a file. */
#ifndef EK_SHA256_H
#define EK_SHA256_H

/* `hex` gets 64 digits and a zero. 0, or -1 if the file can't be read (errno says why). */
int ek_sha256_file(const char *path, char hex[65]);

#endif
