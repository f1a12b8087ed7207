from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

torch = pytest.importorskip("torch")

import reference_losses as plain  # noqa: E402

from tutelage.distillation.losses import (  # noqa: E402
    ForwardKL,
    JensenShannon,
    ReverseKL,
    TopK,
    TotalVariation,
    completion_cross_entropy,
    token_divergence,
)
from tutelage.errors import ConfigError  # noqa: E402
from tutelage.signals import TokenLogprobs, tail  # noqa: E402

TEMPERATURES = [1.0, 2.5]


def world(batch=2, tokens=4, vocabulary=6, seed=0, spread=2.0):
    """Student's and teacher's logits in float64, and a mask that leaves some tokens out."""
    generator = np.random.default_rng(seed)
    student, teacher = spread * generator.normal(size=(2, batch, tokens, vocabulary))
    mask = generator.random((batch, tokens)) < 0.7
    mask[0, 0] = True
    return student, teacher, mask


def listing(teacher, k, seed=0):
    """Log-probabilities and ids of the k likeliest tokens, in any order."""
    logprobs = log_softmax(teacher, axis=-1)
    ids = np.argsort(-logprobs, axis=-1)[..., :k]
    ids = np.random.default_rng(seed).permuted(ids, axis=-1)
    return np.take_along_axis(logprobs, ids, axis=-1), ids


def top_k(logprobs, ids, dtype=torch.float64):
    return TopK(torch.tensor(logprobs, dtype=dtype), torch.tensor(ids))


def loss_and_gradient(kind, student, teacher, mask, temperature=1.0, dtype=torch.float64):
    logits = torch.tensor(student, dtype=dtype, requires_grad=True)
    if not isinstance(teacher, TopK):
        teacher = torch.tensor(teacher, dtype=dtype)
    loss = token_divergence(kind, logits, teacher, torch.tensor(mask), temperature=temperature)
    loss.backward()
    return loss.item(), logits.grad


# Dense


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(plain.KINDS),
    st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 7)),
    st.sampled_from([0.5, 1.0, 4.0]),
    st.integers(0, 99),
)
def test_it_is_the_sum_over_masked_tokens(kind, shape, temperature, seed):
    student, teacher, mask = world(*shape, seed=seed)
    loss, gradient = loss_and_gradient(kind, student, teacher, mask, temperature)
    assert loss == pytest.approx(plain.dense(kind, student, teacher, mask, temperature), rel=1e-10, abs=1e-12)
    assert (gradient[~torch.tensor(mask)] == 0).all()
    single, narrow = loss_and_gradient(kind, student, teacher, mask, temperature, torch.float32)
    assert single == pytest.approx(loss, rel=1e-4, abs=1e-5)
    np.testing.assert_allclose(narrow, gradient, atol=1e-5)


@pytest.mark.parametrize("kind", plain.SMOOTH)
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_its_gradient_is_that_of_finite_differences(kind, temperature):
    student, teacher, mask = world()

    def loss(logits):
        return token_divergence(
            kind, logits, torch.tensor(teacher), torch.tensor(mask), temperature=temperature
        )

    assert torch.autograd.gradcheck(loss, torch.tensor(student, requires_grad=True))


def test_sums_of_unlike_batches_add_up():
    student, teacher, mask = world(batch=3)
    whole, gradient = loss_and_gradient(ForwardKL(), student, teacher, mask)
    parts = [loss_and_gradient(ForwardKL(), student[at], teacher[at], mask[at]) for at in ([0], [1, 2])]
    assert sum(loss for loss, _ in parts) == pytest.approx(whole, rel=1e-12)
    np.testing.assert_allclose(torch.cat([part for _, part in parts]), gradient, atol=1e-14)


def test_no_gradient_reaches_the_teacher():
    student, teacher, mask = world()
    ours, theirs = (torch.tensor(logits, requires_grad=True) for logits in (student, teacher))
    token_divergence(ReverseKL(), ours, theirs, torch.tensor(mask)).backward()
    assert theirs.grad is None and ours.grad.abs().max() > 0


