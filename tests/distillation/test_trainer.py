from __future__ import annotations

import json
import signal
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from interrupting import Interrupting, Killed
from scipy.special import expit, xlogy

from tiny_world import MULTI, TASK, save_checkpoint, signals
from tutelage import storage
from tutelage.config import StudentConfig
from tutelage.distillation.phases import Material
from tutelage.distillation.recipes import SoftTargets
from tutelage.distillation.schedule import Schedule
from tutelage.distillation.signals import hold_back
from tutelage.errors import ConfigError, TutelageError, UsageError
from tutelage.progress import Silent
from tutelage.students import new_learner

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tutelage.distillation.objectives import Objective  # noqa: E402
from tutelage.distillation.trainer import train  # noqa: E402

LEARNING, VALIDATION = hold_back(signals(), 0.2, seed=0)
SCHEDULE = Schedule(learning_rate=0.01, batch_size=10, steps=24, warmup=0.1, checks=6, patience=6, seed=3)
RECIPE = SoftTargets(temperature=2.0, hard_weight=0.3, schedule=SCHEDULE)
CHECKS = range(4, 25, 4)


class Walker(Objective):
    """Cross-entropy of logits [w, 0] with a teacher's odds: what the one weight `w` learns can be followed by hand.

    Plain gradient descent with momentum, and noise on the weight, so that there is a state to lose.
    """

    def __init__(self, noise: float = 0.0) -> None:
        torch.manual_seed(5)
        student = torch.nn.Module()
        student.w = torch.nn.Parameter(torch.zeros(1))
        super().__init__(student, {"walk": 1.0})
        self.noise = noise
        self.batches: list[np.ndarray] = []
        self.rates: list[float] = []
        self.warmed_up = 0

    def warm_up(self):
        self.warmed_up += 1

    def forward(self, row, first):
        w = self.student.w
        if self.training:
            self.batches.append(row.numpy())
            self.rates.append(self.optimizer.param_groups[0]["lr"])
            w = w * (1 + self.noise * torch.randn(1))
        loss = -(first * torch.nn.functional.logsigmoid(w) + (1 - first) * torch.nn.functional.logsigmoid(-w))
        return {"walk": loss.sum()}

    def counts(self, batch):
        return {"walk": torch.tensor(float(len(batch["row"])))}

    def make_optimizer(self, objective, learning_rate):
        self.optimizer = torch.optim.SGD([self.student.w], lr=learning_rate, momentum=0.5)
        return self.optimizer

    def finished(self):
        return self.student.w.detach().clone()


class Certain:
    """n rows whose teacher gives the first of two labels the probability `first`."""

    def __init__(self, n, first=1.0, lengths=None):
        self._first = first
        self.lengths = np.array(lengths or range(n), np.int64)

    def __len__(self):
        return len(self.lengths)

    def batch(self, indices):
        return {"row": torch.from_numpy(indices), "first": torch.full((len(indices),), self._first)}


WALK = replace(SCHEDULE, learning_rate=0.02, batch_size=4, steps=100, warmup=0.0, checks=50, patience=5)


def walk(walker=None, schedule=WALK, progress=None, checkpoint=None, learning=None, fingerprint="a"):
    """Learning pulls w up for good, while validation is best at w = logit(0.6)."""
    walker = walker or Walker()
    record = train(
        walker,
        learning or Certain(20),
        Certain(5, 0.6),
        schedule,
        progress or Silent(),
        "walking",
        optimizer=walker.make_optimizer,
        start=walker.warm_up,
        checkpoint=checkpoint,
        fingerprint=fingerprint,
    )
    return walker, record


def same(record, other):
    return (record.steps, record.best_step, record.stopped_early, record.history) == (
        other.steps,
        other.best_step,
        other.stopped_early,
        other.history,
    )


# Batches and rates


