"""Sphinx directive that lists the fields of a settings class: ``settings-table:: floodseg.DataConfig``.

Default values and descriptions are those of the dataclass, so that the page cannot differ from the code.
"""

from dataclasses import MISSING, Field, fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from docstring_parser import parse_from_object
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


def default_of(field: Field[Any]) -> str:
    """Return the default value of a field as text."""
    if field.default is MISSING and field.default_factory is MISSING:
        return "required"
    if field.default is MISSING:
        return "see text"
    if isinstance(field.default, Path):
        return f"``{field.default}``"
    return f"``{field.default!r}``"


def rows(settings: type) -> list[tuple[str, str, str]]:
    """Return name, default and description of each field that is not a group of further settings."""
    described = {
        entry.arg_name: entry.description or ""
        for base in reversed(settings.__mro__)
        if is_dataclass(base)
        for entry in parse_from_object(base).params
    }
    return [
        (field.name, default_of(field), " ".join(described.get(field.name, "").split()))
        for field in fields(settings)
        if not (field.default_factory is not MISSING and is_dataclass(field.default_factory))
    ]


class SettingsTable(SphinxDirective):
    """Table of the fields of one settings class."""

    required_arguments: ClassVar[int] = 1

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        module, _, name = self.arguments[0].rpartition(".")
        lines = [".. list-table::", "   :header-rows: 1", "   :widths: 22 18 60", "", "   * - name", "     - default"]
        lines.append("     - meaning")
        for field, default, text in rows(getattr(import_module(module), name)):
            if not text:
                raise self.error(f"{self.arguments[0]}.{field} has no description")
            lines += [f"   * - ``{field}``", f"     - {default}", f"     - {text.replace('*', chr(92) + '*')}"]
        container = nodes.container()
        self.state.nested_parse(StringList(lines, source=self.arguments[0]), self.content_offset, container)
        return container.children


def drop_signature(
    app: Sphinx, what: str, name: str, target: Any, options: Any, signature: str, returned: str
) -> tuple[str, str] | None:
    """Leave out the signature of settings classes: the table of their fields says more."""
    return ("(**settings)", "") if what == "class" and is_dataclass(target) and name.endswith("Config") else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive to Sphinx."""
    app.add_directive("settings-table", SettingsTable)
    app.connect("autodoc-process-signature", drop_signature)
    return {"parallel_read_safe": True}
