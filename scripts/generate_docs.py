"""Writes docs/tutelage.yaml.md from the schema; with --check only says whether it is stale.

python scripts/generate_docs.py [--check]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from tutelage.config import ProgrammeConfig, Section, sections_below, sections_in

PAGE = Path(__file__).parents[1] / "docs" / "tutelage.yaml.md"
HEAD = """\
# Every key of `tutelage.yaml`

Written by `python scripts/generate_docs.py` from the schema; don't edit. An unknown key is an error that names
the nearest known one. `--set section.key=value` lays a value over the file for one command.
"""


def rows(section: type[Section], prefix: str) -> Iterator[str]:
    """Markdown for a section and those below it."""
    yield f"\n## {prefix.rstrip('.') or 'The file'}\n\n{(section.__doc__ or '').strip()}\n"
    yield "| key | type | default | what it is |\n|---|---|---|---|"
    below = []
    for name, field in section.model_fields.items():
        yield f"| `{prefix}{name}` | {kind(field.annotation)} | {default(field)} | {field.description} |"
        below += [(part, f"{prefix}{name}.") for part in sections_below(field)]
    for part, deeper in below:
        yield from rows(part, deeper)


def kind(annotation: Any) -> str:
    """A type as a reader of YAML thinks of it."""
    parts = getattr(annotation, "__args__", ())
    if sections_in(annotation):
        return "section"
    if str(annotation).startswith("typing.Literal"):
        return " or ".join(f"`{part}`" for part in parts)
    names = {str: "text", int: "whole number", float: "number", bool: "true or false", type(None): ""}
    if annotation in names:
        return names[annotation]
    if str(annotation).startswith("dict"):
        return "map"
    if str(annotation).startswith("tuple"):
        return "list"
    return " or ".join(
        filter(
            None,
            dict.fromkeys(
                kind(part) for part in parts if isinstance(part, type) or hasattr(part, "__args__")
            ),
        )
    )


def default(field: FieldInfo) -> str:
    """What holds where the key is absent."""
    if field.is_required():
        return "needed"
    if isinstance(field.default, Section):
        return "as below"
    value = field.default
    return (
        "–"
        if value is None
        else f"`{list(value) if isinstance(value, tuple) else value}`".replace("|", "\\|")
    )


def main() -> None:
    """Write, or check."""
    content = HEAD + "\n".join(rows(ProgrammeConfig, "")) + "\n"
    if "--check" not in sys.argv[1:]:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(content, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != content:
        sys.exit(f"{PAGE} is stale. Mend: python scripts/generate_docs.py")


if __name__ == "__main__":
    main()
