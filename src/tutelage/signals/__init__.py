"""Signals beside value and distribution: token log-probabilities, embeddings, hidden states."""

from tutelage.signals.manifest import MEND, TEXT_ALONE, Manifest, Revealing, RevealingBatches, TellsTokens
from tutelage.signals.store import SignalRows, SignalStore, collect_signals, require_signals
from tutelage.signals.tokens import TokenLogprobs, pack, tail, unpack
from tutelage.signals.vocabulary import (
    Vocabulary,
    read_token_manifest,
    require_same_vocabulary,
    token_manifest,
    with_ids,
    write_token_manifest,
)

__all__ = [
    "MEND",
    "TEXT_ALONE",
    "Manifest",
    "Revealing",
    "RevealingBatches",
    "SignalRows",
    "SignalStore",
    "TellsTokens",
    "TokenLogprobs",
    "Vocabulary",
    "collect_signals",
    "pack",
    "read_token_manifest",
    "require_same_vocabulary",
    "require_signals",
    "tail",
    "token_manifest",
    "unpack",
    "with_ids",
    "write_token_manifest",
]
