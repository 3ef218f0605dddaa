// SPDX-License-Identifier: GPL-2.0
/*
 * The page allocator of a program: naturally aligned, next fit, so that a freed
 * page stays free for long. Address sanitizers see which pages are free. Each
 * free must be that of an allocation, or of a part after split_page().
 */
#include <sanitizer/asan_interface.h>
#include <sys/mman.h>

#include "kernel.h"

#include <linux/spinlock.h>

#define NR_PAGES	totalram_pages()

static raw_spinlock_t lock;
static char *memory;
static u8 order_of[1UL << 14];		/* of the allocation that begins here, + 1 */
static u8 taken[1UL << 14];
static unsigned long rover;
static unsigned int used;

unsigned int shim_pages_used(void)
{
	return READ_ONCE(used);
}

static void map(void)
{
	const size_t size = NR_PAGES * PAGE_SIZE;
	char *p = mmap(NULL, size + KMALLOC_MAX_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		shim_die(__FILE__, __LINE__, "no address space");
	memory = (char *)ALIGN((unsigned long)p, KMALLOC_MAX_SIZE);
	ASAN_POISON_MEMORY_REGION(memory, size);
}

static bool find(unsigned long n)
{
	unsigned long i, step;

	rover = ALIGN(rover, n);
	for (step = 0; step < NR_PAGES; step += n, rover += n) {
		if (rover + n > NR_PAGES)
			rover = 0;
		for (i = 0; i < n && !taken[rover + i]; i++)
			;
		if (i == n)
			return true;
	}
	return false;
}

struct page *alloc_pages(gfp_t gfp, unsigned int order)
{
	const unsigned long n = 1UL << order;
	char *p = NULL;

	might_alloc(gfp);
	if (shim_fail())
		return NULL;
	raw_spin_lock(&lock);
	if (!memory)
		map();
	if (find(n)) {
		p = memory + rover * PAGE_SIZE;
		order_of[rover] = order + 1;
		memset(taken + rover, 1, n);
		rover += n;
		WRITE_ONCE(used, used + n);
		ASAN_UNPOISON_MEMORY_REGION(p, n * PAGE_SIZE);
		memset(p, SHIM_DIRT, n * PAGE_SIZE);
	}
	raw_spin_unlock(&lock);
	if (!p)
		shim_short();
	return (struct page *)p;
}

void split_page(struct page *page, unsigned int order)
{
	const unsigned long at = ((char *)page - memory) / PAGE_SIZE;

	raw_spin_lock(&lock);
	SHIM_CHECK(order_of[at] == order + 1);
	memset(order_of + at, 1, 1UL << order);
	raw_spin_unlock(&lock);
}

void free_pages(unsigned long p, unsigned int order)
{
	const unsigned long at = (p - (unsigned long)memory) / PAGE_SIZE, n = 1UL << order;

	raw_spin_lock(&lock);
	SHIM_CHECK(at < NR_PAGES && p % PAGE_SIZE == 0);
	SHIM_CHECK(order_of[at] == order + 1);
	order_of[at] = 0;
	memset(taken + at, 0, n);
	WRITE_ONCE(used, used - n);
	/* Without a sanitizer, a use after free is seen by what it finds. */
	memset((void *)p, SHIM_DIRT, n * PAGE_SIZE);
	ASAN_POISON_MEMORY_REGION((void *)p, n * PAGE_SIZE);
	raw_spin_unlock(&lock);
}
