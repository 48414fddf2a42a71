"""How the site is built: ``make docs``."""

import sys
from pathlib import Path

from cifarzoo import __version__

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "cifarzoo"
author = "the cifarzoo authors"
project_copyright = author
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "cifarzoo_docs"]
exclude_patterns = ["_build", "_ext", "_static"]
nitpicky = False

myst_enable_extensions = ["attrs_inline", "deflist"]
myst_heading_anchors = 3
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # attributes in a list; as entries some would be there twice

html_theme = "furo"
html_title = "cifarzoo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/favicon.svg"
html_copy_source = False
html_show_sourcelink = False
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
