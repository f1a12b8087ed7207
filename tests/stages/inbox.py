"""A small programme: an inbox of three labels, half of it gold, half traffic."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LABELS = ("refund", "card")
WORDS = "parcel invoice password refund courier charge account payment tracking price".split()


def questions(words: Sequence[str] = WORDS) -> list[str]:
    """A short text for each two words."""
    return [f"{one} and {other}: what now" for one in words for other in words if one < other]


_SUBJECTS = {
    "delivery": ("parcel", "courier", "package", "shipment", "tracking"),
    "billing": ("invoice", "charge", "refund", "price", "payment"),
    "login": ("password", "account", "code", "sign in", "username"),
}
_FRAMES = (
    "there is a problem with the {} since yesterday",
    "could you look into my {} please",
    "what is going on with this {}, i am waiting",
    "the {} does not work as it should",
    "second time i write about the {}",
    "{} again, somebody help",
    "my colleague asks about the {}",
    "please explain the {} to me",
)


def letter_counting_inbox(folder: Path, **sections) -> Path:
    """The inbox with a teacher that counts letters, from whom a student of words has to differ."""
    made = inbox_programme(
        folder, teacher={"type": "human", "verdicts": {"path": "verdicts.csv"}}, **sections
    )
    texts = []
    for name in ("gold.csv", "traffic.csv"):
        with (made / name).open(newline="") as file:
            texts += [row["text"] for row in csv.DictReader(file)]
    said = [(text, sorted(_SUBJECTS)[len(text) % 3]) for text in texts]
    with (made / "verdicts.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *said])
    return made


def inbox_programme(folder: Path, **sections) -> Path:
    rows = [
        (frame.format(subject), label)
        for label, subjects in _SUBJECTS.items()
        for subject in subjects
        for frame in _FRAMES
    ]
    gold, traffic = rows[::2], rows[1::2]
    for name, header, content in (
        ("gold.csv", ["text", "label"], gold),
        ("traffic.csv", ["text"], [(text,) for text, _ in traffic]),
    ):
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *content])
    config = {
        "gold": {"path": "gold.csv", "training": {"share": 0.4}, "margin": 0.1},
        "traffic": {"path": "traffic.csv", "near_duplicate": 0.97},
        "teacher": {"type": "encoder"},
        "student": {"family": "static", "epochs": 20},
        "release": {"max_loss": 0.4},
    }
    (folder / "tutelage.yaml").write_text(json.dumps(config | sections))
    return folder


def endpoint_programme(
    folder: Path,
    url: str,
    texts: Sequence[str],
    golden: int,
    labelling: Mapping[str, Any],
    *,
    margin: float = 0.3,
    **teacher: Any,
) -> Path:
    """The first `golden` texts are gold, labelled in turn, the others traffic; the teacher answers at `url`."""
    rows = "".join(f"{text},{LABELS[n % len(LABELS)]}\n" for n, text in enumerate(texts[:golden]))
    (folder / "gold.csv").write_text("text,label\n" + rows)
    (folder / "traffic.csv").write_text("text\n" + "\n".join(texts[golden:]) + "\n")
    content = {
        "gold": {"path": "gold.csv", "margin": margin},
        "traffic": {"path": "traffic.csv"},
        "teacher": {
            "type": "openai",
            "rights": "own-model",
            "model": "scripted-1",
            "base_url": url,
            "samples": 1,
            **teacher,
        },
        "labelling": dict(labelling),
    }
    (folder / "tutelage.yaml").write_text(json.dumps(content))
    return folder
