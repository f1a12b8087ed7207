"""Batches of a programme: left at the provider, forgotten by it, ended early, and of an earlier configuration."""

from __future__ import annotations

import json

import pytest
from inbox import WORDS, endpoint_programme, questions
from typer.testing import CliRunner

from batch_server import BatchServer
from tutelage import storage
from tutelage.cli.app import app
from tutelage.errors import TeacherRefusesAccess, UsageError
from tutelage.labelling import AnswerLedger
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.stages import cancel_batches, run_stage

TEXTS = questions(WORDS[:7])

COST = (20 * 100 + 5 * 1000) / 1e6 / 2  # of one request


class Told(Silent):
    """Keeps what it is warned of."""

    def __init__(self):
        self.warned = []

    def warn(self, text):
        self.warned.append(text)


@pytest.fixture
def server(faulty_teacher):
    return BatchServer(faulty_teacher)


@pytest.fixture
def programme(tmp_path, server):
    endpoint_programme(
        tmp_path,
        server.teacher.url,
        TEXTS,
        10,
        {"poll": 0.01, "wait": 0.001},
        margin=0.4,
        batch=True,
        price={"input": 100.0, "output": 1000.0, "batch_discount": 0.5},
    )
    programme = Programme.open(tmp_path)
    for name in ("gold", "collect"):
        run_stage(programme, name)
    return programme


def leave_a_batch(programme, server):
    """Gold's batch, left at the provider by a run whose key was locked meanwhile; its bound."""
    server.on_poll = lambda: setattr(server, "locked", True)
    server.polls = 10**6
    with pytest.raises(TeacherRefusesAccess):
        run_stage(programme, "label")
    server.on_poll, server.locked = lambda: None, False
    with AnswerLedger(programme.answers) as ledger:
        [batch] = ledger.open_batches()
        return batch.bound


def spent(programme):
    with AnswerLedger(programme.answers) as ledger:
        return ledger.spent()


def test_a_forgotten_batch_is_journalled_and_its_prompts_are_asked_again(programme, server):
    bound = leave_a_batch(programme, server)
    [name] = server.batches
    server.batches.clear()
    server.polls = 1
    told = Told()
    run_stage(programme, "label", told)
    [entry] = [entry for entry in programme.journal.entries() if entry.event == "batch forgotten"]
    assert entry.data == {
        "teacher": "openai:scripted-1",
        "batch": name,
        "prompts": 10,
        "unaccounted": pytest.approx(bound),
    }
    assert spent(programme) == pytest.approx(bound + len(TEXTS) * COST)
    assert any(f"the provider has batch {name} of 10 prompts no longer" in text for text in told.warned)
    assert storage.read_table(programme.gold_answers).num_rows == 10


def test_batches_are_ended_from_the_command_line_and_what_they_answered_is_kept(programme, server):
    leave_a_batch(programme, server)
    server.finished = 4
    said = CliRunner().invoke(app, ["label", str(programme.folder), "--cancel-batches"])
    assert said.exit_code == 0
    assert said.output.splitlines()[-1] == "1 of 1 batches ended; 4 answers of theirs kept"
    assert len(server.cancelled) == 1 and spent(programme) == pytest.approx(4 * COST)
    again = CliRunner().invoke(app, ["label", str(programme.folder), "--cancel-batches"])
    assert again.output.splitlines()[-1] == "0 of 0 batches ended; 0 answers of theirs kept"
    server.polls = 1
    run_stage(programme, "label")
    assert spent(programme) == pytest.approx(len(TEXTS) * COST)
    assert server.asked.total() == len(TEXTS) + 6


def test_what_a_batch_will_bring_is_not_bought_one_by_one(programme, server):
    leave_a_batch(programme, server)
    single = Programme.open(programme.folder, ["teacher.batch=false"])
    with pytest.raises(UsageError, match=r"10 of the prompts .* paid for twice .*--cancel-batches"):
        run_stage(single, "label")
    server.finished = 10
    assert cancel_batches(single, Silent()) == "1 of 1 batches ended; 10 answers of theirs kept"
    run_stage(single, "label")
    assert server.asked.total() + server.teacher.arrivals.total() == len(TEXTS)


def test_a_batch_of_an_earlier_configuration_is_told_and_ended_and_waits_to_be_collected(programme, server):
    bound = leave_a_batch(programme, server)
    server.polls = 1
    other = Programme.open(programme.folder, ["prompting.instruction=Sort it."])
    told = Told()
    run_stage(other, "label", told)
    assert f"${bound:.4f} counts as spent for it. Mend: run `tutelage label` with" in told.warned[0]
    first = next(iter(server.batches))
    server.batches[first]["looks"], server.polls, server.finished = 0, 10**6, 3
    told = Told()
    assert cancel_batches(other, told) == "0 of 1 batches ended; 0 answers of theirs kept"
    assert server.cancelled == [first] and "under an earlier configuration" in told.warned[0]
    server.polls = 1
    run_stage(programme, "label")
    assert spent(programme) == pytest.approx(2 * len(TEXTS) * COST)


def test_nothing_is_made_where_nothing_was_asked(programme):
    assert "nothing was asked yet" in cancel_batches(programme, Silent())
    assert not programme.answers.exists()


def test_an_ensemble_that_collects_a_batch_tells_what_it_cost(programme, server):
    content = json.loads((programme.folder / "tutelage.yaml").read_text())
    one = content["teacher"]
    members = [{"teacher": one}, {"teacher": {**one, "model": "other"}}]
    content["teacher"] = {"type": "ensemble", "strategy": "majority", "members": members}
    (programme.folder / "tutelage.yaml").write_text(json.dumps(content))
    ensemble = Programme.open(programme.folder)
    leave_a_batch(ensemble, server)  # its bound is much more than what it will cost
    server.polls = 1
    run_stage(ensemble, "label")
    state = storage.read_json(ensemble.folder / "state" / "label.json")
    assert f"${2 * len(TEXTS) * COST:.4f};" in state["summary"]
