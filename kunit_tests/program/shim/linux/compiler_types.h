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
#define __aligned(n)			__attribute__((aligned(n)))
#define ____cacheline_aligned		__attribute__((aligned(64)))
#define ____cacheline_aligned_in_smp	____cacheline_aligned
#define likely(x)			__builtin_expect(!!(x), 1)
#define unlikely(x)			__builtin_expect(!!(x), 0)
#define barrier()			asm volatile("" ::: "memory")
#define OPTIMIZER_HIDE_VAR(x)		asm ("" : "+r" (x))
#define BIT(nr)				(1UL << (nr))
/* What follows a pointer depends on its load, which C11 can only say so. */
#define IS_POINTER(x)			(__builtin_classify_type(x) == __builtin_classify_type(""))
#define READ_ONCE(x) \
	__atomic_load_n(&(x), IS_POINTER(x) ? __ATOMIC_ACQUIRE : __ATOMIC_RELAXED)
#define READ_ONCE_NOCHECK(x)	READ_ONCE(x)
#define WRITE_ONCE(x, v)		__atomic_store_n(&(x), v, __ATOMIC_RELAXED)
/* The thread sanitizer of clang has no macro of gcc's name. */
#if !defined(__SANITIZE_THREAD__) && defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__		1
#endif
#endif
#ifdef __SANITIZE_THREAD__
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
#define data_race(x) ({				\
	AnnotateIgnoreReadsBegin(__FILE__, __LINE__);	\
	__auto_type _x = (x);				\
	AnnotateIgnoreReadsEnd(__FILE__, __LINE__);	\
	_x; })
#else
#define data_race(x)			(x)
#endif
#ifdef __LP64__
#define CONFIG_64BIT			1
#endif
#define CONFIG_ARCH_HAVE_NMI_SAFE_CMPXCHG	1
/* 1 if the option is defined as 1, also for the preprocessor. */
#define IS_ENABLED(option)		IS_ONE(option)
#define IS_ONE(value)			SECOND_IF(COMMA_##value)
#define SECOND_IF(comma)		SECOND(comma 1, 0)
#define SECOND(first, second, ...)	second
#define COMMA_1				0,
#define BUILD_BUG_ON(x)			static_assert(!(x), #x)
#define container_of(p, type, member)	((type *)((char *)(p) - offsetof(type, member)))
/* Rules of the kernel that only programs under test pay for. */
#ifdef SHIM_CHECKS
#define SHIM_CHECK(x)			((void)((x) || (shim_die(__FILE__, __LINE__, #x), 0)))
#else
#define SHIM_CHECK(x)			((void)sizeof(!(x)))
#endif
#define might_sleep()			SHIM_CHECK(!shim_preempt_count)
#define might_alloc(gfp)		SHIM_CHECK(!gfpflags_allow_blocking(gfp) || !shim_preempt_count)
#define cond_resched()			might_sleep()
void shim_die(const char *file, int line, const char *what) __attribute__((noreturn));
void shim_warn(void);
extern int shim_quiet;
#define shim_print(...)			((void)(shim_quiet || fprintf(stderr, __VA_ARGS__)))
#define WARN(x, ...) \
	({ bool _warn = (x); if (_warn) { shim_print(__VA_ARGS__); shim_warn(); } _warn; })
#define KBUILD_MODNAME			"kregion"
#define pr_err(fmt, ...)		pr_warn(fmt, ##__VA_ARGS__)
#define pr_warn(fmt, ...)		shim_print(pr_fmt(fmt), ##__VA_ARGS__)
#define WARN_ONCE(x, ...)		WARN(x, __VA_ARGS__)
#define WARN_ON_ONCE(x)			WARN(x, "%s\n", #x)
