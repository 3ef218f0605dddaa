/* SPDX-License-Identifier: GPL-2.0 */
#include <linux/kernel.h>

#define MODULE_NAME_LEN		56
#define THIS_MODULE		NULL
#define EXPORT_SYMBOL_GPL(name)	static_assert(1, #name)
#define module_name(module)	((void)(module), "")
#define subsys_initcall(f)	int shim_init(void) { return f(); } static_assert(1, #f)
#define module_exit(f)		void shim_exit(void) { f(); } static_assert(1, #f)
#define MODULE_LICENSE(text)	static_assert(1, text)
#define MODULE_DESCRIPTION(text) static_assert(1, text)
#define MODULE_AUTHOR(text)	static_assert(1, text)
#define MODULE_VERSION(text)	static_assert(1, text)

struct module;

int shim_init(void);
void shim_exit(void);
