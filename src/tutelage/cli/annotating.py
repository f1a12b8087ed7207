"""The verb `annotate` and the table of `gold --plan`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from tutelage.cli._drawing import add_names, add_numbers, console, table
from tutelage.cli.display import RichProgress
from tutelage.cli.voting import agreement_lines, share_text
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.stages.annotate import annotation_results, annotations_to_gold, export_tasks, open_project
from tutelage.stages.annotate_import import Imported, import_annotations
from tutelage.stages.gold_plan import plan_gold

if TYPE_CHECKING:
    from tutelage.stages.gold_plan import GoldPlan


def hold(programme: Programme, host: str, port: int) -> None:
    """Serve the pages until Ctrl-C. The folder is held only while the prompts are read."""
    from tutelage.web.annotating import serve_project

    with programme.locked():
        project = open_project(programme, RichProgress())
    out = console()

    def ready(address: str) -> None:
        out.print(f"Open {address} and answer. Ctrl-C ends it; answers are kept one by one.", soft_wrap=True)

    serve_project(project, host=host, port=port, ready=ready)
    tally = project.tally()
    out.print(
        f"{tally.settled:,} of {tally.total:,} are settled, {tally.disputed:,} disputed. "
        f"Into gold: {programme.command('annotate --to-gold')}",
        soft_wrap=True,
    )


def tell_results(programme: Programme, as_json: bool) -> None:
    """How far it is, and how far people agree."""
    with programme.locked():
        found = annotation_results(programme, Silent() if as_json else RichProgress())
    out = console()
    if as_json:
        out.out(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for line in _lines(found):
        out.print(Text(line), soft_wrap=True)


def make_gold(programme: Programme) -> None:
    """What is settled into gold's file."""
    with programme.locked():
        path = annotations_to_gold(programme, RichProgress())
    console().print(f"Look at {path}, then run {programme.command('gold')}.", soft_wrap=True)


def take(
    programme: Programme,
    path: Path,
    form: str | None,
    answers: Sequence[str],
    add_prompts: bool,
    as_json: bool,
) -> None:
    """What people said in another tool."""
    with programme.locked():
        found = import_annotations(
            programme,
            Silent() if as_json else RichProgress(),
            path,
            form=form,
            answers=answers,
            add_prompts=add_prompts,
        )
    out = console()
    if as_json:
        out.out(json.dumps(asdict(found), indent=2, ensure_ascii=False))
        return
    for line in _import_lines(programme, found):
        out.print(Text(line), soft_wrap=True)


def give(programme: Programme, path: Path, form: str | None) -> None:
    """What waits, as tasks for another tool."""
    with programme.locked():
        files = export_tasks(programme, RichProgress(), path, form)
    out = console()
    if len(files) > 1:
        out.print(f"{files[1]} is the labelling interface: paste it into Settings, Labeling Interface, Code")
    out.print(f"Once answered: {programme.command('annotate --import FILE')}", soft_wrap=True)


def _people(count: int) -> str:
    return "1 person" if count == 1 else f"{count:,} people"


def _import_lines(programme: Programme, found: Imported) -> list[str]:
    lines = [
        f"{found.tool}, {found.rows:,} rows: {found.taken:,} answers of {_people(found.annotators)} to "
        f"{found.prompts:,} prompts taken"
        + (f", {found.replaced:,} of them in place of an earlier one" if found.replaced else "")
        + (f"; {found.known:,} stood already" if found.known else "")
    ]
    if found.added:
        lines.append(
            f"{found.added:,} prompts of the file weren't drawn and are added: gold is then what the file "
            f"has, which need not look like the traffic ({programme.command('coverage')})"
        )
    if found.left_out:
        told = ", ".join(f"{count:,} {what}" for what, count in found.left_out.items())
        lines.append(f"left out: {told}")
    if found.suggested:
        lines.append(
            f"{found.suggested:,} answers are a model's suggestion that a person left as it was. Mend: have "
            "people answer without suggestions; these lean to the model that made them"
        )
    if found.unsure:
        lines.append(
            f"{found.unsure:,} answers may be drafts: nested records don't tell. Mend: none where all were "
            "submitted; else export flat (to_list(flatten=True), to_datasets)"
        )
    if found.twice:
        lines.append(f"{found.twice:,} answers were given anew by the same person; the last counts")
    if found.unmatched:
        rows = dict(found.unmatched)
        shown = "; ".join(f"row {row} {text[:40]!r}" for row, text in list(rows.items())[:3])
        more = f"; and {len(rows) - 3:,} more" if len(rows) > 3 else ""
        lines.append(
            f"{len(found.unmatched):,} answers are to no prompt that was drawn: {shown}{more}. "
            "--add-prompts takes these prompts too"
        )
    lines.append(f"How far people agree: {programme.command('annotate --results')}")
    return lines


