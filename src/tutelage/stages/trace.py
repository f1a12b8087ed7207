"""Where a file of a programme comes from: the journal walked back from its hash to the sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage import storage
from tutelage.errors import UsageError
from tutelage.ledger import Entry
from tutelage.programme import CONFIG_NAME, Programme

_DECIDED = ("gate", "rights decided", "sealed", "unsealed", "labelled", "batch forgotten", "purged")


@dataclass(frozen=True, slots=True)
class Origin:
    """A file or folder as one stage left it, and what that stage had read.

    `decisions` are the entries between the run of the stage before and this one: gates, what was asked and
    spent. `sources` are inputs that no stage made: settings and files from outside, by their fingerprints.
    """

    path: str
    hash: str
    entry: Entry
    decisions: tuple[Entry, ...]
    sources: Mapping[str, str]
    made_of: tuple[Origin, ...]


def programme_of(path: Path) -> Programme:
    """The programme in whose folder a file lies. Raises UsageError where it lies in none."""
    for folder in path.resolve().parents:
        if (folder / CONFIG_NAME).is_file():
            return Programme.open(folder)
    raise UsageError(f"{path} lies in no programme's folder. Mend: name a file below a {CONFIG_NAME}")


def trace(programme: Programme, path: Path) -> Origin:
    """Follow a file back. The journal has to be whole.

    Raises IntegrityError for a broken chain, UsageError for a file that isn't there or that no stage left as
    it is now.
    """
    programme.journal.verify()
    if not path.exists():
        raise UsageError(f"{path} is not there. Mend: name a file or folder of the programme")
    entries = list(programme.journal.entries())
    name = path.resolve().relative_to(programme.folder.resolve()).as_posix()
    for candidate in _made_by_stages(programme, name):
        digest = storage.hash_path(programme.folder / candidate)
        if (found := _find(entries, candidate, digest)) is not None:
            return found
    raise UsageError(
        f"{name} is not as any stage of the journal left it: it was changed since, or made by hand. "
        "Mend: run the stage that makes it, or restore it"
    )


def _made_by_stages(programme: Programme, name: str) -> Iterator[str]:
    """The file itself, the folders around it, and of an export the student that it was made of."""
    yield name
    parts = name.split("/")
    for length in range(len(parts) - 1, 0, -1):
        yield "/".join(parts[:length])
    if parts[0] == "exports" and len(parts) > 1:
        about = programme.folder / "exports" / parts[1] / "export.json"
        if about.exists():
            yield f"students/{parts[1]}"


def _find(entries: Sequence[Entry], name: str, digest: str) -> Origin | None:
    """The last run of a stage that left `name` with this hash."""
    for at in range(len(entries) - 1, -1, -1):
        if _outputs(entries[at]).get(name) == digest:
            return _origin(entries, at, name, digest)
    return None


def _origin(entries: Sequence[Entry], at: int, name: str, digest: str) -> Origin:
    before = entries[:at]
    made_of: list[Origin] = []
    sources: dict[str, str] = {}
    for read, hash_ in entries[at].data["inputs"].items():
        found = _find(before, read, hash_)
        if found is None:
            sources[read] = hash_
        else:
            made_of.append(found)
    first = next((index + 1 for index in range(at - 1, -1, -1) if entries[index].event == "stage"), 0)
    decisions = tuple(entry for entry in entries[first:at] if entry.event in _DECIDED)
    return Origin(name, digest, entries[at], decisions, sources, tuple(made_of))


def _outputs(entry: Entry) -> Mapping[str, Any]:
    outputs: Mapping[str, Any] = entry.data.get("outputs", {}) if entry.event == "stage" else {}
    return outputs
