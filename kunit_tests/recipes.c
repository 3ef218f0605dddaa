// SPDX-License-Identifier: GPL-2.0
/*
 * The code of the section "Usage" in Documentation/kregion.rst, which includes
 * it from here. Loading the module runs all of it and fails if any part does.
 */
#include <linux/kregion.h>
#include <linux/kstrtox.h>
#include <linux/llist.h>
#include <linux/string.h>
#include <linux/tracepoint.h>

/* doc: request */
struct entry {
	struct entry *next;
	const char *word;
};

static int request(const char *line)
{
	struct kregion *r = kregion_create("request", NULL);
	struct entry *list = NULL, *e;
	int err = -ENOMEM;
	size_t len;

	if (IS_ERR(r))
		return PTR_ERR(r);
	while (*line) {
		len = strcspn(line, " ");
		e = kregion_alloc(r, sizeof(*e), GFP_KERNEL);
		if (!e)
			goto out;
		e->word = kregion_strndup(r, line, len, GFP_KERNEL);
		if (!e->word)
			goto out;
		e->next = list;
		list = e;
		line = skip_spaces(line + len);
	}
	/* ... use the list ... */
	err = 0;
out:
	kregion_destroy(r);	/* all entries, all words */
	return err;
}

/* end: request */

/* doc: percpu */
struct record {
	struct llist_node node;
	int what;
};

static struct kregion *records;
static LLIST_HEAD(recorded);

static int records_start(void)
{
	records = kregion_create("records", &(struct kregion_attr){
		.flags = KREGION_F_PERCPU,
		.limit = SZ_16M,
	});
	return PTR_ERR_OR_ZERO(records);
}

/* Called from tasks and interrupts of all CPUs. */
static void record(int what)
{
	struct record *rec = kregion_alloc(records, sizeof(*rec), GFP_NOWAIT | __GFP_NOWARN);

	if (!rec)
		return;		/* the region counts it */
	rec->what = what;
	llist_add(&rec->node, &recorded);
}

/* The interrupts are off and the tasks have stopped. */
static void records_drop(void)
{
	init_llist_head(&recorded);
	kregion_drop(records);
}

/* end: percpu */

/* doc: single */
static int batches(unsigned int nr)
{
	struct kregion *r;
	int *values, err = 0;

	r = kregion_create("batches", &(struct kregion_attr){ .flags = KREGION_F_SINGLE });
	if (IS_ERR(r))
		return PTR_ERR(r);
	while (nr--) {
		values = kregion_calloc(r, 100, sizeof(*values), GFP_KERNEL);
		if (!values) {
			err = -ENOMEM;
			break;
		}
		/* ... work on this batch ... */
		kregion_reset(r);
	}
	kregion_destroy(r);
	return err;
}

/* end: single */

/* doc: nofill */
struct sample {
	u64 value;
};

static struct kregion *samples;

static int samples_start(void)
{
	samples = kregion_create("samples", &(struct kregion_attr){
		.flags = KREGION_F_PERCPU,
		.limit = SZ_4M,
		.reserve = SZ_64K,
	});
	return PTR_ERR_OR_ZERO(samples);
}

/* A tracepoint probe or an NMI handler: any context. */
static void sample(u64 value)
{
	struct sample *s = kregion_alloc_nofill(samples, sizeof(*s));

	if (s)
		s->value = value;
}

/* The probes are unregistered. */
static void samples_stop(void)
{
	tracepoint_synchronize_unregister();
	kregion_destroy(samples);
}

/* end: nofill */

/* doc: map */
static struct kregion *traces;
static struct kregion_map *stacks;

static int stacks_start(void)
{
	traces = kregion_create("traces", &(struct kregion_attr){ .reserve = SZ_64K });
	if (IS_ERR(traces))
		return PTR_ERR(traces);
	stacks = kregion_map_create(traces, GFP_KERNEL);
	if (!stacks) {
		kregion_destroy(traces);
		return -ENOMEM;
	}
	return 0;
}

/* The number of a stack trace, in any context; 0 without memory. */
static u32 stack_id(const unsigned long *entries, unsigned int nr)
{
	const struct kregion_item *item;

	item = kregion_map_put_nofill(stacks, entries, nr * sizeof(*entries));
	return item ? item->id : 0;
}

/* The other way round: the number of entries. */
static unsigned int stack_entries(u32 id, const unsigned long **entries)
{
	const struct kregion_item *item = kregion_map_item(stacks, id);

	if (!item)
		return 0;
	*entries = (const unsigned long *)item->data;
	return item->len / sizeof(**entries);
}

/* end: map */

/* doc: rotate */
static int records_read(struct kregion *r)
{
	struct kregion_gen *g = kregion_rotate(r);
	struct kregion_span span = {};
	int n = 0;

	if (IS_ERR(g))
		return PTR_ERR(g);
	while (kregion_gen_next(g, &span))
		n += span.bytes / sizeof(struct record);
	kregion_gen_recycle(g);
	return n;
}

/* end: rotate */

/* doc: stats */
static unsigned long lost(struct kregion *r)
{
	struct kregion_stats st;

	kregion_stats(r, &st);
	return st.failed_nomem + st.failed_limit + st.failed_size + st.failed_nofill;
}

/* end: stats */

/* doc: tree */
struct upload {
	struct kregion *region;
	struct page *page;
};

