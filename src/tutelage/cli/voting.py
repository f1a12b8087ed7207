"""The verb `vote`: its server, and how the terminal shows what people voted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rich.text import Text

from tutelage.cli._drawing import add_names, add_numbers, console, table
from tutelage.cli.display import RichProgress
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.stages import open_poll, vote_results, votes_to_review
from tutelage.stages.ballots import Rival, Where
from tutelage.stages.vote import Sample


def hold(
    programme: Programme,
    where: Where,
    against: Rival,
    sample: Sample,
    most: int,
    seed: int,
    show_gold: bool,
    host: str,
    port: int,
) -> None:
    """Serve the pages until Ctrl-C. The folder is held only while the answers are read."""
    from tutelage.web.voting import serve_poll

    with programme.locked():
        poll = open_poll(
            programme,
            RichProgress(),
            where=where,
            against=against,
            sample=sample,
            most=most,
            seed=seed,
            show_gold=show_gold,
        )
    out = console()

    def ready(address: str) -> None:
        out.print(f"Open {address} and vote. Ctrl-C ends it; votes are kept one by one.", soft_wrap=True)

    serve_poll(poll, host=host, port=port, ready=ready)
    words = f"vote --results --where {where} --against {against}"
    out.print(f"Votes are in {programme.votes}. What they say: {programme.command(words)}", soft_wrap=True)


def tell_results(programme: Programme, where: Where, against: Rival, as_json: bool) -> None:
    """What was voted."""
    with programme.locked():
        found = vote_results(programme, Silent() if as_json else RichProgress(), where=where, against=against)
    print_votes(found, as_json=as_json)


def put_to_review(programme: Programme, at_least: int) -> None:
    """Votes as corrections."""
    with programme.locked():
        path = votes_to_review(programme, RichProgress(), at_least=at_least)
    console().print(f"Look at {path}, then run {programme.command('label')}.", soft_wrap=True)


def have_judged(programme: Programme, against: Rival) -> None:
    """A model's votes, told only where it agrees with people."""
    from tutelage.stages.judging import ask_judge

    with programme.locked():
        found = ask_judge(programme, RichProgress(), against=against)
    out = console()
    out.print(Text(found["reason"]), soft_wrap=True)
    if found["steady"] is not None:
        out.print(f"It says the same of {found['steady']:.1%} of pairs turned round.", soft_wrap=True)
    if (judged := found["preference"]) is not None:
        won = share_text(judged["preferred"]) if judged["preferred"] else "none"
        out.print(
            f"It judged {judged['pairs']['judged']:,} pairs that differ, and of those that either won "
            f"prefers the student in {won}",
            soft_wrap=True,
        )


def print_votes(found: Mapping[str, Any] | None, *, as_json: bool) -> None:
    """Preference with its interval, by slice, and how far reviewers agree."""
    out = console()
    if as_json:
        out.out(json.dumps(found, indent=2, ensure_ascii=False))
        return
    if found is None:
        out.print("No votes on this run's answers.")
        return
    pairs, (one, other) = found["pairs"], found["arms"]
    out.print(
        Text(f"{pairs['judged']:,} of {pairs['differ']:,} pairs of answers that differ were judged", "bold"),
        Text(f"({pairs['votes']:,} votes; {pairs['all']:,} pairs on {found['where']} in all)"),
        soft_wrap=True,
    )
    drawn = table()
    add_names(drawn, "slice")
    add_numbers(
        drawn, "pairs", f"{one} better", f"{other} better", "both fine", "neither", "split", "preferred"
    )
    rows = [*found["slices"], {"slice": "all", "judged": pairs["judged"], **found}]
    for row in rows if len(found["slices"]) > 1 else rows[-1:]:
        counts = [f"{count:,}" for count in row["outcomes"].values()]
        drawn.add_row(Text(row["slice"]), f"{row['judged']:,}", *counts, share_text(row["preferred"]))
    out.print(drawn)
    out.print(
        f"preferred: {one} among pairs that either won, {_percent(found['confidence'])} exact intervals"
    )
    for line in _lines(found, one, other):
        out.print(Text(line), soft_wrap=True)


def _lines(found: Mapping[str, Any], one: str, other: str) -> list[str]:
    lines = []
    if found["preferred"]:
        lines.append(
            f"no preference at all would give as much with p = {found['p_value']:.3g} (exact sign test)"
        )
    if found["not_worse"]:
        lines.append(
            f"{one} at least as good as {other}: {share_text(found['not_worse'])} of pairs that differ"
        )
        net = found["net_of_all"]
        lines.append(
            f"over all pairs, {one} better less {other} better: {100 * net['estimate']:+.1f} points "
            f"({100 * net['low']:+.1f} to {100 * net['high']:+.1f}), same answers counted as ties"
        )
    if found["agreeing"]["judged"]:
        lines.append(f"same answers found wrong: {share_text(found['agreeing']['wrong'])}")
    lines.append("votes by " + ", ".join(f"{name} {count:,}" for name, count in found["reviewers"].items()))
    lines += agreement_lines(found["agreement"], "pairs")
    sides = found["first_shown"]
    if sides["p_value"] < 1 - found["confidence"]:
        lines.append(
            f"the side seems to matter: A preferred {sides['first']:,} times, B {sides['second']:,} "
            f"(p = {sides['p_value']:.2g})"
        )
    if found["against_gold"]:
        lines.append(f"{found['against_gold']:,} pairs in which people prefer an answer to gold's own")
    if found["other_answers"]:
        lines.append(f"{found['other_answers']:,} votes are on answers that none of these are")
    return lines


def agreement_lines(found: Mapping[str, Any] | None, units: str) -> list[str]:
    """How far reviewers agree on pairs, or whatever `units` are."""
    if found is None:
        return ["no pair has two votes yet, so nothing is known of how far reviewers agree"]
    alpha, kappa = found["alpha"], found["kappa"]
    said = "votes" if units == "pairs" else "answers"
    text = f"{found['units']:,} {units} by two or more: {found['same']:.1%} of pairs of {said} the same"
    of_alpha, of_kappa = (", ordinal,", ", weights quadratic,") if found["weights"] == "ordinal" else ("", "")
    for name, value in ((f"Krippendorff's alpha{of_alpha}", alpha), (f"Cohen's kappa{of_kappa}", kappa)):
        if value is not None:
            text += f"; {name} {_coefficient(value)}"
    return [text]


def _coefficient(value: Mapping[str, float | None]) -> str:
    if value["estimate"] is None:
        return "undefined (all votes are the same)"
    if value["low"] is None or value["high"] is None:
        return f"{value['estimate']:.2f}"
    return f"{value['estimate']:.2f} ({value['low']:.2f} to {value['high']:.2f})"


def share_text(value: Mapping[str, float] | None) -> str:
    """A share with its interval, in per cent."""
    if value is None:
        return "–"
    return f"{value['estimate']:.1%} ({100 * value['low']:.1f}–{100 * value['high']:.1f})"


def _percent(share: float) -> str:
    return f"{share:.0%}"
