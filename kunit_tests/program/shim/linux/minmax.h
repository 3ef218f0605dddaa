/* SPDX-License-Identifier: GPL-2.0 */
#define min(a, b) \
	({ __typeof__(a) _a = (a); __typeof__(b) _b = (b); _a < _b ? _a : _b; })
#define max(a, b) \
	({ __typeof__(a) _c = (a); __typeof__(b) _d = (b); _c > _d ? _c : _d; })
#define max3(a, b, c)	max(max(a, b), c)
#define min_t(type, a, b)	min((type)(a), (type)(b))
#define max_t(type, a, b)	max((type)(a), (type)(b))
#define clamp_t(type, x, lo, hi) min_t(type, max_t(type, x, lo), hi)
#define IS_ALIGNED(x, a)	(!((x) & ((__typeof__(x))(a) - 1)))
#define ALIGN(x, a)		(((x) + (a) - 1) & ~((__typeof__(x))(a) - 1))
#define PTR_ALIGN(p, a)		((__typeof__(p))ALIGN((unsigned long)(p), a))
#define DIV_ROUND_UP(x, d)	(((x) + (d) - 1) / (d))
#define ARRAY_SIZE(a)		((int)(sizeof(a) / sizeof((a)[0])))
#define is_power_of_2(x)	((x) && !((x) & ((x) - 1)))
#define roundup_pow_of_two(x)	(1UL << (BITS_PER_LONG - __builtin_clzl((x) - 1)))
#define size_mul(a, b) \
	({ size_t _m; __builtin_mul_overflow(a, b, &_m) ? SIZE_MAX : _m; })
#define struct_size(p, member, n) (sizeof(*(p)) + sizeof(*(p)->member) * (n))
#define SZ_64K			0x10000
#define SZ_1M			0x100000
#define SZ_16M			0x1000000
#define SZ_64M			0x4000000
