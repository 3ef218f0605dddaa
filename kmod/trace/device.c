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
	enum kregion_trace_state state;	/* D */
	struct kregion *region;		/* D: NULL if idle */
	size_t block_size;		/* D: of the region */
	u64 budget;			/* D */
} trace = { .lock = __MUTEX_INITIALIZER(trace.lock) };

static atomic_t trace_opened = ATOMIC_INIT(0);

/* ---- start, stop, drop -------------------------------------------------- */

static u64 budget_max(void)
{
	return (u64)totalram_pages() / 2 * PAGE_SIZE;
}

static int trace_start(u64 budget)
{
	struct kregion_attr attr = { .flags = KREGION_F_PERCPU };
	struct kregion *region;
	int err;

	if (trace.state != KREGION_TRACE_IDLE)
		return -EBUSY;
	if (budget < KREGION_TRACE_BUDGET_MIN || budget > min_t(u64, budget_max(), SIZE_MAX))
		return -EINVAL;

	/* About eight blocks per CPU if the budget is small. */
	attr.limit = max_t(size_t, budget, PAGE_SIZE);
	attr.block_size = clamp_t(size_t, attr.limit / (8 * num_online_cpus()), PAGE_SIZE,
				  KREGION_BLOCK_SIZE);
	attr.block_size = rounddown_pow_of_two(attr.block_size);
	/* Covers the records of a CPU until its next block is available. */
	attr.reserve = clamp_t(size_t, budget / 64, SZ_4K, SZ_256K);
	region = kregion_create("kregion_trace", &attr);
	if (IS_ERR(region))
		return PTR_ERR(region);
	err = krtrace_record_start(region);
	if (err) {
		kregion_destroy(region);
		return err;
	}
	trace.region = region;
	trace.block_size = attr.block_size;
	trace.budget = budget;
	trace.state = KREGION_TRACE_RUNNING;
	return 0;
}

static int trace_stop(void)
{
	if (trace.state != KREGION_TRACE_RUNNING)
		return -EINVAL;

	krtrace_record_stop();
	krtrace_stream_prepare(trace.region, trace.block_size, trace.budget);
	trace.state = KREGION_TRACE_STOPPED;
	return 0;
}

static int trace_drop(void)
{
	if (trace.state == KREGION_TRACE_RUNNING)
		return -EBUSY;
	if (trace.state == KREGION_TRACE_IDLE)
		return -ENODATA;
	kregion_destroy(trace.region);
	trace.region = NULL;
	trace.state = KREGION_TRACE_IDLE;
	return 0;
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
		info->elapsed_ns = krtrace_clock.ns;
		info->stream_size = krtrace_stream_size();
	}
	info->budget = trace.budget;
	krtrace_record_counts(&info->records, &info->lost);
	kregion_stats(trace.region, &stats);
	info->bytes_held = stats.bytes_held;
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
	if (start.flags)
		return -EINVAL;
	return trace_start(start.budget);
}

static long trace_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *user = (void __user *)arg;
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
	default:
		ret = -ENOTTY;
	}
	mutex_unlock(&trace.lock);
	return ret;
}

static ssize_t trace_read(struct file *file, char __user *buf, size_t len, loff_t *pos)
{
	ssize_t ret;

	if (mutex_lock_interruptible(&trace.lock))
		return -ERESTARTSYS;
	if (trace.state == KREGION_TRACE_RUNNING)
		ret = -EBUSY;
	else if (trace.state == KREGION_TRACE_IDLE)
		ret = -ENODATA;
	else
		ret = krtrace_stream_read(buf, len);
	mutex_unlock(&trace.lock);
	return ret;
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
	int err = krtrace_record_init();

	return err ?: misc_register(&trace_device);
}
module_init(trace_init);

static void __exit trace_exit(void)
{
	/* The device is closed, so no trace is left. */
	misc_deregister(&trace_device);
}
module_exit(trace_exit);

MODULE_DESCRIPTION("Scheduler tracer that keeps its records in a region");
MODULE_AUTHOR("The kregion maintainers");
MODULE_LICENSE("GPL");
MODULE_VERSION("1.0.0");
