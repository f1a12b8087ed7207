"""Erased answers leave no byte in the ledger, and every dollar."""

from __future__ import annotations

from pathlib import Path

import pytest

from tutelage.data.erasure import Traces
from tutelage.errors import DataError, UsageError
from tutelage.labelling import AnswerLedger, BatchState, LedgerKey
from tutelage.records import Answer, AnswerStatus, Prompt, Usage

KEY, OTHER = LedgerKey("t", "r", "v"), LedgerKey("u", "r", "v")
SECRET = "a parcel that nobody else has"
THEIRS, THEIR_REPLY, NEIGHBOUR = (
    Prompt("1", SECRET),
    Prompt("2", f"{SECRET} either"),
    Prompt("3", "what anybody asks"),
)
TRACES = Traces(
    frozenset({"user-4711"}), frozenset({THEIRS.text}), frozenset({THEIRS.hash, THEIR_REPLY.hash})
)


def paid(cost: float, raw: str = "") -> Answer:
    return Answer(AnswerStatus.OK, "card", raw=raw, usage=Usage(20, 5, cost, 1.5, 2))


def test_answers_and_replies_go_and_what_they_cost_stays(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    with AnswerLedger(path) as ledger:
        ledger.record(KEY, [(THEIRS, paid(0.25, f"of {SECRET}")), (NEIGHBOUR, paid(0.5))])
        ledger.record(OTHER, [(THEIRS, paid(0.125)), (NEIGHBOUR, paid(1.0, "told by user-4711"))])
        ledger.keep_replies(KEY, {THEIR_REPLY.hash: ["so"], NEIGHBOUR.hash: ["no", f"as {SECRET}"]})
        before, days = ledger.spent(), [line.spent for line in ledger.spend_by("teacher", "day")]
        assert ledger.erase(TRACES) == 3
        assert ledger.spent() == before == pytest.approx(1.875)
        assert [line.spent for line in ledger.spend_by("teacher", "day")] == pytest.approx(days)
        everybody = [prompt.hash for prompt in (THEIRS, THEIR_REPLY, NEIGHBOUR)]
        assert ledger.answered(KEY, everybody) == {NEIGHBOUR.hash} and not ledger.answered(OTHER, everybody)
        assert ledger.replies(KEY) == {NEIGHBOUR.hash: ["no"]}
        assert ledger.erase(TRACES) == 0 and ledger.spent() == before
        ledger.record(KEY, [(THEIRS, paid(0.25))])  # asked again, as if it had never been
    for file in tmp_path.iterdir():
        content = file.read_bytes()
        assert SECRET.encode() not in content and b"user-4711" not in content
        assert THEIR_REPLY.hash.encode() not in content


def test_ended_batches_forget_their_prompts_and_open_ones_are_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    with AnswerLedger(path) as ledger:
        batch = ledger.open_batch(KEY, "tag", [THEIRS.hash, NEIGHBOUR.hash], 2.0)
        with pytest.raises(UsageError, match=r"batch \(number 1\) is being answered.*--cancel"):
            ledger.erase(TRACES)
        ledger.close_batch(batch, BatchState.FORGOTTEN, cost=0.0, unaccounted=2.0)
        ledger.erase(TRACES)
        [left] = ledger.forgotten_batches()
        assert list(left.prompt_hashes) == ["", NEIGHBOUR.hash] and ledger.spent() == 2.0


def test_an_error_erases_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with AnswerLedger(tmp_path / "answers.sqlite") as ledger:
        ledger.record(KEY, [(THEIRS, paid(0.25))])
        fails = Traces(texts=TRACES.texts)
        monkeypatch.setattr(Traces, "in_text", lambda *_: 1 / 0)
        with pytest.raises(DataError, match="user-defined function raised exception"):
            ledger.erase(fails)
        monkeypatch.undo()
        assert ledger.answered(KEY, [THEIRS.hash]) == {THEIRS.hash} and ledger.spent() == 0.25
        assert ledger.summary()[0].attempts == 0
