// SPDX-License-Identifier: GPL-2.0
/*
 * Sequences of calls, as the bytes of an input describe them, beside a model: a
 * target of libFuzzer, which also replays files.
 *
 * The model knows all objects, what the statistics must be, which failures are
 * allowed, and what is owed to nofill calls. It is compared after each call.
 */
#include "internal.h"
#include "kernel.h"

#define MAX_OBJECTS	600
#define MAX_MARKS	8

struct object {
	char *p;
	size_t size;
	u8 tag;
};

/* What must be the case again after a rewind. */
struct mark {
	struct kregion_mark mark;
	unsigned int nr;			/* objects */
	unsigned int actions;
	unsigned long used;
	size_t owed;
	bool valid;
};

static struct {
	struct kregion *r;
	struct kregion_attr attr;
	size_t small;				/* largest object that is not large */
	struct object object[MAX_OBJECTS];
	unsigned int nr;
	struct kregion_stats st;		/* after the last call */
	size_t promise, owed;			/* most promised; nofill bytes that must succeed */
	long fills;				/* shim_fills when it was created */
	bool damaged;
	struct mark mark[MAX_MARKS];		/* oldest first */
	unsigned int nr_marks, actions;
	bool mismarked;				/* an invalid mark was reported */
	struct kregion_gen *gen;		/* kept until the next rotate, or longer */
} m;

static const u8 *input, *input_end;
static unsigned int fail_in;			/* this call of an allocator fails; 0: none */
static bool ran_short;				/* ... or did fail */

#define CHECK(x)	do { if (!(x)) shim_die(__FILE__, __LINE__, #x); } while (0)

bool shim_fail(void)
{
	if (!fail_in || --fail_in)
		return false;
	ran_short = true;
	return true;
}

void shim_short(void)
{
	ran_short = true;
}

static u8 byte(void)
{
	return input < input_end ? *input++ : 0;
}

static u32 word(void)
{
	return byte() | byte() << 8 | byte() << 16;
}

/* ---- the model ----------------------------------------------------------- */

static unsigned long blocks(const struct kregion_stats *st)
{
	return st->blocks_current + st->blocks_full + st->blocks_large + st->blocks_spare;
}

static unsigned long failures(const struct kregion_stats *st)
{
	return st->failed_nomem + st->failed_limit + st->failed_size + st->failed_nofill;
}

/* The size that wastes most of a block with @room. */
static size_t dry_waste(size_t room)
{
	const size_t over = ALIGN(m.small, KREGION_ALIGN) - KREGION_ALIGN;

	return room > over && room - over < m.small ? room - over : m.small;
}

/* Does the reserve have what is owed, whatever sizes are asked for? */
static void check_reserve(void)
{
	const struct kregion_reserve *rv = to_priv(m.r)->reserve;
	size_t left, size, bytes, room, nr;
	const struct kregion_block *b;
	unsigned int way;

	for (way = 0; way < 3; way++) {
		b = rv ? rv->queue[region_slot(to_priv(m.r)->epoch)].head : NULL;
		room = b ? block_room(b) - block_used(b) : 0;
		for (left = m.owed; left; ) {
			CHECK(b);
			size = way == 0 ? KREGION_ALIGN : way == 1 ? m.small : dry_waste(room);
			size = min(left, ALIGN(size, KREGION_ALIGN));
			bytes = region_bytes(to_priv(m.r), size, KREGION_ALIGN);
			nr = way == 2 ? room >= bytes : min(room / bytes, left / size);
			left -= nr * size;
			room -= nr * bytes;
			if (nr)
				continue;
			b = b->queue;
			room = b ? block_room(b) : 0;
		}
	}
}

static void check_stats(void)
{
	struct kregion_stats st;

	kregion_stats(m.r, &st);
	CHECK(!m.gen == !st.generations);
	if (m.gen) {
		struct kregion_stats sealed;

		kregion_gen_stats(m.gen, &sealed);
		CHECK(sealed.bytes_held == st.bytes_sealed);
		CHECK((long)(blocks(&st) + blocks(&sealed)) == shim_blocks);
	} else {
		CHECK((long)blocks(&st) == shim_blocks && !st.bytes_sealed);
	}
	CHECK((long)(st.bytes_held + st.bytes_sealed) == shim_bytes);
	CHECK((long)st.fills == shim_fills - m.fills);
	CHECK(st.blocks_peak >= m.st.blocks_peak && st.blocks_peak >= blocks(&st));
	CHECK(st.blocks_peak <= st.fills);
	CHECK(st.bytes_used + st.bytes_lost <= st.bytes_held);
	CHECK(!m.attr.limit || st.bytes_held + st.bytes_sealed <= m.attr.limit);
	CHECK(st.blocks_large <= m.nr);
	m.st = st;
}

