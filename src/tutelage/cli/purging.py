"""The verb `purge`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tutelage.cli._drawing import add_names, add_numbers, console, table
from tutelage.errors import DataError, UsageError
from tutelage.programme import Programme
from tutelage.progress import Progress

if TYPE_CHECKING:
    from tutelage.stages.purge import Purged

_DAY = 86_400.0


def purge(
    programme: Programme,
    progress: Progress,
    subjects: Sequence[str],
    older_than: float | None,
    *,
    expired: bool,
) -> None:
    """Remove subjects, what is older than its class allows, or captures older than so many days.

    Raises DataError, at the end, where a file still holds something that can't be changed from here.
    """
    from tutelage.stages.purge import purge_expired, purge_subjects
    from tutelage.stages.served import purge_served

    if bool(subjects) + (older_than is not None) + expired != 1:
        raise UsageError(
            "a purge is of a person or of an age. Mend: give either --subject, --expired or --older-than"
        )
    if older_than is not None:
        purge_served(programme, progress, before=time.time() - older_than * _DAY)
        return
    purged = purge_expired(programme, progress) if expired else purge_subjects(programme, subjects, progress)
    _print(programme, purged)
    if purged.left:
        raise DataError(
            f"{len(purged.left)} file(s) still hold a key or a text to purge, and aren't changed from here: "
            f"{', '.join(purged.left)}. Mend: remove it from them yourself, then purge again"
        )


def _print(programme: Programme, purged: Purged) -> None:
    out, drawn = console(), table()
    add_names(drawn, "file")
    add_numbers(drawn, "rows erased")
    for path, count in purged.rows.items():
        drawn.add_row(path, f"{count:,}")
    if purged.captures:
        drawn.add_row("captures of servers", f"{purged.captures:,}")
    if purged.rows or purged.captures:
        out.print(drawn)
    else:
        out.print("Nothing to purge was found.")
    for path in purged.removed:
        out.print(f"removed, since it was made of them: {path}", soft_wrap=True)
    for run, taught in purged.students.items():
        told = "may have learned from them" if taught is None else f"learned from {taught:,} of these rows"
        out.print(f"student {run} {told}", soft_wrap=True)
    if purged.students:
        out.print(
            f"Mend: run {programme.command('run')} anew, then export and certify; until then a student that "
            "stays, or that a server has loaded, has learned from them",
            soft_wrap=True,
        )
