"""A generative model that runs here: prompts in tokens, what it writes, how likely given texts are."""

from __future__ import annotations

import copy
import inspect
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tutelage.checkpoints import Weights, quieten_loading
from tutelage.errors import ConfigError
from tutelage.generation.tokenized import TokenizedModel

_LABELS_A_PASS = 64  # continuations of one prompt that are weighed together
_LEAST_SHARED = 16  # tokens from which a shared beginning is worth keeping


@dataclass(frozen=True, slots=True)
class Written:
    """One text that the model wrote: its tokens' ids, each with its likeliest alternatives.

    `options` and `logprobs` are [n, k], the chosen token first; `ended` tells that the model ended it itself.
    """

    ids: tuple[int, ...]
    options: npt.NDArray[np.int32]
    logprobs: npt.NDArray[np.float32]
    ended: bool


class LanguageModel(TokenizedModel):
    """A causal or sequence-to-sequence model with its tokenizer, in memory."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__(tokenizer, bool(model.config.is_encoder_decoder))
        self.model = model
        self._shared: tuple[list[int], Any] | None = None

    @classmethod
    def load(cls, weights: Weights, device: str, dtype: str) -> LanguageModel:
        """From safetensors or GGUF weights. Raises ConfigError where the model is of neither kind."""
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

        quieten_loading()
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        kind = ("bfloat16" if device.startswith("cuda") else "float32") if dtype == "auto" else dtype
        seq2seq = AutoConfig.from_pretrained(weights.checkpoint, **weights.source).is_encoder_decoder
        family = AutoModelForSeq2SeqLM if seq2seq else AutoModelForCausalLM
        try:
            model = family.from_pretrained(weights.checkpoint, dtype=getattr(torch, kind), **weights.options)
        except ValueError as error:
            if "Unrecognized configuration class" not in str(error):
                raise
            raise ConfigError(
                f"the model {weights.checkpoint!r} writes no text. Mend: use a causal or a "
                "sequence-to-sequence model, or another teacher.type"
            ) from error
        tokenizer = AutoTokenizer.from_pretrained(weights.checkpoint, **weights.source)
        return cls(model.eval().to(device), tokenizer)

    @property
    def places(self) -> int:
        """Tokens that prompt and answer may have together; for two-part models, each of them."""
        return int(getattr(self.model.config, "max_position_embeddings", None) or 1 << 30)

    def share(self, first: Sequence[int], second: Sequence[int]) -> None:
        """Keep what the model makes of the beginning that two prompts share, for all later prompts with it.

        It follows from the prompts' form, not from neighbours, so an answer doesn't depend on its batch.
        """
        import torch

        common = _common([list(first), list(second)])
        if self.seq2seq or len(common) < _LEAST_SHARED:
            return
        with torch.inference_mode():
            ids = torch.tensor([common], device=self.model.device)
            self._shared = (common, self._run(ids, None)[1])

    def weigh(self, prompt: Sequence[int], answers: Sequence[Sequence[int]]) -> npt.NDArray[np.float64]:
        """The log-probability of each answer's tokens after the prompt, float64 [answers].

        What the answers have in common at their start is run once, and of the tree of the rest each path
        once: an answer's last token needs no step of its own, and a beginning of another answer's path is
        read off that one.
        """
        common = _common([list(answer) for answer in answers])
        common = common[: min(map(len, answers)) - 1]
        rests = [tuple(answer[len(common) :]) for answer in answers]
        paths = _paths(rests)
        steps = self._steps(prompt, common, paths, {rest[:-1] for rest in rests})
        return np.array(
            [sum(float(steps[rest[:depth]][rest[depth]]) for depth in range(len(rest))) for rest in rests]
        )

    def _steps(
        self,
        prompt: Sequence[int],
        common: Sequence[int],
        paths: Sequence[tuple[int, ...]],
        inner: set[tuple[int, ...]],
    ) -> dict[tuple[int, ...], npt.NDArray[np.float32]]:
        """Log-probabilities of what comes next, by what was said so far, for all beginnings of `paths`."""
        import torch

        steps: dict[tuple[int, ...], npt.NDArray[np.float32]] = {}
        with torch.inference_mode():
            first, state = self._begin(prompt, common)
            steps[()] = torch.log_softmax(first.float(), dim=-1).cpu().numpy()
            for start in range(0, len(paths), _LABELS_A_PASS):
                chunk = [path for path in paths[start : start + _LABELS_A_PASS] if path]
                if not chunk:
                    continue
                logits = torch.log_softmax(self._continue(state, chunk).float(), dim=-1).cpu().numpy()
                for row, path in enumerate(chunk):
                    for depth in range(1, len(path) + 1):
                        steps[path[:depth]] = logits[row, depth - 1]
        return steps

    def _begin(self, prompt: Sequence[int], common: Sequence[int]) -> tuple[Any, Any]:
        """Run the prompt and the answers' common beginning; the next token's logits, and the state."""
        import torch

        device = self.model.device
        if self.seq2seq:
            encoded = self.model.get_encoder()(input_ids=torch.tensor([list(prompt)], device=device))
            start = [self.model.config.decoder_start_token_id, *common]
            out = self.model(encoder_outputs=encoded, decoder_input_ids=torch.tensor([start], device=device))
            return out.logits[0, -1], (encoded, start)
        ids, past = [*prompt, *common], None
        if self._shared is not None and ids[: len(self._shared[0])] == self._shared[0]:
            ids, past = ids[len(self._shared[0]) :], copy.deepcopy(self._shared[1])
        logits, past = self._run(torch.tensor([ids], device=device), past)
        return logits[0, -1], past

    def _continue(self, state: Any, paths: Sequence[tuple[int, ...]]) -> Any:
        """Logits [paths, longest, vocabulary] after each token of each path; noise past its end."""
        import torch

        longest = max(map(len, paths))
        rows = [[*path, *[0] * (longest - len(path))] for path in paths]
        ids = torch.tensor(rows, device=self.model.device)
        if self.seq2seq:
            encoded, start = state
            begun = torch.tensor([start] * len(paths), device=self.model.device)
            hidden = copy.copy(encoded)
            hidden["last_hidden_state"] = encoded.last_hidden_state.expand(len(paths), -1, -1)
            out = self.model(encoder_outputs=hidden, decoder_input_ids=torch.cat([begun, ids], dim=1))
            return out.logits[:, len(start) :]
        past = copy.deepcopy(state)
        past.batch_repeat_interleave(len(paths))
        return self._run(ids, past)[0]

    def _run(self, ids: Any, past: Any) -> tuple[Any, Any]:
        """A causal model's logits for `ids` after what `past` holds, and what it holds then."""
        out = self.model(input_ids=ids, use_cache=True, **{self._cache_name: past})
        return out.logits, getattr(out, self._cache_name)

    @cached_property
    def _cache_name(self) -> str:
        """Its argument's name, which transformers 5 changed on the way. Raises ConfigError without any."""
        known = inspect.signature(self.model.forward).parameters
        for name in ("cache", "past_key_values"):
            if name in known:
                return name
        raise ConfigError(
            f"the model {self.model.config.name_or_path!r} keeps no keys and values, with which labels are "
            "weighed. Mend: teacher.choose: generate"
        )

    def write(
        self,
        prompts: Sequence[Sequence[int]],
        longest: int,
        samples: int,
        temperature: float,
        seed: int,
        k: int,
    ) -> list[list[Written]]:
        """`samples` texts for each prompt, of at most `longest` tokens; greedy at temperature 0.

        The same prompts in one call with the same seed give the same texts on the same machine.
        """
        import torch
        from transformers import GenerationConfig, LogitsProcessorList

        device = self.model.device
        width = max(map(len, prompts))
        pad = self._pad
        ids = torch.full((len(prompts), width), pad)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            # What is written follows the prompt's last token; encoders count places from the first.
            at = slice(0, len(prompt)) if self.seq2seq else slice(width - len(prompt), width)
            ids[row, at], mask[row, at] = torch.tensor(prompt), 1
        sampling = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
        settings = GenerationConfig(
            max_new_tokens=longest,
            num_return_sequences=samples,
            eos_token_id=sorted(self._ends),
            pad_token_id=pad,
            decoder_start_token_id=getattr(self.model.config, "decoder_start_token_id", None),
            **(sampling if temperature > 0 else {"do_sample": False}),
        )
        recorder = Recorder(k)
        devices = [device] if device.type == "cuda" else []
        with torch.inference_mode(), torch.random.fork_rng(devices=devices), self._own_settings_apart():
            torch.manual_seed(seed)
            found = self.model.generate(
                input_ids=ids.to(device),
                attention_mask=mask.to(device),
                generation_config=settings,
                logits_processor=LogitsProcessorList([recorder]),
            )
        written = recorder.read(found, self._ends)
        return [written[start : start + samples] for start in range(0, len(written), samples)]

    @contextmanager
    def _own_settings_apart(self) -> Iterator[None]:
        """Keep `generate` from taking what isn't set from the model's own settings: penalties, forced tokens.

        What is written is then the model's distribution, and nothing else.
        """
        from transformers import GenerationConfig

        given, self.model.generation_config = self.model.generation_config, GenerationConfig()
        try:
            yield
        finally:
            self.model.generation_config = given

    @cached_property
    def _ends(self) -> set[int]:
        given = self.model.generation_config.eos_token_id
        ends = given if isinstance(given, list) else [given]
        return {int(end) for end in (*ends, self.tokenizer.eos_token_id) if end is not None}

    @property
    def _pad(self) -> int:
        given = self.tokenizer.pad_token_id
        return int(given) if given is not None else min(self._ends, default=0)


