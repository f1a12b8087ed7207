"""Where sources lie, and whether they have changed."""

from __future__ import annotations

from pathlib import Path

from tutelage.programme import Programme, fingerprint


def source_path(programme: Programme, path: str) -> Path | str:
    """A path of the configuration; `hf://` addresses stay as they are."""
    return path if path.startswith("hf://") else programme.locate(path)


def source_fingerprint(programme: Programme, path: str) -> str:
    """Of a file's content; of a hub address only the address, since asking the hub would cost every start."""
    located = source_path(programme, path)
    return fingerprint(located)
