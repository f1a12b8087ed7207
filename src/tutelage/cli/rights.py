"""The verbs below `rights`. Anything heavy is imported inside them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tutelage.rights import Registry

rights = typer.Typer(
    help="What providers' terms say of training a student: dated readings, not legal advice.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_KINDS = ("classifier", "extractor", "generator")
_USES = ("internal", "distributed")
Of = Annotated[
    Path | None, typer.Option("--of", help="A programme's folder: its own entries (rights.registry) too.")
]


def _registry(of: Path | None) -> Registry:
    from tutelage.programme import Programme
    from tutelage.rights import Use, load_registry

    return load_registry() if of is None else Use.of(Programme.open(of), _KINDS[0]).registry


@rights.command("list")
def list_entries(of: Of = None) -> None:
    """All entries of the registry: by access, what they say of each kind of student, when they expire."""
    from rich.text import Text

    from tutelage.cli._drawing import add_names, console, table

    drawn = table()
    add_names(drawn, "entry", "access", *_KINDS, "read", "expires")
    today = datetime.now(UTC).date()
    for entry in _registry(of):
        readings = [" / ".join(entry.reading(kind, use) for use in _USES) for kind in _KINDS]
        expires = Text(str(entry.expires), "bold red" if entry.expires <= today else "")
        drawn.add_row(Text(entry.id), entry.access, *readings, str(entry.read), expires)
    out = console()
    out.print(drawn)
    out.print("each: used internally / distributed. Readings, not legal advice.", soft_wrap=True)


@rights.command("show")
def show(
    entry: Annotated[str, typer.Argument(help="Its id, as `rights list` has it.")], of: Of = None
) -> None:
    """One entry: the clause with its hash, where and when it was read, duties, which teachers it binds."""
    from tutelage.errors import UsageError

    registry = _registry(of)
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
        only = f", where it is {duty.distribution}" if duty.distribution else ""
        typer.echo(f"  duty ({duty.kind}{only}): {duty.text}")


@rights.command("check")
def check(folder: Annotated[Path, typer.Argument(help="The programme's folder.")] = Path()) -> None:
    """What the gates say of this programme today: of its teacher, of the answers at hand, of each student.

    Exit status: 0 pass, 3 where one refuses. Writes nothing.
    """
    from tutelage.gates import Verdict
    from tutelage.programme import Programme
    from tutelage.stages.rights import rights_decision, standing_of_students, standing_of_transfer

    programme = Programme.open(folder)
    decisions = {"": rights_decision(programme)}
    if (answers := standing_of_transfer(programme)) is not None and answers.evidence:
        decisions["transfer set, "] = answers
    for run, decision in standing_of_students(programme).items():
        decisions[f"students/{run}, "] = decision
    for what, decision in decisions.items():
        for item in decision.evidence:
            typer.echo(f"{what}{item.verdict}: {item.reason}")
    passed = all(decision.verdict is Verdict.PASS for decision in decisions.values())
    raise typer.Exit(0 if passed else 3)


@rights.command("decide")
def decide(
    entry: Annotated[str, typer.Option(help="The entry, as `teacher.rights` names it.")],
    allow: Annotated[bool, typer.Option("--allow/--deny", help="What was decided.")],
    name: Annotated[str, typer.Option(help="Who decided.")],
    reason: Annotated[str, typer.Option(help="Why, with what it rests on: a contract, a letter, a review.")],
    folder: Annotated[Path, typer.Argument(help="The programme's folder.")] = Path(),
    until: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The day it ends; a year from today where not given."),
    ] = None,
    condition: Annotated[
        list[str] | None, typer.Option(help="What has to be kept for it to hold; may stand several times.")
    ] = None,
) -> None:
    """Record a person's decision on an entry, for this programme's kind of student and distribution.

    It holds until its day, and for the clause as it reads now; a later one takes its place.
    """
    from tutelage.programme import Programme
    from tutelage.stages.rights import decide as record

    programme = Programme.open(folder)
    ruling = record(
        programme,
        entry,
        allow=allow,
        name=name,
        reason=reason,
        until=None if until is None else until.date(),
        conditions=condition or (),
    )
    typer.echo(
        f"{ruling.id}: a {ruling.student_kind} used {ruling.distribution} under {entry} is {ruling.ruled} "
        f"until {ruling.until}, decided by {ruling.name}; {programme.rulings}"
    )