def test_texts_of_like_length_share_a_batch_and_the_order_is_another_each_epoch():
    lengths = np.random.default_rng(0).permutation(60).tolist()
    walker, _ = walk(
        schedule=replace(WALK, batch_size=5, steps=24, checks=1), learning=Certain(60, 1.0, lengths)
    )
    spans = [sorted(np.take(lengths, batch)) for batch in walker.batches]
    assert all(span == list(range(span[0], span[0] + 5)) for span in spans)
    firsts = [span[0] for span in spans]
    assert sorted(firsts[:12]) == sorted(firsts[12:]) == list(range(0, 60, 5))
    assert firsts[:12] != firsts[12:] and firsts[:12] != sorted(firsts[:12])


def test_the_order_follows_from_the_seed():
    runs = []
    for seed in (1, 1, 2):
        walker, _ = walk(schedule=replace(WALK, seed=seed, patience=100))
        runs.append(np.concatenate(walker.batches).tolist())
    assert runs[0] == runs[1] != runs[2]


def test_accumulated_parts_are_the_step_uncut():
    """Of 5 examples, 2 and 3: the mean over the step, not the mean of the parts' means."""
    rows = [0.1, 0.9, 0.5, 1.0, 0.3]

    class Uneven(Certain):
        def batch(self, indices):
            return {**super().batch(indices), "first": torch.tensor(rows)[torch.from_numpy(indices)]}

    schedule = replace(WALK, batch_size=5, steps=20, checks=1)
    whole, record = walk(schedule=schedule, learning=Uneven(5))
    parts, cut = walk(schedule=replace(schedule, accumulation=2), learning=Uneven(5))
    assert len(parts.batches) == 2 * len(whole.batches) == 40
    assert float(parts.finished()) == pytest.approx(float(whole.finished()), abs=1e-7)
    assert cut.history[0]["training_loss"] == pytest.approx(record.history[0]["training_loss"])


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5])
def test_rates_rise_to_the_peak_and_fall_to_nothing(warmup):
    walker, record = walk(schedule=replace(WALK, warmup=warmup, patience=100))
    assert record.steps == 100 == len(walker.rates)
    warm = max(1, round(100 * warmup))
    rising = WALK.learning_rate * np.arange(1, warm + 1) / warm
    falling = WALK.learning_rate * np.arange(100 - warm, 0, -1) / (100 - warm)
    np.testing.assert_allclose(walker.rates, np.concatenate([rising, falling]))


# The best step


def entropy_at(w, first=0.6):
    return -(xlogy(first, expit(w)) + xlogy(1 - first, expit(-w)))


def test_stopping_early_leaves_the_best_weights():
    learner, record = walk()
    losses = [check["loss"] for check in record.history]
    best = int(np.argmin(losses))
    assert 0 < best < len(losses) - 1, "validation gets better, then worse"
    assert record.best_step == record.history[best]["step"]
    assert record.stopped_early
    assert record.steps == record.best_step + WALK.patience * 2
    assert len(losses) == best + 1 + WALK.patience
    w = float(learner.finished())
    assert entropy_at(w) == pytest.approx(losses[best], rel=1e-5)
    assert w == pytest.approx(np.log(0.6 / 0.4), abs=0.06)
    assert not learner.training


def test_without_a_stop_the_best_weights_are_left_too():
    learner, record = walk(schedule=replace(WALK, patience=100))
    assert record.steps == 100 and not record.stopped_early
    assert record.best_step == walk()[1].best_step
    assert float(learner.finished()) == float(walk()[0].finished())


def test_a_check_tells_loss_and_agreement_on_what_was_held_back():
    learner = new_learner(StudentConfig(family="static", seed=3), TASK, LEARNING.texts, Path())
    record = taught(learner)
    odds = learner.finished().predict(VALIDATION.texts)
    best = next(check for check in record.history if check["step"] == record.best_step)
    agreement = (odds.argmax(1) == VALIDATION.targets.argmax(1)).mean()
    assert best["agreement"] == pytest.approx(agreement)
    assert best["agreement"] == max(check["agreement"] for check in record.history)
    assert best["agreement"] > 0.5


