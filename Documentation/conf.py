# SPDX-License-Identifier: GPL-2.0
# Sphinx, with the extensions of a kernel's source tree: kunit_tests/static.py sets
# KERNEL_SOURCE.
import os
import sys

sys.dont_write_bytecode = True
kernel = os.environ["KERNEL_SOURCE"]
sys.path.insert(0, os.path.join(kernel, "Documentation/sphinx"))

project = "kregion"
copyright = "the kregion maintainers"
extensions = ["kerneldoc", "automarkup", "sphinx.ext.graphviz"]
kerneldoc_bin = os.path.join(kernel, "scripts/kernel-doc")
kerneldoc_srctree = os.path.abspath("..")

primary_domain = "c"
highlight_language = "none"
graphviz_output_format = "svg"
html_theme = "alabaster"
c_id_attributes = ["__malloc", "__percpu", "__always_inline"]

# References to names of the kernel proper have no target here; all others must.
nitpick_ignore_regex = [
    ("c:.*", r"(?!_*kregion).*"),
]
