"""Lists of words that lie beside the code."""

from __future__ import annotations

from importlib.resources import files


def word_list(name: str) -> list[str]:
    """The words of a list, in its order."""
    return (files("tutelage") / "data" / "redaction" / name).read_text(encoding="utf-8").split()
