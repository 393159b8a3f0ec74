"""Configuration of the documentation site (Sphinx)."""

from importlib.metadata import version as installed_version

project = "floodseg"
author = "The floodseg developers"
copyright = author
version = release = installed_version("floodseg")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "cyclopts.ext.sphinx",
]
exclude_patterns = ["_build", "_cache", "decisions/README.md"]
nitpicky = False

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4
nb_execution_mode = "cache"
nb_execution_cache_path = "_cache"
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_merge_streams = True

autodoc_typehints = "description"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = True

html_theme = "furo"
html_title = f"floodseg {release}"
html_show_sourcelink = False
html_copy_source = False
