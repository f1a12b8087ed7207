from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from interrupting import Interrupting, Killed

from tutelage import distil
from tutelage.distillation import Hint, Schedule, SoftTargets
from tutelage.errors import ConfigError, DataError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tutelage.distillation._modules import teacher_signals  # noqa: E402

PLAN = SoftTargets(2.0, 0.3, Schedule(0.02, batch_size=32, steps=60, checks=4, seed=1))


def network(width, seed):
    torch.manual_seed(seed)
    layers = [torch.nn.Linear(6, width), torch.nn.Tanh(), torch.nn.Linear(width, 3)]
    return torch.nn.Sequential(*layers)


def inputs(n=256, seed=0):
    return torch.randn(n, 6, generator=torch.Generator().manual_seed(seed))


class Teacher(torch.nn.Module):
    """Right by a rule that inputs alone decide; it counts the rows that it is asked about."""

    def __init__(self):
        super().__init__()
        self.body = torch.nn.Linear(6, 9)
        self.body.weight.data = torch.randn(9, 6, generator=torch.Generator().manual_seed(7))
        self.head = torch.nn.Linear(9, 3)
        self.head.weight.data = 2 * torch.randn(3, 9, generator=torch.Generator().manual_seed(8))
        self.asked = 0

    def forward(self, inputs):
        self.asked += len(inputs)
        return self.head(torch.tanh(self.body(inputs)))


def agreement(student, teacher, seed=5):
    x = inputs(600, seed)
    with torch.no_grad():
        return float((student.eval()(x).argmax(1) == teacher(x).argmax(1)).float().mean())


def test_a_student_of_any_shape_learns_from_a_module_that_is_asked_once():
    teacher, student = Teacher(), network(8, 0)
    before = agreement(student, teacher)
    teacher.asked = 0
    record = distil(teacher, student, inputs(), recipe=PLAN)
    assert teacher.asked == 256, "once for each row, whatever the epochs"
    assert agreement(student, teacher) > max(0.8, before + 0.2)
    assert record.steps == 60 and record.history[-1]["agreement"] > 0.6  # of the 26 held back


def test_shuffled_answers_teach_nothing():
    teacher, student = Teacher(), network(8, 0)
    logits = teacher(inputs()).detach()
    shuffled = logits[torch.randperm(len(logits), generator=torch.Generator().manual_seed(3))]
    distil(shuffled, student, inputs(), recipe=PLAN)
    assert agreement(student, teacher) < 0.6


def test_logits_teach_as_the_module_does():
    teacher, one, other = Teacher(), network(8, 0), network(8, 0)
    distil(teacher, one, inputs(), recipe=PLAN)
    distil(teacher(inputs()).detach(), other, inputs(), recipe=PLAN)
    assert torch.equal(one[0].weight, other[0].weight)


def test_an_ensemble_teaches_by_its_mean_distribution():
    members = [network(5, seed) for seed in (1, 2, 3)]
    found = teacher_signals(members, {"inputs": inputs()}, None, (), multi_label=False)["teacher"]
    mean = np.mean([torch.softmax(one(inputs()), -1).detach().numpy() for one in members], axis=0)
    np.testing.assert_allclose(found.numpy(), mean, atol=1e-6)


def test_named_inputs_are_keywords():
    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(6, 3)

        def forward(self, left, right):
            return self.linear(torch.cat([left, right], 1))

    teacher, student = Two(), Two()
    data = {"left": inputs()[:, :2], "right": inputs()[:, 2:]}
    record = distil(teacher, student, data, recipe=PLAN)
    assert record.history[-1]["agreement"] > 0.8


def test_human_labels_weigh_where_there_are_any():
    """All the weight on them: the teacher, which says otherwise, isn't heard."""
    teacher, student = Teacher(), network(8, 0)
    truth = teacher(inputs()).argmax(1)
    contrary = (truth + 1) % 3
    distil(teacher, student, inputs(), contrary, recipe=replace(PLAN, hard_weight=1.0))
    assert agreement(student, teacher) < 0.3
    distil(teacher, student, inputs(), torch.full_like(truth, -1), recipe=replace(PLAN, hard_weight=1.0))
    assert agreement(student, teacher) > 0.7, "nobody said anything: the teacher's part is all there is"


def test_several_labels_are_binary_problems():
    teacher, student = Teacher(), network(8, 0)
    record = distil(teacher, student, inputs(), recipe=PLAN, multi_label=True)
    assert record.history[-1]["agreement"] > 0.5


@pytest.mark.parametrize("width", [9, 4], ids=["alike", "projected"])
def test_a_hint_pulls_a_layer_towards_the_teachers(width):
    """Without one the layer is anything; with one it is the teacher's up to a linear map."""

    def misfit(student, teacher):
        x = inputs(300, 9)
        with torch.no_grad():
            own, theirs = student[0](x), teacher.body(x)
            fitted = torch.linalg.lstsq(own, theirs).solution if width != 9 else torch.eye(9)
            return float((own @ fitted - theirs).square().mean() / theirs.square().mean())

    teacher = Teacher()
    plain, hinted = network(width, 0), network(width, 0)
    recipe = replace(PLAN, schedule=replace(PLAN.schedule, steps=300))
    distil(teacher, plain, inputs(), recipe=recipe)
    record = distil(teacher, hinted, inputs(), recipe=recipe, hints=[Hint("0", "body")])
    assert misfit(hinted, teacher) < (0.1 if width == 9 else 0.45)
    assert misfit(hinted, teacher) < 0.9 * misfit(plain, teacher)
    assert record.history[-1]["0"] < record.history[0]["0"]


