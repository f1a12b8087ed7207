"""Rows of every table, sheet and database in a programme's folder."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tutelage import storage
from tutelage.data.erasure import Traces, erase_csv, erase_json_lines, erase_parquet, erase_rows
from tutelage.data.erasure.databases import opened, tables_of
from tutelage.labelling import AnswerLedger
from tutelage.programme import CONFIG_NAME, Programme

MADE = ("prompts", "gold", "answers", "students", "exports", "certificates", "evaluation", "state")
"""The folders whose files stages make."""

_OURS_TO_KEEP = ("serving", "privacy", "rights")
_LOGS = b'"resourceSpans"'  # a line of many people's requests
_BEGINNING = 1 << 16  # bytes of a file in which that would stand


def files_of(programme: Programme) -> Iterator[Path]:
    """Every file of the folder but those of a version control."""
    for path in sorted(programme.folder.rglob("*")):
        if (
            path.is_file()
            and not path.is_symlink()
            and ".git" not in path.relative_to(programme.folder).parts
        ):
            yield path


def is_made(programme: Programme, path: Path) -> bool:
    """Whether it lies where stages put what they make."""
    return path.relative_to(programme.folder).parts[0] in MADE


@dataclass(frozen=True)
class Eraser:
    """`whose` names the columns of subjects; `renamed` has new names for groups that bear one of theirs."""

    programme: Programme
    traces: Traces
    whose: Collection[str]
    renamed: Mapping[str, str]

    def erase(self, path: Path) -> int:
        """Erase rows from a file, if it has any; how many. Raises as the functions of `data.erasure`."""
        act = self._acts().get(path.suffix.lower())
        first = path.relative_to(self.programme.folder).parts[0]
        if act is None or first in _OURS_TO_KEEP or path.name in (CONFIG_NAME, "ledger.jsonl"):
            return 0
        return act(path) if path.stat().st_size else 0

    def _acts(self) -> Mapping[str, Callable[[Path], int]]:
        return {
            ".parquet": self._table,
            ".csv": lambda path: erase_csv(path, self.traces, self.whose),
            ".tsv": lambda path: erase_csv(path, self.traces, self.whose),
            ".jsonl": self._lines,
            ".ndjson": self._lines,
            ".sqlite": self._database,
        }

    def _table(self, path: Path) -> int:
        ours = is_made(self.programme, path)
        return erase_parquet(path, self.traces, self.whose, self.renamed if ours else None)

    def _lines(self, path: Path) -> int:
        with storage.opened(path) as file:
            if _LOGS in file.read(_BEGINNING):
                return 0
        return erase_json_lines(path, self.traces, self.whose)

    def _database(self, path: Path) -> int:
        """Of ours alone: what another holds is its owner's to delete."""
        if not is_made(self.programme, path):
            return 0
        with opened(path) as database:
            is_ledger = {"answers", "attempts"} <= set(tables_of(database))
        if not is_ledger:
            return erase_rows(path, self.traces)
        with AnswerLedger(path) as ledger:
            return ledger.erase(self.traces)
