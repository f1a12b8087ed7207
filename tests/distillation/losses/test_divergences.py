from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import reference_losses as plain  # noqa: E402

from tutelage.distillation.losses import (  # noqa: E402
    ForwardKL,
    JensenShannon,
    ReverseKL,
    SkewedKL,
    SkewedReverseKL,
    TotalVariation,
)


def rows(n=7, events=5, seed=0, spread=3.0, dtype=torch.float64):
    """Log-probabilities of teacher and student."""
    generator = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(2, n, events, generator=generator, dtype=torch.float64)
    return torch.log_softmax(logits, dim=-1).to(dtype)


@pytest.mark.parametrize("kind", plain.KINDS)
def test_the_value_of_each_row_is_its_definition(kind):
    log_p, log_q = rows()
    wanted = [
        plain.divergence(kind, p, q) for p, q in zip(log_p.exp().tolist(), log_q.exp().tolist(), strict=True)
    ]
    np.testing.assert_allclose(kind.value(log_p, log_q), wanted, rtol=1e-11)


@pytest.mark.parametrize("kind", plain.KINDS)
@pytest.mark.parametrize("spread", [0.3, 3.0, 30.0])
def test_the_slope_is_the_gradient_that_reaches_the_logits(kind, spread):
    log_p, log_q = rows(spread=spread)
    logits = (log_q + 0.7).requires_grad_()
    kind.value(log_p, torch.log_softmax(logits, dim=-1)).sum().backward()
    slope, q = kind.slope(log_p, log_q), log_q.exp()
    np.testing.assert_allclose(slope - q * slope.sum(-1, keepdim=True), logits.grad, atol=1e-13)


@pytest.mark.parametrize("kind", plain.KINDS)
def test_it_is_nothing_between_equals_and_something_else_wise(kind):
    log_p, log_q = rows()
    np.testing.assert_allclose(kind.value(log_p, log_p.clone()), 0.0, atol=1e-14)
    assert (kind.value(log_p, log_q) > 1e-3).all()


# Probabilities of 0


@pytest.mark.parametrize("kind", plain.KINDS)
@pytest.mark.parametrize(
    ("p", "q"),
    [
        ([1.0, 0.0, 0.0], [0.5, 0.25, 0.25]),
        ([0.5, 0.25, 0.25], [1.0, 0.0, 0.0]),
        ([0.5, 0.5, 0.0], [0.0, 0.5, 0.5]),
        ([0.5, 0.5, 0.0], [0.25, 0.75, 0.0]),
        ([1.0, 0.0, 0.0], [0.0, 0.0, 1.0]),
    ],
)
def test_probabilities_of_nothing_give_the_definitions_limit_and_no_nan(kind, p, q):
    log_p = torch.tensor([p], dtype=torch.float64).log()
    log_q = torch.tensor([q], dtype=torch.float64).log().requires_grad_()
    value = kind.value(log_p, log_q)
    try:
        wanted = plain.divergence(kind, p, q)
    except ZeroDivisionError:
        wanted = math.inf
    assert float(value.detach()) == pytest.approx(wanted, abs=1e-14)
    value.sum().backward()
    assert not log_q.grad.isnan().any()
    slope = kind.slope(log_p, log_q.detach())
    assert not slope.isnan().any()
    assert math.isinf(wanted) or slope.isfinite().all()


# Limits and relations


def test_jensen_shannon_over_beta_tends_to_forward_and_reverse_kl():
    log_p, log_q = rows()
    tiny = 1e-7
    near_forward = JensenShannon(tiny).value(log_p, log_q) / tiny
    near_reverse = JensenShannon(1 - tiny).value(log_p, log_q) / tiny
    np.testing.assert_allclose(near_forward, ForwardKL().value(log_p, log_q), rtol=1e-4)
    np.testing.assert_allclose(near_reverse, ReverseKL().value(log_p, log_q), rtol=1e-4)
    assert torch.equal(JensenShannon(0.0).value(log_p, log_q), ForwardKL().value(log_p, log_q))
    assert torch.equal(JensenShannon(1.0).value(log_p, log_q), ReverseKL().value(log_p, log_q))


def test_jensen_shannon_is_symmetric_at_a_half_and_at_most_ln_2():
    log_p, log_q = rows(spread=200.0)
    there, back = JensenShannon().value(log_p, log_q), JensenShannon().value(log_q, log_p)
    np.testing.assert_allclose(there, back, rtol=1e-12)
    assert (there <= math.log(2) + 1e-12).all() and there.max() > 0.69


def test_skewed_ones_tend_to_the_plain_ones():
    log_p, log_q = rows()
    np.testing.assert_allclose(SkewedKL(1e-9).value(log_p, log_q), ForwardKL().value(log_p, log_q), rtol=1e-5)
    np.testing.assert_allclose(
        SkewedReverseKL(1e-9).value(log_p, log_q), ReverseKL().value(log_p, log_q), rtol=1e-5
    )


def test_total_variation_is_the_largest_difference_of_any_set_of_events():
    log_p, log_q = rows(n=1, events=4)
    difference = (log_p - 0).exp()[0] - log_q.exp()[0]
    sets = [[bool(number >> bit & 1) for bit in range(4)] for number in range(16)]
    wanted = max(float(difference[torch.tensor(chosen)].sum()) for chosen in sets)
    assert float(TotalVariation().value(log_p, log_q)) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("beta", [-0.1, 1.1, math.nan])
def test_a_beta_that_is_no_share_is_refused(beta):
    with pytest.raises(ValueError, match=r"beta .* is .*Mend: from 0 to 1"):
        JensenShannon(beta)


@pytest.mark.parametrize("skewed", [SkewedKL, SkewedReverseKL])
@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0])
def test_an_alpha_at_the_ends_is_refused(skewed, alpha):
    with pytest.raises(ValueError, match=r"alpha .* is .*Mend: between 0 and 1"):
        skewed(alpha)