def test_several_labels_agree_where_all_of_them_do():
    learning, validation = (replace(part, softened=part.softened & False) for part in (LEARNING, VALIDATION))
    learner = new_learner(StudentConfig(family="static", seed=3), MULTI, learning.texts, Path())
    record = taught(learner, replace(SCHEDULE, steps=60), learning, validation, MULTI)
    odds = learner.finished().predict(validation.texts)
    agreement = ((odds >= 0.5) == (validation.targets >= 0.5)).all(axis=1).mean()
    assert max(check["agreement"] for check in record.history) == pytest.approx(agreement) and agreement > 0.5


# A loss that isn't finite


@pytest.mark.parametrize("with_checkpoint", [False, True])
@pytest.mark.parametrize("steps", [1, 8, 24], ids=["at the end", "at a check", "between checks"])
def test_a_loss_that_is_not_finite_stops_and_names_the_rate(tmp_path, steps, with_checkpoint):
    schedule = replace(SCHEDULE, learning_rate=1e30, steps=steps, warmup=0.0)
    learner = new_learner(StudentConfig(family="static"), TASK, LEARNING.texts, tmp_path)
    with pytest.raises(TutelageError, match=r"loss is (nan|inf).*student\.learning_rate .*1e\+30"):
        taught(learner, schedule, checkpoint=tmp_path / "c" if with_checkpoint else None)


# Killed and resumed


def taught(
    learner,
    schedule=SCHEDULE,
    learning=LEARNING,
    validation=VALIDATION,
    task=TASK,
    checkpoint=None,
    progress=None,
):
    material = Material(task, learner, learning, validation, Path(), lambda seed: learner)
    (phase,) = replace(RECIPE, schedule=schedule).phases(material)
    return train(
        phase.objective,
        phase.learning,
        phase.validation,
        phase.schedule,
        progress or Silent(),
        "training",
        optimizer=phase.optimizer,
        start=phase.start,
        checkpoint=checkpoint,
        fingerprint="this run",
        threads=1,
    )


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    pytest.importorskip("transformers")
    return save_checkpoint(tmp_path_factory.mktemp("base"), layers=2)


@pytest.fixture(params=["static", pytest.param("encoder", marks=pytest.mark.long)])
def start(request):
    """What makes a fresh learner, as a new process would."""
    if request.param == "static":
        return lambda: new_learner(StudentConfig(family="static", seed=3), TASK, LEARNING.texts, Path())
    base = request.getfixturevalue("base")
    return lambda: encoder_on(base)


def encoder_on(base):
    config = StudentConfig(family="encoder", base=base.name, layers=2, max_tokens=32, seed=3)
    return new_learner(config, TASK, LEARNING.texts, base.parent)


def without_dropout(learner):
    for module in learner.module.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return learner


def weights_of(learner):
    return {name: weight.numpy().tobytes() for name, weight in learner.module.state_dict().items()}


def run(start, checkpoint=None, progress=None):
    learner = start()
    return learner, taught(learner, checkpoint=checkpoint, progress=progress)


def killed_at(start, checkpoint, *steps):
    progress = Interrupting(*steps)
    with pytest.raises(Killed):
        run(start, checkpoint, progress)
    return progress


def test_a_run_killed_at_a_check_ends_the_same_to_the_last_bit(tmp_path, start):
    whole, record = run(start)
    assert len(record.history) == len(CHECKS)
    for step in (CHECKS[0], CHECKS[3], CHECKS[-1]):
        checkpoint = tmp_path / str(step)
        killed_at(start, checkpoint, step)
        progress = Interrupting()
        learner, resumed = run(start, checkpoint, progress)
        assert progress.began == [step]
        assert same(resumed, record), f"killed at step {step}"
        assert weights_of(learner) == weights_of(whole), f"killed at step {step}"


@pytest.mark.long
def test_a_run_killed_again_and_again_ends_the_same_to_the_last_bit(tmp_path, start):
    whole, record = run(start)
    deaths, checks_before = (2, 6, 11, 12, 17, 23), (0, 0, 4, 8, 12, 16)
    assert [killed_at(start, tmp_path, death).began[0] for death in deaths] == list(checks_before)
    learner, resumed = run(start, tmp_path)
    assert same(resumed, record)
    assert weights_of(learner) == weights_of(whole)


