from __future__ import annotations

import re

import numpy as np
import pytest
from interrupting import Interrupting
from layer_recipes import quick, save_world, trained
from taught_world import TOLD

from tiny_world import TASK, TEXTS, TRUTH, save_checkpoint
from tutelage.config import StudentConfig
from tutelage.distillation.teacher_body import TeacherBody
from tutelage.errors import ConfigError
from tutelage.progress import Silent

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tutelage.distillation.augmentation import _Words, augmented  # noqa: E402
from tutelage.students.encoder import EncoderLearner  # noqa: E402

TOLD_TEXTS = [TEXTS[index] for index in TOLD]


pytestmark = pytest.mark.long  # the model that guesses words has to be taught first


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return save_world(tmp_path_factory.mktemp("world"))


def made(world, texts=TOLD_TEXTS, copies=5, body="mlm", seed=0, kept=None):
    learner = EncoderLearner(StudentConfig(base=body, layers=1), TASK, world)
    return augmented(texts, copies, TeacherBody.at(body, world), learner, seed, kept, Silent())


def test_variants_replace_words_and_nothing_else(world):
    found = made(world, ["the invoice , please !"], copies=40)
    assert len(found) == len(set(found)) > 20 and "the invoice , please !" not in found
    assert all(re.fullmatch(r"\w+ \w+ , \w+ !", text) for text in found)
    kept = [
        sum(a == b for a, b in zip(text.split(), ["the", "invoice", ",", "please", "!"], strict=True)) - 2
        for text in found
    ]
    assert 0.3 < np.mean(kept) / 3 < 0.75, "two words in five are replaced"


def test_variants_follow_from_the_seed(world):
    assert made(world) == made(world) != made(world, seed=1)


def test_a_word_of_one_piece_is_replaced_by_what_the_model_guesses(world):
    model = transformers.AutoModelForMaskedLM.from_pretrained(world / "mlm").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(world / "mlm")
    batch = tokenizer("the [MASK] does not work", return_tensors="pt")
    with torch.no_grad():
        logits = model(**batch).logits[0, 2]
    words = [tokenizer.convert_ids_to_tokens(int(index)) for index in logits.argsort(descending=True)]
    wanted = [word for word in words if word.isalpha() and word != "invoice"][:15]
    learner = EncoderLearner(StudentConfig(base="mlm", layers=1), TASK, world)
    found = _Words(TeacherBody.at("mlm", world), learner).candidates("the invoice does not work")
    assert found[(4, 11)] == wanted


def test_a_word_of_several_pieces_is_replaced_by_the_nearest_embeddings(world):
    learner = EncoderLearner(StudentConfig(base="mlm", layers=1), TASK, world)
    tokenizer = learner.tokenizer
    embeddings = learner.body.get_input_embeddings().weight.detach()
    pieces = tokenizer.convert_tokens_to_ids(["o", "##x"])
    mean = embeddings[pieces].mean(0)
    order = torch.nn.functional.cosine_similarity(embeddings, mean[None]).argsort(descending=True)
    words = [tokenizer.convert_ids_to_tokens(int(index)) for index in order]
    found = _Words(TeacherBody.at("mlm", world), learner).candidates("ox !")
    assert list(found) == [(0, 2)]
    assert found[(0, 2)] == [word for word in words if word.isalpha()][:15]


def test_variants_are_made_once(world, tmp_path, monkeypatch):
    first = made(world, kept=tmp_path)
    monkeypatch.setattr(TeacherBody, "load", lambda self: pytest.fail("the teacher's weights were loaded"))
    assert made(world, kept=tmp_path) == first
    with pytest.raises(pytest.fail.Exception):
        made(world, copies=6, kept=tmp_path)


def test_a_teacher_without_an_mlm_head_is_refused_before_training(world):
    progress = Interrupting()
    with pytest.raises(ConfigError, match=r"'headless' has no MLM head.*Mend.*bert-base-uncased"):
        trained(world, quick("tinybert", body={"augmentation": 2}), progress=progress)
    assert not progress.began


def test_variants_teach_layers_and_the_task_where_the_teacher_answers(world):
    config = quick("tinybert", body={"augmentation": 3})
    asked = []

    def answers(texts):
        asked.extend(texts)
        return np.tile(TRUTH[:1], (len(texts), 1))

    told = trained(world, config, "mlm", answers=answers)
    silent = trained(world, config, "mlm")
    count = told.record.phases[1]["augmented"]
    assert count == len(asked) > len(TOLD)
    assert told.record.phases[1]["steps"] > trained(world, quick("tinybert"), "mlm").record.phases[1]["steps"]
    assert told.student.predict(TEXTS).tobytes() != silent.student.predict(TEXTS).tobytes()
    assert [phase["steps"] for phase in told.record.phases][:2] == [
        phase["steps"] for phase in silent.record.phases
    ][:2]


def test_a_vocabulary_that_marks_beginnings_gives_whole_words(world, tmp_path):
    from tutelage.distillation.augmentation import _whole_words

    class Marked:
        def get_vocab(self):
            return {"Ġthe": 0, "the": 1, "Ġ,": 2, "ing": 3, "Ġword": 4}

    assert _whole_words(Marked()) == {0: "the", 4: "word"}
    plain = transformers.AutoTokenizer.from_pretrained(save_checkpoint(tmp_path))
    assert "##a" not in _whole_words(plain).values() and "invoice" in _whole_words(plain).values()
