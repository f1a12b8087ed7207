"""Twenty people with texts of random words in a small inbox, put through all that keeps anything of them."""

from __future__ import annotations

import asyncio
import csv
import json
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from captured import made
from inbox import letter_counting_inbox

from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.records import text_hash
from tutelage.serving.reviews import ReviewPolicy
from tutelage.serving.store import Store
from tutelage.stages import make_review, open_poll, run_all, run_certify, run_export, run_stage
from tutelage.stages.annotate import annotations_to_gold, open_project
from tutelage.stages.gold_plan import plan_gold
from tutelage.stages.serve import open_programme_store
from tutelage.stages.served import take_served

LETTERS = "bcdfghklmnprstvz"
BEFORE = ("gold", "collect")


@dataclass(frozen=True)
class Canary:
    """One person. `asked` came in traffic, `labelled` is gold, `served` was asked of a server."""

    key: str
    asked: tuple[str, ...]
    labelled: str
    served: str

    @property
    def texts(self) -> tuple[str, ...]:
        return (*self.asked, self.labelled, self.served)

    @property
    def needles(self) -> list[bytes]:
        """What no byte may tell: the key, each word of the texts, and the texts' hashes."""
        words = {word for text in self.texts for word in text.split() if len(word) == 9}
        return [one.encode() for one in (self.key, *sorted(words), *map(text_hash, self.texts))]


def canaries(count: int, seed: int) -> list[Canary]:
    draw = random.Random(seed)

    def word() -> str:
        return "".join(draw.choices(LETTERS, k=9))

    def text(about: str) -> str:
        return f"{word()} {word()} with the {about} of {word()} {word()}"

    return [
        Canary(f"who-{word()}", (text("parcel"), text("invoice")), text("password"), text("courier"))
        for _ in range(count)
    ]


def planted(folder: Path, people: Iterable[Canary], **sections: Any) -> Programme:
    """A programme that has them in its sources alone."""
    people = list(people)
    made_in = letter_counting_inbox(
        folder,
        student={"family": "static", "epochs": 2, "members": 1},
        gold={
            "path": "gold.csv",
            "columns": {"subject": "whose"},
            "training": {"share": 0.3},
            "calibration": {"share": 0.3},
            "margin": 0.08,
        },
        traffic={"path": "traffic.csv", "columns": {"subject": "whose"}, "siblings": "keep"},
        certify={"bounds": [{"limit": 0.9}]},
        economics={"monthly": 100_000},
        **sections,
    )
    rows = _read(made_in / "gold.csv")
    gold = [{**row, "whose": f"customer-{n}"} for n, row in enumerate(rows)]
    gold += [{"text": one.labelled, "label": "login", "whose": one.key} for one in people]
    traffic = [{**row, "whose": f"customer-{n}"} for n, row in enumerate(_read(made_in / "traffic.csv"))]
    for one in people:
        traffic += [{"text": text, "whose": one.key} for text in (*one.asked, one.asked[0], one.labelled)]
    for name, content in (("gold", gold), ("traffic", traffic)):
        with (made_in / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(content[0]))
            writer.writeheader()
            writer.writerows(content)
    _decide(made_in, (text for one in people for text in (*one.asked, one.labelled)))
    return Programme.open(made_in)


def _decide(folder: Path, texts: Iterable[str]) -> None:
    """Have people say what they are, for the teacher."""
    with (folder / "verdicts.csv").open("a", newline="") as file:
        csv.writer(file).writerows((text, ("billing", "login")[len(text) % 2]) for text in texts)


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def put_through(programme: Programme, people: Iterable[Canary]) -> None:
    """Every stage and verb that writes, so that each of them has something of each."""
    people = list(people)
    for stage in BEFORE:
        run_stage(programme, stage)
    plan_gold(programme, Silent(), seed=3, most=20)
    project = open_project(programme, Silent())
    for name in ("Ada", "Bob"):
        while (asked := project.next(name)) is not None:
            project.answer(
                name, asked.prompt.hash, "billing", f"of {asked.prompt.text}", settles=asked.settles
            )
    annotations_to_gold(programme, Silent())
    for stage in BEFORE:
        run_stage(programme, stage)
    asyncio.run(_serve(programme, people))
    _decide(programme.folder, (one.served for one in people))
    take_served(programme, Silent(), most=len(people))
    run_all(programme)
    make_review(programme, 100, Silent())
    run_export(programme, Silent())
    run_certify(programme, Silent())
    poll = open_poll(programme, Silent(), sample="random")
    while (ballot := poll.next("Ada")) is not None:
        poll.cast("Ada", ballot.key, "both", f"as to {ballot.prompt.text}")


async def _serve(programme: Programme, people: Iterable[Canary]) -> None:
    store: Store = open_programme_store(programme)
    captures = [
        made(text, key=one.key, agree=False, teacher_value='"login"')
        for one in people
        for text in (one.served, one.asked[0])
    ]
    for capture in captures:
        await store.capture(capture, promise="durable")
    store.reviews.enqueue(ReviewPolicy(random=0.5, second=0.0), since=0.0)
    for capture in captures:
        store.reviews.decide(
            capture.id, "Ada", json.dumps("billing"), now=1.0, comment=f"so says {capture.text}"
        )
    await store.close()


def contents(folder: Path, *, encrypted: bool = False) -> dict[str, bytes]:
    """All bytes of every file, and unless they are encrypted what of them is compressed also as it reads."""
    found: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            if path.suffix == ".parquet" and not encrypted:
                content += "\n".join(map(str, _cells(pq.read_table(path).to_pylist()))).encode()
            found[path.relative_to(folder).as_posix()] = content
    return found


def _cells(rows: list[dict[str, Any]]) -> Iterable[Any]:
    return (cell for row in rows for cell in row.values())


def traces_of(canary: Canary, held: dict[str, bytes]) -> dict[str, list[bytes]]:
    """Files with what of the canary they hold."""
    found = {name: [one for one in canary.needles if one in content] for name, content in held.items()}
    return {name: needles for name, needles in found.items() if needles}
