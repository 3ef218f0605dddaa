/* SPDX-License-Identifier: GPL-2.0 */
/* Pages never run short, so this is never called; it only has to compile. */
#include <linux/mm.h>

#define PMD_SIZE				(1UL << 21)
#define __vmalloc(size, gfp)			NULL
#define vmalloc_huge(size, gfp)			NULL
#define vmap(pages, n, flags, prot)		((void)(pages), NULL)
#define vfree(p)				((void)(p))
#define vmalloc_to_page(p)			virt_to_page(p)
#define is_vmalloc_addr(p)			false
#define memalloc_noio_save()			0
#define memalloc_noio_restore(scope)		((void)(scope))
#define memalloc_nofs_save()			0
#define memalloc_nofs_restore(scope)		((void)(scope))
