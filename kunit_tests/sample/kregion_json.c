// SPDX-License-Identifier: GPL-2.0
/*
 * A client of kregion: a parser of JSON. It reads a document from one write, and
 * prints the tree that it makes of it:
 *
 *	# echo '{ "cpus": [0, 1], "name": "\u00e9" }' >/sys/kernel/debug/kregion_json
 *	# cat /sys/kernel/debug/kregion_json
 *
 * A document that is refused leaves the last one; the log has the line, the
 * column and what was expected there. All memory is in a tree of regions:
 *
 *	kregion_json		the module; an action removes the file
 *	└── document		its values, with a limit
 *	    └── scratch		the text, until it is parsed
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/kregion.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>
#include <linux/uaccess.h>

#define MAX_TEXT	SZ_64K	/* bytes of a document */
#define MAX_DEPTH	32	/* bounds the stack of parse_value() and show_value() */
#define MIN_TEXT	64	/* bytes of an array that is worth a mark */

static unsigned long limit = SZ_1M;
module_param(limit, ulong, 0600);
MODULE_PARM_DESC(limit, "most bytes of memory of a document");

static bool debug;
module_param(debug, bool, 0600);
MODULE_PARM_DESC(debug, "check the memory of documents");

struct string {
	unsigned int len;
	char text[];			/* may contain NUL */
};

struct value {
	struct value *next;		/* in the same array or object */
	const struct string *name;	/* in an object */
	enum { WORD, STRING, INTEGERS, ARRAY, OBJECT } type;
	unsigned int nr;		/* of elements or members */
	union {
		const char *word;	/* true, false, null, a number */
		const struct string *string;
		const s64 *integers;
		struct value *first;
	};
};

struct document {
	struct kregion *region;
	struct value *root;
};

static struct kregion *json;
static struct dentry *file;
static struct document *document;	/* the last one, or NULL */
static DEFINE_MUTEX(document_lock);

/* Characters that follow a backslash, and those that they stand for. */
static const char escapes[] = "\"\\bfnrt/", escaped[] = "\"\\\b\f\n\r\t/";

struct parser {
	struct kregion *region;		/* of the values */
	const char *at;			/* in the text, which ends in NUL */
	const char *error;		/* there; NULL for lack of memory */
	unsigned int depth;
};

static void *fail(struct parser *p, const char *error)
{
	p->error = error;
	return NULL;
}

static char next_char(struct parser *p)
{
	p->at += strspn(p->at, " \t\n\r");
	return *p->at;
}

static bool accept(struct parser *p, char c)
{
	if (next_char(p) != c)
		return false;
	p->at++;
	return true;
}

static bool parse_utf16(struct parser *p, u32 *c)
{
	u8 bytes[2];

	if (p->at[0] != '\\' || p->at[1] != 'u' || hex2bin(bytes, p->at + 2, 2))
		return false;
	*c = bytes[0] << 8 | bytes[1];
	p->at += 6;
	return true;
}

/* Write the character of an escape, in UTF-8; returns the end of it, or NULL. */
static char *parse_escape(struct parser *p, char *out)
{
	static const u8 lead[] = { 0, 0xc0, 0xe0, 0xf0 };
	const char *escape = p->at[1] ? strchr(escapes, p->at[1]) : NULL;
	unsigned int shift;
	u32 c, low;

	if (escape) {
		*out = escaped[escape - escapes];
		p->at += 2;
		return out + 1;
	}
	if (!parse_utf16(p, &c))
		return fail(p, "an escape expected");
	if (c >= 0xd800 && c < 0xe000) {
		if (c >= 0xdc00 || !parse_utf16(p, &low) || low < 0xdc00 || low >= 0xe000)
			return fail(p, "a pair of surrogates expected");
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	}
	shift = c < 0x80 ? 0 : c < 0x800 ? 6 : c < 0x10000 ? 12 : 18;
	*out++ = lead[shift / 6] | c >> shift;
	for (; shift; shift -= 6)
		*out++ = 0x80 | (c >> (shift - 6) & 0x3f);
	return out;
}

/* Bytes outside of ASCII are taken as they are. */
static const struct string *parse_string(struct parser *p)
{
	unsigned int max = 0;
	struct string *s;
	char *out;

	if (!accept(p, '"'))
		return fail(p, "a string expected");
	for (; p->at[max] != '"'; max++) {
		if ((u8)p->at[max] < ' ') {
			p->at += max;
			return fail(p, "the end of the string expected");
		}
		max += p->at[max] == '\\' && p->at[max + 1];
	}
	s = kregion_alloc_flex(p->region, *s, text, max, GFP_KERNEL);
	for (out = s ? s->text : NULL; out && *p->at != '"'; ) {
		if (*p->at == '\\')
			out = parse_escape(p, out);
		else
			*out++ = *p->at++;
	}
	if (!out)
		return NULL;
	p->at++;
	s->len = out - s->text;
	/* The last object gives back what the escapes did not need. */
	return kregion_resize(p->region, s, struct_size(s, text, max),
			      struct_size(s, text, s->len), GFP_KERNEL);
}

