"""Signals beside value and distribution: token log-probabilities, embeddings, hidden states."""

from tutelage.signals.tokens import TokenLogprobs, pack, tail, unpack

__all__ = ["TokenLogprobs", "pack", "tail", "unpack"]
