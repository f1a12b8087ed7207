"""Text: a prompt a line, paired lines, or a folder with a prompt a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from tutelage.data.rows.row import Row
from tutelage.errors import DataError

LINES = ("seq.in", "label")
_TEXT_ENDINGS = (".txt", ".text", ".md", ".eml")
_MOST_BYTES = 4_000_000  # of a file that is a prompt: many times what a prompt may have


def line_rows(folder: Path) -> Iterator[Row]:
    """A folder with `seq.in` and, for gold, `label`: line i of the one belongs to line i of the other."""
    texts_path, labels_path = (folder / name for name in LINES)
    if not texts_path.is_file():
        raise DataError(
            f"{folder} is a folder without a file 'seq.in'. Mend: name a file, or a folder of paired lines"
        )
    texts = _lines(texts_path)
    labels = _lines(labels_path) if labels_path.is_file() else None
    if labels is not None and len(labels) != len(texts):
        raise DataError(
            f"{labels_path} has {len(labels)} lines and {texts_path} {len(texts)}. "
            "Mend: they must go line by line"
        )
    for index, text in enumerate(texts):
        cells = {"text": text} if labels is None else {"text": text, "label": labels[index]}
        yield Row(index + 1, cells)


def text_rows(path: Path, wanted: Mapping[str, str]) -> Iterator[Row]:
    """A text file's lines, each a prompt."""
    for name, key in wanted.items():
        if name != "text":
            raise DataError(
                f"{path} has lines of text and no column {name!r}; its one column is 'text'. "
                f"Mend: leave {key} out, or save the file as CSV with a header"
            )
    for number, text in enumerate(_lines(path), start=1):
        yield Row(number, {"text": text})


def _lines(path: Path) -> list[str]:
    text = path.read_bytes().removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def file_rows(folder: Path, wanted: Mapping[str, str]) -> Iterator[Row]:
    """A folder of text files, each a prompt; `id` is its path below the folder, `folder` the folder it is in.

    Files of other endings and hidden ones are no rows.
    """
    for name, key in wanted.items():
        if name not in ("text", "id", "folder"):
            raise DataError(
                f"{folder} is read as a folder of texts, whose columns are 'text', 'id' and 'folder'; there "
                f"is no {name!r}. Mend: leave {key} out, or name one of these"
            )
    number = 0
    for path in text_files(folder):
        number += 1
        name = path.relative_to(folder).as_posix()
        about = {"id": name, "folder": path.parent.name if path.parent != folder else ""}
        try:
            if (size := path.stat().st_size) > _MOST_BYTES:
                yield Row(
                    number, about, f"{size:,} bytes; {_MOST_BYTES:,} are the most", name, "too_long", True
                )
                continue
            content = path.read_bytes()
        except OSError as error:
            yield Row(number, about, f"{name} can't be read: {error.strerror}", name, native=True)
            continue
        text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
        yield Row(number, {**about, "text": text}, native=True)
    if number == 0:
        raise DataError(
            f"{folder} has no text files ({', '.join(_TEXT_ENDINGS)}). Mend: name the folder that has some"
        )


def text_files(folder: Path) -> list[Path]:
    """The text files below a folder, hidden ones left out, in the order of their paths."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in _TEXT_ENDINGS
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
