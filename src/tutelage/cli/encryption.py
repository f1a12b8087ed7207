"""The verbs below `encryption`. Anything heavy is imported inside them."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from tutelage.cli._work import Folder

encryption = typer.Typer(
    help="A programme's files encrypted at rest.", no_args_is_help=True, rich_markup_mode=None
)


@encryption.command("new-key")
def new_key() -> None:
    """Print a new key, to be exported as TUTELAGE_KEY and kept: without it nothing can be read."""
    from tutelage.encryption import new_key as make_key

    typer.echo(make_key())


@encryption.command("on")
def turn_on(folder: Folder = Path()) -> None:
    """Encrypt the files of a folder that has some, and all that is written from now on."""
    from tutelage.cli.display import RichProgress
    from tutelage.stages.encryption import encrypt_folder

    done = encrypt_folder(folder, RichProgress())
    typer.echo(f"Encrypted {done.files:,} files of {folder} with the key {done.key_id}.")
    for path in done.readable:
        typer.echo(f"stays readable: {path}")
    typer.echo(
        "What stood there before may be read from the disk's free blocks until they are written over. "
        "Keep the key apart from the folder and its backups."
    )


@encryption.command("off")
def turn_off(folder: Folder = Path()) -> None:
    """Write all files as they were before they were encrypted."""
    from tutelage.cli.display import RichProgress
    from tutelage.stages.encryption import decrypt_folder

    done = decrypt_folder(folder, RichProgress())
    typer.echo(f"Decrypted {done.files:,} files of {folder}.")


@encryption.command("read")
def read(
    path: Annotated[Path, typer.Argument(help="A file of an encrypted folder, as a report.")],
    to: Annotated[
        Path | None, typer.Option(help="Where to write it, readable by its owner alone; else it is printed.")
    ] = None,
) -> None:
    """Decrypt one file, for a browser or another tool."""
    import os

    from tutelage.stages.encryption import read_decrypted

    with read_decrypted(path) as file:
        if to is None:
            shutil.copyfileobj(file, sys.stdout.buffer)
            return
        with os.fdopen(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            shutil.copyfileobj(file, out)
