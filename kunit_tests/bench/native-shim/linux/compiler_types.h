/* SPDX-License-Identifier: GPL-2.0 */
#define __percpu
#define __force
#define __init				__attribute__((unused))
#define __exit				__attribute__((unused))
#define __noreturn			__attribute__((noreturn))
#ifndef __cold
#define __cold				__attribute__((cold))
#endif
#define __malloc			__attribute__((malloc))
#undef __always_inline
#define __always_inline			inline __attribute__((always_inline))
#define noinline			__attribute__((noinline))
#define __printf(a, b)			__attribute__((format(printf, a, b)))
#define ____cacheline_aligned		__attribute__((aligned(64)))
#define ____cacheline_aligned_in_smp	____cacheline_aligned
#define likely(x)			__builtin_expect(!!(x), 1)
#define unlikely(x)			__builtin_expect(!!(x), 0)
#define barrier()			asm volatile("" ::: "memory")
#define OPTIMIZER_HIDE_VAR(x)		asm ("" : "+r" (x))
#define BIT(nr)				(1UL << (nr))
#define READ_ONCE(x)			(*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v)		(*(volatile __typeof__(x) *)&(x) = (v))
#define data_race(x)			(x)
#define CONFIG_64BIT			1
#define CONFIG_ARCH_HAVE_NMI_SAFE_CMPXCHG	1
/* 1 if the option is defined as 1, also for the preprocessor. */
#define IS_ENABLED(option)		IS_ONE(option)
#define IS_ONE(value)			SECOND_IF(COMMA_##value)
#define SECOND_IF(comma)		SECOND(comma 1, 0)
#define SECOND(first, second, ...)	second
#define COMMA_1				0,
#define BUILD_BUG_ON(x)			static_assert(!(x), #x)
#define container_of(p, type, member)	((type *)((char *)(p) - offsetof(type, member)))
#define might_sleep()			do { } while (0)
#define might_alloc(gfp)		((void)(gfp))
#define cond_resched()			do { } while (0)
#define WARN(x, ...) \
	({ bool _warn = (x); if (_warn) fprintf(stderr, __VA_ARGS__); _warn; })
#define KBUILD_MODNAME			"kregion"
#define pr_err(fmt, ...)		pr_warn(fmt, ##__VA_ARGS__)
#define pr_warn(fmt, ...)		((void)fprintf(stderr, pr_fmt(fmt), ##__VA_ARGS__))
#define WARN_ONCE(x, ...)		WARN(x, __VA_ARGS__)
#define WARN_ON_ONCE(x)			WARN(x, "%s\n", #x)
