/* SPDX-License-Identifier: GPL-2.0 */
/*
 * NMIs that a test causes. x86 only: no portable way exists.
 */
#ifndef _KREGION_TEST_NMI_H
#define _KREGION_TEST_NMI_H

/* With the latter, <linux/nmi.h> has the handlers of x86. */
#if defined(CONFIG_X86_LOCAL_APIC) && defined(CONFIG_HAVE_ACPI_APEI_NMI)
#include <linux/nmi.h>
#include <linux/smp.h>
#include <asm/apic.h>

#define HAVE_NMIS	1

/* A macro, as is register_nmi_handler(), which has a variable for each place. */
#define nmi_handler_add(fn)	register_nmi_handler(NMI_LOCAL, fn, 0, KBUILD_MODNAME)

static inline void nmi_handler_remove(void *unused)
{
	unregister_nmi_handler(NMI_LOCAL, KBUILD_MODNAME);
}

static inline void nmi_send(int cpu)
{
	preempt_disable();
	apic->send_IPI_mask(cpumask_of(cpu), NMI_VECTOR);
	preempt_enable();
}
#else
#define HAVE_NMIS	0
#define NMI_DONE	0
#define NMI_HANDLED	1

#define nmi_handler_add(fn)	((void)(fn), 0)

static inline void nmi_handler_remove(void *unused)
{
}

static inline void nmi_send(int cpu)
{
}
#endif

#endif /* _KREGION_TEST_NMI_H */
