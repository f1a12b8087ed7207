from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiny_world import TEXTS, save_checkpoint

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tutelage.students.bodies import load_body, load_tokenizer  # noqa: E402
from tutelage.students.encoder import TokenExamples  # noqa: E402
from tutelage.students.pruning import (  # noqa: E402
    Shape,
    importance_of,
    keep_tokens,
    next_shape,
    pruned,
    shape_of,
)
from tutelage.students.vocabulary import cut_tokenizer, used_tokens  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pruning")


def body_and_batch(folder, kind="bert", texts=TEXTS[:20]):
    if not (folder / kind).exists():
        save_checkpoint(folder / kind, kind)
    tokenizer = load_tokenizer(str(folder / kind))
    examples = TokenExamples(tokenizer, texts, 64)
    return load_body(str(folder / kind)).eval(), examples.batch(torch.arange(len(texts)).numpy())


def states(body, batch):
    with torch.no_grad():
        return body(**batch).last_hidden_state[batch["attention_mask"].bool()]


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_parts_that_do_nothing_go_first_and_nothing_is_lost(folder, kind):
    body, batch = body_and_batch(folder, kind)
    layers = body.encoder.layer
    with torch.no_grad():
        for layer in layers:
            layer.intermediate.dense.weight[::2] = 0.0
            layer.intermediate.dense.bias[::2] = 0.0  # gelu(0) is 0
            for part in (layer.attention.self.value.weight, layer.attention.self.value.bias):
                part[8:16] = 0.0  # the second of four heads
    before = states(body, batch)
    importance = importance_of(body, [batch])
    assert all(not one[::2].any() and one[1::2].all() for one in importance.neurons)
    assert all(int(one.argmin()) == 1 for one in importance.heads)
    half, width = pruned(body, Shape(3, 4, 8, 32), importance)
    torch.testing.assert_close(states(half, batch), before, rtol=1e-4, atol=1e-5)
    assert width.tolist() == list(range(32))


def test_a_layer_that_changes_nothing_goes_first(folder):
    body, batch = body_and_batch(folder)
    norm = body.encoder.layer[0].output.LayerNorm
    with torch.no_grad():
        for part in ("attention.output.dense", "output.dense"):
            dense = body.encoder.layer[1].get_submodule(part)
            dense.weight.zero_()
            dense.bias.zero_()
        norm.weight.fill_(1.0), norm.bias.zero_()
    before = states(body, batch)
    importance = importance_of(body, [batch])
    assert int(importance.layers.argmin()) == 1
    two, _ = pruned(body, Shape(2, 4, 8, 64), importance)
    torch.testing.assert_close(states(two, batch), before, rtol=1e-3, atol=1e-4)


def test_padding_has_no_say(folder):
    body, batch = body_and_batch(folder)
    alone = importance_of(body, [{name: part[:1] for name, part in batch.items()}])
    short = int(batch["attention_mask"][0].sum())
    cut = importance_of(body, [{name: part[:1, :short] for name, part in batch.items()}])
    torch.testing.assert_close(alone.hidden, cut.hidden, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(alone.neurons[0], cut.neurons[0], rtol=1e-4, atol=1e-4)


def test_width_and_heads_get_smaller_together(folder):
    body, batch = body_and_batch(folder)
    smaller, width = pruned(body, Shape(2, 2, 6, 40), importance_of(body, [batch]))
    assert shape_of(smaller) == Shape(2, 2, 6, 40)
    assert len(width) == 12 and states(smaller, batch).shape[1] == 12
    rows = sum(w.shape[0] for w in smaller.embeddings.parameters() if w.ndim > 1)
    assert sum(w.numel() for w in smaller.parameters()) == Shape(2, 2, 6, 40).parameters(rows)


@given(
    st.tuples(st.integers(2, 12), st.integers(2, 12), st.integers(8, 64), st.integers(64, 3_072)),
    st.tuples(*(st.floats(0.05, 1.0) for _ in range(4))),
    st.integers(100, 30_000),
)
def test_a_round_takes_a_third_at_most_unless_the_least_step_is_more(base, shares, rows):
    base = Shape(*base)
    full = (base.layers, base.heads, base.head_size, base.intermediate_size)
    target = Shape(*(max(1, round(part * share)) for part, share in zip(full, shares, strict=True)))
    shape, rounds = base, 0
    while shape != target:
        after = next_shape(shape, target, rows)
        values = [
            (getattr(one, name) for one in (shape, after, target))
            for name in ("layers", "heads", "head_size", "intermediate_size")
        ]
        assert all(now >= then >= end for now, then, end in values)
        changed = sum(
            abs(getattr(shape, name) - getattr(after, name))
            for name in ("layers", "heads", "head_size", "intermediate_size")
        )
        assert changed == 1 or after.parameters(rows) >= 2 / 3 * shape.parameters(rows) - 1
        shape, rounds = after, rounds + 1
        assert changed and rounds < 5_000


# Vocabularies


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_prompts_are_read_as_before_with_the_tokens_that_they_use(folder, kind, tmp_path):
    body, batch = body_and_batch(folder, kind)
    tokenizer = load_tokenizer(str(folder / kind))
    texts = TEXTS[:20]
    before = states(body, batch)
    kept = used_tokens(tokenizer, texts, 64)
    smaller = cut_tokenizer(tokenizer, kept)
    assert len(smaller) == len(kept) < len(tokenizer)
    assert [smaller.convert_ids_to_tokens(ids) for ids in smaller(list(texts))["input_ids"]] == [
        tokenizer.convert_ids_to_tokens(ids) for ids in tokenizer(list(texts))["input_ids"]
    ]
    keep_tokens(body, kept)
    assert body.config.vocab_size == len(kept) == body.get_input_embeddings().num_embeddings
    renumbered = TokenExamples(smaller, texts, 64).batch(torch.arange(20).numpy())
    torch.testing.assert_close(states(body, renumbered), before, rtol=1e-4, atol=1e-5)
    unseen = smaller(TEXTS[-1] + " 東")["input_ids"]
    assert max(unseen) < len(kept)
    smaller.save_pretrained(tmp_path)
    body.config.save_pretrained(tmp_path)
    again = load_tokenizer(str(tmp_path))
    assert again(list(TEXTS))["input_ids"] == smaller(list(TEXTS))["input_ids"]


def test_the_tokenizer_given_stays_as_it_was(folder):
    body_and_batch(folder)
    tokenizer = load_tokenizer(str(folder / "bert"))
    before = tokenizer(list(TEXTS))["input_ids"]
    cut_tokenizer(tokenizer, used_tokens(tokenizer, TEXTS[:3], 64))
    assert tokenizer(list(TEXTS))["input_ids"] == before