@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.long
def test_momentum_and_random_numbers_survive_a_kill(tmp_path, noise, accumulation):
    schedule = replace(WALK, steps=40, checks=20, patience=100, accumulation=accumulation)
    whole, record = walk(Walker(noise), schedule)
    for step in (1, 2, 17, 40):
        checkpoint = tmp_path / str(step)
        with pytest.raises(Killed):
            walk(Walker(noise), schedule, Interrupting(step), checkpoint)
        walker, resumed = walk(Walker(noise), schedule, checkpoint=checkpoint)
        assert same(resumed, record)
        assert float(walker.finished()) == float(whole.finished())
        assert walker.warmed_up == (1 if step == 1 else 0), "warming up again would undo what was learned"
        tail = whole.batches[-len(walker.batches) :] if walker.batches else []
        assert [batch.tolist() for batch in walker.batches] == [batch.tolist() for batch in tail]


def test_a_run_killed_when_it_had_just_stopped_does_not_go_on(tmp_path):
    whole, record = walk()
    assert record.stopped_early
    with pytest.raises(Killed):
        walk(progress=Interrupting(record.steps), checkpoint=tmp_path)
    learner, resumed = walk(checkpoint=tmp_path)
    assert float(learner.finished()) == float(whole.finished())
    assert same(resumed, record)
    assert not learner.batches


def test_a_kill_between_weights_and_their_record_falls_back_to_the_check_before(tmp_path, start, monkeypatch):
    whole, record = run(start)
    write, written = storage.write_bytes, []

    def write_or_die(path, content, **how):
        written.append(path.name)
        if written.count("checkpoint.json") == 3:
            raise Killed
        write(path, content, **how)

    monkeypatch.setattr(storage, "write_bytes", write_or_die)
    with pytest.raises(Killed):
        run(start, tmp_path)
    monkeypatch.undo()
    progress = Interrupting()
    learner, resumed = run(start, tmp_path, progress)
    assert progress.began == [8]
    assert same(resumed, record)
    assert weights_of(learner) == weights_of(whole)
    assert len(list(tmp_path.glob("step-*.safetensors"))) == 1


def test_the_time_before_a_kill_counts(tmp_path):
    with pytest.raises(Killed):
        walk(progress=Interrupting(8), checkpoint=tmp_path)
    path = tmp_path / "checkpoint.json"
    about = storage.read_json(path)
    assert 0 < about["record"]["seconds"] < 60
    _, resumed = walk(checkpoint=tmp_path)
    assert resumed.seconds > about["record"]["seconds"]


# Signals and processes


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_a_checkpoint_of_the_step_it_came_in(tmp_path, number):
    """Between two checks, where a kill -9 would lose what came after the first."""
    schedule = replace(WALK, steps=40, checks=2, patience=100)
    whole, record = walk(Walker(0.3), schedule)

    class Signalling(Silent):
        steps = 0

        def track(self, *described, **more):
            return super().track(*described, **more)

        def advance(self, count=1, note=""):
            Signalling.steps += 1
            if Signalling.steps == 7:
                signal.raise_signal(number)

    def stop(received, frame):
        raise Killed

    before = signal.signal(number, stop)
    try:
        with pytest.raises(Killed):
            walk(Walker(0.3), schedule, Signalling(), tmp_path)
    finally:
        signal.signal(number, before)
    assert storage.read_json(tmp_path / "checkpoint.json")["record"]["steps"] == 8
    walker, resumed = walk(Walker(0.3), schedule, checkpoint=tmp_path)
    assert same(resumed, record)
    assert float(walker.finished()) == float(whole.finished())
    assert len(walker.batches) == 32


def test_a_thread_that_cannot_catch_signals_trains_all_the_same():
    found = []
    thread = threading.Thread(target=lambda: found.append(walk()[1]))
    thread.start()
    thread.join()
    assert same(found[0], walk()[1])