def _lines(found: Mapping[str, Any]) -> list[str]:
    prompts = found["prompts"]
    lines = [
        f"{prompts['settled']:,} of {prompts['all']:,} prompts are settled, {found['adjudicated']:,} of them "
        f"after a disagreement; {prompts['disputed']:,} are disputed, {prompts['open']:,} open"
    ]
    if found["annotators"]:
        lines.append("answers by " + ", ".join(f"{who} {n:,}" for who, n in found["annotators"].items()))
    if found["misfits"]:
        lines.append(
            f"{found['misfits']:,} answers don't count: the task has no such answer any more. Mend: have "
            "people answer anew, or put the task's labels or record back"
        )
    told = found["agreement"]
    if told is None:
        return [*lines, "no prompt has two answers yet, so nothing is known of how far people agree"]
    lines.append(
        f"answered alike: {share_text(told['alike'])} of {told['prompts']:,} prompts with two answers"
    )
    if told["agreement"] is not None:
        lines += agreement_lines(told["agreement"], "prompts")
    for name, part in told["parts"].items():
        lines += [
            f"  {name}: alike {share_text(part['alike'])}; {line}"
            for line in agreement_lines(part, "prompts")
        ]
    return lines


def plan(programme: Programme, seed: int, most: int | None, as_json: bool) -> None:
    """What gold needs, and what was drawn for it."""
    with programme.locked():
        found = plan_gold(programme, Silent() if as_json else RichProgress(), seed=seed, most=most)
    print_plan(programme, found, as_json=as_json)


def print_plan(programme: Programme, found: GoldPlan, *, as_json: bool) -> None:
    """The table, and where what was drawn lies."""
    out = console()
    if as_json:
        needs = [asdict(need) for need in found.needs]
        told = {"slices": needs, "drawn": found.drawn, "waiting": found.waiting, "seed": found.seed}
        told |= {"siblings": found.siblings, "path": str(found.path)}
        out.out(json.dumps(told, indent=2, ensure_ascii=False))
        return
    drawn = table()
    add_names(drawn, "slice")
    add_numbers(drawn, "sealed", "gives", "needed", "for", "waiting", "to label", "in traffic")
    add_names(drawn, "because of")
    for need in found.needs:
        drawn.add_row(
            Text(need.slice),
            f"{need.have:,}",
            f"±{need.width:.1%}",
            f"{need.need:,}",
            f"±{need.margin:.1%}",
            f"{need.waiting:,}",
            f"{need.rows:,}",
            f"{need.traffic:,}",
            Text(need.why),
        )
    out.print(drawn)
    for line in _after(programme, found):
        out.print(Text(line), soft_wrap=True)


def _after(programme: Programme, found: GoldPlan) -> list[str]:
    if not found.waiting:
        return ["gold is large enough for every margin asked for: nothing was drawn"]
    lines = [f"{found.drawn:,} prompts drawn (seed {found.seed}); {found.waiting:,} wait in {found.path}"]
    if found.siblings:
        lines.append(
            f"{found.siblings:,} of the traffic's {found.needs[-1].traffic:,} prompts are of the same "
            "subjects and leave the transfer set with gold's (traffic.siblings)"
        )
    for need in found.needs:
        if need.rows > need.traffic:
            lines.append(
                f"{need.slice}: the traffic has {need.traffic:,} prompts for the {need.rows:,} needed. "
                "Mend: add traffic, write examples, or widen the margin"
            )
    lines.append(f"Have people answer them: {programme.command('annotate')}")
    return lines
