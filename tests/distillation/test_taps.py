from __future__ import annotations

import gc
import weakref

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tiny_world import save_checkpoint  # noqa: E402
from tutelage.distillation.losses import attention_scores  # noqa: E402
from tutelage.distillation.taps import Tap, Taps  # noqa: E402
from tutelage.errors import ConfigError  # noqa: E402
from tutelage.students.architecture import architecture_of  # noqa: E402

KINDS = ["bert", "distilbert", "roberta", "mpnet", "electra"]
IDS = torch.arange(5, 17).reshape(2, 6)
MASK = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]])


class Twice(torch.nn.Module):
    """Two linear layers, the second of which runs twice and gives a tuple."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(3, 4)
        self.again = torch.nn.Linear(4, 4)
        self.pair = Pair()

    def forward(self, x, fail=False):
        y = self.first(x)
        if fail:
            raise RuntimeError("in the middle")
        return self.pair(scale=2.0, x=self.again(self.again(y)))


class Pair(torch.nn.Module):
    def forward(self, x, scale):
        return scale, x, {"kept": x}


def hooks_of(module):
    return sum(len(one._forward_hooks) + len(one._forward_pre_hooks) for one in module.modules())


def body_of(tmp_path, kind, **options):
    from transformers import AutoModel

    return AutoModel.from_pretrained(save_checkpoint(tmp_path / kind, kind), **options).eval()


# Bodies of transformers


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_hidden_states_are_tapped_from_layers(tmp_path, kind, implementation):
    body = body_of(tmp_path, kind, attn_implementation=implementation if kind != "mpnet" else "eager")
    found = architecture_of(body)
    names = [found.embeddings, *(layer.output for layer in found.layers)]
    with Taps(body, names) as taps, torch.no_grad():
        states = body(input_ids=IDS, attention_mask=MASK, output_hidden_states=True).hidden_states
        for name, state in zip(names, states, strict=True):
            torch.testing.assert_close(taps[name], state)
        inputs = Tap(found.layers[1].output, "input")
        with Taps(body, [inputs]) as more:
            body(input_ids=IDS, attention_mask=MASK)
            torch.testing.assert_close(more[inputs], states[1])


@pytest.mark.parametrize("kind", KINDS)
def test_scores_from_tapped_projections_are_those_that_attention_uses(tmp_path, kind):
    """softmax(scores) is what the eager implementation gives, for every layer and every real token."""
    body = body_of(tmp_path, kind, attn_implementation="eager")
    found = architecture_of(body)
    names = [name for layer in found.layers for name in (layer.query, layer.key)]
    with Taps(body, [*names, *([found.position_bias] if found.position_bias else [])]) as taps:
        result = body(input_ids=IDS, attention_mask=MASK, output_attentions=True)
        bias = taps[found.position_bias] if found.position_bias else None
        for layer, wanted in zip(found.layers, result.attentions, strict=True):
            scores = attention_scores(taps[layer.query], taps[layer.key], found.heads, bias)
            scores = scores.masked_fill(MASK[:, None, None, :] == 0, -torch.inf)
            torch.testing.assert_close(scores.softmax(-1), wanted)


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "electra"])
def test_attention_probabilities_come_with_eager_alone(tmp_path, kind):
    eager = body_of(tmp_path, kind, attn_implementation="eager")
    attention = Tap(architecture_of(eager).layers[0].attention, item=1)
    with Taps(eager, [attention]) as taps:
        eager(input_ids=IDS, attention_mask=MASK)
        torch.testing.assert_close(taps[attention].sum(-1), torch.ones(2, 4, 6))
    other = body_of(tmp_path, kind, attn_implementation="sdpa")
    with (
        Taps(other, [attention]),
        pytest.raises(ConfigError, match=r'\(Tensor, NoneType\)\. Mend: attn_implementation="eager"'),
    ):
        other(input_ids=IDS, attention_mask=MASK)


# What is taken


def test_gradients_flow_through_what_is_tapped():
    model = Twice()
    with Taps(model, ["first"]) as taps:
        model(torch.ones(2, 3))
        taps["first"].square().sum().backward()
    assert model.first.weight.grad.abs().max() > 0 and model.again.weight.grad is None


def test_without_gradients_too():
    model = Twice()
    with Taps(model, ["first"]) as taps, torch.no_grad():
        model(torch.ones(2, 3))
        assert not taps["first"].requires_grad
        assert torch.equal(taps["first"], model.first(torch.ones(2, 3)))


def test_items_of_outputs_and_inputs_by_position_or_keyword():
    model = Twice()
    wanted = Tap("pair", "output", 1)
    taken = Tap("pair", "input", 1)
    with Taps(model, [wanted, taken]) as taps:
        _, x, _ = model(torch.ones(2, 3))
        assert taps[wanted] is x and taps[taken] is x


@pytest.mark.parametrize(("item", "found"), [(0, "float"), (2, "dict"), (3, "float")])
def test_an_item_that_is_no_tensor_is_refused(item, found):
    model = Twice()
    with (
        Taps(model, [Tap("pair", "output", item)]),
        pytest.raises(ConfigError, match=rf"item {item} of the output of 'pair' is no tensor.*{found}"),
    ):
        model(torch.ones(2, 3))
    assert hooks_of(model) == 0


def test_the_model_itself_can_be_tapped():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2))
    with Taps(model, [""]) as taps:
        result = model(torch.ones(1, 2))
        assert taps[""] is result


def test_a_module_that_runs_twice_is_ambiguous():
    model = Twice()
    with Taps(model, ["again"]) as taps:
        model(torch.ones(2, 3))
        with pytest.raises(ConfigError, match=r"'again' ran more than once.*Mend: tap the modules that call"):
            taps["again"]
        model.first(torch.ones(2, 3))


def test_parts_of_a_model_run_alone_are_tapped_too():
    """A trainer may call a body inside a network, and never the network."""
    model = Twice()
    with Taps(model, ["first"]) as taps:
        for number in (1.0, 2.0):
            result = model.first(torch.full((1, 3), number))
            assert taps["first"] is result


# What isn't left behind


def test_each_forward_pass_forgets_the_one_before():
    model = Twice()
    with Taps(model, ["first"]) as taps:
        model(torch.ones(2, 3))
        old = weakref.ref(taps["first"])
        model(torch.zeros(2, 3))
        gc.collect()
        assert old() is None
        kept = weakref.ref(taps["first"])
        taps.clear()
        gc.collect()
        assert kept() is None


def test_leaving_forgets_all_and_removes_the_hooks():
    model = Twice()
    with Taps(model, ["first", Tap("pair", "input", 1)]) as taps:
        assert hooks_of(model) == 4
        model(torch.ones(2, 3))
        old = weakref.ref(taps["first"])
    gc.collect()
    assert hooks_of(model) == 0 and old() is None
    model(torch.ones(2, 3))
    with pytest.raises(ConfigError, match="didn't run"):
        taps["first"]


def test_an_error_in_the_model_leaves_no_hooks_and_the_next_pass_is_whole():
    model = Twice()
    with pytest.raises(RuntimeError, match="in the middle"), Taps(model, ["first"]) as taps:
        model(torch.ones(2, 3), fail=True)
    assert hooks_of(model) == 0
    with Taps(model, ["first"]) as taps:
        with pytest.raises(RuntimeError):
            model(torch.ones(2, 3), fail=True)
        model(torch.zeros(2, 3))
        assert torch.equal(taps["first"], model.first(torch.zeros(2, 3)))


class Checkpointed(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Linear(3, 3)

    def forward(self, x):
        return torch.utils.checkpoint.checkpoint(lambda y: self.inner(y).tanh(), x, use_reentrant=False)


def test_recomputation_for_gradient_checkpoints_is_not_taken_again():
    model = Checkpointed()
    with Taps(model, ["inner"]) as taps:
        result = model(torch.ones(2, 3))
        before = taps["inner"]
        result.sum().backward(retain_graph=True)
        assert taps["inner"] is before
        model.inner.weight.grad = None
        before.sum().backward()
    torch.testing.assert_close(model.inner.weight.grad, torch.full((3, 3), 2.0))


# Names


def test_an_unknown_name_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(
        ConfigError, match=r"BertModel has no module 'encoder\.layers\.0'\. Mend: .*'encoder\.layer\.0'"
    ):
        Taps(body_of(tmp_path, "bert"), ["encoder.layers.0"])


def test_what_isnt_tapped_is_a_key_error():
    with Taps(Twice(), ["first"]) as taps, pytest.raises(KeyError, match="isn't tapped"):
        taps["again"]


def test_a_tapped_module_that_didnt_run_is_said_to():
    with (
        Taps(Twice(), ["first"]) as taps,
        pytest.raises(ConfigError, match=r"'first' didn't run.*Mend: call"),
    ):
        taps["first"]


class Wrapped(torch.nn.Module):
    """As DistributedDataParallel, without processes."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, *arguments, **keywords):
        return self.module(*arguments, **keywords)


@pytest.mark.parametrize("wrap", [Wrapped, lambda model: torch.compile(model, backend="eager")])
@pytest.mark.parametrize("name", ["first", "module.first", "_orig_mod.first"])
def test_wrappers_dont_count_in_names(wrap, name):
    model = Twice()
    wrapped = wrap(model)
    with Taps(wrapped, [name]) as taps:
        wrapped(torch.ones(2, 3))
        assert torch.equal(taps[name], model.first(torch.ones(2, 3)))
        wrapped(torch.zeros(2, 3))
        assert torch.equal(taps[name], model.first(torch.zeros(2, 3)))
    with Taps(model, [name]) as taps:
        model(torch.ones(2, 3))
        assert taps[name].shape == (2, 4)