static void upload_put(void *arg)
{
	struct upload *f = arg;

	__free_page(f->page);
}

static struct upload *upload_open(struct kregion *session)
{
	struct kregion *r = kregion_create_child(session, "upload", NULL);
	struct upload *f;

	if (IS_ERR(r))
		return ERR_CAST(r);
	f = kregion_alloc_obj(r, *f, GFP_KERNEL);
	if (!f)
		goto fail;
	f->region = r;
	f->page = alloc_page(GFP_KERNEL);
	if (!f->page)
		goto fail;
	if (!kregion_add_action(r, upload_put, f, GFP_KERNEL))
		return f;
	upload_put(f);
fail:
	kregion_destroy(r);
	return ERR_PTR(-ENOMEM);
}

static int session(void)
{
	struct kregion *r;
	struct upload *a, *b;

	r = kregion_create("session", &(struct kregion_attr){ .limit = SZ_1M });
	if (IS_ERR(r))
		return PTR_ERR(r);
	a = upload_open(r);
	b = upload_open(r);
	if (!IS_ERR(a))
		kregion_destroy(a->region);	/* upload_put(a) */
	kregion_destroy(r);			/* upload_put(b), then the session */
	return IS_ERR(b) ? PTR_ERR(b) : 0;
}

/* end: tree */

/* doc: mark */
struct number {
	struct number *next;
	u32 value;
};

/* Comma-separated numbers; false leaves @r and @list as they were. */
static bool parse(struct kregion *r, struct number **list, char *text)
{
	const struct kregion_mark m = kregion_mark(r);
	struct number *old = *list, *n;
	char *word;

	while ((word = strsep(&text, ","))) {
		n = kregion_alloc_obj(r, *n, GFP_KERNEL);
		if (!n || kstrtou32(word, 0, &n->value)) {
			*list = old;
			kregion_rewind(r, m);
			return false;
		}
		n->next = *list;
		*list = n;
	}
	return true;
}

/* end: mark */

/* doc: resize */
static char *join(struct kregion *r, const char * const *words, unsigned int nr)
{
	size_t len = 0, size = 1, more;
	char *text = kregion_zalloc(r, size, GFP_KERNEL), *grown;

	for (; text && nr--; words++, size += more, text = grown) {
		more = strlen(*words);
		grown = kregion_resize(r, text, size, size + more, GFP_KERNEL);
		if (!grown)
			return NULL;
		memcpy(grown + len, *words, more + 1);
		len += more;
	}
	return text;
}

/* end: resize */

/* doc: typed */
struct table {
	unsigned int nr;
	u64 slot[];
};

static struct table *table_make(struct kregion *r, unsigned int nr)
{
	struct table *t = kregion_zalloc_flex(r, *t, slot, nr, GFP_KERNEL);

	if (t)
		t->nr = nr;
	return t;
}

/* end: typed */

static int __init scratch_run(void)
{
	static const char * const words[] = { "one", "-", "two" };
	struct number *list = NULL;
	char good[] = "1,2,3", bad[] = "4,5,six";
	struct kregion *r;
	struct table *t;
	int err = -EIO;
	char *text;

	r = kregion_create("parse", &(struct kregion_attr){ .flags = KREGION_F_SINGLE });
	if (IS_ERR(r))
		return PTR_ERR(r);
	text = join(r, words, ARRAY_SIZE(words));
	t = table_make(r, 10);
	if (parse(r, &list, good) && !parse(r, &list, bad) && list->value == 3 &&
	    text && !strcmp(text, "one-two") && t && t->nr == 10 && !t->slot[9])
		err = 0;
	kregion_destroy(r);
	return err;
}

static int __init records_run(void)
{
	int i, err = records_start();

	if (err)
		return err;
	/* As a softirq; with PREEMPT_RT, the page allocator needs interrupts on. */
	local_bh_disable();
	for (i = 0; i < 100; i++)
		record(i);
	local_bh_enable();
	if (lost(records) || llist_entry(recorded.first, struct record, node)->what != 99)
		err = -EIO;
	if (records_read(records) != 100)
		err = -EIO;
	records_drop();
	kregion_destroy(records);
	return err;
}

static int __init samples_run(void)
{
	unsigned int i;
	int err = samples_start();

	if (err)
		return err;
	for (i = 0; i < SZ_64K / sizeof(struct sample); i++)
		sample(i);
	if (lost(samples))
		err = -EIO;
	samples_stop();
	return err;
}

static int __init stacks_run(void)
{
	const unsigned long entries[] = { 1, 2, 3, 4 }, *found;
	int err = stacks_start();

	if (err)
		return err;
	if (stack_id(entries, 4) != 1 || stack_id(entries + 1, 3) != 2 ||
	    stack_id(entries, 4) != 1 || stack_entries(2, &found) != 3 || found[2] != 4 ||
	    stack_entries(3, &found))
		err = -EIO;
	kregion_destroy(traces);
	return err;
}

static int __init recipes_init(void)
{
	return request("each word is an entry") ?: batches(10) ?: records_run() ?: samples_run() ?:
	       session() ?: scratch_run() ?: stacks_run();
}
module_init(recipes_init);

static void __exit recipes_exit(void)
{
}
module_exit(recipes_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("The examples of kregion's documentation");