static void verify_objects(void)
{
	unsigned int i;

	for (i = 0; i < m.nr; i++)
		CHECK(!memchr_inv(m.object[i].p, m.object[i].tag, m.object[i].size));
}

/* A call that asked for @size at @align returned @p. */
static void allocated(char *p, size_t size, size_t align, bool zeroed)
{
	const unsigned long used = m.st.bytes_used, failed = failures(&m.st);
	const size_t bytes = region_bytes(to_priv(m.r), size, align);
	unsigned int i;

	CHECK((unsigned long)p % max(align, KREGION_ALIGN) == 0);
	for (i = 0; i < m.nr; i++)
		CHECK(p >= m.object[i].p + m.object[i].size || p + size <= m.object[i].p);
	CHECK(kregion_contains(m.r, p) && kregion_contains(m.r, p + size - 1));
	CHECK(!zeroed || !memchr_inv(p, 0, size));
	m.object[m.nr] = (struct object){ p, size, m.nr * 7 + 1 };
	memset(p, m.object[m.nr++].tag, size);
	check_stats();
	CHECK(failures(&m.st) == failed);
	CHECK(m.st.bytes_used >= used + bytes && m.st.bytes_used < used + bytes + align);
	CHECK(align > KREGION_ALIGN || m.st.bytes_used == used + bytes);
}

/* The least block that could serve @size. */
static size_t least_block(size_t size, size_t align)
{
	const size_t bytes = region_bytes(to_priv(m.r), size, align);

	if (size + align - KREGION_ALIGN > m.small)
		return PAGE_ALIGN(bytes + sizeof(struct kregion_block));
	return max(PAGE_SIZE, roundup_pow_of_two(bytes + align + sizeof(struct kregion_block)));
}

/* Is there no spare block for @size? A search passes over none. */
static bool none_spare(size_t size, size_t align)
{
	const size_t room = region_bytes(to_priv(m.r), size, align) + align - KREGION_ALIGN;
	struct kregion_priv *rg = to_priv(m.r);
	const struct kregion_block *b;
	unsigned int i;

	for (i = 1; i <= region_buckets(rg); i++)
		for (b = region_chain(rg, i); b; b = b->chain)
			if (b->epoch != rg->epoch && block_room(b) >= room)
				return false;
	return true;
}

/* A call returned NULL: which counter says so, and may it? */
static void refused(size_t size, size_t align, gfp_t gfp, bool nofill)
{
	const struct kregion_stats old = m.st;

	check_stats();
	CHECK(m.st.bytes_used == old.bytes_used);
	CHECK(failures(&m.st) == failures(&old) + 1);
	if (m.st.failed_limit + m.st.failed_nomem > old.failed_limit + old.failed_nomem)
		CHECK(size + max(align, KREGION_ALIGN) - KREGION_ALIGN > m.small ||
		      none_spare(size, max(align, KREGION_ALIGN)));
	if (m.st.failed_size > old.failed_size) {
		CHECK(size > (nofill ? m.small : KREGION_MAX_ALLOC) || !is_power_of_2(align) ||
		      align > PAGE_SIZE);
	} else if (m.st.failed_nofill > old.failed_nofill) {
		CHECK(nofill && ALIGN(size, KREGION_ALIGN) > m.owed);
	} else if (m.st.failed_limit > old.failed_limit) {
		CHECK(m.attr.limit && m.st.bytes_held + m.st.bytes_sealed +
		      least_block(size, align) > m.attr.limit);
	} else {
		CHECK(ran_short || (!gfpflags_allow_blocking(gfp) &&
				    (m.attr.flags & KREGION_F_VMALLOC)) ||
		      ((m.attr.flags & KREGION_F_PAGES || !gfpflags_allow_blocking(gfp)) &&
		       least_block(size, align) > KMALLOC_MAX_SIZE));
	}
}

static void outcome(void *p, size_t size, size_t align, gfp_t gfp, bool zeroed)
{
	if (p == ZERO_SIZE_PTR)
		CHECK(!size);
	else if (p)
		allocated(p, size, max(align, KREGION_ALIGN), zeroed || (gfp & __GFP_ZERO));
	else
		refused(size, align, gfp, false);
}

