/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SHIM_SIPHASH_H
#define _SHIM_SIPHASH_H

#include <linux/kernel.h>

typedef struct { u64 key[2]; } siphash_key_t;

/* A program chooses the bits that may be set. */
extern u64 shim_hash_mask;

/* Not siphash, but any function of the bytes will do here. */
static inline u64 siphash(const void *data, size_t len, const siphash_key_t *key)
{
	u64 hash = key->key[0] ^ len;
	size_t i;

	for (i = 0; i < len; i++) {
		hash = (hash ^ ((const u8 *)data)[i]) * 0x9e3779b97f4a7c15ULL;
		hash ^= hash >> 32;
	}
	hash = (hash ^ key->key[1]) * 0x9e3779b97f4a7c15ULL;
	return (hash ^ hash >> 29) & shim_hash_mask;
}

#endif
