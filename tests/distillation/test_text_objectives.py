from __future__ import annotations

import numpy as np
import pytest

from tiny_world import TEXTS, save_writer
from tutelage.config import StudentConfig
from tutelage.students import new_writing_learner
from tutelage.tasks import Generate

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for kind in ("causal", "seq2seq"):
        save_writer(folder / kind, kind)
    return folder


def learner_of(models, family):
    return new_writing_learner(StudentConfig(family=family, base=family), Generate(), models)


def _reference(learner, pairs):
    """Each answer run by itself in float64, token by token: the sum of −log p, and who has it all right."""
    module = learner.module.double().eval()
    total, right = 0.0, 0
    for pair in pairs:
        with torch.no_grad():
            if module.config.is_encoder_decoder:
                start = torch.tensor([[0, *pair.answer[:-1]]])
                logits = module(input_ids=torch.tensor([pair.prompt]), decoder_input_ids=start).logits[0]
            else:
                ids = torch.tensor([[*pair.prompt, *pair.answer]])
                logits = module(ids).logits[0, len(pair.prompt) - 1 : -1]
        steps = torch.log_softmax(logits, -1)
        answer = torch.tensor(pair.answer)
        total -= float(steps[torch.arange(len(answer)), answer].sum())
        right += bool((steps.argmax(-1) == answer).all())
    return total, right


@pytest.mark.parametrize("family", ["causal", "seq2seq"])
def test_the_loss_is_of_the_answers_tokens_alone_whatever_the_padding(models, family):
    from tutelage.distillation.text_objectives import TextObjective

    learner = learner_of(models, family)
    texts, answers = [TEXTS[0], "!", " ".join(TEXTS[:4])], ["a parcel", "yes", "no, it isn't"]
    encoded = learner.encode(texts, answers)
    wanted, right = _reference(learner, encoded.pairs)
    objective = TextObjective(learner.module).eval()
    batch = encoded.batch(np.arange(3))
    found, counts = objective(**batch), objective.counts(batch)
    assert float(found["text"].detach()) == pytest.approx(wanted, rel=1e-9)
    assert int(counts["text"]) == sum(len(pair.answer) for pair in encoded.pairs)
    assert (int(found["exact"]), int(counts["exact"])) == (right, 3)
    assert set(objective.train()(**batch)) == {"text"}
    split = [objective(**encoded.batch(np.array([index])))["text"] for index in range(3)]
    assert float(sum(split).detach()) == pytest.approx(wanted, rel=1e-9)


def test_an_answer_that_is_all_likeliest_is_exact(models):
    from tutelage.distillation.text_objectives import TextObjective

    learner = learner_of(models, "causal")
    student = learner.finished()
    (written,) = student.write([TEXTS[0]], max_new_tokens=6)
    from tutelage.students._tokens import CausalExamples, Pair

    prompt = learner.codec.prompt(TEXTS[0], 200)
    pairs = [Pair(prompt, list(written.tokens)), Pair(prompt, [*written.tokens[:-1], 7])]
    found = TextObjective(learner.module).eval()(**CausalExamples(pairs, 0).batch(np.arange(2)))
    assert int(found["exact"]) == 1


def test_step_by_step_adds_both_tasks_and_skips_rows_without_reasons(models):
    from tutelage.distillation.text_objectives import (
        PairedTasks,
        StepByStepObjective,
        TextObjective,
        WithoutTokens,
    )

    learner = learner_of(models, "seq2seq")
    learner.module.double()
    texts = list(TEXTS[:3])
    labels = learner.encode(texts, ["a", "b", "c"])
    reasons = learner.encode_texts(texts, ["since x", "", "since the parcel is late"], "[rationale] ")
    pairs = PairedTasks(labels, WithoutTokens(reasons, [True, False, True]))
    assert len(pairs) == 3 and (pairs.lengths == labels.lengths + reasons.lengths).all()
    objective = StepByStepObjective(learner.module, 0.5).eval()
    batch = pairs.batch(np.arange(3))
    alone = TextObjective(learner.module).eval()
    some = np.array([0, 2])
    with torch.no_grad():
        found, counts = objective(**batch), objective.counts(batch)
        label, rationale = alone(**labels.batch(np.arange(3))), alone(**reasons.batch(some))
    assert float(found["label"]) == pytest.approx(float(label["text"]), rel=1e-9)
    assert float(found["rationale"]) == pytest.approx(float(rationale["text"]), rel=1e-9)
    assert int(counts["rationale"]) == sum(len(reasons.pairs[row].answer) for row in some)
    assert objective.weights == {"label": 1.0, "rationale": 0.5}
    checks = [
        {"exact": 0.5, "label": 1.0, "rationale": 9.0, "loss": 10.0},
        {"exact": 0.5, "label": 2.0, "rationale": 1.0, "loss": 3.0},
    ]
    assert objective.merit(checks[0]) > objective.merit(checks[1]), "the label's part is the one that is used"
