"""The verbs below `rights`. Anything heavy is imported inside them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

rights = typer.Typer(
    help="What providers' terms say of training a student: dated readings, not legal advice.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_KINDS = ("classifier", "extractor", "generator")
_USES = ("internal", "distributed")


@rights.command("list")
def list_entries() -> None:
    """All entries of the registry: by access, what they say of each kind of student, when they expire."""
    from rich.text import Text

    from tutelage.cli._drawing import add_names, console, table
    from tutelage.rights import load_registry

    drawn = table()
    add_names(drawn, "entry", "access", *_KINDS, "read", "expires")
    today = datetime.now(UTC).date()
    for entry in load_registry():
        readings = [" / ".join(entry.reading(kind, use) for use in _USES) for kind in _KINDS]
        expires = Text(str(entry.expires), "bold red" if entry.expires <= today else "")
        drawn.add_row(Text(entry.id), entry.access, *readings, str(entry.read), expires)
    out = console()
    out.print(drawn)
    out.print("each: used internally / distributed. Readings, not legal advice.", soft_wrap=True)


@rights.command("show")
def show(entry: Annotated[str, typer.Argument(help="Its id, as `rights list` has it.")]) -> None:
    """One entry: the clause with its hash, where and when it was read, duties, which teachers it binds."""
    from tutelage.errors import UsageError
    from tutelage.rights import load_registry

    registry = load_registry()
    terms = registry.find(entry)
    if terms is None:
        near = ", ".join(registry.nearest(entry)) or "none"
        raise UsageError(f"there is no entry {entry!r}; nearest: {near}. Mend: see `tutelage rights list`")
    typer.echo(f"{terms.id}: {terms.provider}, {terms.access}")
    typer.echo(terms.clause.strip())
    rows = {
        "clause hash": terms.clause_hash,
        "source": terms.source,
        "effective": terms.effective,
        "read": terms.read,
        "expires": terms.expires,
        "second hand": "yes: it never allows" if terms.second_hand else None,
        "binds hosts": ", ".join(terms.hosts),
        "binds models": ", ".join(terms.models),
        "notes": terms.notes.strip(),
    }
    for name, value in rows.items():
        if value:
            typer.echo(f"  {name}: {value}")
    for kind in _KINDS:
        typer.echo(f"  {kind}: " + ", ".join(f"{use} {terms.reading(kind, use)}" for use in _USES))
    for duty in terms.duties:
        typer.echo(f"  duty: {duty}")


@rights.command("check")
def check(folder: Annotated[Path, typer.Argument(help="The programme's folder.")] = Path()) -> None:
    """What the gate says of this programme today. Exit status: 0 pass, 3 refused. Writes nothing."""
    from tutelage.gates import Verdict
    from tutelage.programme import Programme
    from tutelage.stages.rights import rights_decision

    decision = rights_decision(Programme.open(folder))
    for item in decision.evidence:
        typer.echo(f"{item.verdict}: {item.reason}")
    raise typer.Exit(0 if decision.verdict is Verdict.PASS else 3)
