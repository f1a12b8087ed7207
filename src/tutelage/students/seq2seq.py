"""The `seq2seq` student while it learns: an encoder reads the prompt, a decoder writes the answer."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from tutelage.students._tokens import Pair, Seq2SeqExamples, padding_of
from tutelage.students.writing_learner import WritingLearner


class Seq2SeqLearner(WritingLearner):
    """See `WritingLearner`."""

    def _merged(self, module: nn.Module) -> nn.Module:
        return module

    def batched(self, pairs: Sequence[Pair]) -> Seq2SeqExamples:
        """See `WritingLearner.batched`."""
        model = self.codec.model
        padding, start = padding_of(model), model.model.config.decoder_start_token_id
        return Seq2SeqExamples(pairs, padding, padding if start is None else start)
