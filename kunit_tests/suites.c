// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suites of kregion.ko: the behaviour that its contract promises.
 */

#include "test.h"

kunit_test_suites(&suite_life, &suite_alloc, &suite_strings, &suite_map, &suite_shared,
		  &suite_percpu, &suite_single, &suite_concurrent, &suite_nofill, &suite_bounds,
		  &suite_interrupt, &suite_free, &suite_misuse, &suite_debug, &suite_stats,
		  &suite_debugfs, &suite_events, &suite_fault, &suite_nmi, &suite_tree,
		  &suite_scratch, &suite_generations, &suite_trace);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("KUnit suites for the region allocator");
