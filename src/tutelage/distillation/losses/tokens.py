"""Losses on token distributions. Each is a *sum* over the tokens that a mask names.

The caller divides by the number of those tokens in the whole optimiser step, so that gradient accumulation
over batches of unlike lengths is the same as one large batch. Nothing is shifted here: the logits at a place
are those of the token at that place, whoever aligned them. Numbers are computed in float32, or in float64
where the student's logits are float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from tutelage.distillation.losses.divergences import Divergence
from tutelage.errors import ConfigError


@dataclass(frozen=True, eq=False)
class TopK:
    """A teacher's listed alternatives of each token; what isn't listed is one event, the tail.

    `logprobs` are natural logarithms [..., k], none above 0; `ids` are integers [..., k] in the student's
    vocabulary, none twice in a row of the list. A place without an alternative holds -inf and a negative id,
    as in `tutelage.signals.TokenLogprobs`. They may hold any number from one to the whole vocabulary.
    """

    logprobs: Tensor
    ids: Tensor

    def __post_init__(self) -> None:
        if self.logprobs.shape != self.ids.shape:
            raise ValueError(f"logprobs are {list(self.logprobs.shape)} and ids {list(self.ids.shape)}")

    def __getitem__(self, rows: Tensor | slice) -> TopK:
        return TopK(self.logprobs[rows], self.ids[rows])

    def flat(self) -> TopK:
        """The same with lists [tokens, k]."""
        return TopK(self.logprobs.flatten(0, -2), self.ids.flatten(0, -2))


def token_divergence(
    kind: Divergence, student: Tensor, teacher: Tensor | TopK, mask: Tensor, *, temperature: float = 1.0
) -> Tensor:
    """The sum over masked tokens of a divergence between teacher and student, a scalar.

    `student`: logits [..., vocabulary]. `teacher`: logits of that shape, or `TopK`; no gradient reaches it.
    `mask`: bool [...]. Both distributions are taken at `temperature`; there is no factor T² (Hinton et al.
    2015 want it, GKD and DistiLLM don't): multiply where it is wanted.

    With `TopK` the events are the listed tokens and the tail, on both sides: a lower bound of the divergence
    over the vocabulary, and equal to it where at most one token isn't listed. A temperature softens these
    events, since what it would do to the tokens inside the tail isn't known.

    Raises ConfigError where the vocabularies differ.
    """
    rows = student[mask]
    log_p = teacher_events(teacher[mask], rows.shape[-1], temperature, rows.dtype)
    log_q = student_events(rows, teacher.ids[mask] if isinstance(teacher, TopK) else None, temperature)
    return kind.value(log_p, log_q).sum()


def completion_cross_entropy(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """The sum over masked tokens of −log q(target), a scalar: the loss on the teacher's text alone.

    `logits` [..., vocabulary]; `targets`, token ids int64 [...]; `mask` bool [...], true where the token is
    part of the completion. Targets elsewhere may be anything, -100 included.
    """
    rows = logits[mask]
    return functional.cross_entropy(rows.to(computed_in(rows.dtype)), targets[mask], reduction="sum")


def computed_in(dtype: torch.dtype) -> torch.dtype:
    """The type that sums are made in: float64 for float64, else float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def teacher_events(teacher: Tensor | TopK, vocabulary: int, temperature: float, dtype: torch.dtype) -> Tensor:
    """Log-probabilities of the teacher's events: [n, vocabulary] from logits, [n, k + 1] from `TopK`.

    The last of the latter is the tail. Raises ConfigError where logits are of another vocabulary.
    """
    if isinstance(teacher, TopK):
        return _listed_and_tail(teacher, vocabulary, temperature, computed_in(dtype))
    require_same_vocabulary(teacher.shape[-1], vocabulary)
    return log_softmax_at(temperature, teacher.detach().to(computed_in(dtype)))


def require_same_vocabulary(teacher: int, student: int) -> None:
    """Raise ConfigError where there are not as many tokens on both sides."""
    if teacher != student:
        raise ConfigError(
            f"the teacher has a vocabulary of {teacher:,} tokens, the student one of {student:,}. "
            "Mend: a student with the teacher's tokenizer, or learn from its text (recipe 'sequence')"
        )


def student_events(logits: Tensor, ids: Tensor | None, temperature: float) -> Tensor:
    """Log-probabilities of the student's events, as `teacher_events`: of all tokens where `ids` is None."""
    logits = logits.to(computed_in(logits.dtype))
    if ids is not None:
        listed, rest = split_listed(logits, ids)
        # Never log(1 − Σ listed): where the student is sure of what is listed, nothing but rounding is left.
        logits = torch.cat([listed, log_sum_exp(rest)], dim=-1)
    return log_softmax_at(temperature, logits)


def log_softmax_at(temperature: float, logits: Tensor) -> Tensor:
    """log softmax(logits / T) over the last dimension, without a copy of the logits where T is 1."""
    return torch.log_softmax(logits if temperature == 1.0 else logits / temperature, dim=-1)


def split_listed(logits: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """The logits at `ids`, [n, k], and all others, [n, vocabulary]; -inf in places that hold none."""
    known = ids >= 0
    # Where a row lists k' < k tokens, the rest of its places point at a token that it does list.
    places = torch.where(known, ids, ids.amax(-1, keepdim=True)).long()
    some = known.any(-1, keepdim=True)
    places = places.clamp_min(0)
    listed = logits.gather(-1, places).masked_fill(~known, -torch.inf)
    rest = logits.scatter(-1, places, -torch.inf)
    return listed, torch.where(some, rest, logits)


def log_sum_exp(logits: Tensor) -> Tensor:
    """[n, 1]; -inf with a gradient of 0 where all of a row is -inf, for which torch's own gradient is NaN."""
    empty = (logits == -torch.inf).all(-1, keepdim=True)
    total = torch.logsumexp(torch.where(empty, 0.0, logits), dim=-1, keepdim=True)
    return torch.where(empty, -torch.inf, total)


def _listed_and_tail(teacher: TopK, vocabulary: int, temperature: float, dtype: torch.dtype) -> Tensor:
    listed = teacher.logprobs.detach().masked_fill(teacher.ids < 0, -torch.inf).double()
    mass = listed.exp().sum(-1, keepdim=True)
    # A tail below the list's rounding isn't known to be 0; were it called so, reverse KL would be infinite.
    least = torch.finfo(teacher.logprobs.dtype).eps / 2
    tail = torch.log((1.0 - mass).clamp_min(least))
    tail = tail.masked_fill((teacher.ids >= 0).sum(-1, keepdim=True) >= vocabulary, -torch.inf)
    return log_softmax_at(temperature, torch.cat([listed, tail], dim=-1)).to(dtype)
