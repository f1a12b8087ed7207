from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

import reference_losses as plain  # noqa: E402

from tutelage.distillation.losses import (  # noqa: E402
    ForwardKL,
    JensenShannon,
    Projection,
    ReverseKL,
    TopK,
    completion_cross_entropy,
    lean_cross_entropy,
    lean_divergence,
    token_divergence,
)
from tutelage.errors import ConfigError, UsageError  # noqa: E402

TEACHERS = ["head", "logits", "list", "whole list"]
ACCURACY = {torch.float64: 1e-10, torch.float32: 1e-5}


class World:
    """A student's and a teacher's hidden states and heads; every tensor follows from the seed."""

    def __init__(self, batch=2, tokens=5, width=4, vocabulary=11, seed=0, bias=True, dtype=torch.float64):
        generator = torch.Generator().manual_seed(seed)

        def random(*shape):
            return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

        self.hidden = random(batch, tokens, width).requires_grad_()
        self.weight = random(vocabulary, width).requires_grad_()
        self.bias = random(vocabulary).requires_grad_() if bias else None
        self.teacher = Projection(
            random(batch, tokens, width + 3), random(vocabulary, width + 3), random(vocabulary)
        )
        self.mask = torch.rand(batch, tokens, generator=generator) < 0.7
        self.mask[0, 0] = True
        self.targets = torch.randint(vocabulary, (batch, tokens), generator=generator)

    @property
    def student(self):
        return Projection(self.hidden, self.weight, self.bias)

    def target(self, kind):
        logits = whole(self.teacher)
        if kind == "head":
            return self.teacher
        if kind == "logits":
            return logits
        k = logits.shape[-1] if kind == "whole list" else 3
        return TopK(*torch.log_softmax(logits, dim=-1).topk(k))

    def gradients(self, loss):
        inputs = [
            one for one in (self.hidden, self.weight, self.bias) if one is not None and one.requires_grad
        ]
        return torch.autograd.grad(loss, inputs)


def whole(projection):
    logits = projection.hidden @ projection.weight.T
    return logits if projection.bias is None else logits + projection.bias


def same(ours, wanted, accuracy):
    for one, other in zip(ours, wanted, strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        scale = max(1.0, float(other.detach().abs().max()))
        np.testing.assert_allclose(one.detach(), other.detach(), atol=accuracy * scale, rtol=0)


def compare(world, kind, teacher, temperature=1.0, chunk=2):
    accuracy = ACCURACY[world.hidden.dtype]
    dense_target = world.target("logits") if teacher == "head" else world.target(teacher)
    wanted = token_divergence(kind, whole(world.student), dense_target, world.mask, temperature=temperature)
    target = world.target(teacher)
    loss = lean_divergence(kind, world.student, target, world.mask, temperature=temperature, chunk=chunk)
    same([loss], [wanted], accuracy)
    same(world.gradients(loss), world.gradients(wanted), accuracy)


# Equal to the dense ones


@pytest.mark.parametrize("kind", plain.KINDS)
@pytest.mark.parametrize("teacher", TEACHERS)
@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("dtype", ACCURACY)
def test_values_and_gradients_are_those_of_whole_logits(kind, teacher, temperature, dtype):
    compare(World(dtype=dtype), kind, teacher, temperature)


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(plain.SMOOTH),
    st.sampled_from(TEACHERS),
    st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 5), st.integers(3, 20)),
    st.integers(1, 20),
    st.booleans(),
    st.integers(0, 99),
)
def test_whatever_the_shapes_and_the_chunks(kind, teacher, shape, chunk, bias, seed):
    compare(World(*shape, seed=seed, bias=bias), kind, teacher, chunk=chunk)


