// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/kregion_trace: a scheduler tracer that keeps its records in a region.
 * Documentation/trace-format.rst describes the interface.
 */

#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/log2.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sizes.h>
#include <linux/uaccess.h>

#include "trace.h"

static struct {
	struct mutex lock;		/* D; also serializes start, stop and drop */
	enum kregion_trace_state state;	/* D; A to read */
	struct kregion *region;		/* D: NULL if idle */
	u64 budget;			/* D */
	bool live;			/* D */
} trace = { .lock = __MUTEX_INITIALIZER(trace.lock) };

static atomic_t trace_opened = ATOMIC_INIT(0);

/* ---- start, stop, drop -------------------------------------------------- */

static u64 budget_max(void)
{
	return (u64)totalram_pages() / 2 * PAGE_SIZE;
}

/*
 * About eight blocks per CPU if the budget is small, and sixteen of a live trace:
 * two in each generation. In blocks of 32 KiB, the map for names is an ordinary
 * object, which is recycled.
 */
static size_t trace_block_size(size_t limit, bool live)
{
	const size_t size = limit / ((live ? 16 : 8) * num_online_cpus());

	return rounddown_pow_of_two(clamp(size, live ? 2 * PAGE_SIZE : PAGE_SIZE,
					  KREGION_BLOCK_SIZE));
}

static int trace_start(u64 budget, bool live)
{
	struct kregion_attr attr = { .flags = KREGION_F_PERCPU };
	struct kregion *region;
	int err;

	if (trace.state != KREGION_TRACE_IDLE)
		return -EBUSY;
	if (budget < KREGION_TRACE_BUDGET_MIN || budget > min_t(u64, budget_max(), SIZE_MAX))
		return -EINVAL;
	if (live && budget < (u64)KREGION_TRACE_LIVE_BUDGET_MIN * num_online_cpus())
		return -EINVAL;

	attr.limit = max_t(size_t, budget, PAGE_SIZE);
	attr.block_size = trace_block_size(attr.limit, live);
	/* Covers the records of a CPU until its next block is available. */
	attr.reserve = live ? clamp_t(size_t, budget / 16, SZ_4K, SZ_2M) :
			      clamp_t(size_t, budget / 64, SZ_4K, SZ_256K);
	region = kregion_create("kregion_trace", &attr);
	if (IS_ERR(region))
		return PTR_ERR(region);
	krtrace_generations_start(budget, live);
	err = krtrace_record_start(region, live);
	if (err) {
		kregion_destroy(region);
		return err;
	}
	krtrace_stream_start(attr.block_size, budget, live);
	if (live)
		krtrace_generations_run(region);
	trace.region = region;
	trace.budget = budget;
	trace.live = live;
	WRITE_ONCE(trace.state, KREGION_TRACE_RUNNING);
	return 0;
}

static int trace_stop(void)
{
	if (trace.state != KREGION_TRACE_RUNNING)
		return -EINVAL;

	krtrace_stream_stop(trace.region, krtrace_generations_stop());
	WRITE_ONCE(trace.state, KREGION_TRACE_STOPPED);
	wake_up_interruptible(&krtrace_wait);
	return 0;
}

static int trace_drop(void)
{
	if (trace.state == KREGION_TRACE_RUNNING)
		return -EBUSY;
	if (trace.state == KREGION_TRACE_IDLE)
		return -ENODATA;
	krtrace_generations_drop();
	kregion_destroy(trace.region);
	trace.region = NULL;
	WRITE_ONCE(trace.state, KREGION_TRACE_IDLE);
	wake_up_interruptible(&krtrace_wait);
	return 0;
}

static int trace_rotate(void)
{
	if (trace.state != KREGION_TRACE_RUNNING || !trace.live)
		return -EINVAL;
	return krtrace_generations_turn();
}

static void trace_info(struct kregion_trace_info *info)
{
	struct kregion_stats stats;

	*info = (struct kregion_trace_info) {
		.state = trace.state,
		.budget_min = KREGION_TRACE_BUDGET_MIN,
		.budget_max = budget_max(),
	};
	if (trace.state == KREGION_TRACE_IDLE)
		return;
	if (trace.state == KREGION_TRACE_RUNNING) {
		info->elapsed_ns = ktime_get_mono_fast_ns() - krtrace_clock.start_ns;
	} else {
		info->elapsed_ns = krtrace_clock.stop.ns;
		info->stream_size = krtrace_stream_size();
	}
	info->budget = trace.budget;
	krtrace_record_counts(&info->records, &info->lost);
	kregion_stats(trace.region, &stats);
	info->bytes_held = stats.bytes_held + stats.bytes_sealed;
	info->bytes_used = stats.bytes_used;
}

/* ---- file operations ---------------------------------------------------- */

