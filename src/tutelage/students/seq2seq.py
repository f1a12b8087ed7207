"""The `seq2seq` student while it learns: an encoder reads the prompt, a decoder writes the answer."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from tutelage.students._tokens import Codec, Seq2SeqExamples, padding_of
from tutelage.students.writing_learner import WritingLearner


class Seq2SeqLearner(WritingLearner):
    """See `WritingLearner`."""

    def _merged(self, module: nn.Module) -> nn.Module:
        return module

    def examples(
        self, texts: Sequence[str], answers: Sequence[Sequence[str]], codec: Codec
    ) -> Seq2SeqExamples:
        """See `WritingLearner.examples`."""
        padding = padding_of(codec.model)
        start = codec.model.model.config.decoder_start_token_id
        return Seq2SeqExamples(codec.pairs(texts, answers), padding, padding if start is None else start)
