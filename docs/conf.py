"""How the site is built: ``nox -s docs``."""

from __future__ import annotations

import doctest
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import approxtopk  # noqa: E402

project = "approxtopk"
author = "The approxtopk developers"
copyright = f"2026, {author}"
version = release = approxtopk.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "sphinx_copybutton",
    "sphinx_design",
    "extensions.mathml",
    "extensions.drawn",
]
root_doc = "index"
exclude_patterns = ["_build", "_drawn"]
nitpicky = False
toc_object_entries = False

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc's sections have them
autodoc_member_order = "bysource"
numpydoc_show_class_members = False

#: Examples are run by ``sphinx-build -b doctest``; those of a page start from these names.
doctest_global_setup = "import numpy as np\nimport approxtopk"
doctest_default_flags = doctest.ELLIPSIS
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = "approxtopk"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/mark.svg"
html_show_sourcelink = False
html_theme_options = {
    "logo": {
        "text": "approxtopk",
        "image_light": "_static/mark.svg",
        "image_dark": "_static/mark.svg",
    },
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_context = {"default_mode": "auto"}
html_sidebars = {"index": [], "changelog": [], "contributing": []}


def _leave_out_links_to_the_repository(app: object, docname: str, source: list[str]) -> None:
    """A page that is also read in the repository may link to files that the site hasn't."""
    source[0] = re.sub(r"\[([^\]]+)\]\(\.\./[^)]*\)", r"\1", source[0])


def setup(app: object) -> None:
    """Register what isn't an extension of its own."""
    app.connect("source-read", _leave_out_links_to_the_repository)  # type: ignore[attr-defined]
