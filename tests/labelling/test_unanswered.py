"""Which prompts have no answer, of any number of them: as a plain list would have it, and none is held."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.config import LabellingConfig
from tutelage.labelling import AnswerLedger, LedgerKey, export_batches, label
from tutelage.labelling._calls import WRITES_WAITING
from tutelage.labelling._unanswered import Unanswered
from tutelage.records import Answer, AnswerStatus, Prompt, PromptStream
from tutelage.tasks import Classify

TASK = Classify(("even", "odd"))


@given(st.lists(st.integers(0, 8)), st.sets(st.integers(0, 8)), st.integers(1, 5))
def test_they_are_those_of_a_plain_list_each_text_once(
    asked: list[int], known: set[int], at_once: int
) -> None:
    prompts = [Prompt(f"p{place}", f"text {number}") for place, number in enumerate(asked)]
    hashes = {Prompt("", f"text {number}").hash for number in known}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tutelage.labelling._unanswered._LOOKED_UP", at_once)
        found = Unanswered(prompts, hashes.intersection)
    first = {prompt.hash: prompt for prompt in reversed(prompts)}
    expected = [prompt for prompt in prompts if first[prompt.hash] is prompt and prompt.hash not in hashes]
    assert list(found) == expected == list(found) and len(found) == len(expected)
    assert found.answered == len(first.keys() & hashes)


def test_texts_whose_first_bytes_are_the_same_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tutelage.labelling._unanswered.hash", lambda text: 7, raising=False)
    prompts = [Prompt(str(n), f"text {n % 3}") for n in range(6)]
    found = Unanswered(prompts, {prompts[1].hash}.intersection)
    assert [prompt.id for prompt in found] == ["0", "2"] and found.answered == 1


class Counted(Prompt):
    """A prompt that knows how many of its kind there are."""

    __slots__ = ()
    alive = most = 0

    def __init__(self, id: str, text: str) -> None:
        super().__init__(id, text)
        Counted.alive += 1
        Counted.most = max(Counted.most, Counted.alive)

    def __del__(self) -> None:
        Counted.alive -= 1


class Instant:
    """Says at once whether a text's length is even."""

    name, revision, paid, concurrency = "instant", "1", False, 1

    def __init__(self, batch_size: int) -> None:
        self.batch_size, self.asked = batch_size, 0

    def most_expensive(self, prompts: object) -> float:
        return 0.0

    async def answer(self, prompts: list[Prompt]) -> list[Answer]:
        self.asked += len(prompts)
        return [Answer(AnswerStatus.OK, TASK.labels[len(prompt.text) % 2]) for prompt in prompts]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize(("batch_size", "count"), [(1, 1_000), (16, 5_000)])
def test_of_a_stream_that_is_asked_and_exported_few_are_ever_in_memory(
    batch_size: int, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tutelage.labelling._unanswered._LOOKED_UP", 100)
    monkeypatch.setattr("tutelage.labelling.asking._SORTED", 100)
    monkeypatch.setattr("tutelage.labelling.export.AT_ONCE", 100)

    def passes() -> Iterator[Prompt]:
        return (Counted(str(n), f"text {n}") for n in range(count))

    stream, teacher = PromptStream(passes, count), Instant(batch_size)
    Counted.most = 0
    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        report = label(stream, teacher, TASK, ledger, LabellingConfig())
        assert (report.asked, report.reused, teacher.asked) == (count, 0, count)
        assert label(stream, teacher, TASK, ledger, LabellingConfig()).reused == count == teacher.asked
        exported = export_batches(stream, ledger, LedgerKey.of(teacher, TASK), TASK, {})
        assert [id_ for batch in exported for id_ in batch["id"].to_pylist()] == [
            str(n) for n in range(count)
        ]
    # Some parts of a hundred, what is being written, and what waits for it.
    assert Counted.most <= 400 + 2 * WRITES_WAITING * batch_size
