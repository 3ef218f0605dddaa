#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Build Documentation/ as HTML with the kernel's kernel-doc extension. A warning
# is an error, as is a reference to a kregion_ name that the documents do not
# describe.
#
# usage: docs.sh FOLDER
set -euo pipefail
. "$(dirname "$0")/vm/lib.sh"
[ $# = 1 ] || usage_error "usage: docs.sh FOLDER"

KERNEL_SOURCE=$("$VM/kernels.py" source)
export KERNEL_SOURCE
# The prose names private functions too, which have no target: they must exist.
missing=0
while read -r name; do
	grep -rqE "\b$name\([^)]" "$TOP/kmod" --include='*.[ch]' && continue
	echo "there is no function $name()" >&2
	missing=1
done < <(grep -oh '\bkregion_[a-z0-9_]*()' "$TOP"/Documentation/*.rst "$TOP/README.md" |
	sort -u | tr -d '()')
sphinx-build -q -E -n -W --keep-going "$TOP/Documentation" "$1"
exit "$missing"
