/* SPDX-License-Identifier: GPL-2.0 */
#include <linux/mm.h>

#define PMD_SIZE				(1UL << 21)
#define VM_MAP					0
#define VM_MAP_PUT_PAGES			0
#define PAGE_KERNEL				0
#define vmalloc_huge(size, gfp)			__vmalloc(size, gfp)
#define vmap(pages, n, flags, prot)		shim_vmap(pages, n)
#define vmalloc_to_page(p)			virt_to_page(p)
#define is_vmalloc_addr(p)			false
#define memalloc_noio_save()			0
#define memalloc_noio_restore(scope)		((void)(scope))
#define memalloc_nofs_save()			0
#define memalloc_nofs_restore(scope)		((void)(scope))
void *__vmalloc(size_t size, gfp_t gfp);
void vfree(const void *p);
void *shim_vmap(struct page **pages, unsigned int n);