class Recorder:
    """Listens while a model writes: at each step the likeliest tokens, and afterwards the one it took.

    It never changes a score. It holds one step's scores at a time, not all of a text's.
    """

    def __init__(self, k: int) -> None:
        self._k = k
        self._last: Any = None
        self._steps: list[tuple[Any, Any, Any]] = []

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """See `transformers.LogitsProcessor`: scores [batch, vocabulary] before any temperature."""
        import torch

        if self._last is not None:
            self._take(input_ids[:, -1])
        self._last = torch.log_softmax(scores.float(), dim=-1)
        return scores

    def _take(self, chosen: Any) -> None:
        top = self._last.topk(min(self._k, self._last.shape[-1]), dim=-1)
        own = self._last.gather(1, chosen[:, None])
        self._steps.append((chosen.cpu().numpy(), top.indices.cpu().numpy(), top.values.cpu().numpy()))
        self._steps[-1] = (
            *self._steps[-1][:2],
            np.concatenate([own.cpu().numpy(), self._steps[-1][2]], axis=1),
        )
        self._last = None

    def read(self, found: Any, ends: set[int]) -> list[Written]:
        """The texts of a batch; `found` are `generate`'s sequences."""
        self._take(found[:, -1])
        return [self._row(row, ends) for row in range(found.shape[0])]

    def _row(self, row: int, ends: set[int]) -> Written:
        ids: list[int] = []
        options, logprobs = [], []
        for chosen, others, numbers in self._steps:
            ids.append(int(chosen[row]))
            kept = [place for place in range(others.shape[1]) if others[row, place] != chosen[row]]
            kept = kept[: others.shape[1] - 1]
            options.append([chosen[row], *others[row, kept]])
            logprobs.append([numbers[row, 0], *numbers[row, 1:][kept]])
            if ids[-1] in ends:
                break
        return Written(
            tuple(ids), np.array(options, np.int32), np.array(logprobs, np.float32), ids[-1] in ends
        )


def _common(rows: Sequence[list[int]]) -> list[int]:
    """The longest beginning of all rows."""
    first, last = min(rows), max(rows)  # in dictionary order all others lie between them
    return [
        one for one, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    ]


def _paths(rests: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """What has to be run to know all steps of `rests`: their insides, less those that begin another's."""
    inner = sorted({rest[:-1] for rest in rests})
    return [
        path
        for place, path in enumerate(inner)
        if place + 1 == len(inner) or inner[place + 1][: len(path)] != path
    ]
