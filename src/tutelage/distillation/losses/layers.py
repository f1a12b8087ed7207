"""Losses between layers. Each is a *sum* over real tokens of a term for each token, a scalar.

As in `tokens`, the caller divides by the number of real tokens in the whole optimiser step. Of one text, that
is the mean that its paper writes; of a batch, texts weigh by their length. Padding counts nowhere: neither as
a token, nor as a key that a token looks at, nor in a divisor, so that a batch padded further gives the same.
The papers' code isn't always so strict, and where it differs the function says how.

Unless said otherwise tensors are [batch, tokens, width], `mask` is bool [batch, tokens], true for real
tokens, and no gradient reaches the teacher. Numbers are computed in float32, or in float64 where the
student's are float64.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from tutelage.distillation.losses.divergences import ForwardKL
from tutelage.distillation.losses.tokens import computed_in
from tutelage.errors import ConfigError

MINILM_V2 = (("query", "query"), ("key", "key"), ("value", "value"))

_MASKED_SCORE = -1e2


def new_projection(student_width: int, teacher_width: int) -> nn.Linear:
    """A learned map from the student's width to the teacher's, without bias: W_h and W_e of TinyBERT.

    Where the widths are equal there is no need of one.
    """
    return nn.Linear(student_width, teacher_width, bias=False)


def hidden_mse(student: Tensor, teacher: Tensor, mask: Tensor, projection: nn.Module | None = None) -> Tensor:
    """MSE(H_S W_h, H_T), the mean over width: hidden states, TinyBERT (Jiao et al. 2020) eq. 8.

    The same with embedding layers' outputs is eq. 9. `projection` takes the student to the teacher's width.
    TinyBERT's code also averages over padding. Raises ConfigError where widths differ and none is given.
    """
    ours, theirs = _states(student, teacher, mask, projection)
    return (ours - theirs).square().mean(-1).sum()


def hidden_cosine(
    student: Tensor, teacher: Tensor, mask: Tensor, projection: nn.Module | None = None
) -> Tensor:
    """1 − cos(h_S, h_T) of hidden states, as DistilBERT (Sanh et al. 2019) has it on the last layer.

    Their code takes the mean over real tokens, as the sum here divided by their number.
    Raises ConfigError where widths differ and no `projection` is given.
    """
    ours, theirs = _states(student, teacher, mask, projection)
    return (1.0 - functional.cosine_similarity(ours, theirs, dim=-1)).sum()


def attention_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """1/h Σ MSE(A_S, A_T) of attention *scores* [batch, heads, tokens, tokens]: TinyBERT eq. 7.

    Scores are unnormalised, before the softmax (the paper found that they converge faster than
    probabilities), with the attention mask added or without: `attention_scores` makes them. The term of a
    token is the mean over heads and real keys.

    As in the paper's code, scores of −100 and less count as 0. There the mask of −10,000 has already been
    added, and a difference of two such numbers, or of −10,000 and −3e38 in another family, would drown all
    others; a true score so low has a probability of 0 after the softmax anyhow. The code also counts the rows
    of padded queries, and divides by all keys. Raises ConfigError where the numbers of heads differ.
    """
    _require_same_heads(student, teacher)
    ours, theirs = _unmasked_scores(student), _unmasked_scores(teacher.detach())
    squares = (ours - theirs.to(ours.dtype)).square().mean(1)
    both = mask[:, :, None] & mask[:, None, :]
    rows = torch.where(both, squares, 0.0).sum(-1)
    return (rows / _length(mask, rows.dtype)).sum()


def state_variance(teacher: Tensor, mask: Tensor) -> Tensor:
    """Of a teacher's states over a batch's real tokens, the mean over width: a scalar above 0.

    What `hidden_mse` divided by it says, a mean over tokens, is the share of the states that isn't explained.
    """
    real = teacher.detach()[mask]
    return _above_zero((real - real.mean(0)).square().mean())


def score_variance(teacher: Tensor, mask: Tensor) -> Tensor:
    """As `state_variance`, for `attention_mse`: of scores [batch, heads, tokens, tokens] over real pairs."""
    scores = _unmasked_scores(teacher.detach()).transpose(0, 1)
    real = scores[:, mask[:, :, None] & mask[:, None, :]]
    return _above_zero((real - real.mean(1, keepdim=True)).square().mean())


def _above_zero(variance: Tensor) -> Tensor:
    return variance.clamp_min(torch.finfo(variance.dtype).eps)


def attention_distribution(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """KL(A_T ‖ A_S) of attention distributions: MiniLM (Wang et al. 2020) eq. 5, on the last layer of either.

    From scores [batch, heads, tokens, tokens], with or without the attention mask added; the softmax over
    real keys is taken here. The term of a token is the mean over heads.
    Raises ConfigError where the numbers of heads differ: `relation` doesn't need them to be equal.
    """
    _require_same_heads(student, teacher)
    return _relation_divergence(student, teacher, mask)


def relation(
    student: tuple[Tensor, Tensor], teacher: tuple[Tensor, Tensor], mask: Tensor, heads: int
) -> Tensor:
    """KL(R_T ‖ R_S) of relations R = softmax(A Bᵀ / √d_r) between two projections, with any number of heads.

    `student` and `teacher` are each a pair (A, B) of [batch, tokens, width], the outputs of two among query,
    key and value projections; all heads' vectors are laid side by side and split anew into `heads` of
    width / heads. The term of a token is the mean over relation heads.

    The value relation of MiniLM (Wang et al. 2020, eq. 6 to 8) is (V, V) with the model's own heads. Those of
    MiniLMv2 (Wang et al. 2021, section 3) are (Q, Q), (K, K) and (V, V) with 48 heads for base teachers or 64
    for large ones, on the student's last layer and the teacher's last or, of large ones, an upper middle one.
    Raises ConfigError where a width isn't a multiple of `heads`.
    """
    ours = relation_scores(*student, heads)
    theirs = relation_scores(teacher[0].detach(), teacher[1].detach(), heads)
    return _relation_divergence(ours, theirs, mask)


def relations(
    student: dict[str, Tensor],
    teacher: dict[str, Tensor],
    mask: Tensor,
    heads: int,
    which: Iterable[tuple[str, str]] = MINILM_V2,
) -> Tensor:
    """The sum of `relation` over pairs of `query`, `key` and `value`, each with weight 1 as in MiniLMv2."""
    terms = [
        relation((student[one], student[other]), (teacher[one], teacher[other]), mask, heads)
        for one, other in which
    ]
    return torch.stack(terms).sum()


def relation_scores(one: Tensor, other: Tensor, heads: int) -> Tensor:
    """A Bᵀ / √(width / heads) of each head, [batch, heads, tokens, tokens], from [batch, tokens, width].

    With query, key and the model's own number of heads, these are its attention scores before any mask.
    Raises ConfigError where the width isn't a multiple of `heads`.
    """
    if one.shape[-1] % heads or other.shape != one.shape:
        raise ConfigError(
            f"projections {list(one.shape)} and {list(other.shape)} don't split into {heads} heads. "
            "Mend: a number of heads that divides the widths of teacher and student"
        )
    dtype = computed_in(one.dtype)
    a, b = (side.to(dtype).unflatten(-1, (heads, -1)).transpose(1, 2) for side in (one, other))
    with torch.autocast(one.device.type, enabled=False):
        return a @ b.transpose(-1, -2) / a.shape[-1] ** 0.5


def attention_scores(query: Tensor, key: Tensor, heads: int, position_bias: Tensor | None = None) -> Tensor:
    """A model's attention scores from the outputs of its projections: `relation_scores` and what is added.

    `position_bias`, [tokens, tokens, heads], is MPNet's relative attention bias as its module gives it.
    """
    scores = relation_scores(query, key, heads)
    return scores if position_bias is None else scores + position_bias.permute(2, 0, 1)


def similarity_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared differences of texts' cosines, which have no width: [texts, width] and [texts, another width].

    Relations of examples as in relational distillation (Park et al. 2019, there distances and angles) and
    similarity-preserving distillation (Tung and Mori 2019, there products normalised by row); cosines are
    what embeddings are used for. A text's term is the mean over the *other* texts of this batch of
    (cos_S − cos_T)², so divide by the number of texts; one text alone has no relation, and gives 0.
    """
    ours = student.to(computed_in(student.dtype))
    theirs = teacher.detach().to(ours.dtype)
    gap = _cosines(ours) - _cosines(theirs)
    others = ~torch.eye(len(gap), dtype=torch.bool, device=gap.device)
    return torch.where(others, gap.square(), 0.0).sum() / max(len(gap) - 1, 1)