@pytest.mark.parametrize("dtype", ACCURACY)
@pytest.mark.parametrize("chunk", [1, 3, 100, None])
def test_cross_entropy_too(dtype, chunk):
    world = World(dtype=dtype)
    targets = world.targets.masked_fill(~world.mask, -100)
    wanted = completion_cross_entropy(whole(world.student), targets, world.mask)
    loss = lean_cross_entropy(world.student, targets, world.mask, chunk=chunk)
    same([loss], [wanted], ACCURACY[dtype])
    same(world.gradients(loss), world.gradients(wanted), ACCURACY[dtype])


# Forward KL by parts of the vocabulary


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr("tutelage.distillation.losses.lean._TILE_CELLS", 12)
    monkeypatch.setattr("tutelage.distillation.losses.lean._TILE_TOKENS", 3)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("kind", [ForwardKL(), JensenShannon(0.0)])
@pytest.mark.parametrize("teacher", ["head", "logits"])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", ACCURACY)
def test_by_parts_of_the_vocabulary_it_is_the_same(kind, teacher, temperature, bias, dtype):
    compare(World(dtype=dtype, bias=bias), kind, teacher, temperature, chunk=None)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("shift", [0.0, 3e3])
def test_by_parts_large_logits_and_those_of_nothing_do_no_harm(shift):
    world = World(dtype=torch.float32)
    logits = 100 * world.target("logits") + shift
    logits[..., 2:9] = -math.inf  # whole parts that the teacher never says
    kept = logits.clone()
    world.bias.data += shift
    loss = lean_divergence(ForwardKL(), world.student, logits, world.mask)
    assert torch.equal(logits, kept), "a teacher's logits stay as they are"
    wanted = token_divergence(ForwardKL(), whole(world.student), logits, world.mask)
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    same(world.gradients(loss), world.gradients(wanted), 1e-5 if shift == 0.0 else 1e-3)


def test_a_wide_head_is_taken_by_tokens(monkeypatch):
    monkeypatch.setattr("tutelage.distillation.losses.lean._by_vocabulary", None)
    compare(World(width=513, tokens=3, dtype=torch.float64), ForwardKL(), "head", chunk=None)


@pytest.mark.parametrize("kind", [ForwardKL(), ReverseKL()])
def test_a_mask_of_nothing_costs_nothing_either_way(kind):
    world = World()
    loss = lean_divergence(kind, world.student, world.teacher, torch.zeros_like(world.mask))
    assert loss.item() == 0.0


def test_a_large_vocabulary_in_float32():
    world = World(tokens=40, width=32, vocabulary=20_000, dtype=torch.float32)
    for kind in (ForwardKL(), ReverseKL(), JensenShannon()):
        compare(world, kind, "head", chunk=None)


@pytest.mark.parametrize("teacher", TEACHERS)
def test_its_gradients_are_those_of_finite_differences(teacher):
    world = World()
    inputs = [world.hidden, world.weight, world.bias]
    directions = [torch.randn_like(one) for one in inputs]

    def loss(step):
        moved = (one + step * direction for one, direction in zip(inputs, directions, strict=True))
        return lean_divergence(ReverseKL(), Projection(*moved), world.target(teacher), world.mask, chunk=2)

    slope = (loss(1e-6) - loss(-1e-6)).item() / 2e-6
    gradients = world.gradients(loss(0.0))
    wanted = sum((one * direction).sum().item() for one, direction in zip(gradients, directions, strict=True))
    assert slope == pytest.approx(wanted, rel=1e-7)


def test_lists_with_empty_places():
    world = World()
    logprobs, ids = torch.log_softmax(whole(world.teacher), dim=-1).topk(4)
    absent = torch.rand(ids.shape, generator=torch.Generator().manual_seed(3)) < 0.4
    target = TopK(logprobs.masked_fill(absent, -math.inf), ids.masked_fill(absent, -1))
    wanted = token_divergence(JensenShannon(), whole(world.student), target, world.mask)
    loss = lean_divergence(JensenShannon(), world.student, target, world.mask, chunk=3)
    same([loss], [wanted], 1e-10)
    same(world.gradients(loss), world.gradients(wanted), 1e-10)


