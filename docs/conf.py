"""The site: Sphinx with MyST for Markdown and the notebook, and Furo as its theme. CONTRIBUTING has the command that builds it."""

from importlib.metadata import version as installed_version

project = "snipmill"
author = "the snipmill authors"
version = release = installed_version("snipmill")
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "snipmill"
html_copy_source = False
exclude_patterns = ["_build"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # a test executes the notebook; the site shows what it gave
default_role = "code"  # docstrings have names in single backticks
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
napoleon_google_docstring = True
napoleon_use_rtype = False
napoleon_use_ivar = True
suppress_warnings = ["myst.header"]
