"""Sphinx configuration."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "aiida-bloomery"
author = "The aiida-bloomery developers"
project_copyright = author
release = version = installed("aiida-bloomery")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "bloomery_reference"]
exclude_patterns = ["_build", "_extensions"]
templates_path: list[str] = []

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # generated sections begin where they are put

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings give shapes and units, which say more
autodoc_default_options = {"members": True, "exclude-members": "model_config, Settings"}
napoleon_google_docstring = False
napoleon_attr_annotations = False
default_role = "code"

html_theme = "furo"
html_title = "aiida-bloomery"
html_static_path: list[str] = []
