"""Token losses in plain float64, a row and a token at a time."""

from __future__ import annotations

import math

import numpy as np

from tutelage.distillation.losses import (
    ForwardKL,
    JensenShannon,
    ReverseKL,
    SkewedKL,
    SkewedReverseKL,
    TotalVariation,
)

KINDS = [
    ForwardKL(),
    ReverseKL(),
    JensenShannon(0.5),
    JensenShannon(0.1),
    JensenShannon(0.0),
    JensenShannon(1.0),
    SkewedKL(0.1),
    SkewedReverseKL(0.1),
    SkewedReverseKL(0.7),
    TotalVariation(),
]
SMOOTH = [kind for kind in KINDS if not isinstance(kind, TotalVariation)]


def probabilities(logits, temperature=1.0):
    """softmax(logits / T) of one row."""
    top = max(logits)
    powers = [math.exp((float(logit) - float(top)) / temperature) for logit in logits]
    return [power / math.fsum(powers) for power in powers]


def kl(a, b):
    """KL(a ‖ b) of one row."""
    return math.fsum(x * math.log(x / y) for x, y in zip(a, b, strict=True) if x > 0)


def mixed(a, b, share):
    """share × a + (1 − share) × b."""
    return [share * x + (1 - share) * y for x, y in zip(a, b, strict=True)]


def divergence(kind, p, q):
    """Of one row, teacher p and student q, straight from its definition."""
    match kind:
        case ForwardKL() | JensenShannon(beta=0.0):
            return kl(p, q)
        case ReverseKL() | JensenShannon(beta=1.0):
            return kl(q, p)
        case JensenShannon(beta=beta):
            m = mixed(p, q, beta)
            return beta * kl(p, m) + (1 - beta) * kl(q, m)
        case SkewedKL(alpha=alpha):
            return kl(p, mixed(p, q, alpha))
        case SkewedReverseKL(alpha=alpha):
            return kl(q, mixed(q, p, alpha))
        case TotalVariation():
            return 0.5 * math.fsum(abs(x - y) for x, y in zip(p, q, strict=True))
    raise AssertionError(kind)


def dense(kind, student, teacher, mask, temperature=1.0):
    """The sum over masked tokens, logits [batch, tokens, vocabulary]."""
    return math.fsum(
        divergence(
            kind,
            probabilities(teacher[batch, token], temperature),
            probabilities(student[batch, token], temperature),
        )
        for batch, token in zip(*np.nonzero(mask), strict=True)
    )


def sparse(kind, student, logprobs, ids, mask, temperature=1.0):
    """The same from the teacher's list and its tail."""
    total = []
    for batch, token in zip(*np.nonzero(mask), strict=True):
        places = [place for place, index in enumerate(ids[batch, token]) if index >= 0]
        listed = [int(ids[batch, token, place]) for place in places]
        p = [math.exp(logprobs[batch, token, place]) for place in places]
        every = probabilities(student[batch, token])
        q = [every[index] for index in listed]
        unlisted = [index for index in range(len(every)) if index not in listed]
        if unlisted:
            p.append(1.0 - math.fsum(p))
            q.append(math.fsum(every[index] for index in unlisted))
        p, q = (probabilities([math.log(x) if x else -math.inf for x in row], temperature) for row in (p, q))
        total.append(divergence(kind, p, q))
    return math.fsum(total)
