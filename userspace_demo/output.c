// SPDX-License-Identifier: GPL-2.0
/* Output files: see output.h. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "output.h"

static char temporary[PATH_MAX];	/* empty: none */
static char target[PATH_MAX];		/* its final name */
static const char *name = "standard output";

FILE *output_fail(int error)
{
	fprintf(stderr, "krtrace: %s: %s\n", name, strerror(error));
	output_abandon();
	return NULL;
}

static FILE *fail(void)
{
	return output_fail(errno);
}

void output_abandon(void)
{
	if (temporary[0])
		unlink(temporary);
	temporary[0] = 0;
}

static void on_signal(int sig)
{
	output_abandon();
	raise(sig);		/* terminates the program: SA_RESETHAND */
}

void output_catch_signals(void)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
	const struct sigaction catch = { .sa_handler = on_signal, .sa_flags = SA_RESETHAND };
	struct sigaction old;
	size_t i;

	for (i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
		if (!sigaction(signals[i], NULL, &old) && old.sa_handler != SIG_IGN)
			sigaction(signals[i], &catch, NULL);
	}
}

/* Copy mode and owner of the replaced file as far as permitted. */
static void copy_mode(int fd, const struct stat *old)
{
	mode_t mask;
	int ret;

	if (old) {
		ret = fchown(fd, old->st_uid, old->st_gid);
		ret |= fchmod(fd, old->st_mode & 0777);
	} else {
		mask = umask(0);
		umask(mask);
		ret = fchmod(fd, 0666 & ~mask);
	}
	(void)ret;
}

/* Open a file that will replace @old; NULL for a new file. */
static FILE *open_temporary(const char *path, const struct stat *old)
{
	const size_t len = strlen(path);
	const char *slash;
	FILE *out;
	int fd;

	if (old) {
		if (!realpath(path, target) || access(target, W_OK))
			return fail();
	} else {
		if (!len || len >= sizeof(target)) {
			errno = len ? ENAMETOOLONG : ENOENT;
			return fail();
		}
		memcpy(target, path, len + 1);
	}
	slash = strrchr(target, '/');
	if (snprintf(temporary, sizeof(temporary), "%.*s.krtrace-XXXXXX",
		     slash ? (int)(slash + 1 - target) : 0, target) >= (int)sizeof(temporary)) {
		temporary[0] = 0;
		errno = ENAMETOOLONG;
		return fail();
	}
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0) {
		temporary[0] = 0;
		return fail();
	}
	copy_mode(fd, old);
	out = fdopen(fd, "w");
	return out ? out : fail();
}

FILE *output_open(const char *path)
{
	struct stat st, std;
	bool exists;
	FILE *out;

	if (!path)
		return stdout;
	name = path;
	atexit(output_abandon);
	exists = !stat(path, &st);
	/* Standard output is this file: append to its current content. */
	if (exists && !fstat(STDOUT_FILENO, &std) && st.st_dev == std.st_dev &&
	    st.st_ino == std.st_ino)
		return stdout;
	if (exists && S_ISREG(st.st_mode))
		return open_temporary(path, &st);
	if (!exists && errno == ENOENT && lstat(path, &st))
		return open_temporary(path, NULL);
	/* A device, a pipe or a dangling symbolic link. */
	out = fopen(path, "we");
	return out ? out : fail();
}

int output_commit(FILE *out)
{
	bool failed;

	errno = EIO;		/* if a write failed before this */
	failed = fflush(out) || ferror(out);
	if (out != stdout && fclose(out))
		failed = true;
	if (!failed && temporary[0] && rename(temporary, target))
		failed = true;
	if (failed) {
		fail();
		return -1;
	}
	temporary[0] = 0;
	return 0;
}
