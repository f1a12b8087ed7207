"""What most verbs have in common: arguments that name a programme, and it while it is worked in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tutelage.programme import Programme
    from tutelage.progress import Progress

Folder = Annotated[Path, typer.Argument(help="The programme's folder.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Lay a value over tutelage.yaml, e.g. student.family=static."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Run even if nothing has changed.")]


@contextmanager
def at_work(
    folder: Path, overrides: list[str] | None, *, quiet: bool = False, shared: bool = False
) -> Iterator[tuple[Programme, Progress]]:
    """The programme, while no other process works in it, and what tells how far it is (`quiet`: nothing).

    Where torchrun started several processes of a verb that can be `shared`, the first holds the folder for
    all of them and tells. Raises UsageError where it can't be.
    """
    from tutelage.cli.display import RichProgress
    from tutelage.programme import Programme
    from tutelage.progress import Silent
    from tutelage.scale import is_first, require_one_process

    if not shared:
        require_one_process("this command")
    programme = Programme.open(folder, overrides or ())
    with programme.locked() if is_first() else nullcontext():
        yield programme, Silent() if quiet or not is_first() else RichProgress()


def run_one(name: str, folder: Path, overrides: list[str] | None, force: bool) -> Programme:
    """Run one stage; the programme that it belongs to."""
    from tutelage.stages import run_stage

    with at_work(folder, overrides, shared=name == "train") as (programme, progress):
        run_stage(programme, name, progress, force=force)
    return programme