static int trace_ioctl_start(void __user *arg)
{
	struct kregion_trace_start start;
	u32 size;
	int err;

	if (get_user(size, (u32 __user *)arg))
		return -EFAULT;
	if (size < sizeof(start))
		return -EINVAL;
	if (size > PAGE_SIZE)
		return -E2BIG;
	err = copy_struct_from_user(&start, sizeof(start), arg, size);
	if (err)
		return err;
	if (start.flags & ~KREGION_TRACE_LIVE)
		return -EINVAL;
	return trace_start(start.budget, start.flags & KREGION_TRACE_LIVE);
}

static long trace_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *user = (void __user *)arg;
	struct kregion_trace_generations generations;
	struct kregion_trace_info info;
	long ret;

	if (mutex_lock_interruptible(&trace.lock))
		return -ERESTARTSYS;
	switch (cmd) {
	case KREGION_TRACE_START:
		ret = trace_ioctl_start(user);
		break;
	case KREGION_TRACE_STOP:
		ret = trace_stop();
		break;
	case KREGION_TRACE_DROP:
		ret = trace_drop();
		break;
	case KREGION_TRACE_INFO:
		trace_info(&info);
		ret = copy_to_user(user, &info, sizeof(info)) ? -EFAULT : 0;
		break;
	case KREGION_TRACE_ROTATE:
		ret = trace_rotate();
		break;
	case KREGION_TRACE_GENERATIONS:
		krtrace_generations_counts(&generations);
		ret = copy_to_user(user, &generations, sizeof(generations)) ? -EFAULT : 0;
		break;
	default:
		ret = -ENOTTY;
	}
	mutex_unlock(&trace.lock);
	return ret;
}

static ssize_t trace_read_now(char __user *buf, size_t len)
{
	ssize_t ret;

	if (mutex_lock_interruptible(&trace.lock))
		return -ERESTARTSYS;
	if (trace.state == KREGION_TRACE_RUNNING && !trace.live)
		ret = -EBUSY;
	else if (trace.state == KREGION_TRACE_IDLE)
		ret = -ENODATA;
	else
		ret = krtrace_stream_read(buf, len);
	mutex_unlock(&trace.lock);
	return ret;
}

/* Would a read not wait? */
static bool trace_ready(void)
{
	return READ_ONCE(trace.state) != KREGION_TRACE_RUNNING || krtrace_stream_ready();
}

static ssize_t trace_read(struct file *file, char __user *buf, size_t len, loff_t *pos)
{
	ssize_t ret;

	for (;;) {
		ret = trace_read_now(buf, len);
		if (ret != -EAGAIN || (file->f_flags & O_NONBLOCK))
			return ret;
		if (wait_event_interruptible(krtrace_wait, trace_ready()))
			return -ERESTARTSYS;
	}
}

static __poll_t trace_poll(struct file *file, struct poll_table_struct *wait)
{
	poll_wait(file, &krtrace_wait, wait);
	return trace_ready() ? EPOLLIN | EPOLLRDNORM : 0;
}

static int trace_open(struct inode *inode, struct file *file)
{
	/* Requires read and write access: the device is exclusive. */
	if (!perfmon_capable() || (~file->f_mode & (FMODE_READ | FMODE_WRITE)))
		return -EPERM;
	if (atomic_cmpxchg(&trace_opened, 0, 1))
		return -EBUSY;
	return stream_open(inode, file);
}

static int trace_release(struct inode *inode, struct file *file)
{
	mutex_lock(&trace.lock);
	trace_stop();
	trace_drop();
	mutex_unlock(&trace.lock);
	atomic_set(&trace_opened, 0);
	return 0;
}

static const struct file_operations trace_fops = {
	.owner = THIS_MODULE,		/* an open device pins the module */
	.open = trace_open,
	.release = trace_release,
	.read = trace_read,
	.poll = trace_poll,
	.unlocked_ioctl = trace_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static struct miscdevice trace_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "kregion_trace",
	.fops = &trace_fops,
	.mode = 0600,
};

/* ---- module ------------------------------------------------------------- */

static int __init trace_init(void)
{
	int err = krtrace_record_init() ?: krtrace_generations_init();

	if (err)
		return err;
	err = misc_register(&trace_device);
	if (err)
		krtrace_generations_exit();
	return err;
}
module_init(trace_init);

static void __exit trace_exit(void)
{
	/* The device is closed, so no trace is left. */
	misc_deregister(&trace_device);
	krtrace_generations_exit();
}
module_exit(trace_exit);

MODULE_DESCRIPTION("Scheduler tracer that keeps its records in a region");
MODULE_AUTHOR("The kregion maintainers");
MODULE_LICENSE("GPL");
MODULE_VERSION("1.0.0");
