"""Configuration of the documentation site (Sphinx). ``make docs`` builds it."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "floodseg"
author = "The floodseg developers"
copyright = author
version = release = installed_version("floodseg")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "cyclopts.ext.sphinx",
    "settings_table",
]
exclude_patterns = ["_build", "_cache", "_extensions"]
# types of Python, NumPy and PyTorch: their documentation is elsewhere, and the build makes no requests
nitpick_ignore_regex = [
    ("py:.*", r"(pathlib|collections|typing|types|datetime|argparse)(\..*)?"),
    ("py:.*", r"Path|GeoDataFrame|AnyModel"),  # forward references of modules that are imported for types only
    ("py:.*", r"(numpy|torch|pyproj|affine|rasterio|geopandas|shapely)\..*"),
]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
nb_execution_mode = "cache"
nb_execution_cache_path = str(Path(__file__).parent / "_cache")
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_merge_streams = True

highlight_language = "text"
smartquotes = False  # -- is part of flags

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"floodseg {release}"
html_show_sourcelink = False
html_copy_source = False
