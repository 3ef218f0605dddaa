/* SPDX-License-Identifier: GPL-2.0 */
#include <linux/kernel.h>
#include <linux/percpu.h>
#include <pthread.h>

#define DEFINE_MUTEX(name)	pthread_mutex_t name = PTHREAD_MUTEX_INITIALIZER
#define mutex_lock(lock)	do { might_sleep(); pthread_mutex_lock(lock); } while (0)
#define mutex_unlock(lock)	pthread_mutex_unlock(lock)
