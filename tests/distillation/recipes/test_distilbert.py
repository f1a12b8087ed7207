from __future__ import annotations

import numpy as np
import pytest
from interrupting import Interrupting, Killed
from layer_recipes import save_world
from taught_world import few, right

from tiny_world import PAIRS, TASK, TEXTS, save_checkpoint, save_classifier
from tutelage.config import StudentConfig
from tutelage.distillation import LayerTeaching, distil_student
from tutelage.distillation.recipes import DistilBert
from tutelage.errors import ConfigError
from tutelage.progress import Silent

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

CONFIG = {"recipe": "distilbert", "layers": 2, "epochs": 30, "batch_size": 8, "validation": 0.2}
BODY = {"epochs": 20, "batch_size": 16, "learning_rate": 3e-3}
QUICK = {"epochs": 2, "body": {**BODY, "epochs": 2}}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return save_world(tmp_path_factory.mktemp("world"))


def trained(world, teacher="headless", progress=None, checkpoint=None, control=False, kept=None, **config):
    return distil_student(
        few(),
        TASK,
        StudentConfig(**(CONFIG | {"body": BODY} | config)),
        world,
        progress or Silent(),
        layers=LayerTeaching(teacher, TEXTS, kept),
        checkpoint=checkpoint,
        control=control,
    )


def test_what_the_teachers_layers_know_reaches_words_that_the_student_is_not_told_of(world):
    student, control = trained(world), trained(world, control=True)
    assert right(student.student) > right(control.student) + 0.15
    assert right(trained(world, "shuffled").student) < right(control.student)


@pytest.mark.long
def test_with_an_mlm_head_the_language_is_taught_too(world):
    body = {**BODY, "epochs": 40}
    student, control = trained(world, "mlm", body=body), trained(world, "mlm", control=True)
    assert right(student.student) > right(control.student) + 0.15
    first, *_, last = [check for check in student.record.history if check["phase"] == 0]
    for part in ("soft", "mlm", "cosine"):
        assert last[part] < first[part], part
    assert last["loss"] == pytest.approx(5 * last["soft"] + 2 * last["mlm"] + last["cosine"])


def test_what_was_done_stands_in_the_record(world):
    with_head, without = (trained(world, name, **QUICK).to_json() for name in ("mlm", "headless"))
    assert [phase["name"] for phase in without["record"]["phases"]] == ["language", "soft targets"]
    assert "no MLM head" in without["record"]["phases"][0]["note"]
    assert not any("note" in phase for phase in with_head["record"]["phases"])
    assert with_head["recipe"]["name"] == "distilbert"
    assert sum(phase["steps"] for phase in with_head["record"]["phases"]) == with_head["record"]["steps"]


def test_the_control_starts_as_the_student_does_and_has_its_last_schedule(world):
    config = StudentConfig(**CONFIG, body=BODY, base="headless")
    control = trained(world, control=True)
    alone = distil_student(few(), TASK, config.model_copy(update={"recipe": "soft-targets"}), world, Silent())
    assert control.student.predict(TEXTS).tobytes() == alone.student.predict(TEXTS).tobytes()
    assert control.recipe == DistilBert.planned(config, control.examples).task
    assert [phase["name"] for phase in control.record.phases] == ["soft targets"]


@pytest.mark.parametrize(("member", "step"), [pytest.param(0, 3, marks=pytest.mark.long), (1, 2)])
@pytest.mark.parametrize("teacher", ["mlm", pytest.param("headless", marks=pytest.mark.long)])
def test_a_killed_run_goes_on_through_its_phases_bit_by_bit(world, tmp_path, teacher, member, step):
    whole = trained(world, teacher, **QUICK)
    with pytest.raises(Killed):
        trained(world, teacher, Interrupting(step, member=member), tmp_path, **QUICK)
    resumed = trained(world, teacher, Interrupting(), tmp_path, **QUICK)
    assert resumed.student.predict(TEXTS).tobytes() == whole.student.predict(TEXTS).tobytes()
    assert resumed.record.history == whole.record.history


# What doesn't go together


def test_a_teacher_without_weights_is_a_config_error_that_names_the_mend(world):
    with pytest.raises(ConfigError, match=r"distilbert.*encoder and transformers.*student\.body\.teacher"):
        trained(world, None)
    assert trained(world, None, **QUICK | {"body": {"teacher": "headless", "epochs": 1}}).examples


def test_another_tokenizer_is_refused_before_training(world, tmp_path):
    save_checkpoint(world / "roberta", "roberta")
    progress = Interrupting()
    with pytest.raises(
        ConfigError, match=r"tokenizers.*'headless' number 10 tokens.*Mend: leave student\.base out"
    ):
        trained(world, progress=progress, base="roberta")
    assert not progress.began