/* ---- calls --------------------------------------------------------------- */

static size_t pick_size(void)
{
	switch (byte() % 8) {
	case 0:
		return m.small - 8 + byte() % 16;
	case 1:
		return word() % (2 * m.small);
	case 2:
		return m.attr.block_size - 80 + byte();
	case 3:
		return byte() % 4 ? word() % (1 << 17) : KREGION_MAX_ALLOC - 1 + byte() % 3;
	case 4:
		return byte() % 4 ? word() % 512 : SIZE_MAX - byte();
	default:
		return byte();
	}
}

static gfp_t pick_gfp(void)
{
	static const gfp_t gfps[] = {
		GFP_KERNEL, GFP_NOIO, GFP_ATOMIC, GFP_NOWAIT, GFP_KERNEL | __GFP_ZERO,
		GFP_ATOMIC | __GFP_ZERO, GFP_KERNEL | __GFP_NOWARN, GFP_KERNEL,
	};

	return gfps[byte() % ARRAY_SIZE(gfps)];
}

static void call_text(gfp_t gfp)
{
	char text[256];
	size_t len = byte() % sizeof(text), i, size = len + 1;
	const u8 how = byte() % 4;
	char *p;

	for (i = 0; i < len; i++)
		text[i] = 'a' + i % 26;
	text[len] = 0;
	if (how == 0) {
		p = kregion_strdup(m.r, text, gfp);
	} else if (how == 1) {
		size = min(len, 100UL) + 1;
		p = kregion_strndup(m.r, text, 100, gfp);
	} else if (how == 2) {
		p = kregion_asprintf(m.r, gfp, "%s", text);
	} else {
		p = kregion_memdup(m.r, text, size, gfp);
	}
	if (p)
		CHECK(!memcmp(p, text, size - 1) && !p[size - 1]);
	outcome(p, size, KREGION_ALIGN, gfp & ~__GFP_ZERO, false);
}

static void call_nofill(size_t size)
{
	void *p = size == 24 ? kregion_alloc_nofill(m.r, 24) : kregion_alloc_nofill(m.r, size);

	if (!p) {
		refused(size, KREGION_ALIGN, 0, true);
	} else if (p != ZERO_SIZE_PTR) {
		CHECK(size <= m.small);
		m.owed -= min(m.owed, ALIGN(size, KREGION_ALIGN));
		allocated(p, size, KREGION_ALIGN, false);
	}
}

/* All that is owed, in one size. */
static void spend(size_t size)
{
	while (m.owed && m.nr < MAX_OBJECTS)
		call_nofill(min(m.owed, size));
}

static void call_alloc(u8 op, gfp_t gfp)
{
	const size_t size = pick_size();
	size_t n;

	switch (op) {
	case 0:
		outcome(kregion_alloc(m.r, 24, gfp), 24, KREGION_ALIGN, gfp, false);
		break;
	case 1:
		outcome(kregion_alloc(m.r, 24, GFP_KERNEL), 24, KREGION_ALIGN, GFP_KERNEL, false);
		break;
	case 2:
		outcome(kregion_alloc(m.r, size, gfp), size, KREGION_ALIGN, gfp, false);
		break;
	case 3:
		outcome(kregion_zalloc(m.r, size, gfp), size, KREGION_ALIGN, gfp, true);
		break;
	case 4:
		n = byte();
		outcome(kregion_calloc(m.r, n, size, gfp), size_mul(n, size), KREGION_ALIGN, gfp,
			true);
		break;
	case 5:
		n = 1UL << byte() % 14;
		if (!(byte() % 16))
			n = byte();
		outcome(kregion_alloc_aligned(m.r, size, n, gfp), size, n, gfp, false);
		break;
	case 6:
		call_nofill(24);
		break;
	case 7:
		call_nofill(size);
		break;
	}
}

static void call_reserve(gfp_t gfp)
{
	const size_t bytes = word() % (byte() % 8 ? 2 * m.attr.block_size : 1 << 21);
	/* Objects of 8 bytes, with the metadata of a debug region. */
	const size_t worst = m.attr.flags & KREGION_F_DEBUG ? 3 * bytes : bytes;
	const int err = kregion_reserve(m.r, bytes, gfp);

	if (!err) {
		m.promise = max(m.promise, bytes);
		m.owed = max(m.owed, ALIGN(bytes, KREGION_ALIGN));
	} else {
		CHECK(err == -ENOSPC ? m.attr.limit || worst > totalram_pages() * PAGE_SIZE / 2 :
		      err == -ENOMEM && (ran_short || !gfpflags_allow_blocking(gfp)));
	}
	check_stats();
}

