"""A generative model in vLLM's engine, inside this process. Written for vLLM's API as of 0.12 and later.

Nothing else imports vLLM, so that all but this needs none of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from tutelage.checkpoints import Weights
from tutelage.errors import ConfigError, MissingExtraError
from tutelage.generation import TokenizedModel, Written


def require_vllm(weights: Weights) -> None:
    """Raises MissingExtraError where vLLM isn't installed, ConfigError for weights in a GGUF file."""
    if find_spec("vllm") is None:
        raise MissingExtraError("vllm", "vllm", "teacher.backend vllm")
    if weights.gguf_file is not None:
        raise ConfigError(
            f"teacher.backend vllm opens safetensors alone, and {weights.gguf_file} is a GGUF file. Mend: "
            "teacher.backend: transformers"
        )


class VllmModel(TokenizedModel):
    """A causal model in vLLM's engine, with what `LanguageModel` offers to a teacher.

    What is written follows `schema` where there is one. Log-probabilities are the model's own, before the
    schema's mask and the temperature (`logprobs_mode: raw_logprobs`), as they are of `LanguageModel`.
    """

    def __init__(
        self,
        checkpoint: str,
        revision: str | None,
        dtype: str,
        places: int,
        k: int,
        schema: Mapping[str, Any] | None,
        engine: Mapping[str, Any],
    ) -> None:
        """Start the engine, with `places` tokens for prompt and answer and `k` alternatives a token.

        `revision` is the hub's commit, None for a folder; `engine` holds more of vLLM's arguments. Raises
        ConfigError for a model of two parts.
        """
        from transformers import AutoConfig, AutoTokenizer
        from vllm import LLM

        source: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
        shape = AutoConfig.from_pretrained(checkpoint, **source)
        if shape.is_encoder_decoder:
            raise ConfigError(
                f"the model {checkpoint!r} is sequence to sequence, which vLLM doesn't run. Mend: "
                "teacher.backend: transformers"
            )
        super().__init__(AutoTokenizer.from_pretrained(checkpoint, **source), False)
        self.places = min(places, int(getattr(shape, "max_position_embeddings", None) or places))
        self._k, self._schema = k, schema
        self._engine = LLM(
            model=checkpoint,
            tokenizer_revision=revision,
            dtype=dtype,
            load_format="safetensors",
            max_model_len=self.places,
            max_logprobs=k,
            logprobs_mode="raw_logprobs",
            **source,
            **engine,
        )

    def weigh(self, prompt: Sequence[int], answers: Sequence[Sequence[int]]) -> npt.NDArray[np.float64]:
        """The log-probability of each answer's tokens after the prompt, float64 [answers]."""
        from vllm import SamplingParams

        # The engine always writes a token; what is wanted is what it makes of the prompt.
        how = SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0, detokenize=False)
        found = self._run([[*prompt, *answer] for answer in answers], how)
        return np.array(
            [
                sum(step[token].logprob for step, token in zip(_last(one, len(answer)), answer, strict=True))
                for one, answer in zip(found, answers, strict=True)
            ]
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
        """See `LanguageModel.write`; `k` is at most the engine's."""
        from vllm import SamplingParams
        from vllm.sampling_params import StructuredOutputsParams

        schema = self._schema
        how = SamplingParams(
            n=samples,
            max_tokens=longest,
            temperature=temperature,
            seed=seed,
            logprobs=min(k, self._k),
            detokenize=False,
            structured_outputs=None if schema is None else StructuredOutputsParams(json=dict(schema)),
        )
        return [[_written(text) for text in one.outputs] for one in self._run(prompts, how)]

    def _run(self, prompts: Sequence[Sequence[int]], how: Any) -> list[Any]:
        asked = [{"prompt_token_ids": list(ids)} for ids in prompts]
        return list(self._engine.generate(asked, how, use_tqdm=False))


def _last(output: Any, count: int) -> list[Mapping[int, Any]]:
    """What the engine made of a prompt's last tokens: for each, by token id, its `Logprob`."""
    return list(output.prompt_logprobs[-count:])


def _written(text: Any) -> Written:
    """One of vLLM's completions: it lists the chosen token beside the likeliest where it is none of them."""
    width = min(map(len, text.logprobs), default=0)
    options, logprobs = [], []
    for chosen, step in zip(text.token_ids, text.logprobs, strict=True):
        others = sorted((token for token in step if token != chosen), key=lambda token: -step[token].logprob)
        row = [chosen, *others[: width - 1]]
        options.append(row)
        logprobs.append([step[token].logprob for token in row])
    shape = (len(options), width)
    return Written(
        tuple(int(token) for token in text.token_ids),
        np.array(options, np.int32).reshape(shape),
        np.array(logprobs, np.float32).reshape(shape),
        text.finish_reason == "stop",
    )
