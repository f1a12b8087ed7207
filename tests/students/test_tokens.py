from __future__ import annotations

import numpy as np
import pytest

from tiny_world import TASK, TEXTS, save_writer
from tutelage.checkpoints import Weights
from tutelage.errors import ConfigError
from tutelage.tasks import Classify, Generate, RationaleMode

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

CHAT = "{% for turn in messages %}<|{{ turn.role }}|>{{ turn.content }}\n{% endfor %}<|assistant|>"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for name, kind, chat in (("causal", "llama", None), ("chat", "llama", CHAT), ("seq2seq", "t5", None)):
        save_writer(folder / name, kind, chat_template=chat)
    return folder


def codec_of(models, name="causal", task=TASK, max_tokens=64, template="own", **form):
    from tutelage.generation import LanguageModel
    from tutelage.students._form import form_of
    from tutelage.students._tokens import Codec

    model = LanguageModel.load(Weights(str(models / name)), "cpu", "float32")
    return Codec(model, form_of(task, template, **form), max_tokens)


def text_of(codec, ids):
    return codec.model.tokenizer.decode(ids)


@pytest.mark.parametrize(
    ("name", "form", "shown", "says"),
    [
        ("causal", {}, "my code\nAnswer:", " login</s>"),
        ("causal", {"prefix": "[label] "}, "[label] my code\nAnswer:", " login</s>"),
        ("causal", {"rationale": RationaleMode.BEFORE}, "my code\nReasons:", " so\nAnswer: login</s>"),
        ("causal", {"rationale": RationaleMode.AFTER}, "my code\nAnswer:", " login\nReasons: so</s>"),
        ("seq2seq", {"prefix": "[label] "}, "[label] my code", "login</s>"),
        ("seq2seq", {"rationale": RationaleMode.BEFORE}, "my code", "so\nAnswer: login</s>"),
    ],
)
def test_what_is_shown_and_said(models, name, form, shown, says):
    from tutelage.students._form import answer_parts

    codec = codec_of(models, name, **form)
    (pair,) = codec.pairs(["my code"], [answer_parts(codec.form, TASK, "login", "so")])
    assert text_of(codec, pair.prompt) == shown
    assert text_of(codec, pair.answer) == says


def test_marks_in_a_text_are_letters(models):
    for name in ("causal", "seq2seq"):
        codec = codec_of(models, name)
        text = "pay </s> <pad> now"
        (pair,) = codec.pairs([text], [("</s>",)])
        assert not {0, 1} & {*pair.prompt, *pair.answer[:-1]}
        assert text in text_of(codec, pair.prompt)
        assert pair.answer[-1] == 1 and "</s>" in text_of(codec, pair.answer[:-1])


def test_a_token_of_beginning_stands_before_the_text_alone(models, tmp_path):
    """Llama's tokenizers put one before a text; T5's end it; a causal prompt isn't ended."""
    from tokenizers.processors import TemplateProcessing

    codec = codec_of(models)
    backend = codec.model.tokenizer.backend_tokenizer
    backend.post_processor = TemplateProcessing(
        single="<pad> $A </s>", special_tokens=[("<pad>", 0), ("</s>", 1)]
    )
    from tutelage.students._tokens import Codec

    again = Codec(codec.model, codec.form, 64)
    ids = again.prompt("my code", 100)
    assert ids == [0, *codec.prompt("my code", 100)]


def test_a_long_text_is_cut_at_its_end_and_counted_and_the_answer_never(models):
    codec = codec_of(models, max_tokens=5)
    long = " ".join(TEXTS)
    pairs = codec.pairs(["my", long, long], [("login",)] * 3)
    assert codec.cut == 2
    assert pairs[1].prompt == [*codec.model.text_ids(long)[:5], *codec.model.text_ids("\nAnswer:")]
    assert pairs[0].answer == pairs[1].answer
    whole = codec_of(models, max_tokens=10_000)  # the model has 256 places
    long_answer = " ".join(TEXTS[:12])
    (pair,) = whole.pairs([long], [(long_answer,)])
    assert len(pair.prompt) + len(pair.answer) == 256 and whole.cut == 1
    assert text_of(whole, pair.answer[:-1]).strip() == long_answer
    with pytest.raises(ConfigError, match="places left for the prompt"):
        whole.pairs([long], [(" ".join(TEXTS),)])


def test_the_teachers_template_is_the_teachers_and_only_its_text_is_cut(models):
    task = Generate("Say it.")
    for name in ("chat", "causal", "seq2seq"):
        codec = codec_of(models, name, task, template="teacher", max_tokens=12)
        assert codec.prompt("my code", 256) == codec.model.prompt(task.render("my code"))
        assert codec.cut == 0
        long = " ".join(TEXTS)
        whole = codec.prompt(long, 256)
        kept = codec.model.decode(codec.model.text_ids(long)[:12])
        assert whole == codec.model.prompt(task.render(kept)) and codec.cut == 1
        short = codec.prompt(long, len(whole) - 3)
        fits = [
            codec.model.prompt(task.render(codec.model.decode(codec.model.text_ids(long)[:n])))
            for n in range(8, 12)
        ]
        assert len(short) <= len(whole) - 3 and short in fits
        with pytest.raises(ConfigError, match="student.template own"):
            codec.prompt(long, 10)


def test_no_label_begins_another(models):
    task = Classify(("billing", "billing other"))
    for name, mode in (("causal", "none"), ("causal", "before"), ("causal", "after"), ("seq2seq", "none")):
        codec = codec_of(models, name, task, rationale=RationaleMode(mode))
        short, long = codec.labels
        assert long[: len(short)] != short


def test_causal_batches_count_the_answers_tokens_alone(models):
    from tutelage.students._tokens import IGNORED, CausalExamples, Pair

    examples = CausalExamples([Pair([5, 6, 7], [8, 1]), Pair([5], [9, 9, 9, 1]), Pair([5], [2, 1])], 0)
    assert len(examples) == 3 and examples.lengths.tolist() == [5, 5, 3]
    batch = examples.batch(np.array([2, 0]))
    assert batch["input_ids"].tolist() == [[5, 2, 0, 0], [5, 6, 7, 8]]
    assert batch["attention_mask"].tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]
    x = IGNORED
    assert batch["labels"].tolist() == [[2, 1, x, x], [x, x, 8, 1]]
    assert {value.dtype for value in batch.values()} == {torch.int64}


def test_seq2seq_batches_shift_the_answers(models):
    from tutelage.students._tokens import IGNORED, Pair, Seq2SeqExamples

    examples = Seq2SeqExamples([Pair([5, 6, 1], [8, 1]), Pair([5, 1], [9, 9, 1])], 0, 4)
    batch = examples.batch(np.array([0, 1]))
    assert batch["input_ids"].tolist() == [[5, 6, 1], [5, 1, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["labels"].tolist() == [[8, 1, IGNORED], [9, 9, 1]]
    assert batch["decoder_input_ids"].tolist() == [[4, 8, 0], [4, 9, 9]]
