/* SHA-256 (FIPS 180-4), for fingerprints of data and files. */
#ifndef RR_SHA256_H
#define RR_SHA256_H

#include <stddef.h>
#include <stdint.h>

struct rr_sha256 {
    uint32_t h[8];
    uint64_t n_bytes;
    unsigned char block[64];
};

void rr_sha256_init(struct rr_sha256 *s);
void rr_sha256_add(struct rr_sha256 *s, const void *bytes, size_t n);
/* Ends the sum; hex receives 64 lower-case digits and a terminator. */
void rr_sha256_hex(struct rr_sha256 *s, char hex[65]);

#endif