# What the backward pass multiplies, and what it doesn't do


@pytest.mark.parametrize("factor", [0.0, -2.5])
def test_the_outer_gradient_scales_it(factor):
    world = World()
    loss = lean_divergence(ForwardKL(), world.student, world.teacher, world.mask)
    plain_ones = world.gradients(lean_divergence(ForwardKL(), world.student, world.teacher, world.mask))
    same(world.gradients(factor * loss), [factor * one for one in plain_ones], 1e-12)


def test_a_head_tied_to_the_embeddings_gets_both_gradients():
    world = World()
    ids = torch.tensor([[1, 2, 3, 4, 5], [6, 7, 8, 9, 0]])

    def gradient(loss_of):
        hidden = torch.tanh(world.weight[ids])
        (of_weight,) = torch.autograd.grad(loss_of(Projection(hidden, world.weight)), [world.weight])
        return of_weight

    lean = gradient(lambda student: lean_divergence(ForwardKL(), student, world.teacher, world.mask))
    dense = gradient(
        lambda student: token_divergence(ForwardKL(), whole(student), whole(world.teacher), world.mask)
    )
    same([lean], [dense], 1e-12)


@pytest.mark.parametrize("frozen", [("weight", "bias"), ("hidden",), ("bias",), ("hidden", "weight")])
def test_only_what_asks_for_a_gradient_gets_one(frozen):
    world = World()
    wanted = lean_divergence(ForwardKL(), world.student, world.teacher, world.mask)
    wanted.backward()
    expected = {name: getattr(world, name).grad for name in ("hidden", "weight", "bias")}
    world = World()
    for name in frozen:
        getattr(world, name).requires_grad_(False)
    loss = lean_divergence(ForwardKL(), world.student, world.teacher, world.mask)
    held = loss.grad_fn.gradients
    assert [getattr(held, name) is None for name in expected] == [name in frozen for name in expected], (
        "nothing is made in vain"
    )
    loss.backward()
    for name, gradient in expected.items():
        ours = getattr(world, name).grad
        assert ours is None if name in frozen else torch.equal(ours, gradient), name


def test_without_gradients_none_are_made():
    world = World()
    with torch.no_grad():
        loss = lean_divergence(ForwardKL(), world.student, world.teacher, world.mask)
    assert not loss.requires_grad and loss.grad_fn is None
    wanted = lean_divergence(ForwardKL(), world.student, world.teacher, world.mask)
    assert loss.item() == wanted.item()


def test_the_teacher_gets_no_gradient():
    world = World()
    for one in (world.teacher.hidden, world.teacher.weight, world.teacher.bias):
        one.requires_grad_()
    lean_divergence(ReverseKL(), world.student, world.teacher, world.mask).backward()
    assert world.teacher.hidden.grad is None and world.teacher.weight.grad is None


def test_a_second_derivative_is_refused():
    world = World()
    loss = lean_divergence(ForwardKL(), world.student, world.teacher, world.mask)
    with pytest.raises(UsageError, match=r"no second derivative\. Mend: backward without create_graph"):
        torch.autograd.grad(loss, [world.hidden], create_graph=True)


def test_a_second_backward_pass_is_refused():
    world = World()
    loss = lean_divergence(ForwardKL(), world.student, world.teacher, world.mask)
    loss.backward(retain_graph=True)
    with pytest.raises(UsageError, match=r"hands out its gradients once.*Mend: compute the loss anew"):
        loss.backward()


@pytest.mark.parametrize("teacher", TEACHERS)
def test_where_nothing_is_masked_in_the_loss_is_nothing(teacher):
    world = World()
    nothing = torch.zeros_like(world.mask)
    loss = lean_divergence(ForwardKL(), world.student, world.target(teacher), nothing)
    assert loss.item() == 0.0
    assert all((gradient == 0).all() for gradient in world.gradients(loss))