/* The length of the number at @s; 0 if there is none. */
static size_t number_length(const char *s)
{
	const char *digits = "0123456789", *at = s + (*s == '-');
	size_t n = *at == '0' ? 1 : strspn(at, digits);

	at += n;
	if (n && *at == '.') {
		n = strspn(++at, digits);
		at += n;
	}
	if (n && (*at == 'e' || *at == 'E')) {
		at += at[1] == '+' || at[1] == '-' ? 2 : 1;
		n = strspn(at, digits);
		at += n;
	}
	return n ? at - s : 0;
}

static bool parse_integer(struct parser *p, s64 *integer)
{
	char number[24];
	size_t len;

	next_char(p);
	len = number_length(p->at);
	if (len >= sizeof(number))
		return false;
	memcpy(number, p->at, len);
	number[len] = '\0';
	p->at += len;
	/* Numbers are printed as they were written, -0 too. */
	return !kstrtos64(number, 10, integer) && (*integer || len == 1);
}

/*
 * As integers, the elements of an array take 8 bytes each. The first one that is
 * something else ends the attempt, and the array is parsed like any other.
 */
static noinline_for_stack bool parse_integers(struct parser *p, struct value *v)
{
	const struct kregion_mark mark = kregion_mark(p->region);
	unsigned int nr = 0, max = 64;
	const char *start = p->at;
	s64 *integers = kregion_alloc_objs(p->region, *integers, max, GFP_KERNEL);

	while (integers && parse_integer(p, &integers[nr])) {
		nr++;
		if (accept(p, ']')) {
			v->type = INTEGERS;
			v->nr = nr;
			v->integers = kregion_resize(p->region, integers, max * sizeof(*integers),
						     nr * sizeof(*integers), GFP_KERNEL);
			return true;
		}
		if (!accept(p, ','))
			break;
		if (nr < max)
			continue;
		integers = kregion_resize(p->region, integers, max * sizeof(*integers),
					  2 * max * sizeof(*integers), GFP_KERNEL);
		max *= 2;
	}
	kregion_rewind(p->region, mark);
	p->at = start;
	return false;
}

static struct value *parse_value(struct parser *p);

/* The rest of an array or object, which @close ends. */
static struct value *parse_members(struct parser *p, struct value *v, char close)
{
	struct value **link = &v->first;
	const struct string *name = NULL;

	if (p->depth++ == MAX_DEPTH)
		return fail(p, "nested too deep");
	while (!accept(p, close)) {
		if (v->nr++ && !accept(p, ','))
			return fail(p, v->type == ARRAY ? "',' or ']' expected" :
							  "',' or '}' expected");
		if (v->type == OBJECT) {
			name = parse_string(p);
			if (!name)
				return NULL;
			if (!accept(p, ':'))
				return fail(p, "':' expected");
		}
		*link = parse_value(p);
		if (!*link)
			return NULL;
		(*link)->name = name;
		link = &(*link)->next;
	}
	p->depth--;
	return v;
}

static struct value *parse_value(struct parser *p)
{
	struct value *v = kregion_zalloc_obj(p->region, *v, GFP_KERNEL);
	size_t len;

	if (!v)
		return NULL;
	next_char(p);
	if (accept(p, '{')) {
		v->type = OBJECT;
		return parse_members(p, v, '}');
	}
	if (accept(p, '[')) {
		len = strcspn(p->at, "[]{}\"");
		if (len >= MIN_TEXT && p->at[len] == ']' && parse_integers(p, v))
			return v;
		v->type = ARRAY;
		return parse_members(p, v, ']');
	}
	if (*p->at == '"') {
		v->type = STRING;
		v->string = parse_string(p);
		return v->string ? v : NULL;
	}
	len = str_has_prefix(p->at, "true") ?: str_has_prefix(p->at, "false") ?:
	      str_has_prefix(p->at, "null") ?: number_length(p->at);
	if (!len)
		return fail(p, "a value expected");
	v->word = kregion_strndup(p->region, p->at, len, GFP_KERNEL);
	p->at += len;
	return v->word ? v : NULL;
}

/* Returns 0, -ENOMEM, or -EINVAL with a message in the log. */
static int parse_document(struct document *d, const char *text, size_t len)
{
	struct parser p = { .region = d->region, .at = text };
	const char *line = text, *newline;
	unsigned int nr = 1;

	d->root = parse_value(&p);
	if (d->root && !next_char(&p) && p.at == text + len)
		return 0;
	if (d->root)
		fail(&p, "the end expected");
	if (!p.error)
		return -ENOMEM;
	for (; (newline = memchr(line, '\n', p.at - line)); line = newline + 1)
		nr++;
	pr_info("%u:%u: %s\n", nr, (unsigned int)(p.at - line) + 1, p.error);
	return -EINVAL;
}