def test_a_killed_run_goes_on_to_the_same_student(tmp_path):
    teacher, whole, student = Teacher(), network(8, 0), network(8, 0)
    record = distil(teacher, whole, inputs(), recipe=PLAN)
    with pytest.raises(Killed):
        distil(teacher, student, inputs(), recipe=PLAN, progress=Interrupting(40), checkpoint=tmp_path)
    student, progress = network(8, 0), Interrupting()
    resumed = distil(teacher, student, inputs(), recipe=PLAN, progress=progress, checkpoint=tmp_path)
    assert progress.began == [30]
    assert resumed.history == record.history
    assert torch.equal(student[0].weight, whole[0].weight)
    again = Interrupting(0)
    with pytest.raises(Killed):  # other answers: another run
        distil(network(5, 1), student, inputs(), recipe=PLAN, progress=again, checkpoint=tmp_path)
    assert again.began == [0]


BAD = {
    "labels of another length": (
        {"labels": torch.zeros(5, dtype=torch.int64)},
        r"labels are \[5\]; wanted is \[256\]",
    ),
    "a label too many": ({"labels": torch.full((256,), 3)}, "label 3 is none of the teacher's 3"),
    "hints of logits": ({"teacher": torch.zeros(256, 3), "hints": [Hint("0", "body")]}, "given as logits"),
    "rows missing": ({"teacher": torch.zeros(255, 3)}, "answered 255 of 256"),
    "not finite": ({"teacher": torch.full((256, 3), torch.nan)}, "row 0 aren't finite"),
    "one row": ({"data": torch.zeros(1, 6), "teacher": torch.zeros(1, 3)}, "1 rows"),
    "lengths": ({"data": {"a": torch.zeros(3, 6), "b": torch.zeros(4, 6)}}, "different lengths"),
}


@pytest.mark.parametrize("outputs", [1, 4], ids=["would be broadcast", "one too many"])
def test_a_student_with_other_outputs_is_refused_before_training(outputs):
    progress = Interrupting()
    student = torch.nn.Linear(6, outputs)
    with pytest.raises(
        ConfigError, match=rf"gives \[1, {outputs}\] for one row.*\[1, 3\].*Mend: a last layer of 3"
    ):
        distil(Teacher(), student, inputs(), recipe=PLAN, progress=progress)
    assert not progress.began


def test_teachers_of_different_tasks_are_refused():
    with pytest.raises(ConfigError, match=r"teachers give \[3, 2\] logits a row.*Mend"):
        distil([Teacher(), torch.nn.Linear(6, 2)], network(8, 0), inputs(), recipe=PLAN)


def classifier(*names, seed=0):
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(seed)
    labels = {"num_labels": 3} if not names else {"id2label": dict(enumerate(names))}
    tiny = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    return BertForSequenceClassification(BertConfig(vocab_size=40, **tiny, **labels))


TOKENS = {"input_ids": torch.arange(1200).reshape(120, 10) % 37, "attention_mask": torch.ones(120, 10).long()}


def test_models_of_transformers_teach_and_learn_as_they_are():
    teacher, student = classifier(seed=1), classifier("no", "yes", "maybe")
    record = distil(teacher, student, TOKENS, recipe=PLAN)
    assert record.history[-1]["loss"] < record.history[0]["loss"]


@pytest.mark.parametrize(
    ("teacher", "names", "message"),
    [
        (
            [("a", "b", "c")],
            ("a", "c", "b"),
            r"the student.*another order: label 1 is 'c', and 'b'.*Mend.*id2label",
        ),
        ([("a", "b", "c")], ("a", "b", "d"), r"the student has other labels: label 2 is 'd'"),
        ([("a", "b", "c"), ("b", "a", "c")], (), r"teacher 2 has the same labels in another order: label 0"),
    ],
)
def test_labels_in_another_order_are_refused(teacher, names, message):
    members = [classifier(*one, seed=1) for one in teacher]
    with pytest.raises(ConfigError, match=message):
        distil(members, classifier(*names), TOKENS, recipe=PLAN)


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_refused(case):
    change, message = BAD[case]
    given = {"teacher": Teacher(), "data": inputs(), **change}
    with pytest.raises(DataError, match=message):
        distil(given.pop("teacher"), network(8, 0), given.pop("data"), recipe=PLAN, **given)


def test_a_hint_that_names_no_module_names_the_nearest():
    with pytest.raises(ConfigError, match=r"bodi.*body"):
        distil(Teacher(), network(8, 0), inputs(), recipe=PLAN, hints=[Hint("0", "bodi")])
