"""`collect --from-serving`: the most valuable of what was served becomes prompts, people's verdicts labels."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from captured import made
from inbox import letter_counting_inbox
from typer.testing import CliRunner

from tutelage import storage
from tutelage.cli.app import app
from tutelage.data import prompts_from_table
from tutelage.errors import GateRefused, UsageError
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.records import text_hash
from tutelage.review import read_sheet
from tutelage.serving.captures import Capture
from tutelage.serving.reviews import ReviewPolicy, Why, value_of
from tutelage.serving.store import Store
from tutelage.stages import run_stage
from tutelage.stages.review import review_file
from tutelage.stages.serve import open_programme_store
from tutelage.stages.served import _tell_agreement, take_served
from tutelage.stages.task import unsealed_task

POLICY = ReviewPolicy(second=0.0)


class Notes(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(scope="module")
def collected_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = letter_counting_inbox(tmp_path_factory.mktemp("programme"))
    for stage in ("check", "gold", "collect"):
        run_stage(Programme.open(folder), stage)
    return folder


@pytest.fixture
def programme(collected_folder: Path, tmp_path: Path) -> Programme:
    shutil.copytree(collected_folder, tmp_path / "programme")
    return Programme.open(tmp_path / "programme")


def served(
    programme: Programme,
    captures: Sequence[Capture],
    verdicts: Sequence[tuple[str, str, Any]] = (),
    policy: ReviewPolicy = POLICY,
) -> None:
    """Captures in the server's state, and verdicts on them: a capture's id, who, what."""

    async def keep(store: Store) -> None:
        for capture in captures:
            await store.capture(capture, promise="durable")
        store.reviews.enqueue(policy, since=0.0)
        for id, who, value in verdicts:
            store.reviews.decide(id, who, None if value is None else json.dumps(value), now=1.0)
        await store.close()

    asyncio.run(keep(open_programme_store(programme)))


def taken(programme: Programme) -> list[str]:
    return [prompt.text for prompt in prompts_from_table(storage.read_table(programme.served))]


def collected(programme: Programme) -> set[str]:
    return {prompt.text for prompt in prompts_from_table(storage.read_table(programme.prompts))}


def test_the_most_valuable_new_prompts_are_taken_first_and_never_twice(programme: Programme) -> None:
    gold = storage.read_table(programme.sealed)["text"].to_pylist()[0]
    old = sorted(collected(programme))[0]
    captures = [
        made("surely right", agree=True, confidence=0.99),
        made("surely wrong", agree=False, confidence=0.95),
        made("unsure", by="teacher", reason="below threshold", confidence=0.2),
        made("hardly wrong", agree=False, confidence=0.3),
        made(gold, agree=False),
        made(old, agree=False),
        replace(made("not kept", agree=False), text=None),
        made("  ", agree=False),
    ]
    served(programme, captures)
    notes = Notes()
    take_served(programme, notes, most=3)
    assert taken(programme) == ["surely wrong", "hardly wrong", "unsure"]
    assert "3 prompts taken" in notes.said[-1]
    assert run_stage(programme, "collect")
    assert {"surely wrong", "hardly wrong", "unsure"} < collected(programme)
    assert not run_stage(programme, "collect")
    take_served(programme, notes, most=4)
    assert taken(programme)[3:] == ["surely right"]
    take_served(programme, notes, most=4)
    assert len(taken(programme)) == 4, "an empty text is no prompt"
    events = [entry.data for entry in programme.journal.entries() if entry.event == "served"]
    assert [event["prompts"] for event in events] == [3, 1, 0]


def test_the_order_in_the_database_is_that_of_value_of(programme: Programme) -> None:
    draw = random.Random(3)
    captures = [
        made(
            f"text {draw.randrange(40)}",
            agree=draw.choice([None, True, False]),
            by=draw.choice(["student", "teacher", "nobody"]),
            reason=draw.choice(["", "below threshold", "not in the canary's share"]),
            confidence=draw.choice([None, 0.0, 1.0, 1.5, float("nan"), draw.random()]),
        )
        for _ in range(200)
    ]
    best: dict[str, float] = {}
    for capture in captures:
        best[capture.hash] = max(best.get(capture.hash, -1.0), value_of(capture))
    served(programme, captures)
    store = open_programme_store(programme)
    found = store.most_valuable(1_000, set())
    asyncio.run(store.close())
    assert {capture.hash for capture in found} == best.keys() and len(found) == len(best)
    values = [best[capture.hash] for capture in found]
    assert values == sorted(values, reverse=True)


def test_verdicts_correct_the_teacher_and_those_drawn_at_random_may_become_gold(programme: Programme) -> None:
    policy = ReviewPolicy(random=0.5, second=0.0)
    captures = [
        made(f"message number {number}", agree=False, teacher_value='"login"') for number in range(40)
    ]
    drawn = [capture for capture in captures if policy.why(capture) is Why.RANDOM]
    chosen = [capture for capture in captures if capture not in drawn]
    assert len(drawn) > 5 and len(chosen) > 5
    verdicts: list[tuple[str, str, Any]] = [
        (chosen[0].id, "ann", "billing"),
        (chosen[1].id, "ann", "login"),  # as the teacher says
        (chosen[2].id, "ann", None),  # no answer is right
        (drawn[0].id, "ann", "delivery"),
        (drawn[1].id, "ann", None),
    ]
    served(programme, captures, verdicts, policy)
    take_served(programme, Silent(), most=3)
    texts = taken(programme)
    assert texts[:3] == [capture.text for capture in chosen[:3]] and len(texts) == 6, (
        "what people judged, and more"
    )
    assert not {capture.text for capture in drawn} & set(texts), "what may become gold isn't learned from"
    sheet = {row["text"]: row for row in read_sheet(review_file(programme))}
    assert sheet[chosen[0].text]["label"] == "billing" and "ann" in sheet[chosen[0].text]["why"]
    assert sheet[chosen[2].text]["label"] == "" and chosen[1].text not in sheet
    [candidate] = read_sheet(programme.folder / "gold" / "candidates.jsonl")
    assert (candidate["text"], candidate["label"], candidate["reviewers"]) == (
        drawn[0].text,
        "delivery",
        ["ann"],
    )
    take_served(programme, Silent(), most=1)
    assert len(read_sheet(programme.folder / "gold" / "candidates.jsonl")) == 1


@pytest.mark.slow
def test_a_verdict_teaches_what_the_teacher_got_wrong(programme: Programme) -> None:
    capture = made("hmm, it is all wrong", agree=False, teacher_value='"login"')
    rows = (programme.folder / "verdicts.csv").read_text()
    (programme.folder / "verdicts.csv").write_text(rows + '"hmm, it is all wrong",login\n')
    served(programme, [capture], [(capture.id, "ann", "billing")])
    said = CliRunner().invoke(app, ["collect", str(programme.folder), "--from-serving"])
    assert said.exit_code == 0, said.output
    assert "1 prompts taken from what was served" in said.output and "1 of which were served" in said.output
    run_stage(programme, "coverage")
    run_stage(programme, "label")
    transfer = {row["text"]: row for row in storage.read_table(programme.transfer).to_pylist()}
    row = transfer["hmm, it is all wrong"]
    assert (row["value"], row["teacher_value"], row["origin"]) == ('"billing"', '"login"', "human")


def test_agreement_between_people_is_told(programme: Programme) -> None:
    captures = [made(f"message {number}", agree=False) for number in range(12)]
    verdicts = [
        (capture.id, who, "billing" if number % 2 else "login")
        for number, capture in enumerate(captures)
        for who in ("ann", "bob")
    ]
    served(programme, captures, verdicts, ReviewPolicy(second=1.0))
    notes = Notes()
    take_served(programme, notes, most=1)
    assert "12 items before two people" in notes.said[0] and "alpha 1.00" in notes.said[0]


def test_scores_are_compared_in_their_order(programme: Programme) -> None:
    captures = [made(f"message {number}", agree=False) for number in range(12)]
    verdicts = [
        (capture.id, who, str(1 + (number + (who == "bob")) % 4))
        for number, capture in enumerate(captures[:10])
        for who in ("ann", "bob")
    ]
    verdicts += [(capture.id, who, None) for capture in captures[10:] for who in ("ann", "bob")]
    served(programme, captures, verdicts, ReviewPolicy(second=1.0))
    content = json.loads((programme.folder / "tutelage.yaml").read_text())
    content["task"] = {"type": "judge", "scale": [1, 4], "rubric": "How kind is it?"}
    (programme.folder / "tutelage.yaml").write_text(json.dumps(content))
    scored, notes = Programme.open(programme.folder), Notes()
    store = open_programme_store(scored)
    _tell_agreement(store, unsealed_task(scored), notes)
    asyncio.run(store.close())
    (told,) = notes.said
    assert "10 items before two people" in told and "Krippendorff's alpha of scores in their order" in told


def test_without_rights_nothing_is_taken(programme: Programme) -> None:
    content = json.loads((programme.folder / "tutelage.yaml").read_text())
    content["teacher"] = {
        "type": "openai",
        "model": "gpt-4o",
        "rights": "unknown-terms",
        "base_url": "http://127.0.0.1:1",
    }
    (programme.folder / "tutelage.yaml").write_text(yaml.safe_dump(content))
    refused = Programme.open(programme.folder)
    served(refused, [made("x", agree=False)])
    with pytest.raises(GateRefused, match="rights gate.*unknown-terms"):
        take_served(refused, Silent(), most=1)
    assert not programme.served.exists()


def test_where_nothing_was_served_it_says_so(programme: Programme) -> None:
    said = CliRunner().invoke(app, ["collect", str(programme.folder), "--from-serving"])
    assert isinstance(said.exception, UsageError) and "nothing was served yet" in str(said.exception)
    assert not programme.server_state.exists(), "and makes no state by looking"


def test_before_gold_is_sealed_nothing_is_taken(tmp_path: Path) -> None:
    programme = Programme.open(letter_counting_inbox(tmp_path))
    served(programme, [made("x", agree=False)])
    with pytest.raises(UsageError, match="collect --from-serving builds on gold"):
        take_served(programme, Silent(), most=1)


def test_redacted_texts_are_known_by_what_is_left_of_them(programme: Programme) -> None:
    captures = [
        replace(made("card [redacted]"), id=made().id, hash=text_hash(f"card {number}"))
        for number in range(3)
    ]
    served(programme, [*captures, made("another", confidence=0.99)])
    take_served(programme, Silent(), most=1)
    take_served(programme, Silent(), most=1)
    assert taken(programme) == ["card [redacted]", "another"]


def test_a_purge_takes_what_was_taken_with_it(programme: Programme) -> None:
    policy = ReviewPolicy(random=0.5, second=0.0)
    captures = [made(f"message {number}", agree=False, key=f"user-{number % 2}") for number in range(30)]
    verdicts = [(capture.id, "ann", "billing") for capture in captures]
    served(programme, captures, verdicts, policy)
    take_served(programme, Silent(), most=1)
    said = CliRunner().invoke(app, ["purge", str(programme.folder), "--subject", "user-1"])
    assert said.exit_code == 0, said.output
    assert "captures of servers" in said.output and " 15" in said.output
    hers = {capture.text for capture in captures if capture.key == "user-1"}
    left = {*taken(programme)}
    for path in (review_file(programme), programme.folder / "gold" / "candidates.jsonl"):
        left |= {row["text"] for row in read_sheet(path)}
    assert left == {capture.text for capture in captures} - hers
    files = [path for path in programme.folder.rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert all(b"user-1" not in path.read_bytes() for path in files), "not even the journal says whose"


def test_a_purge_by_age_leaves_what_was_taken(programme: Programme) -> None:
    served(programme, [made("message", agree=False)])
    take_served(programme, Silent(), most=1)
    said = CliRunner().invoke(app, ["purge", str(programme.folder), "--older-than", "1"])
    assert "0 captures removed" in said.output
    said = CliRunner().invoke(app, ["purge", str(programme.folder), "--older-than", "0"])
    assert "1 captures removed" in said.output and taken(programme) == ["message"]


@pytest.mark.parametrize("options", [[], ["--subject", "a", "--older-than", "1"]])
def test_a_purge_is_of_one_thing(programme: Programme, options: list[str]) -> None:
    said = CliRunner().invoke(app, ["purge", str(programme.folder), *options])
    assert isinstance(said.exception, UsageError) and "either --subject, --expired or" in str(said.exception)


def test_what_was_kept_before_there_was_a_policy_is_redacted_as_it_is_taken(programme: Programme) -> None:
    content = json.loads((programme.folder / "tutelage.yaml").read_text())
    content["privacy"] = {"email": "mask", "iban": "drop", "names_by_list": False}
    (programme.folder / "tutelage.yaml").write_text(json.dumps(content))
    private = Programme.open(programme.folder)
    captures = [
        made("write to ann.smith@example.org please", agree=False),
        made("my account is GB82 WEST 1234 5698 7654 32", agree=False),
        made("send it to bob@example.org", agree=False),
    ]
    for stage in ("gold", "collect"):
        run_stage(private, stage)
    served(private, captures, [(captures[2].id, "ann", "login")])
    take_served(private, Silent(), most=5)
    assert sorted(taken(private)) == ["send it to [EMAIL]", "write to [EMAIL] please"]
    [row] = read_sheet(review_file(private))
    assert row["text"] == "send it to [EMAIL]" and row["label"] == "login"
    take_served(private, Silent(), most=5)
    assert len(taken(private)) == 2
