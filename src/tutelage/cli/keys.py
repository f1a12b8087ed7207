"""The verbs below `keys`. Anything heavy is imported inside them."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tutelage.serving.store import Store

keys = typer.Typer(help="API keys of a programme's servers.", no_args_is_help=True, rich_markup_mode=None)


@keys.command("add")
def add_key(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    role: Annotated[str, typer.Option(help="client, viewer, reviewer or admin.")] = "client",
    folder: Annotated[Path, typer.Option("--folder", help="The programme's folder.")] = Path(),
) -> None:
    """Make a key and show it, this once."""
    from tutelage.serving.access import make_key

    store = _store(folder)
    try:
        shown, kept = make_key(name, role, time.time())
        store.add_key(kept)
    finally:
        asyncio.run(store.close())
    from tutelage.cli._drawing import console

    console().print(shown, soft_wrap=True, highlight=False)


@keys.command("list")
def list_keys(
    folder: Annotated[Path, typer.Option("--folder", help="The programme's folder.")] = Path(),
) -> None:
    """All keys: never themselves."""
    store = _store(folder)
    try:
        found = store.keys()
    finally:
        asyncio.run(store.close())
    from rich.text import Text

    from tutelage.cli._drawing import add_names, console, table

    drawn = table()
    add_names(drawn, "id", "name", "role", "created", "last used", "revoked")
    for key in found:
        revoked = "" if key.revoked is None else _day(key.revoked)
        drawn.add_row(key.id, Text(key.name), key.role, _day(key.created), key.last_used, revoked)
    console().print(drawn)


@keys.command("revoke")
def revoke_key(
    id: Annotated[str, typer.Argument(help="Its id, as `keys list` shows it.")],
    folder: Annotated[Path, typer.Option("--folder", help="The programme's folder.")] = Path(),
) -> None:
    """Take a key back; running servers refuse it within half a minute."""
    store = _store(folder)
    try:
        store.revoke_key(id, time.time())
    finally:
        asyncio.run(store.close())


def _store(folder: Path) -> Store:
    from tutelage.programme import Programme
    from tutelage.stages.serve import open_programme_store

    return open_programme_store(Programme.open(folder))


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(at))
