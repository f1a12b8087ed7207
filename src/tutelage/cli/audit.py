"""The verbs below `audit`. Anything heavy is imported inside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tutelage.ledger import Entry
    from tutelage.stages.trace import Origin

_TOLD = 160  # characters of why a right is given

audit = typer.Typer(
    help="The journal: whether it is whole, and where a file comes from.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@audit.command("verify")
def verify(folder: Annotated[Path, typer.Argument(help="The programme's folder.")] = Path()) -> None:
    """Check the journal's whole chain; a broken one names the first line that doesn't fit."""
    from tutelage.programme import Programme

    journal = Programme.open(folder).journal
    count, head = journal.verify(), journal.head()
    typer.echo(f"{journal.path}: {count:,} entries, whole." + (f" Head: {head.hash}" if head else ""))
    if head:
        typer.echo("Lines cut off its end can't be seen from it: keep the head elsewhere where that matters.")


@audit.command("trace")
def trace(
    path: Annotated[Path, typer.Argument(help="A file or folder of a programme.")],
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Follow a file back to prompts, answers, decisions, code version and seeds."""
    from tutelage.stages.trace import programme_of
    from tutelage.stages.trace import trace as follow

    found = follow(programme_of(path), path)
    if as_json:
        typer.echo(json.dumps(_plain(found), indent=2, ensure_ascii=False))
        return
    for line in _lines(found, 0, set()):
        typer.echo(line)


def _lines(origin: Origin, depth: int, told: set[str]) -> Iterator[str]:
    """One file a paragraph; a file that was told before is only named."""
    indent, entry = "  " * depth, origin.entry
    again = origin.hash in told
    yield f"{indent}{origin.path}  {origin.hash[:12]}" + ("  (see above)" if again else "")
    if again:
        return
    told.add(origin.hash)
    version = entry.data.get("version")
    by = f"stage {entry.data['stage']}, journal line {entry.sequence}, {entry.time}"
    code = entry.data.get("code")
    yield (
        f"{indent}  by {by}"
        + (f", tutelage {version}" if version else "")
        + (f" ({code[:12]})" if code else "")
    )
    yield f"{indent}  {entry.data['summary']}"
    if overrides := entry.data.get("overrides"):
        yield f"{indent}  with {', '.join(overrides)}"
    if seeds := entry.data.get("seeds"):
        yield f"{indent}  seeds: " + ", ".join(f"{key} {seed}" for key, seed in seeds.items())
    for decision in origin.decisions:
        yield f"{indent}  {_decided(decision)}"
    if origin.sources:
        yield f"{indent}  from " + ", ".join(f"{name} {hash_[:12]}" for name, hash_ in origin.sources.items())
    for part in origin.made_of:
        yield from _lines(part, depth + 1, told)


def _decided(entry: Entry) -> str:
    data = entry.data
    if entry.event == "gate":
        whose = f" for {data['entry']}" if "entry" in data else ""
        override = data.get("override") or {}
        past = (
            f", overridden by {override.get('name')}: {override.get('reason')}"
            if data.get("overridden")
            else ""
        )
        terms = data["evidence"][0]["reason"] if data["gate"] == "rights" and data["evidence"] else ""
        because = f"; {terms[:_TOLD]}" if terms else ""
        return f"line {entry.sequence}: {data['gate']} gate{whose}: {data['verdict']}{past}{because}"
    if entry.event == "rights decided":
        return f"line {entry.sequence}: {data['entry']} {data['ruled']} by {data['name']}: {data['reason']}"
    if entry.event == "purged":
        return f"line {entry.sequence}: {sum(data.get('rows', {}).values()):,} rows purged"
    if entry.event == "labelled":
        return (
            f"line {entry.sequence}: {data['teacher']} ({data['revision'][:12]}) asked, "
            f"${data['spent']:,.2f} spent"
        )
    return f"line {entry.sequence}: {entry.event}"


def _plain(origin: Origin) -> dict[str, object]:
    return {
        "path": origin.path,
        "hash": origin.hash,
        "line": origin.entry.sequence,
        "time": origin.entry.time,
        "stage": origin.entry.data["stage"],
        "version": origin.entry.data.get("version"),
        "code": origin.entry.data.get("code"),
        "seeds": origin.entry.data.get("seeds", {}),
        "summary": origin.entry.data["summary"],
        "overrides": origin.entry.data.get("overrides", []),
        "decisions": [{"line": item.sequence, "event": item.event, **item.data} for item in origin.decisions],
        "sources": dict(origin.sources),
        "made_of": [_plain(part) for part in origin.made_of],
    }
