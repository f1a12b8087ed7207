"""The teacher's layers as an objective sees them: computed with every batch, or once and kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tutelage import storage
from tutelage.distillation.examples import Joined
from tutelage.distillation.reading import Layers, Reader, Wanted
from tutelage.distillation.teacher_body import TeacherBody
from tutelage.progress import Progress
from tutelage.records import Prompt, text_hash
from tutelage.signals import TEXT_ALONE, Manifest, SignalRows, SignalStore, Vocabulary, collect_signals
from tutelage.students.encoder import EncoderLearner, TokenExamples
from tutelage.students.protocol import Examples

_KIND = "layers"
_PACKED = "teacher_layers"
_MOST_KEPT = 8e9  # bytes; what would take more is computed with every batch
_BATCH = 32
_LARGEST = float(np.finfo(np.float16).max)


class TeacherLayers(Protocol):
    """What a body objective learns from."""

    @property
    def module(self) -> nn.Module | None:
        """What has to follow the objective to its device; None where nothing runs."""
        ...

    def examples(self, tokens: TokenExamples, texts: Sequence[str]) -> Examples:
        """The texts' tokens, with whatever `layers` needs beside them."""
        ...

    def layers(self, batch: Mapping[str, Tensor]) -> Layers:
        """Of a batch of those examples; without gradient."""
        ...


@dataclass(frozen=True)
class Online:
    """The teacher runs beside the student."""

    reader: Reader

    @property
    def module(self) -> nn.Module:
        """See `TeacherLayers`."""
        return self.reader.body

    def examples(self, tokens: TokenExamples, texts: Sequence[str]) -> Examples:
        """See `TeacherLayers`."""
        return tokens

    def layers(self, batch: Mapping[str, Tensor]) -> Layers:
        """See `TeacherLayers`."""
        with torch.no_grad():
            return self.reader(batch)


@dataclass(frozen=True)
class Kept:
    """The teacher has run once; its layers are read from disk, in float16, a row for each token.

    `bias`: what MPNet adds to attention scores of texts up to the longest, float32 [longest, longest, heads];
    None elsewhere.
    """

    rows: SignalRows
    wanted: Wanted
    bias: Tensor | None = None

    @property
    def module(self) -> None:
        """See `TeacherLayers`."""
        return None

    def examples(self, tokens: TokenExamples, texts: Sequence[str]) -> Examples:
        """See `TeacherLayers`."""
        return Joined(tokens, _Rows(self.rows, [text_hash(text) for text in texts], tokens.lengths))

    def layers(self, batch: Mapping[str, Tensor]) -> Layers:
        """See `TeacherLayers`."""
        mask = batch["attention_mask"].bool()
        longest = mask.shape[1]
        bias = None if self.bias is None else self.bias[:longest, :longest].to(mask.device)
        return Layers.unpacked(batch[_PACKED], self.wanted, mask, bias)


class _Rows:
    """Rows of texts, padded with zeros to a batch's longest."""

    def __init__(self, rows: SignalRows, hashes: Sequence[str], lengths: npt.NDArray[np.int64]) -> None:
        self._rows, self._hashes, self.lengths = rows, hashes, lengths

    def __len__(self) -> int:
        return len(self._hashes)

    def batch(self, indices: npt.NDArray[np.int64]) -> dict[str, Tensor]:
        """See `Examples.batch`: float32 [n, tokens, width]."""
        arrays = [torch.from_numpy(self._rows[self._hashes[index]]) for index in indices]
        padded = torch.nn.utils.rnn.pad_sequence(arrays, batch_first=True)
        return {_PACKED: padded.float()}


class _Revealed:
    """A body as `collect_signals` asks it; loaded when the first text isn't kept yet."""

    reveals: tuple[str, ...] = (_KIND,)

    def __init__(self, body: TeacherBody, learner: EncoderLearner, wanted: Wanted) -> None:
        self._body, self._learner, self._wanted = body, learner, wanted
        self._reader: Reader | None = None

    def manifest(self, kind: str) -> Manifest:
        """See `Revealing`."""
        wanted = self._wanted
        return Manifest(
            kind=kind,
            teacher="body",
            model=self._body.name,
            revision=self._body.revision,
            tokenizer=storage.hash_json(sorted(self._learner.tokenizer.get_vocab().items())),
            task=storage.hash_json([self._learner.max_tokens, wanted.of_layers, wanted.projections]),
            layers=wanted.states,
            pooling="",
            dtype="float16",
            width=len(wanted) * int(self._body.shape.hidden_size),
        )

    def reveal(self, prompts: Sequence[Prompt], kind: str) -> list[npt.NDArray[np.float16]]:
        """See `Revealing`."""
        if self._reader is None:
            body = self._body.load().to(next(self._learner.module.parameters()).device).eval()
            self._reader = Reader(body, self._wanted)
        tokens = self._learner.examples([prompt.text for prompt in prompts])
        found: dict[int, npt.NDArray[np.float16]] = {}
        order = np.argsort(tokens.lengths, kind="stable")
        device = next(self._reader.body.parameters()).device
        for start in range(0, len(order), _BATCH):
            indices = order[start : start + _BATCH]
            batch = {name: part.to(device) for name, part in tokens.batch(indices).items()}
            with torch.no_grad():
                packed = self._reader(batch).packed().clamp(-_LARGEST, _LARGEST).half().cpu().numpy()
            for index, rows in zip(indices.tolist(), packed, strict=True):
                found[index] = rows[: tokens.lengths[index]].copy()
        return [found[index] for index in range(len(prompts))]