@pytest.mark.parametrize("kind", plain.KINDS)
@pytest.mark.parametrize("k", [None, 3])
def test_where_nothing_is_masked_in_the_loss_is_nothing_and_so_is_its_gradient(kind, k):
    student, teacher, mask = world()
    target = teacher if k is None else top_k(*listing(teacher, k))
    loss, gradient = loss_and_gradient(kind, student, target, np.zeros_like(mask))
    assert loss == 0.0 and (gradient == 0).all()


@pytest.mark.parametrize("kind", plain.KINDS)
@pytest.mark.parametrize("k", [None, 2])
def test_what_is_masked_out_may_be_anything(kind, k):
    student, teacher, mask = world(spread=1.0)
    wanted = loss_and_gradient(kind, student, teacher if k is None else top_k(*listing(teacher, k)), mask)
    student[~mask], teacher[~mask] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        target = teacher if k is None else top_k(*listing(teacher, k))
    loss, gradient = loss_and_gradient(kind, student, target, mask)
    assert loss == wanted[0] and torch.equal(gradient, wanted[1])


@pytest.mark.parametrize("kind", plain.SMOOTH)
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_huge_logits_give_finite_losses_and_gradients(kind, temperature):
    student = np.array([[[2e4, -2e4, 0.0], [1.0, 2.0, 3.0], [0.0, 3e4, 3e4]]])
    teacher = np.array([[[-1e4, 1e4, 9e3], [5e3, 4e3, 3e3], [3e4, 3e4, 0.0]]])
    mask = np.ones((1, 3), bool)
    loss, gradient = loss_and_gradient(kind, student, teacher, mask, temperature, torch.float32)
    assert math.isfinite(loss) and gradient.isfinite().all() and gradient.abs().max() > 0


@pytest.mark.parametrize("kind", plain.KINDS)
def test_tokens_that_neither_can_say_change_nothing(kind):
    student, teacher, mask = world()
    wanted, gradient = loss_and_gradient(kind, student, teacher, mask)
    never = np.full((*student.shape[:-1], 2), -np.inf)
    loss, wider = loss_and_gradient(
        kind, np.concatenate([student, never], -1), np.concatenate([teacher, never], -1), mask
    )
    assert loss == pytest.approx(wanted, rel=1e-12)
    np.testing.assert_allclose(wider[..., :-2], gradient, atol=1e-14)
    assert (wider[..., -2:] == 0).all()


def test_half_precision_is_computed_in_full():
    student, teacher, mask = world(vocabulary=50)
    ours, theirs = (torch.tensor(logits, dtype=torch.bfloat16) for logits in (student, teacher))
    ours.requires_grad_()
    loss = token_divergence(ForwardKL(), ours, theirs, torch.tensor(mask))
    assert loss.dtype == torch.float32
    wanted = plain.dense(ForwardKL(), ours.detach().double().numpy(), theirs.double().numpy(), mask)
    assert loss.item() == pytest.approx(wanted, rel=1e-5)
    loss.backward()
    assert ours.grad.dtype == torch.bfloat16


@pytest.mark.parametrize("k", [None, 3])
def test_one_token_of_one_text(k):
    student, teacher, mask = world(1, 1, 4)
    target = teacher if k is None else top_k(*listing(teacher, k))
    loss, _ = loss_and_gradient(JensenShannon(), student, target, mask)
    # Of four tokens the fourth is all of the tail.
    assert loss == pytest.approx(plain.dense(JensenShannon(), student, teacher, mask), rel=1e-10)


def test_other_vocabularies_are_refused_with_what_to_do():
    student, teacher, mask = world()
    with pytest.raises(ConfigError, match=r"vocabulary of 7 tokens, the student one of 6\. Mend:"):
        loss_and_gradient(ForwardKL(), student, np.pad(teacher, [(0, 0), (0, 0), (0, 1)]), mask)


# From a list and its tail


