// SPDX-License-Identifier: GPL-2.0
/*
 * Duplicates and formatted strings in a region, like their k*() namesakes.
 */

#include <linux/kregion.h>
#include <linux/string.h>

/**
 * kregion_memdup - copy memory into a region
 * @r: The region.
 * @src: The memory to copy.
 * @len: Its size in bytes.
 * @gfp: As for kregion_alloc().
 *
 * Context: As allowed by @gfp; not NMI.
 * Return: The copy; ZERO_SIZE_PTR or NULL as kregion_alloc().
 */
void *kregion_memdup(struct kregion *r, const void *src, size_t len, gfp_t gfp)
{
	void *p = kregion_alloc(r, len, gfp & ~__GFP_ZERO);

	if (!ZERO_OR_NULL_PTR(p))
		memcpy(p, src, len);
	return p;
}
EXPORT_SYMBOL_GPL(kregion_memdup);

/**
 * kregion_strndup - copy a string of limited length into a region
 * @r: The region.
 * @s: The string; NULL gives NULL.
 * @max: Maximum number of characters, without the terminating NUL.
 * @gfp: As for kregion_alloc().
 *
 * Context: As allowed by @gfp; not NMI.
 * Return: The copy, or NULL as kregion_alloc().
 */
char *kregion_strndup(struct kregion *r, const char *s, size_t max, gfp_t gfp)
{
	size_t len;
	char *p;

	if (!s)
		return NULL;
	len = strnlen(s, max);
	p = kregion_alloc(r, len + 1, gfp & ~__GFP_ZERO);
	if (p) {
		memcpy(p, s, len);
		p[len] = '\0';
	}
	return p;
}
EXPORT_SYMBOL_GPL(kregion_strndup);

/**
 * kregion_strdup - copy a string into a region
 * @r: The region.
 * @s: The string; NULL gives NULL.
 * @gfp: As for kregion_alloc().
 *
 * Context: As allowed by @gfp; not NMI.
 * Return: The copy, or NULL as kregion_alloc().
 */
char *kregion_strdup(struct kregion *r, const char *s, gfp_t gfp)
{
	return kregion_strndup(r, s, KREGION_MAX_ALLOC, gfp);
}
EXPORT_SYMBOL_GPL(kregion_strdup);

/**
 * kregion_vasprintf - format into a region
 * @r: The region.
 * @gfp: As for kregion_alloc().
 * @fmt: As for vsnprintf().
 * @ap: The arguments of @fmt.
 *
 * Context: As allowed by @gfp; not NMI.
 * Return: The string, or NULL as kregion_alloc().
 */
char *kregion_vasprintf(struct kregion *r, gfp_t gfp, const char *fmt, va_list ap)
{
	va_list again;
	size_t size;
	char *p;
	int len;

	va_copy(again, ap);
	len = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	/* vsnprintf() returns a length over INT_MAX as a negative value. */
	size = len < 0 ? SIZE_MAX : (size_t)len + 1;
	p = kregion_alloc(r, size, gfp & ~__GFP_ZERO);
	if (p)
		vsnprintf(p, size, fmt, ap);
	return p;
}
EXPORT_SYMBOL_GPL(kregion_vasprintf);

/**
 * kregion_asprintf - format into a region
 * @r: The region.
 * @gfp: As for kregion_alloc().
 * @fmt: As for snprintf().
 *
 * Context: As allowed by @gfp; not NMI.
 * Return: The string, or NULL as kregion_alloc().
 */
char *kregion_asprintf(struct kregion *r, gfp_t gfp, const char *fmt, ...)
{
	va_list ap;
	char *p;

	va_start(ap, fmt);
	p = kregion_vasprintf(r, gfp, fmt, ap);
	va_end(ap);
	return p;
}
EXPORT_SYMBOL_GPL(kregion_asprintf);