def _cosines(embeddings: Tensor) -> Tensor:
    unit = functional.normalize(embeddings, dim=-1)
    with torch.autocast(unit.device.type, enabled=False):
        return unit @ unit.T


def _states(
    student: Tensor, teacher: Tensor, mask: Tensor, projection: nn.Module | None
) -> tuple[Tensor, Tensor]:
    """Real tokens of both, [n, teacher's width]."""
    ours = student[mask]
    if projection is not None:
        # Under mixed precision states may be halves and a projection's weights not, or the other way round.
        ours = projection(ours.to(next(projection.parameters(), ours).dtype))
    if ours.shape[-1] != teacher.shape[-1]:
        raise ConfigError(
            f"the student's states are {ours.shape[-1]} wide, the teacher's {teacher.shape[-1]}. "
            "Mend: a learned projection (new_projection), or layers of the same width"
        )
    ours = ours.to(computed_in(ours.dtype))
    return ours, teacher.detach()[mask].to(ours.dtype)


def _unmasked_scores(scores: Tensor) -> Tensor:
    scores = scores.to(computed_in(scores.dtype))
    return torch.where(scores <= _MASKED_SCORE, 0.0, scores)


def _relation_divergence(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Σ over real tokens of the mean over heads of KL(softmax(teacher) ‖ softmax(student)) over real keys."""
    dtype = computed_in(student.dtype)
    log_p, log_q = (
        torch.log_softmax(
            scores.to(dtype).transpose(1, 2)[mask].masked_fill(~_keys_of_rows(mask), -torch.inf), dim=-1
        )
        for scores in (teacher.detach(), student)
    )
    return ForwardKL().value(log_p, log_q).mean(-1).sum()


def _keys_of_rows(mask: Tensor) -> Tensor:
    """For each real token the keys of its text that are real, [n, 1, tokens]."""
    return mask[:, None, :].expand(-1, mask.shape[1], -1)[mask][:, None, :]


def _length(mask: Tensor, dtype: torch.dtype) -> Tensor:
    return mask.sum(-1, keepdim=True).clamp_min(1).to(dtype)


def _require_same_heads(student: Tensor, teacher: Tensor) -> None:
    if student.shape[1] != teacher.shape[1]:
        raise ConfigError(
            f"the student has {student.shape[1]} attention heads, the teacher {teacher.shape[1]}. "
            "Mend: a student with as many, or relations (MiniLMv2), which split into any number"
        )