@pytest.mark.parametrize("kind", plain.KINDS)
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("unlisted", [0, 1])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_list_of_all_tokens_or_all_but_one_is_the_dense_loss(kind, temperature, unlisted, dtype):
    student, teacher, mask = world(spread=1.5)
    wanted, gradient = loss_and_gradient(kind, student, teacher, mask, temperature)
    target = top_k(*listing(teacher, 6 - unlisted), dtype)
    loss, sparse = loss_and_gradient(kind, student, target, mask, temperature, dtype)
    accuracy = 1e-11 if dtype == torch.float64 else 3e-5
    assert loss == pytest.approx(wanted, rel=accuracy, abs=accuracy)
    np.testing.assert_allclose(sparse, gradient, atol=accuracy)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(plain.KINDS),
    st.integers(1, 9),
    st.sampled_from([0.5, 1.0, 4.0]),
    st.integers(0, 99),
)
def test_the_tail_is_one_event_on_both_sides(kind, k, temperature, seed):
    student, teacher, mask = world(vocabulary=9, seed=seed)
    logprobs, ids = listing(teacher, k)
    loss, gradient = loss_and_gradient(kind, student, top_k(logprobs, ids), mask, temperature)
    wanted = plain.sparse(kind, student, logprobs, ids, mask, temperature)
    assert loss == pytest.approx(wanted, rel=1e-9, abs=1e-11)
    assert (gradient[~torch.tensor(mask)] == 0).all()


@pytest.mark.parametrize("kind", plain.SMOOTH)
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_the_gradient_through_the_tail_is_that_of_finite_differences(kind, temperature):
    student, teacher, mask = world(vocabulary=8)
    target = top_k(*listing(teacher, 3))

    def loss(logits):
        return token_divergence(kind, logits, target, torch.tensor(mask), temperature=temperature)

    assert torch.autograd.gradcheck(loss, torch.tensor(student, requires_grad=True))


@pytest.mark.parametrize("kind", plain.KINDS)
def test_a_list_never_tells_more_than_the_whole(kind):
    student, teacher, mask = world(tokens=20, vocabulary=12)
    wholes = [loss_and_gradient(kind, student, top_k(*listing(teacher, k)), mask)[0] for k in (1, 4, 8, 12)]
    assert wholes == sorted(wholes)
    assert wholes[-1] == pytest.approx(plain.dense(kind, student, teacher, mask), rel=1e-10)


@pytest.mark.parametrize("kind", plain.KINDS)
@pytest.mark.parametrize("vocabulary", [5, 9])
def test_places_without_an_alternative_count_nothing(kind, vocabulary):
    """Lists are as long as their longest: the rest is -inf and -1, and token 0 must not be taken for it."""
    student, teacher, mask = world(vocabulary=vocabulary)
    mask[:] = True
    logprobs, ids = listing(teacher, 5)
    short = np.array([[1, 2, 3, 4], [5, 4, 3, 2]])
    absent = np.arange(5) >= short[..., None]
    logprobs[absent], ids[absent] = -np.inf, -1
    loss, gradient = loss_and_gradient(kind, student, top_k(logprobs, ids), mask)
    assert loss == pytest.approx(plain.sparse(kind, student, logprobs, ids, mask), rel=1e-10)
    for row, column in np.ndindex(short.shape):
        one = np.zeros_like(mask)
        one[row, column] = True
        k = short[row, column]
        alone = top_k(logprobs[..., :k], ids[..., :k])
        expected = loss_and_gradient(kind, student, alone, one)[1][row, column]
        np.testing.assert_allclose(gradient[row, column], expected, atol=1e-12)


@pytest.mark.parametrize("kind", plain.KINDS)
def test_a_token_of_which_nothing_is_listed_teaches_nothing(kind):
    student, _, mask = world()
    empty = top_k(np.full((*mask.shape, 3), -np.inf), np.full((*mask.shape, 3), -1))
    loss, gradient = loss_and_gradient(kind, student, empty, mask)
    assert loss == pytest.approx(0.0, abs=1e-14)
    np.testing.assert_allclose(gradient, 0.0, atol=1e-14)


