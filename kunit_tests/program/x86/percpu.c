// SPDX-License-Identifier: GPL-2.0
/* Per-CPU areas that gs segments begin at. */
#include <asm/prctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/percpu.h>

#define MAX_CPUS	256

char *percpu_areas;
unsigned int nr_cpu_ids = 1;

void preempt_schedule_notrace(void)
{
	shim_die(__FILE__, __LINE__, "preemption was enabled more often than disabled");
}

void *percpu_alloc(size_t size)
{
	static size_t end = sizeof(struct percpu_head);
	const size_t at = ALIGN(end, 64);

	if (at + size > PERCPU_AREA)
		return NULL;
	end = at + size;
	return (void *)at;
}

/* This thread is @cpu from now on. */
void percpu_enter(unsigned int cpu)
{
	struct percpu_head *head;

	if (!percpu_areas)
		percpu_areas = mmap(NULL, MAX_CPUS * PERCPU_AREA, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (percpu_areas == MAP_FAILED)
		shim_die(__FILE__, __LINE__, "no address space");
	head = (struct percpu_head *)(percpu_areas + cpu * PERCPU_AREA);
	if (!head->area)
		*head = (struct percpu_head){ PREEMPT_ENABLED, cpu, (char *)head };
	if (syscall(SYS_arch_prctl, ARCH_SET_GS, head))
		shim_die(__FILE__, __LINE__, "cannot set the base of gs");
}
