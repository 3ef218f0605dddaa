// SPDX-License-Identifier: GPL-2.0
/*
 * /sys/kernel/debug/kregion/.
 */

#include <linux/debugfs.h>
#include <linux/seq_file.h>

#include "internal.h"

static struct dentry *debugfs_dir;

/* ---- iteration: a header line, then one region per step ------------------ */

/*
 * The position is the id of the last region shown, plus one. It only increases,
 * except for a restart at 0.
 */
static void *regions_start(struct seq_file *m, loff_t *pos)
{
	struct kregion_reader *reader = m->private;

	if (*pos)
		return kregion_registry_next(reader, *pos - 1);
	kregion_registry_rewind(reader);
	return SEQ_START_TOKEN;
}

static void *regions_next(struct seq_file *m, void *v, loff_t *pos)
{
	struct kregion_priv *rg = v == SEQ_START_TOKEN ? NULL : v;

	*pos = rg ? rg->id + 1 : 1;
	v = kregion_registry_next(m->private, *pos - 1);
	kregion_unpin(rg);
	return v;
}

static void regions_stop(struct seq_file *m, void *v)
{
	if (v != SEQ_START_TOKEN)
		kregion_unpin(v);
}

/* ---- regions and totals -------------------------------------------------- */

static const struct {
	const char *name;
	size_t offset;
} fields[] = __KREGION_STATS;

static_assert(ARRAY_SIZE(fields) == sizeof(struct kregion_stats) / sizeof(unsigned long));

static unsigned long *field(struct kregion_stats *st, int i)
{
	return (void *)st + fields[i].offset;
}

static int regions_show(struct seq_file *m, void *v)
{
	struct kregion_stats st;
	struct kregion_priv *rg = v;
	int i;

	if (v == SEQ_START_TOKEN) {
		seq_puts(m, "# kregion regions 1\nid name owner mode");
		for (i = 0; i < ARRAY_SIZE(fields); i++)
			seq_printf(m, " %s", fields[i].name);
		seq_puts(m, " parent\n");
		return 0;
	}
	kregion_stats(&rg->fast, &st);
	seq_printf(m, "%llu %s %s %s", rg->id, rg->name, rg->owner, region_mode(rg));
	for (i = 0; i < ARRAY_SIZE(fields); i++)
		seq_printf(m, " %lu", *field(&st, i));
	/* A region outlives its children, and their readers. */
	if (rg->parent)
		seq_printf(m, " %llu\n", rg->parent->id);
	else
		seq_puts(m, " -\n");
	return 0;
}

static int totals_show(struct seq_file *m, void *v)
{
	struct kregion_stats st, sum = {};
	struct kregion_priv *rg, *next;
	struct kregion_reader reader;
	unsigned long n = 0;
	int i;

	kregion_reader_add(&reader);
	for (rg = kregion_registry_next(&reader, 0); rg; rg = next) {
		kregion_stats(&rg->fast, &st);
		for (i = 0; i < ARRAY_SIZE(fields); i++)
			*field(&sum, i) += *field(&st, i);
		n++;
		next = kregion_registry_next(&reader, rg->id);
		kregion_unpin(rg);
		cond_resched();
	}
	kregion_reader_del(&reader);
	seq_printf(m, "regions: %lu\n", n);
	for (i = 0; i < ARRAY_SIZE(fields); i++)
		seq_printf(m, "%s: %lu\n", fields[i].name, *field(&sum, i));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(totals);

/* ---- blocks -------------------------------------------------------------- */

struct blocks_ctx {
	struct seq_file *m;
	size_t count;		/* of the buffer at the start of the walk */
};

static void blocks_restart(void *v)
{
	struct blocks_ctx *ctx = v;

	ctx->m->count = ctx->count;
}

static bool blocks_fn(struct kregion_priv *rg, const struct kregion_block *b,
		      const struct kregion_block_info *info, void *v)
{
	static const char * const kind[] = {
		[KREGION_BLOCK_SPARE] = "spare", [KREGION_BLOCK_CURRENT] = "current",
		[KREGION_BLOCK_FULL] = "full", [KREGION_BLOCK_LARGE] = "large",
	};
	struct blocks_ctx *ctx = v;
	const int cpu = READ_ONCE(b->cpu);

	seq_printf(ctx->m, "%llu %s ", rg->id, kind[info->kind]);
	if (cpu < 0)
		seq_putc(ctx->m, '-');
	else
		seq_printf(ctx->m, "%d", cpu);
	seq_printf(ctx->m, " %s %d %zu %zu\n", kregion_backing_names[b->backing],
		   kregion_block_node(b), info->held, info->used);
	return !seq_has_overflowed(ctx->m);	/* seq_file retries with a larger buffer */
}

static int blocks_show(struct seq_file *m, void *v)
{
	struct blocks_ctx ctx = { .m = m, .count = m->count };

	if (v == SEQ_START_TOKEN)
		seq_puts(m, "# kregion blocks 1\nregion kind cpu backing node held used\n");
	else
		kregion_walk(v, blocks_restart, blocks_fn, &ctx);
	return 0;
}

/* ---- files --------------------------------------------------------------- */

static int reader_open(struct file *file, const struct seq_operations *ops)
{
	struct kregion_reader *reader = __seq_open_private(file, ops, sizeof(*reader));

	if (!reader)
		return -ENOMEM;
	kregion_reader_add(reader);
	return 0;
}

static int reader_release(struct inode *inode, struct file *file)
{
	kregion_reader_del(((struct seq_file *)file->private_data)->private);
	return seq_release_private(inode, file);
}

#define DEFINE_READER_ATTRIBUTE(name, show_fn)						\
static const struct seq_operations name##_sops = {					\
	.start = regions_start, .next = regions_next, .stop = regions_stop, .show = show_fn, \
};											\
static int name##_open(struct inode *inode, struct file *file)				\
{											\
	return reader_open(file, &name##_sops);						\
}											\
static const struct file_operations name##_fops = {					\
	.owner = THIS_MODULE, .open = name##_open, .read = seq_read, .llseek = seq_lseek, \
	.release = reader_release,							\
}

DEFINE_READER_ATTRIBUTE(regions, regions_show);
DEFINE_READER_ATTRIBUTE(blocks, blocks_show);

/* ---- module -------------------------------------------------------------- */

/* Errors are ignored, as debugfs is optional. */
void kregion_debugfs_init(void)
{
	debugfs_dir = debugfs_create_dir("kregion", NULL);
	debugfs_create_file("regions", 0444, debugfs_dir, NULL, &regions_fops);
	debugfs_create_file("blocks", 0444, debugfs_dir, NULL, &blocks_fops);
	debugfs_create_file("totals", 0444, debugfs_dir, NULL, &totals_fops);
}

void kregion_debugfs_exit(void)
{
	debugfs_remove_recursive(debugfs_dir);
}
