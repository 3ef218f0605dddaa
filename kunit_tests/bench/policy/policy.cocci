// SPDX-License-Identifier: GPL-2.0
// SELinux's policy database in a region. One policy is read at a time.

@@
expression p;
@@
 policydb_init(p);
+policy_region = kregion_create("policy", &(struct kregion_attr){ .flags = KREGION_F_SINGLE });
+if (IS_ERR(policy_region))
+	return PTR_ERR(policy_region);

@@
expression p;
@@
-policydb_destroy(p);
+kregion_destroy(policy_region);

@@
expression n, size, gfp, src;
@@
(
-kmalloc(size, gfp)
+kregion_alloc(policy_region, size, gfp)
|
-kzalloc(size, gfp)
+kregion_zalloc(policy_region, size, gfp)
|
-\(kcalloc\|kvcalloc\)(n, size, gfp)
+kregion_calloc(policy_region, n, size, gfp)
|
-kmemdup(src, size, gfp)
+kregion_memdup(policy_region, src, size, gfp)
|
-kstrdup(src, gfp)
+kregion_strdup(policy_region, src, gfp)
)

// From Linux 7.0 on.
@@
expression obj, n, gfp;
@@
(
-kmalloc_obj(obj)
+kregion_alloc_obj(policy_region, obj, GFP_KERNEL)
|
-kzalloc_obj(obj)
+kregion_zalloc_obj(policy_region, obj, GFP_KERNEL)
|
-\(kzalloc_objs\|kvzalloc_objs\)(obj, n)
+kregion_zalloc_objs(policy_region, obj, n, GFP_KERNEL)
|
-kzalloc_objs(obj, n, gfp)
+kregion_zalloc_objs(policy_region, obj, n, gfp)
)

@@
expression p, cache, gfp;
@@
-p = kmem_cache_zalloc(cache, gfp)
+p = kregion_zalloc_obj(policy_region, *p, gfp)

@@
expression p, cache;
@@
(
-\(kfree\|kvfree\)(p);
|
-kmem_cache_free(cache, p);
)