@pytest.mark.parametrize("kind", plain.KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_teacher_that_is_certain_in_its_own_precision_gives_finite_numbers(kind, dtype):
    """Log-probabilities of 0 and -20 leave no tail that float32 could show; the student has one."""
    student, _, mask = world(1, 3, 6)
    logprobs = np.array([[[0.0, -20.0], [-1e-8, -20.0], [0.0, -np.inf]]])
    ids = np.array([[[2, 4], [1, 0], [3, 5]]])
    mask[:] = True
    loss, gradient = loss_and_gradient(kind, student, top_k(logprobs, ids, dtype), mask, 1.0, torch.float32)
    infinite = isinstance(kind, ReverseKL) or kind == JensenShannon(1.0)
    assert math.isfinite(loss) or infinite, "an alternative listed with probability 0 is the teacher's word"
    mask[0, 2] = False
    loss, gradient = loss_and_gradient(kind, student, top_k(logprobs, ids, dtype), mask, 1.0, torch.float32)
    assert math.isfinite(loss) and gradient.isfinite().all() and loss > 0


@pytest.mark.parametrize("kind", plain.KINDS)
def test_a_student_that_is_certain_of_the_list_has_an_exact_tail(kind):
    """log(1 − Σ listed) would be -inf or noise here: the tail's probability is some 1e-12."""
    student = np.array([[[30.0, 2.0, 1.0, 0.0, 0.5]]])
    teacher = np.array([[[1.0, 0.9, 0.3, 0.1, 0.2]]])
    logprobs, ids = listing(teacher, 1)
    assert ids.item() == 0
    loss, gradient = loss_and_gradient(
        kind, student, top_k(logprobs, ids, torch.float32), np.ones((1, 1), bool), 1.0, torch.float32
    )
    wanted = plain.sparse(kind, student, logprobs, ids, np.ones((1, 1), bool))
    assert loss == pytest.approx(wanted, rel=1e-5) and gradient.isfinite().all()


def test_the_list_is_what_the_answer_ledger_keeps():
    tokens = TokenLogprobs.of(
        [[(b"a", math.log(0.5)), (b"b", math.log(0.2))], [(b"c", math.log(0.9))]], [[3, 1], [0]]
    )
    target = TopK(torch.from_numpy(tokens.logprobs)[None], torch.from_numpy(tokens.ids)[None])
    student, _, _ = world(1, 2, 5)
    mask = np.ones((1, 2), bool)
    loss, _ = loss_and_gradient(ForwardKL(), student, target, mask, 1.0, torch.float32)
    q = softmax(student[0], axis=-1)
    left = np.exp(tail(tokens).astype(np.float64))
    wanted = (
        plain.kl([0.5, 0.2, left[0]], [q[0, 3], q[0, 1], 1 - q[0, 3] - q[0, 1]])
        + plain.kl([0.9, left[1]], [q[1, 0], 1 - q[1, 0]])
    )  # fmt: skip
    assert loss == pytest.approx(wanted, rel=1e-5)


def test_lists_of_unlike_shapes_are_refused():
    with pytest.raises(ValueError, match=r"logprobs are \[2, 3\] and ids \[2, 4\]"):
        TopK(torch.zeros(2, 3), torch.zeros(2, 4, dtype=torch.long))


# Cross-entropy


def test_completion_cross_entropy_is_the_sum_over_the_completion():
    logits, _, mask = world(tokens=6)
    targets = np.random.default_rng(3).integers(6, size=mask.shape)
    wanted = -sum(
        math.log(plain.probabilities(logits[at])[targets[at]]) for at in zip(*np.nonzero(mask), strict=True)
    )
    indicators = np.eye(6)[targets] * mask[..., None]
    targets[~mask] = -100
    ours = torch.tensor(logits, requires_grad=True)
    loss = completion_cross_entropy(ours, torch.tensor(targets), torch.tensor(mask))
    loss.backward()
    assert loss.item() == pytest.approx(wanted, rel=1e-12)
    gradient = softmax(logits, axis=-1) * mask[..., None] - indicators
    np.testing.assert_allclose(ours.grad, gradient, atol=1e-14)


def test_a_prompt_without_completion_costs_nothing():
    logits, _, mask = world()
    ours = torch.tensor(logits, requires_grad=True)
    targets = torch.full(mask.shape, -100)
    loss = completion_cross_entropy(ours, targets, torch.zeros(mask.shape, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0.0 and (ours.grad == 0).all()


def test_total_variation_pulls_by_side():
    student, teacher, mask = world(1, 1, 3)
    loss, gradient = loss_and_gradient(TotalVariation(), student, teacher, mask)
    p, q = (softmax(logits[0, 0]) for logits in (teacher, student))
    assert loss == pytest.approx(0.5 * np.abs(p - q).sum(), rel=1e-12)
    side = 0.5 * np.sign(q - p)
    np.testing.assert_allclose(gradient[0, 0], q * (side - (q * side).sum()), atol=1e-14)
