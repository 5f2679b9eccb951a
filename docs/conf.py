# ruff: noqa: INP001 - Sphinx runs this file; it belongs to no package
"""How Sphinx makes the docs site: `make docs`. It asks nothing of the network, and every warning is an error."""

from importlib import metadata

project = "Linkcast"
author = "The Linkcast contributors"
copyright = "the Linkcast contributors, Apache License 2.0"  # noqa: A001 - Sphinx's name for it
release = metadata.version("linkcast")

extensions = ["myst_parser"]
exclude_patterns = ["_build"]
root_doc = "index"
nitpicky = True

myst_enable_extensions = ["deflist", "colon_fence", "attrs_inline"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "Linkcast"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
pygments_style = "friendly"
pygments_dark_style = "github-dark"
