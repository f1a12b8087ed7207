"""`engine: ray` labels as the local engine does, and a worker that dies loses nothing."""

from __future__ import annotations

import json
import socket
import threading
import time

import pytest

pytest.importorskip("ray", reason="engine: ray needs tutelage[scale]")

from inbox import endpoint_programme, questions

from tutelage import storage
from tutelage.errors import BudgetExhausted, UsageError
from tutelage.labelling import AnswerLedger
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.stages import run_stage

TEXTS = questions()
PRICE = {"input": 1000.0, "output": 2000.0}
COST = (20 * 1000 + 5 * 2000) / 1e6  # of one answer


class Told(Silent):
    def __init__(self):
        self.lines = []

    def note(self, text):
        self.lines.append(text)

    def warn(self, text):
        self.lines.append(text)


def programme_at(folder, teacher, engine, labelling=None, texts=TEXTS, golden=20, **more):
    folder.mkdir()
    endpoint_programme(
        folder, teacher.url, texts, golden, labelling or {"concurrency": 4}, price=PRICE, **more
    )
    path = folder / "tutelage.yaml"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"engine": engine}))
    programme = Programme.open(folder, overrides=["engine=local"])
    for name in ("gold", "collect"):
        run_stage(programme, name)
    return Programme.open(folder)


def rows(path):
    """A table without times of answers and the programme's folder."""
    table = storage.read_table(path)
    return table.drop_columns(
        [name for name in ("latency", "created", "source") if name in table.column_names]
    ).to_pylist()


@pytest.mark.slow
def test_both_engines_label_alike(tmp_path, faulty_teacher, nodes):
    told = Told()
    near = programme_at(tmp_path / "near", faulty_teacher, "local")
    far = programme_at(tmp_path / "far", faulty_teacher, {"type": "ray", "address": nodes.address})
    run_stage(near, "label")
    run_stage(far, "label", told)
    assert any("2 workers on 2 nodes" in line for line in told.lines)
    assert rows(far.transfer) == rows(near.transfer)
    assert rows(far.gold_answers) == rows(near.gold_answers)
    assert set(faulty_teacher.served.values()) == {2}  # each text once by either
    with AnswerLedger(near.answers) as one, AnswerLedger(far.answers) as other:
        assert other.spent() == pytest.approx(one.spent())
        assert other.spend_by("teacher", "slice", "status", "model") == one.spend_by(
            "teacher", "slice", "status", "model"
        )


@pytest.mark.long
def test_a_worker_that_is_killed_loses_nothing(tmp_path, faulty_teacher, nodes, kill_worker):
    told = Told()
    texts = [f"{text} ({number})" for number in range(4) for text in TEXTS]
    engine = {"type": "ray", "address": nodes.address, "workers": 2}
    programme = programme_at(tmp_path / "far", faulty_teacher, engine, texts=texts)
    faulty_teacher.delay = 0.1
    killed = []

    def kill_midway():
        while len(faulty_teacher.arrivals) < 60:
            time.sleep(0.01)
        killed.append(kill_worker("ray::TeacherWorker"))

    thread = threading.Thread(target=kill_midway)
    thread.start()
    run_stage(programme, "label", told)
    thread.join()
    assert killed == [True]
    assert any("died" in line and "made again" in line for line in told.lines)
    traffic = storage.read_table(programme.prompts).column("text").to_pylist()
    assert storage.read_table(programme.transfer).column("text").to_pylist() == traffic
    asked = [*texts[:20], *traffic]
    # Asked twice are only calls that were under way in the worker that died; they count at their bound.
    again = faulty_teacher.arrivals.total() - len(asked)
    assert set(faulty_teacher.arrivals) == set(asked)
    with AnswerLedger(programme.answers) as ledger:
        [summary] = ledger.summary()
        assert summary.answers == len(asked)
        assert 0 < summary.attempts - summary.answers <= 4
        assert again <= summary.attempts - summary.answers
        assert summary.cost == pytest.approx(len(asked) * COST)
        assert summary.unaccounted > 0
        assert ledger.spent() == pytest.approx(summary.cost + summary.unaccounted)


@pytest.mark.long
def test_the_budget_is_one_for_all_workers_and_the_local_engine_goes_on(tmp_path, faulty_teacher, nodes):
    engine = {"type": "ray", "address": nodes.address}
    programme = programme_at(
        tmp_path / "far", faulty_teacher, engine, {"concurrency": 4, "budget": 31 * COST}, max_output_tokens=5
    )
    with pytest.raises(BudgetExhausted):
        run_stage(programme, "label")
    with AnswerLedger(programme.answers) as ledger:
        assert ledger.spent() <= 31 * COST
    answered = faulty_teacher.arrivals.total()
    assert 0 < answered <= 31
    rest = Programme.open(programme.folder, overrides=["engine=local", "labelling.budget=100"])
    run_stage(rest, "label")
    assert faulty_teacher.arrivals.total() > answered
    assert set(faulty_teacher.arrivals.values()) == {1}  # what workers were answered is not asked again


@pytest.mark.long
def test_more_workers_than_there_is_room_for_are_refused(tmp_path, faulty_teacher, nodes):
    engine = {"type": "ray", "address": nodes.address, "workers": 3}
    programme = programme_at(tmp_path / "far", faulty_teacher, engine)
    with pytest.raises(UsageError, match=r"3 workers of 1 CPUs .* has 2 CPUs .*Mend"):
        run_stage(programme, "label")
    assert faulty_teacher.arrivals.total() == 0


def test_an_address_where_no_cluster_is_is_told_at_once(tmp_path, faulty_teacher):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        programme = programme_at(tmp_path / "far", faulty_teacher, {"type": "ray", "address": address})
        with pytest.raises(UsageError, match=rf"no Ray cluster can be used at {address}.*Mend"):
            run_stage(programme, "label")
    assert faulty_teacher.arrivals.total() == 0