/* To the end, unless calls fail: then the promise need not hold yet. */
static void run_work(void)
{
	unsigned int i;

	for (i = 0; i < 4 && shim_run_work(); i++)
		;
	check_stats();
	if (i == 4)
		return;
	m.owed = ALIGN(m.promise, KREGION_ALIGN);
	if (!(m.attr.flags & KREGION_F_DEBUG))
		CHECK((long)(shim_pages_used() * PAGE_SIZE) + shim_vmalloc_used() == shim_bytes);
}

static void expect_warnings(void)
{
	CHECK(m.damaged ? shim_warnings : !shim_warnings);
	shim_warnings = 0;
	m.damaged = false;
}

/* Actions run newest first. */
static void action(void *arg)
{
	CHECK((unsigned long)arg == m.actions);
	m.actions--;
}

static void call_action(gfp_t gfp)
{
	const unsigned long used = m.st.bytes_used;

	if (!kregion_add_action(m.r, action, (void *)(m.actions + 1UL), gfp)) {
		m.actions++;
		check_stats();
		CHECK(m.st.bytes_used == used + region_bytes(to_priv(m.r),
							     sizeof(struct kregion_action), 8));
	} else {
		refused(sizeof(struct kregion_action), KREGION_ALIGN, gfp, false);
	}
}

static void call_mark(void)
{
	struct mark *k = &m.mark[m.nr_marks];

	if (!(m.attr.flags & KREGION_F_SINGLE) || m.nr_marks == MAX_MARKS)
		return;
	k->mark = kregion_mark(m.r);
	k->valid = k->mark.serial;
	k->nr = m.nr;
	k->actions = m.actions;
	k->used = m.st.bytes_used;
	k->owed = m.owed;
	check_stats();
	CHECK(m.st.bytes_used == k->used && (k->valid || ran_short));
	m.nr_marks += k->valid;
}

static void call_rewind(void)
{
	const unsigned int i = byte() % MAX_MARKS;
	struct mark *k = &m.mark[i];

	if (i >= m.nr_marks || m.damaged)
		return;
	verify_objects();
	if (k->valid) {
		m.nr = k->nr;
		m.nr_marks = i + 1;
		m.owed = k->owed;
		while (++k < m.mark + MAX_MARKS)
			k->valid = false;
		kregion_rewind(m.r, m.mark[i].mark);
		check_stats();
		CHECK(m.st.bytes_used == m.mark[i].used);
		CHECK(m.actions == m.mark[i].actions);
	} else {
		CHECK(!shim_warnings);
		kregion_rewind(m.r, k->mark);
		CHECK(shim_warnings == !m.mismarked);
		shim_warnings = 0;
		m.mismarked = true;
	}
	verify_objects();
}

static void call_resize(gfp_t gfp)
{
	const unsigned int i = byte() % max(m.nr, 1U);
	const unsigned long used = m.st.bytes_used;
	const size_t size = pick_size();
	struct object *o = &m.object[i];
	const size_t old = o->size;
	unsigned int j;
	char *p;

	if (i >= m.nr || !o->size || m.nr == MAX_OBJECTS || m.damaged)
		return;
	p = kregion_resize(m.r, o->p, old, size, gfp);
	CHECK(!memchr_inv(o->p, o->tag, min(old, size)));
	if (!p) {
		CHECK(size > old);
		refused(size, KREGION_ALIGN, gfp, false);
	} else if (p != o->p && size) {
		CHECK(size > old && !memchr_inv(p, o->tag, old));
		CHECK(!(gfp & __GFP_ZERO) || !memchr_inv(p + old, 0, size - old));
		allocated(p, size, KREGION_ALIGN, false);
	} else {
		CHECK(size || p == ZERO_SIZE_PTR);
		if (size > old && gfp & __GFP_ZERO)
			CHECK(!memchr_inv(p + old, 0, size - old));
		check_stats();
		CHECK(m.st.bytes_used == used ||
		      m.st.bytes_used - used == ALIGN(size, 8) - ALIGN(old, 8));
		CHECK(size <= old || m.st.bytes_used - used == ALIGN(size, 8) - ALIGN(old, 8));
		/* Only a large object changes in place in front of a mark. */
		for (j = 0; j < m.nr_marks; j++)
			if (i < m.mark[j].nr)
				m.mark[j].used += m.st.bytes_used - used;
		o->size = size;
		o->p = p;
		for (j = 0; j < m.nr; j++)
			CHECK(j == i || o->p + size <= m.object[j].p ||
			      o->p >= m.object[j].p + m.object[j].size);
		if (size)
			memset(p, o->tag, size);
	}
}