def test_what_accelerate_can_not_be_followed_in_is_refused_before_the_first_step(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "1")
    walker = Walker()
    with pytest.raises(ConfigError, match="--fsdp_version 2, or torchrun with student.shard"):
        walk(walker)
    assert not walker.batches


def test_a_caller_s_autocast_is_refused_since_no_weight_would_learn_in_it():
    walker = Walker()
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(UsageError, match="outside"):
        walk(walker)
    assert not walker.batches


# A checkpoint that is not this run's, or no longer whole


def began_at(checkpoint, fingerprint="a"):
    progress, walker = Interrupting(0), Walker()
    with pytest.raises(Killed):
        walk(walker, progress=progress, checkpoint=checkpoint, fingerprint=fingerprint)
    (began,) = progress.began
    assert walker.warmed_up == (1 if began == 0 else 0)
    return began


@pytest.fixture
def left(tmp_path):
    """What a run killed at its fourth check left."""
    with pytest.raises(Killed):
        walk(progress=Interrupting(8), checkpoint=tmp_path)
    assert began_at(tmp_path) == 8
    return tmp_path


def flip(path, position, bit=0):
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << bit
    path.write_bytes(content)


def test_a_stale_checkpoint_is_not_taken_up(left):
    assert began_at(left, "b") == 0


def test_weights_that_are_cut_short_gone_or_changed_are_not_taken_up(left):
    (weights,) = left.glob("step-*.safetensors")
    whole = weights.read_bytes()
    for size in (0, 5, len(whole) // 2, len(whole) - 1):
        weights.write_bytes(whole[:size])
        assert began_at(left) == 0, size
    for position in range(0, len(whole), max(1, len(whole) // 40)):
        weights.write_bytes(whole)
        flip(weights, position)
        assert began_at(left) == 0, position
    weights.write_bytes(whole)
    assert began_at(left) == 8
    weights.unlink()
    assert began_at(left) == 0


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "{}", '{"fingerprint": "a"}', "\x00\x00"])
def test_a_record_that_is_none_is_not_taken_up(left, content):
    (left / "checkpoint.json").write_text(content)
    assert began_at(left) == 0


def test_a_record_that_is_cut_short_is_not_taken_up(left):
    path = left / "checkpoint.json"
    whole = path.read_bytes()
    for size in range(0, len(whole.rstrip()), 7):
        path.write_bytes(whole[:size])
        assert began_at(left) == 0, size


def test_a_record_with_a_changed_bit_is_not_taken_up(left):
    path = left / "checkpoint.json"
    whole = path.read_bytes()
    taken = []
    for position in range(0, len(whole), 3):
        path.write_bytes(whole)
        flip(path, position, bit=position % 3)
        try:
            unchanged = json.loads(path.read_bytes()) == json.loads(whole)
        except ValueError:
            unchanged = False
        if began_at(left) != 0 and not unchanged:
            taken.append(whole[max(0, position - 30) : position + 1].decode())
    assert not taken, f"{len(taken)} changes taken up, such as {taken[:3]}"


def test_a_run_beside_a_broken_checkpoint_ends_like_one_without(left):
    (weights,) = left.glob("step-*.safetensors")
    flip(weights, -1)
    learner, record = walk(checkpoint=left)
    whole, expected = walk()
    assert same(record, expected)
    assert float(learner.finished()) == float(whole.finished())


def test_texts_without_a_known_word_teach_how_frequent_labels_are(tmp_path):
    """Bags without features: no rows to look up, none to move, only the bias."""
    learning, validation = (replace(part, texts=("",) * len(part)) for part in (LEARNING, VALIDATION))
    learner = new_learner(StudentConfig(family="static"), TASK, learning.texts, tmp_path)
    schedule = replace(SCHEDULE, learning_rate=0.05, steps=100)
    taught(learner, schedule, learning, validation)
    assert learner.finished().predict(["", "parcel"]) == pytest.approx(np.full((2, 3), 1 / 3), abs=0.08)
