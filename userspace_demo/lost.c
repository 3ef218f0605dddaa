// SPDX-License-Identifier: GPL-2.0
/* Lost records: see lost.h. */
#include <inttypes.h>

#include "lost.h"

struct loss loss_of(const struct stream *s)
{
	return (struct loss) {
		.records = s->records,
		.lost = s->lost,
		.held = stream_held(s),
		.budget = s->header->budget,
		.live = s->live,
		.generations = s->lost_generations,
		.generation_records = s->lost_generation_records,
	};
}

double loss_budget(const struct loss *l)
{
	const double each = l->records ? (double)l->held / l->records :
			    sizeof(struct kregion_trace_event);

	if (l->live)
		return l->lost || l->generations ? 2.0 * l->budget : l->budget;
	return l->held + l->lost * each;
}

const char *loss_advice(const struct loss *l, char buf[64])
{
	const double enough = loss_budget(l);
	const bool mib = enough > 1 << 20;

	if (l->live)
		return "a larger budget bridges a longer time";
	if (enough <= l->budget)
		return "memory was not available in time";
	/* Rounded up to a value for record -b. */
	snprintf(buf, 64, "a budget of about %.0f%c would have sufficed",
		 enough / (mib ? 1 << 20 : 1 << 10) + 0.5, mib ? 'M' : 'K');
	return buf;
}

void loss_warn(const struct loss *l, const char *path)
{
	char buf[64];

	if (l->generations)
		fprintf(stderr, "krtrace: %s: %" PRIu64 " generation%s with %" PRIu64
			" records %s lost, not saved in time; %s\n", path, l->generations,
			l->generations == 1 ? "" : "s", l->generation_records,
			l->generations == 1 ? "was" : "were", loss_advice(l, buf));
	if (l->lost)
		fprintf(stderr, "krtrace: %s: %" PRIu64 " records were lost, %.1f %% of all; %s\n",
			path, l->lost, 100.0 * l->lost / ((double)l->records + l->lost),
			loss_advice(l, buf));
}