/* The objects of the region so far, each once, and nothing else but padding. */
static void check_spans(struct kregion_gen *g, unsigned long used)
{
	struct kregion_span span = {};
	unsigned int i, found = 0;
	size_t bytes = 0;

	while (kregion_gen_next(g, &span)) {
		bytes += span.bytes;
		for (i = 0; i < m.nr; i++)
			found += m.object[i].p >= (char *)span.start && m.object[i].size &&
				 m.object[i].p + m.object[i].size <=
				 (char *)span.start + span.bytes;
	}
	for (i = 0; i < m.nr; i++)
		found += !m.object[i].size;
	CHECK(found == m.nr);
	CHECK(m.attr.flags & KREGION_F_DEBUG ? bytes <= used : bytes == used);
}

/* The generation ends at once, or is kept and the one before ends. */
static void call_rotate(u8 how)
{
	const struct kregion_stats old = m.st;
	const long held = shim_bytes, fills = shim_fills;
	struct kregion_gen *g, *older;
	unsigned int i;

	if (m.damaged)
		return;
	g = kregion_rotate(m.r);
	if (IS_ERR(g)) {
		CHECK(g == ERR_PTR(-ENOMEM) && (ran_short || m.attr.limit));
		CHECK(shim_bytes == held);
		/* What is given back at once is no fill. */
		m.fills += shim_fills - fills;
		check_stats();
		CHECK(m.st.bytes_used == old.bytes_used && m.st.bytes_held == old.bytes_held);
		verify_objects();
		return;
	}
	check_spans(g, old.bytes_used);
	verify_objects();
	for (i = 0; i < m.nr; i++)
		CHECK(!kregion_contains(m.r, m.object[i].p));
	for (i = 0; i < m.nr_marks; i++)
		m.mark[i].valid = false;
	m.owed = ALIGN(m.promise, KREGION_ALIGN);
	if (how & 1 && !m.actions) {
		older = m.gen;
		m.gen = g;
		g = older;
	}
	(how & 2 ? kregion_gen_recycle : kregion_gen_free)(g);
	m.nr = 0;
	m.st.bytes_used = 0;
	m.st.blocks_large = 0;
	check_stats();
	CHECK(!m.st.bytes_used && !m.st.blocks_large && !m.st.blocks_full && !m.actions);
}

static void epoch_end(bool drop)
{
	unsigned int i;

	if (!m.damaged)
		verify_objects();
	for (i = 0; i < m.nr_marks; i++)
		m.mark[i].valid = false;
	m.nr = 0;
	m.owed = ALIGN(m.promise, KREGION_ALIGN);
	(drop ? kregion_drop : kregion_reset)(m.r);
	m.st.bytes_used = 0;
	check_stats();
	CHECK(!m.st.bytes_used && !m.st.blocks_large && !m.st.blocks_full && !m.actions);
	CHECK(!drop || m.promise || !m.st.bytes_held);
	expect_warnings();
}

/* Write behind an object, or in front of it. */
static void damage(void)
{
	const struct object *o = &m.object[byte() % max(m.nr, 1U)];
	const bool front = byte() % 2;

	if (!m.nr || m.damaged || !(m.attr.flags & KREGION_F_DEBUG) || !o->size)
		return;
	o->p[front ? -1L - byte() % 8 : (long)o->size] ^= 1 + byte() % 255;
	m.damaged = true;
}

/* ---- creation ------------------------------------------------------------ */

static bool valid(const struct kregion_attr *a)
{
	const unsigned int both = KREGION_F_PAGES | KREGION_F_VMALLOC;
	const unsigned int modes = KREGION_F_PERCPU | KREGION_F_SINGLE;

	return a->flags < 128 && (a->flags & both) != both && (a->flags & modes) != modes &&
	       is_power_of_2(a->block_size) && a->block_size >= PAGE_SIZE &&
	       a->block_size <= KREGION_BLOCK_SIZE_MAX &&
	       !((a->flags & KREGION_F_PAGES) && a->block_size > KMALLOC_MAX_SIZE) &&
	       !((a->flags & KREGION_F_NODE) && a->node) &&
	       !(a->limit && (a->limit < a->block_size || a->reserve > a->limit));
}

