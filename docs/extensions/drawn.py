"""``{drawn} name``: a figure that `figures` draws while the site is built, for light and dark."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import figures
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FOLDER = "_drawn"


class Drawn(SphinxDirective):
    """The figure, with its alternative text as an option and its caption as content."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar = {"alt": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Both pictures, of which the theme shows one, and the caption."""
        name, pictures = self.arguments[0], []
        if name not in figures.FIGURES:
            raise self.error(f"{name!r} is none of the figures: {', '.join(figures.FIGURES)}")
        for theme in figures.THEMES:
            uri = f"/{FOLDER}/{name}-{theme}.svg"
            picture = nodes.image(uri=uri, alt=self.options["alt"], classes=[f"only-{theme}"])
            pictures.append(picture)
        caption = nodes.container(classes=["figure-caption"])
        caption += self.parse_content_to_nodes()
        return [nodes.container("", *pictures, caption, classes=["drawn"])]


def draw(app: Sphinx) -> None:
    """Draw those that are older than the code and the data that they come from."""
    folder = Path(app.srcdir) / FOLDER
    folder.mkdir(exist_ok=True)
    for name, figure in figures.FIGURES.items():
        for theme in figures.THEMES:
            target = folder / f"{name}-{theme}.svg"
            newest = max(source.stat().st_mtime for source in figures.sources())
            if not target.exists() or target.stat().st_mtime < newest:
                figure(target, theme)


def setup(app: Sphinx) -> dict[str, bool]:
    """Draw before pages are read."""
    app.connect("builder-inited", draw)
    app.add_directive("drawn", Drawn)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
