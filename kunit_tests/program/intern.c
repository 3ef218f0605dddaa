// SPDX-License-Identifier: GPL-2.0
/*
 * Concurrent stress of the intern map as a program, for sanitizers.
 *
 * In each round, tasks put random keys into a new map, most of them several
 * times and at once. In the end all tasks have got the same item for the same
 * key, the ids have no gap, and each item has the bytes of its key. Rounds
 * differ in the number of hash bits, down to none, and memory ends in some.
 *
 * usage: intern SECONDS [SEED]
 */
#include <pthread.h>
#include <time.h>

#include "internal.h"
#include "kernel.h"
#include "random.h"

#include <linux/siphash.h>

#define NR_TASKS	4
#define NR_CPU_IDS	3
#define MAX_KEYS	3000

static struct kregion_map *map;
static const struct kregion_item *got[NR_TASKS][MAX_KEYS];
static unsigned long items, rounds, failures;
static unsigned int nr_keys, nr_puts;
static bool failing;
static pthread_barrier_t start, end;

bool shim_fail(void)
{
	return failing && !pick(3);
}

void shim_short(void)
{
}

/* Key @i: its number in as many bytes as are needed, then a tail. */
static size_t key_make(u32 i, u8 *key)
{
	const size_t tail = i % 3 ? 0 : i % 97;
	size_t len = 0;

	for (; i; i >>= 8)
		key[len++] = i;
	memset(key + len, 0, tail);
	key[len + tail] = 1;
	return len ? len + tail + 1 : 0;
}

static void *task_main(void *arg)
{
	const unsigned int task = ((unsigned long)arg & 0xff) - 1;
	const struct kregion_item *item, *found;
	u8 key[128];
	size_t len;
	u32 i, n;

	seed = (unsigned long)arg;
	for (;;) {
		pthread_barrier_wait(&start);
		if (!map)
			return NULL;
		for (n = 0; n < nr_puts; n++) {
			shim_cpu = pick(nr_cpu_ids);
			i = pick(4) ? pick(nr_keys) : n % nr_keys;
			len = key_make(i, key);
			found = kregion_map_find(map, key, len);
			item = pick(3) ? kregion_map_put(map, key, len, GFP_NOWAIT) :
					 kregion_map_put_nofill(map, key, len);
			if (!item) {
				CHECK(!found && !got[task][i]);
				__atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);
				continue;
			}
			CHECK(!found || found == item);
			CHECK(!got[task][i] || got[task][i] == item);
			CHECK(item->len == len && !memcmp(item->data, key, len));
			CHECK(kregion_map_item(map, item->id) == item);
			CHECK(kregion_map_count(map) >= item->id);
			got[task][i] = item;
		}
		pthread_barrier_wait(&end);
	}
}

static void round_check(void)
{
	static u8 seen[MAX_KEYS + 1];
	const struct kregion_item *item, *found;
	const u32 count = kregion_map_count(map);
	u32 i, task, distinct = 0;
	u8 key[128];
	size_t len;

	memset(seen, 0, sizeof(seen));
	for (i = 0; i < nr_keys; i++) {
		len = key_make(i, key);
		item = kregion_map_find(map, key, len);
		for (task = 0; task < NR_TASKS; task++)
			CHECK(!got[task][i] || got[task][i] == item);
		if (!item)
			continue;
		distinct++;
		CHECK(item->id >= 1 && item->id <= count && !seen[item->id]);
		CHECK(item->len == len && !memcmp(item->data, key, len));
		seen[item->id] = 1;
	}
	CHECK(distinct == count);
	for (i = 1; i <= count; i++) {
		found = kregion_map_item(map, i);
		CHECK(found && found->id == i);
	}
	CHECK(!kregion_map_item(map, 0) && !kregion_map_item(map, count + 1));
	items += count;
}

static void round_run(void)
{
	static const u64 masks[] = { ~0ULL, 0xffULL << 56, 0xfULL << 30, 0 };
	static const unsigned int flags[] = { 0, KREGION_F_PERCPU, KREGION_F_DEBUG };
	const struct kregion_attr attr = {
		.flags = flags[pick(ARRAY_SIZE(flags))], .block_size = SZ_64K >> pick(5),
		.reserve = pick(2) * SZ_64K,
	};
	struct kregion *r = kregion_create("map", &attr);

	CHECK(!IS_ERR(r));
	shim_hash_mask = masks[rounds++ % ARRAY_SIZE(masks)];
	nr_keys = shim_hash_mask ? MAX_KEYS >> pick(6) : 150;
	nr_puts = nr_keys * 2;
	map = kregion_map_create(r, GFP_KERNEL);
	CHECK(map);
	memset(got, 0, sizeof(got));
	failing = !pick(4);
	pthread_barrier_wait(&start);
	pthread_barrier_wait(&end);
	failing = false;
	round_check();
	kregion_destroy(r);
}

int main(int argc, char **argv)
{
	const unsigned int seconds = argc > 1 ? atoi(argv[1]) : 0;
	pthread_t threads[NR_TASKS];
	time_t stop;
	unsigned int i;

	if (argc > 3 || !seconds) {
		fputs("usage: intern SECONDS [SEED]\n", stderr);
		return 2;
	}
	seed = seed_of_run(argc > 2 ? argv[2] : NULL) | 0x80;
	printf("intern: %u s, seed %u, %u tasks, %u CPUs\n", seconds, seed >> 8, NR_TASKS,
	       NR_CPU_IDS);
	nr_cpu_ids = NR_CPU_IDS;
	CHECK(!shim_init());
	pthread_barrier_init(&start, NULL, NR_TASKS + 1);
	pthread_barrier_init(&end, NULL, NR_TASKS + 1);
	for (i = 0; i < NR_TASKS; i++)
		CHECK(!pthread_create(&threads[i], NULL, task_main,
				      (void *)((seed & ~0xffUL) | (i + 1))));
	for (stop = time(NULL) + seconds; time(NULL) < stop;)
		round_run();
	map = NULL;
	pthread_barrier_wait(&start);
	for (i = 0; i < NR_TASKS; i++)
		pthread_join(threads[i], NULL);
	kregion_debug_flush();
	shim_exit();
	CHECK(!shim_pages_used() && !shim_blocks && !shim_bytes);
	CHECK(!shim_warnings);
	printf("intern: %lu rounds, %lu items, %lu failed puts: SUCCESS\n", rounds, items,
	       failures);
	return 0;
}