static void pick_attr(struct kregion_attr *a)
{
	const u8 how = byte();

	*a = (struct kregion_attr){ .flags = byte(), .block_size = PAGE_SIZE << byte() % 5 };
	if (how & 1)
		a->flags &= KREGION_F_PERCPU | KREGION_F_DEBUG | KREGION_F_NODE;
	if (how & 2)
		a->limit = a->block_size * (1 + byte() % 16);
	if (how & 4)
		a->reserve = word() % (2 * a->block_size);
	if ((how & 0x70) == 0x70)
		a->block_size = 1UL << byte() % BITS_PER_LONG;
	if ((how & 0xb0) == 0xb0)
		a->limit = word();
	if ((how & 0xd0) == 0xd0)
		a->node = (s8)byte();
}

static void destroy(void)
{
	if (!m.damaged)
		verify_objects();
	kregion_destroy(m.r);		/* or an error of kregion_create() */
	kregion_gen_free(m.gen);
	CHECK(!m.actions);
	fail_in = 0;
	while (shim_run_work())
		;
	kregion_debug_flush();
	expect_warnings();
	CHECK(!shim_blocks && !shim_bytes && !shim_pages_used() && !shim_vmalloc_used());
}

static bool create(void)
{
	struct kregion_attr attr;
	char name[41] = "fuzz";
	bool good = true;
	unsigned int i;

	pick_attr(&attr);
	if (byte() > 240) {
		for (i = 0; i < 40 && (name[i] = byte()); i++)
			good &= name[i] > ' ' && name[i] < 127 && name[i] != '/';
		good &= i && i <= KREGION_NAME_MAX && strcmp(name, ".") && strcmp(name, "..");
		name[i] = 0;
	}
	memset(&m, 0, sizeof(m));
	m.fills = shim_fills;
	m.attr = attr;
	m.small = attr.block_size / 8;
	m.r = kregion_create(name, &attr);
	if (m.r == ERR_PTR(-EINVAL))
		CHECK(!good || !valid(&attr) || (attr.reserve && attr.limit));
	else if (m.r == ERR_PTR(-ENOMEM))
		CHECK(ran_short);
	else
		CHECK(!IS_ERR_OR_NULL(m.r) && good && valid(&attr));
	if (IS_ERR(m.r)) {
		destroy();
		return false;
	}
	m.promise = attr.reserve;
	m.owed = ALIGN(m.promise, KREGION_ALIGN);
	check_stats();
	return true;
}

static void step(void)
{
	const u8 op = byte();
	const gfp_t gfp = pick_gfp();
	u8 n;

	ran_short = false;
	fail_in = op & 0x80 ? 1 + byte() % 8 : 0;
	switch ((op & 0x60) == 0x60 ? 32 + op % 8 : op & 31) {
	case 32 ... 35:
		call_resize(gfp);
		break;
	case 36:
		call_mark();
		break;
	case 37 ... 38:
		call_rewind();
		break;
	case 39:
		call_action(gfp);
		break;
	case 0 ... 15:
		if (m.nr < MAX_OBJECTS)
			call_alloc((op & 31) / 2, gfp);
		break;
	case 16 ... 18:
		if (m.nr < MAX_OBJECTS)
			call_text(gfp);
		break;
	case 19 ... 20:
		call_reserve(gfp);
		break;
	case 21 ... 24:
		run_work();
		break;
	case 25:
		kregion_contains(m.r, (void *)(unsigned long)word());
		CHECK(!kregion_contains(m.r, &m));
		break;
	case 26:
		damage();
		break;
	case 27 ... 28:
		epoch_end(false);
		break;
	case 29:
		epoch_end(true);
		break;
	case 30:
		spend(1 + word() % m.small);
		break;
	default:
		n = byte();
		if (n < 0x40)
			call_rotate(n);
		else
			shim_cpu = n % nr_cpu_ids;
	}
	check_reserve();
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	nr_cpu_ids = 3;
	shim_quiet = 1;
	CHECK(!shim_init());
	input = data;
	input_end = data + size;
	shim_cpu = 0;
	while (input < input_end) {
		ran_short = false;
		fail_in = byte() % 16;
		if (!create())
			continue;
		for (fail_in = 0; input < input_end && *input != 0xff; )
			step();
		byte();
		destroy();
	}
	/* What is cached between regions must not be left to the next input. */
	shim_exit();
	return 0;
}