def test_a_student_of_another_width_is_refused_before_training(world):
    save_checkpoint(world / "narrow", hidden_size=16)
    with pytest.raises(ConfigError, match=r"16 wide.*32.*tinybert or minilm"):
        trained(world, base="narrow")


def test_texts_longer_than_the_teacher_reads_are_refused(world):
    save_checkpoint(world / "short", max_position_embeddings=16)
    with pytest.raises(ConfigError, match=r"max_tokens is 128.*'short' reads 16"):
        trained(world, "short", base="headless")


def test_a_classifiers_body_teaches(world):
    save_classifier(world / "classifier", TASK.labels)
    assert trained(world, "classifier", **QUICK).record.phases[0]["note"]


def test_validation_is_kept_out_of_the_texts(world, monkeypatch):
    seen = []

    def watched(self, texts):
        seen.append(texts)
        return original(self, texts)

    from tutelage.students.encoder import EncoderLearner

    original = EncoderLearner.examples
    monkeypatch.setattr(EncoderLearner, "examples", watched)
    trained(world, **QUICK)
    unlabelled, held = seen[:2]
    assert len(unlabelled) == len(set(unlabelled)) == len(PAIRS) - len(held) and not set(unlabelled) & set(
        held
    )


def test_families_and_shapes_that_the_recipe_does_not_teach_are_refused():
    for config in ({"family": "static"}, {"hidden_size": 16, "heads": 2, "intermediate_size": 32}):
        with pytest.raises(ValueError, match="recipe distilbert"):
            StudentConfig(recipe="distilbert", **config)
    with pytest.raises(ValueError, match=r"body belongs to recipe distilbert or tinybert or minilm"):
        StudentConfig(body={})
    with pytest.raises(ValueError, match=r"body\.assistant belongs to recipe minilm"):
        StudentConfig(recipe="distilbert", body={"assistant": True})


# Masks


def masked(world, seed=0):
    from tutelage.distillation.masking import Masked
    from tutelage.students.encoder import EncoderLearner

    learner = EncoderLearner(StudentConfig(base="mlm"), TASK, world)
    tokens = learner.examples(TEXTS)
    return tokens, learner.tokenizer, Masked(tokens, learner.tokenizer, len(learner.tokenizer), seed)


def test_masks_are_those_of_bert(world):
    tokens, tokenizer, examples = masked(world)
    total, chosen, hidden, kept = 0, 0, 0, 0
    for start in range(0, 120, 20):
        indices = np.arange(start, start + 20)
        plain, batch = tokens.batch(indices), examples.batch(indices)
        at = batch["masked"] != -100
        assert torch.equal(batch["masked"][at], plain["input_ids"][at])
        assert torch.equal(batch["input_ids"][~at], plain["input_ids"][~at]), "others are as they were"
        assert not {*tokenizer.all_special_ids} & {*batch["masked"][at].tolist()}
        assert not at[plain["attention_mask"] == 0].any()
        total += int(plain["attention_mask"].sum())
        chosen += int(at.sum())
        hidden += int((batch["input_ids"][at] == tokenizer.mask_token_id).sum())
        kept += int((batch["input_ids"][at] == plain["input_ids"][at]).sum())
    assert chosen / total == pytest.approx(0.15, abs=0.01)
    assert hidden / chosen == pytest.approx(0.8, abs=0.1)
    assert kept / chosen == pytest.approx(0.1, abs=0.1)


def test_masks_follow_from_the_batch_and_rare_words_are_masked_more_often(world):
    tokens, tokenizer, examples = masked(world)
    indices = np.arange(20)
    again, other = masked(world)[2].batch(indices), masked(world, seed=1)[2].batch(indices)
    assert torch.equal(again["masked"], examples.batch(indices)["masked"])
    assert not torch.equal(again["masked"], other["masked"])
    the, words = np.zeros(2), np.zeros(2)
    frequent = tokenizer.convert_tokens_to_ids(["the"])
    rare = tokenizer.convert_tokens_to_ids(["invoice", "parcel", "refund", "code", "session"])
    for seed in range(30):
        indices = np.random.default_rng(seed).permutation(120)[:60]
        masks, plain = examples.batch(indices)["masked"], tokens.batch(indices)["input_ids"]
        for counts, wanted in ((the, frequent), (words, rare)):
            counts += [np.isin(masks, wanted).sum(), np.isin(plain, wanted).sum()]
    assert words[0] / words[1] > 1.2 * the[0] / the[1]
