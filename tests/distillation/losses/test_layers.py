from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import softmax

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402

from tutelage.distillation.losses import (  # noqa: E402
    attention_distribution,
    attention_mse,
    attention_scores,
    hidden_cosine,
    hidden_mse,
    new_projection,
    relation,
    relations,
    score_variance,
    similarity_mse,
    state_variance,
)
from tutelage.errors import ConfigError  # noqa: E402

LENGTHS = [4, 1, 3, 0]
MASKED = -10_000.0  # what BERT adds to scores of padded keys


def mask_of(lengths=LENGTHS, tokens=5, left=False):
    mask = torch.arange(tokens)[None] < torch.tensor(lengths)[:, None]
    return mask.flip(-1) if left else mask


def random(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def states(width, seed=0, batch=4, tokens=5):
    return random(batch, tokens, width, seed=seed)


def scores(heads=2, seed=0, batch=4, tokens=5):
    return 2 * random(batch, heads, tokens, tokens, seed=seed)


def texts(mask):
    """Of each text its number and the places of its real tokens."""
    return [(index, np.flatnonzero(row)) for index, row in enumerate(mask.numpy()) if row.any()]


def loss_and_gradient(loss_of, student, *rest):
    ours = student.clone().requires_grad_()
    loss = loss_of(ours, *rest)
    loss.backward()
    return loss.item(), ours.grad


# Hidden states and embeddings


def mean_squares_by_hand(student, teacher, mask):
    rows = [
        np.mean((student[index, place].numpy() - teacher[index, place].numpy()) ** 2)
        for index, places in texts(mask)
        for place in places
    ]
    return math.fsum(rows)


@pytest.mark.parametrize("left", [False, True])
def test_hidden_mse_is_the_sum_over_tokens_of_the_mean_over_width(left):
    student, teacher, mask = states(3), states(3, seed=1), mask_of(left=left)
    loss, gradient = loss_and_gradient(hidden_mse, student, teacher, mask)
    assert loss == pytest.approx(mean_squares_by_hand(student, teacher, mask), rel=1e-12)
    wanted = 2 / 3 * (student - teacher) * mask[..., None]
    np.testing.assert_allclose(gradient, wanted, atol=1e-14)


def test_without_padding_and_by_their_number_it_is_tinyberts_mse():
    student, teacher, mask = states(3), states(3, seed=1), torch.ones(4, 5, dtype=torch.bool)
    wanted = functional.mse_loss(student, teacher)
    torch.testing.assert_close(hidden_mse(student, teacher, mask) / mask.sum(), wanted)


def test_a_projection_is_learned_with_the_student():
    student, teacher, mask = states(3), states(5, seed=1), mask_of()
    projection = new_projection(3, 5).double()
    assert projection.bias is None
    weight = projection.weight.detach()
    loss, gradient = loss_and_gradient(hidden_mse, student, teacher, mask, projection)
    assert loss == pytest.approx(mean_squares_by_hand(student @ weight.T, teacher, mask), rel=1e-12)
    assert gradient.abs().max() > 0 and projection.weight.grad.abs().max() > 0
    assert torch.autograd.gradcheck(
        lambda ours: hidden_mse(ours, teacher, mask, projection), student.requires_grad_()
    )


def test_a_projection_takes_states_of_another_precision():
    projection = new_projection(3, 5)
    loss = hidden_mse(states(3).bfloat16(), states(5), mask_of(), projection)
    exact = hidden_mse(states(3).bfloat16().float(), states(5), mask_of(), projection)
    assert torch.equal(loss, exact)


@pytest.mark.parametrize("loss_of", [hidden_mse, hidden_cosine])
def test_widths_that_differ_without_one_are_refused(loss_of):
    with pytest.raises(ConfigError, match=r"student's states are 3 wide, the teacher's 5\. Mend: a learned"):
        loss_of(states(3), states(5), mask_of())


@pytest.mark.parametrize("left", [False, True])
def test_hidden_cosine_by_hand(left):
    student, teacher, mask = states(3), states(3, seed=1), mask_of(left=left)
    rows = [
        1 - u @ v / (np.linalg.norm(u) * np.linalg.norm(v))
        for index, places in texts(mask)
        for u, v in ((student[index, place].numpy(), teacher[index, place].numpy()) for place in places)
    ]
    loss, gradient = loss_and_gradient(hidden_cosine, student, teacher, mask)
    assert loss == pytest.approx(math.fsum(rows), rel=1e-12)
    assert (gradient[~mask] == 0).all()
    assert torch.autograd.gradcheck(lambda ours: hidden_cosine(ours, teacher, mask), student.requires_grad_())


def test_by_their_number_it_is_distilberts_cosine_loss():
    student, teacher, mask = states(3), states(3, seed=1), mask_of()
    chosen = [one[mask] for one in (student, teacher)]
    wanted = torch.nn.CosineEmbeddingLoss(reduction="mean")(*chosen, torch.ones(len(chosen[0])))
    torch.testing.assert_close(hidden_cosine(student, teacher, mask) / mask.sum(), wanted)


# Attention


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("added", [0.0, MASKED, torch.finfo(torch.float32).min, -math.inf])
def test_attention_mse_is_that_of_the_texts_without_padding(left, added):
    """Whatever a model adds to the scores of padded keys."""
    student, teacher, mask = scores(), scores(seed=1), mask_of(left=left)
    wanted = []
    for index, places in texts(mask):
        ours, theirs = (one[index][:, places][:, :, places].numpy() for one in (student, teacher))
        wanted.append(len(places) * np.mean((ours - theirs) ** 2))
    keys = torch.where(mask, 0.0, added)[:, None, None, :]
    loss, gradient = loss_and_gradient(lambda ours: attention_mse(ours + keys, teacher + keys, mask), student)
    assert loss == pytest.approx(math.fsum(wanted), rel=1e-12)
    real = (mask[:, None, :, None] & mask[:, None, None, :]).expand_as(gradient)
    assert (gradient[~real] == 0).all() and gradient[real].abs().min() > 0


def test_of_one_whole_text_it_is_tinyberts_loss():
    """As their code has it: scores of -100 and less are 0 on both sides, then the mean of all squares."""
    student, teacher = scores(batch=1), scores(seed=1, batch=1)
    student[0, 0, 1, 2] = teacher[0, 1, 3, 3] = -150.0
    mask = torch.ones(1, 5, dtype=torch.bool)
    ours, theirs = (torch.where(one <= -1e2, torch.zeros_like(one), one) for one in (student, teacher))
    torch.testing.assert_close(attention_mse(student, teacher, mask) / 5, functional.mse_loss(ours, theirs))


def test_attention_mse_has_the_gradient_of_finite_differences():
    teacher, mask = scores(seed=1), mask_of()
    assert torch.autograd.gradcheck(
        lambda ours: attention_mse(ours, teacher, mask), scores().requires_grad_()
    )


def kl_by_hand(teacher, student):
    p, q = softmax(teacher), softmax(student)
    return math.fsum(p * np.log(p / q))


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("added", [0.0, MASKED, -math.inf])
def test_attention_distributions_are_compared_over_real_keys(left, added):
    student, teacher, mask = scores(heads=3), scores(heads=3, seed=1), mask_of(left=left)
    wanted = [
        kl_by_hand(teacher[index, head, place, places].numpy(), student[index, head, place, places].numpy())
        for index, places in texts(mask)
        for place in places
        for head in range(3)
    ]
    keys = torch.where(mask, 0.0, added)[:, None, None, :]
    loss, gradient = loss_and_gradient(
        lambda ours: attention_distribution(ours + keys, teacher + keys, mask), student
    )
    assert loss == pytest.approx(math.fsum(wanted) / 3, rel=1e-11)
    assert not gradient.isnan().any()
    real = (mask[:, None, :, None] & mask[:, None, None, :]).expand_as(gradient)
    assert (gradient[~real] == 0).all()


def test_attention_distribution_has_the_gradient_of_finite_differences():
    teacher, mask = scores(seed=1), mask_of()
    assert torch.autograd.gradcheck(
        lambda ours: attention_distribution(ours, teacher, mask), scores().requires_grad_()
    )


@pytest.mark.parametrize("loss_of", [attention_mse, attention_distribution])
def test_other_numbers_of_heads_are_refused(loss_of):
    with pytest.raises(ConfigError, match=r"student has 2 attention heads, the teacher 4\. Mend:.*relations"):
        loss_of(scores(heads=2), scores(heads=4), mask_of())


# Relations


def relation_by_hand(student, teacher, mask, heads):
    """Head by head, token by token, on the text alone: MiniLM eq. 6 to 8, with any number of heads."""
    total = []
    for index, places in texts(mask):
        for head in range(heads):
            for place in places:
                rows = []
                for one, other in (teacher, student):
                    size = one.shape[-1] // heads
                    part = slice(head * size, (head + 1) * size)
                    a, b = one[index, place, part].numpy(), other[index, places, part].numpy()
                    rows.append(b @ a / math.sqrt(size))
                total.append(kl_by_hand(*rows))
    return math.fsum(total) / heads


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("heads", [1, 2, 4])
def test_relations_are_those_of_the_texts_without_padding(left, heads):
    student = (states(8), states(8, seed=1))
    teacher = (states(12, seed=2), states(12, seed=3))
    mask = mask_of(left=left)
    loss, gradient = loss_and_gradient(
        lambda ours: relation((ours, student[1]), teacher, mask, heads), student[0]
    )
    assert loss == pytest.approx(relation_by_hand(student, teacher, mask, heads), rel=1e-11)
    assert (gradient[~mask] == 0).all() and gradient[0, mask[0]].abs().min() > 0


def test_a_value_relation_has_the_gradient_of_finite_differences():
    teacher, mask = (states(6, seed=1),) * 2, mask_of()
    assert torch.autograd.gradcheck(
        lambda ours: relation((ours, ours), teacher, mask, 2), states(4).requires_grad_()
    )


def test_minilm_v2_adds_up_queries_keys_and_values():
    names = ("query", "key", "value")
    student = {name: states(8, seed=seed) for seed, name in enumerate(names)}
    teacher = {name: states(12, seed=3 + seed) for seed, name in enumerate(names)}
    mask = mask_of()
    wanted = [relation((student[name],) * 2, (teacher[name],) * 2, mask, 4) for name in names]
    torch.testing.assert_close(relations(student, teacher, mask, 4), sum(wanted))
    attention = relations(student, teacher, mask, 4, [("query", "key")])
    of_scores = attention_distribution(
        attention_scores(student["query"], student["key"], 4),
        attention_scores(teacher["query"], teacher["key"], 4),
        mask,
    )
    torch.testing.assert_close(attention, of_scores)


@pytest.mark.parametrize(("width", "heads"), [(8, 3), (9, 2)])
def test_a_width_that_doesnt_split_is_refused(width, heads):
    side = (states(width),) * 2
    with pytest.raises(ConfigError, match=rf"{width}\] don't split into {heads} heads\. Mend: a number"):
        relation(side, side, mask_of(), heads)


def test_attention_scores_with_a_position_bias():
    query, key, bias = states(6), states(6, seed=1), random(5, 5, 2, seed=2)
    got = attention_scores(query, key, 2, bias)
    for text, head, row, column in np.ndindex(4, 2, 5, 5):
        part = slice(3 * head, 3 * head + 3)
        wanted = query[text, row, part] @ key[text, column, part] / math.sqrt(3) + bias[row, column, head]
        assert got[text, head, row, column].item() == pytest.approx(wanted.item(), rel=1e-12)


# Similarities of texts


def test_similarities_by_hand():
    student, teacher = random(5, 3), random(5, 7, seed=1)

    def cosine(rows, i, j):
        return rows[i] @ rows[j] / (np.linalg.norm(rows[i]) * np.linalg.norm(rows[j]))

    ours, theirs = student.numpy(), teacher.numpy()
    wanted = sum(
        (cosine(ours, i, j) - cosine(theirs, i, j)) ** 2 / 4 for i in range(5) for j in range(5) if i != j
    )
    loss, gradient = loss_and_gradient(similarity_mse, student, teacher)
    assert loss == pytest.approx(wanted, rel=1e-12)
    assert gradient.abs().min() > 0
    assert torch.autograd.gradcheck(lambda one: similarity_mse(one, teacher), student.requires_grad_())


@pytest.mark.parametrize("n", [0, 1])
def test_one_text_alone_has_no_relation(n):
    loss, gradient = loss_and_gradient(similarity_mse, random(n, 3), random(n, 4, seed=1))
    assert loss == 0.0 and (gradient == 0).all()


# All of them

LOSSES = {
    "hidden_mse": (hidden_mse, states(4), states(4, seed=1)),
    "hidden_cosine": (hidden_cosine, states(4), states(4, seed=1)),
    "attention_mse": (attention_mse, scores(), scores(seed=1)),
    "attention_distribution": (attention_distribution, scores(), scores(seed=1)),
    "relation": (
        lambda student, teacher, mask: relation((student, student), (teacher, teacher), mask, 2),
        states(4),
        states(4, seed=1),
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_more_padding_changes_nothing(name):
    loss_of, student, teacher = LOSSES[name]
    wanted, gradient = loss_and_gradient(loss_of, student, teacher, mask_of())
    extra = 3
    sides = (-2, -1) if student.ndim == 4 else (-2,)
    wider = []
    for one in (student, teacher):
        for side in sides:
            shape = list(one.shape)
            shape[side] = extra
            one = torch.cat([one, 50 * random(*shape, seed=9)], dim=side)
        wider.append(one)
    loss, grown = loss_and_gradient(loss_of, *wider, mask_of(tokens=5 + extra))
    assert loss == pytest.approx(wanted, rel=1e-12)
    cut = grown[..., :5, :5] if student.ndim == 4 else grown[:, :5]
    np.testing.assert_allclose(cut, gradient, atol=1e-14)
    assert grown.abs().sum().item() == pytest.approx(gradient.abs().sum().item(), rel=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_sums_of_batches_add_up(name):
    loss_of, student, teacher = LOSSES[name]
    mask = mask_of()
    whole, _ = loss_and_gradient(loss_of, student, teacher, mask)
    parts = [loss_and_gradient(loss_of, student[at], teacher[at], mask[at])[0] for at in ([0, 1], [2, 3])]
    assert sum(parts) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_of_nothing_but_padding_costs_nothing(name):
    loss_of, student, teacher = LOSSES[name]
    loss, gradient = loss_and_gradient(loss_of, student, teacher, torch.zeros(4, 5, dtype=torch.bool))
    assert loss == 0.0 and (gradient == 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_between_equals_it_is_nothing(name):
    loss_of, student, _ = LOSSES[name]
    assert loss_of(student, student.clone(), mask_of()).item() == pytest.approx(0.0, abs=1e-14)


@pytest.mark.parametrize("name", LOSSES)
def test_no_gradient_reaches_the_teacher(name):
    loss_of, student, teacher = LOSSES[name]
    theirs = teacher.clone().requires_grad_()
    loss_of(student.clone().requires_grad_(), theirs, mask_of()).backward()
    assert theirs.grad is None


@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_is_computed_in_float32(name):
    loss_of, student, teacher = LOSSES[name]
    halves = student.bfloat16(), teacher.bfloat16()
    loss = loss_of(*halves, mask_of())
    wanted = loss_of(*(one.double() for one in halves), mask_of())
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert loss_of(*(one.float() for one in halves), mask_of()).item() == loss.item()


def test_similarities_are_computed_in_float32_under_autocast():
    student, teacher = random(5, 3, dtype=torch.float32), random(5, 7, seed=1, dtype=torch.float32)
    wanted = similarity_mse(student, teacher)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(similarity_mse(student, teacher), wanted)


# What losses are divided by


def test_a_states_variance_is_over_real_tokens_and_the_mean_over_width():
    mask = torch.tensor([[True, True, False], [True, False, False]])
    teacher = torch.randn(2, 3, 5, dtype=torch.float64)
    teacher[~mask] = 1e6
    wanted = teacher[mask].numpy().var(axis=0).mean()
    torch.testing.assert_close(state_variance(teacher, mask).item(), wanted)


def test_a_scores_variance_is_over_real_pairs_and_the_mean_over_heads():
    mask = torch.tensor([[True, True, False]])
    teacher = torch.randn(1, 4, 3, 3, dtype=torch.float64)
    real = teacher[0, :, :2, :2].reshape(4, 4).numpy()
    teacher[:, :, 2], teacher[:, :, :, 2] = -1e4, -1e4
    torch.testing.assert_close(score_variance(teacher, mask).item(), real.var(axis=1).mean())


def test_a_student_that_says_the_mean_explains_nothing_of_the_states():
    mask = torch.ones(2, 3, dtype=torch.bool)
    teacher = 0.01 * torch.randn(2, 3, 5) + 7.0
    mean = teacher.mean((0, 1)).expand_as(teacher)
    share = hidden_mse(mean, teacher, mask) / mask.sum() / state_variance(teacher, mask)
    assert share.item() == pytest.approx(1.0, rel=1e-4)


@pytest.mark.parametrize("tokens", [1, 3])
def test_a_teacher_that_always_says_the_same_is_divided_by_no_zero(tokens):
    mask = torch.ones(1, tokens, dtype=torch.bool)
    assert state_variance(torch.ones(1, tokens, 4), mask) > 0
    assert score_variance(torch.ones(1, 2, tokens, tokens), mask) > 0
