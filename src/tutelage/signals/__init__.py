"""Signals beside value and distribution: token log-probabilities, embeddings, hidden states."""

from tutelage.signals.manifest import Manifest, Revealing
from tutelage.signals.store import SignalStore, collect_signals, require_signals
from tutelage.signals.tokens import TokenLogprobs, pack, tail, unpack

__all__ = [
    "Manifest",
    "Revealing",
    "SignalStore",
    "TokenLogprobs",
    "collect_signals",
    "pack",
    "require_signals",
    "tail",
    "unpack",
]