# Precision


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("teacher", TEACHERS)
def test_half_precision_is_summed_in_float32(dtype, teacher):
    """The loss of half-precision states and head is that of the same numbers in float64."""
    world = World(width=64, vocabulary=50)
    halves = World(width=64, vocabulary=50, dtype=dtype)
    for name in ("hidden", "weight", "bias"):
        setattr(world, name, getattr(halves, name).detach().double().requires_grad_())
    target = halves.target(teacher)
    if isinstance(target, Projection):
        exact = Projection(*(one.double() for one in (target.hidden, target.weight, target.bias)))
    elif isinstance(target, TopK):
        target = TopK(target.logprobs.float(), target.ids)
        exact = TopK(target.logprobs, target.ids)
    else:
        exact = target.double()
    loss = lean_divergence(ForwardKL(), halves.student, target, halves.mask, chunk=3)
    wanted = lean_divergence(ForwardKL(), world.student, exact, halves.mask, chunk=3)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    for ours, expected in zip(halves.gradients(loss), world.gradients(wanted), strict=True):
        assert ours.dtype == dtype
        np.testing.assert_allclose(ours.double(), expected, rtol=2**-7, atol=1e-3)


def test_a_head_in_half_precision_is_converted_in_blocks(monkeypatch):
    monkeypatch.setattr("tutelage.distillation.losses._fused._WEIGHT_CELLS", 64 * 7)
    test_half_precision_is_summed_in_float32(torch.bfloat16, "head")


def test_autocast_doesnt_lower_the_precision():
    world = World(width=64, vocabulary=50, dtype=torch.float32)
    wanted = lean_divergence(ForwardKL(), world.student, world.teacher, world.mask)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = lean_divergence(ForwardKL(), world.student, world.teacher, world.mask)
    assert loss.item() == wanted.item()


# Mistakes


def test_other_vocabularies_are_refused():
    world = World()
    other = Projection(world.teacher.hidden, torch.zeros(12, 7, dtype=torch.float64))
    with pytest.raises(ConfigError, match=r"vocabulary of 12 tokens, the student one of 11\. Mend:"):
        lean_divergence(ForwardKL(), world.student, other, world.mask)


def test_hidden_states_that_the_head_cant_read_are_refused():
    with pytest.raises(ConfigError, match=r"hidden states are 3 wide, the head takes 4\. Mend:"):
        Projection(torch.zeros(2, 3), torch.zeros(5, 4))


# Memory


@pytest.mark.parametrize("teacher", ["head", "logits", "list"])
def test_no_more_logits_are_held_than_a_chunk_has(monkeypatch, teacher):
    """Nothing that the forward and backward passes make is as large as the logits of all tokens."""
    from torch.utils._python_dispatch import TorchDispatchMode

    world = World(tokens=100, width=1, vocabulary=1000, dtype=torch.float32)
    target = world.target(teacher)
    inputs = {one.untyped_storage().data_ptr() for one in (world.weight, world.teacher.weight)}
    if teacher == "logits":
        inputs.add(target.untyped_storage().data_ptr())
    made = [0]

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            for one in result if isinstance(result, (tuple, list)) else (result,):
                if isinstance(one, torch.Tensor) and one.untyped_storage().data_ptr() not in inputs:
                    made.append(one.numel())
            return result

    with Watch():
        loss = lean_divergence(JensenShannon(), world.student, target, world.mask, chunk=4)
        loss.backward()
    assert max(made) == 4 * 1000 < world.mask.sum() * 1000 / 20
    if teacher == "list":
        return
    monkeypatch.setattr("tutelage.distillation.losses.lean._TILE_CELLS", 4 * 1000)
    made.clear()
    with Watch():
        lean_divergence(ForwardKL(), world.student, target, world.mask).backward()
    assert 3 * 1000 < max(made) <= 4 * 1000
