/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Atomic between CPUs; on x86, each is the kernel's instruction. Sanitizers see
 * no fence, so atomic_t, the counts of users and pins, is ordered by itself.
 */
typedef struct { int counter; } atomic_t;
typedef struct { long counter; } atomic_long_t;

#define xchg(p, v)		({ __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST); })
#define cmpxchg(p, old, new)	__sync_val_compare_and_swap(p, old, new)
#define smp_mb()		__atomic_thread_fence(__ATOMIC_SEQ_CST)
#define smp_rmb()		barrier()
#define smp_mb__before_atomic()	barrier()
#define smp_mb__after_atomic()	barrier()
#define smp_load_acquire(p)	__atomic_load_n(p, __ATOMIC_ACQUIRE)
#define smp_store_release(p, v)	__atomic_store_n(p, v, __ATOMIC_RELEASE)
#define cpu_relax()		__builtin_ia32_pause()

#define atomic_read(a)		smp_load_acquire(&(a)->counter)
#define atomic_inc(a)		((void)__atomic_fetch_add(&(a)->counter, 1, __ATOMIC_ACQ_REL))
#define atomic_dec(a)		((void)__atomic_fetch_sub(&(a)->counter, 1, __ATOMIC_ACQ_REL))
#define atomic_read_acquire(a)	atomic_read(a)
#define atomic_dec_return(a)	__atomic_sub_fetch(&(a)->counter, 1, __ATOMIC_SEQ_CST)
#define atomic_dec_and_test(a)	(!__atomic_sub_fetch(&(a)->counter, 1, __ATOMIC_SEQ_CST))

#define atomic_long_read(a)	READ_ONCE((a)->counter)
#define atomic_long_set(a, v)	WRITE_ONCE((a)->counter, v)
#define atomic_long_inc(a)	atomic_long_add(1, a)
#define atomic_long_add_return(n, a) __atomic_add_fetch(&(a)->counter, n, __ATOMIC_SEQ_CST)
#define atomic_long_add(n, a)	((void)__atomic_fetch_add(&(a)->counter, n, __ATOMIC_RELAXED))
#define atomic_long_sub(n, a)	atomic_long_add(-(long)(n), a)
#define atomic_long_cmpxchg(a, old, new) cmpxchg(&(a)->counter, old, new)
#define atomic_long_try_cmpxchg_relaxed(a, old, new) \
	__atomic_compare_exchange_n(&(a)->counter, old, new, false, __ATOMIC_RELAXED, \
				    __ATOMIC_RELAXED)

#define test_bit(nr, word)	(READ_ONCE(*(word)) >> (nr) & 1)
#define set_bit(nr, word)	((void)__atomic_fetch_or(word, 1UL << (nr), __ATOMIC_RELAXED))
#define clear_bit(nr, word)	((void)__atomic_fetch_and(word, ~(1UL << (nr)), __ATOMIC_RELAXED))
#define clear_bit_unlock(nr, word) \
	((void)__atomic_fetch_and(word, ~(1UL << (nr)), __ATOMIC_RELEASE))
#define test_and_set_bit(nr, word) \
	(__atomic_fetch_or(word, 1UL << (nr), __ATOMIC_SEQ_CST) >> (nr) & 1)