def teacher_layers(
    body: TeacherBody,
    learner: EncoderLearner,
    wanted: Wanted,
    texts: Sequence[str],
    passes: float,
    folder: Path | None,
    progress: Progress,
) -> TeacherLayers:
    """The body's layers for these texts, kept in `folder` where that is quicker and they aren't too large.

    It is quicker where texts are read more than once (`passes`). Texts that an earlier run kept aren't
    computed again, and where all are kept no weights are loaded. Hidden states that `label` kept beside
    `folder` are taken where they are of this body and what is wanted.
    """
    if folder is not None and (told := _labelled(body, learner, wanted, texts, folder.parent)) is not None:
        return told
    if folder is None or passes <= 1 or not _is_keepable(body, learner, wanted, texts):
        return Online(Reader(body.load(), wanted))
    prompts = [Prompt(id=str(number), text=text) for number, text in enumerate(texts)]
    collect_signals(prompts, _Revealed(body, learner, wanted), folder, [_KIND], progress)
    return Kept(SignalRows(folder / _KIND), wanted, _position_bias(body, learner, wanted, texts, folder))


def _position_bias(
    body: TeacherBody, learner: EncoderLearner, wanted: Wanted, texts: Sequence[str], folder: Path
) -> Tensor | None:
    """See `Kept`; from `folder` where it was kept of this body, for texts as long as these.

    It follows from the distance of two tokens alone, so that one for the longest text serves all.
    """
    from safetensors import safe_open
    from safetensors.torch import save

    if body.shape.model_type != "mpnet" or not wanted.of_layers:
        return None
    path, longest = folder / "position_bias.safetensors", int(learner.examples(texts).lengths.max())
    if path.exists():
        with safe_open(path, framework="pt") as file:
            bias: Tensor = file.get_tensor("bias")
            if file.metadata()["revision"] == body.revision and len(bias) >= longest:
                return bias
    tokens = torch.ones(1, longest, dtype=torch.long)
    with torch.no_grad():
        found = Reader(body.load().eval(), Wanted())({"input_ids": tokens, "attention_mask": tokens}).bias
    assert found is not None  # noqa: S101  # of MPNet's kind
    content = save({"bias": found.contiguous()}, {"revision": body.revision})
    storage.write_bytes(path, content, readable=True)  # tells nothing of texts
    return found


def _labelled(
    body: TeacherBody, learner: EncoderLearner, wanted: Wanted, texts: Sequence[str], signals: Path
) -> Kept | None:
    """Hidden states that `label` kept, where all that is wanted is there, of texts as they are read here."""
    folder = signals / "hidden_states"
    if wanted.of_layers or not (folder / "manifest.json").exists():
        return None
    made = SignalStore.open(folder).manifest
    shown = storage.hash_json([TEXT_ALONE, learner.max_tokens])
    reads = (body.revision, Vocabulary.of(learner.tokenizer).tokenizer, shown)
    if (made.revision, made.tokenizer, made.task) != reads or not set(wanted.states) <= set(made.layers):
        return None
    rows, lengths = SignalRows(folder), learner.examples(texts).lengths
    fits = all(rows.count(text_hash(text)) == length for text, length in zip(texts, lengths, strict=True))
    return Kept(rows, Wanted(made.layers)) if fits else None


def _is_keepable(body: TeacherBody, learner: EncoderLearner, wanted: Wanted, texts: Sequence[str]) -> bool:
    """No more than fits on a disk without asking."""
    tokens = int(learner.examples(texts).lengths.sum())
    return 2.0 * tokens * len(wanted) * int(body.shape.hidden_size) <= _MOST_KEPT