/* Single mode: no other task knows the document before it is complete. */
static struct document *document_create(const char __user *buf, size_t len)
{
	struct kregion_attr attr = {
		.flags = KREGION_F_SINGLE | (debug ? KREGION_F_DEBUG : 0),
		.limit = limit,
	};
	struct kregion *scratch, *r = kregion_create_child(json, "document", &attr);
	struct document *d;
	int err = -ENOMEM;
	char *text;

	if (IS_ERR(r))
		return ERR_CAST(r);
	scratch = kregion_create_child(r, "scratch", &attr);
	if (IS_ERR(scratch))
		goto destroy;
	d = kregion_alloc_obj(r, *d, GFP_KERNEL);
	text = kregion_alloc_objs(scratch, *text, len + 1, GFP_KERNEL);
	if (!d || !text)
		goto destroy;
	text[len] = '\0';
	d->region = r;
	err = copy_from_user(text, buf, len) ? -EFAULT : parse_document(d, text, len);
	if (err)
		goto destroy;
	kregion_destroy(scratch);
	return d;

destroy:
	kregion_destroy(r);	/* and the scratch region with it */
	return ERR_PTR(err);
}

static void show_string(struct seq_file *m, const struct string *s)
{
	const char *escape;
	unsigned int i;

	seq_putc(m, '"');
	for (i = 0; i < s->len; i++) {
		escape = memchr(escaped, s->text[i], strlen(escaped) - 1);	/* no slash */
		if (escape)
			seq_printf(m, "\\%c", escapes[escape - escaped]);
		else if ((u8)s->text[i] < ' ')
			seq_printf(m, "\\u%04x", s->text[i]);
		else
			seq_putc(m, s->text[i]);
	}
	seq_putc(m, '"');
}

static void show_line(struct seq_file *m, bool comma, unsigned int depth)
{
	seq_printf(m, "%s\n%*s", comma ? "," : "", 2 * depth, "");
}

static void show_value(struct seq_file *m, const struct value *v, unsigned int depth)
{
	const struct value *member = v->first;
	unsigned int i;

	if (v->type == WORD) {
		seq_puts(m, v->word);
		return;
	}
	if (v->type == STRING) {
		show_string(m, v->string);
		return;
	}
	seq_putc(m, v->type == OBJECT ? '{' : '[');
	for (i = 0; i < v->nr; i++) {
		show_line(m, i, depth + 1);
		if (v->type == INTEGERS) {
			seq_printf(m, "%lld", v->integers[i]);
			continue;
		}
		if (member->name) {
			show_string(m, member->name);
			seq_puts(m, ": ");
		}
		show_value(m, member, depth + 1);
		member = member->next;
	}
	if (v->nr)
		show_line(m, false, depth);
	seq_putc(m, v->type == OBJECT ? '}' : ']');
}

static int json_show(struct seq_file *m, void *unused)
{
	mutex_lock(&document_lock);
	if (document) {
		show_value(m, document->root, 0);
		seq_putc(m, '\n');
	}
	mutex_unlock(&document_lock);
	return 0;
}

static int json_open(struct inode *inode, struct file *f)
{
	return single_open(f, json_show, NULL);
}

static ssize_t json_write(struct file *f, const char __user *buf, size_t len, loff_t *pos)
{
	struct document *d;

	if (*pos)
		return -ESPIPE;		/* a document is one write */
	if (len > MAX_TEXT)
		return -EFBIG;
	d = document_create(buf, len);
	if (IS_ERR(d))
		return PTR_ERR(d);
	mutex_lock(&document_lock);
	swap(document, d);
	mutex_unlock(&document_lock);
	if (d)
		kregion_destroy(d->region);
	*pos += len;
	return len;
}

static const struct file_operations json_fops = {
	.owner = THIS_MODULE,
	.open = json_open,
	.read = seq_read,
	.write = json_write,
	.llseek = seq_lseek,
	.release = single_release,
};

static void file_remove(void *unused)
{
	debugfs_remove(file);
}

static int __init json_init(void)
{
	int err;

	json = kregion_create(KBUILD_MODNAME, &(struct kregion_attr){ .block_size = PAGE_SIZE });
	if (IS_ERR(json))
		return PTR_ERR(json);
	err = kregion_add_action(json, file_remove, NULL, GFP_KERNEL);
	if (err) {
		kregion_destroy(json);
		return err;
	}
	file = debugfs_create_file(KBUILD_MODNAME, 0600, NULL, NULL, &json_fops);
	return 0;
}
module_init(json_init);

/* The file is not open: that would pin the module. */
static void __exit json_exit(void)
{
	kregion_destroy(json);	/* the last document, then the file */
}
module_exit(json_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("A parser of JSON, as a client of kregion");
