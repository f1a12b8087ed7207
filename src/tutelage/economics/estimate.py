"""What a run will cost, from a small sample of answers and the known length of every prompt that remains."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from tutelage.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tutelage.records import Answer, Prompt

    Column = npt.NDArray[np.float64]

LEAST_SAMPLE = 2
_CONFIDENCE = 0.95
_SKEW = (1.0 + 2.0 * 1.96**2) / 6.0  # of the t statistic's bend at the ends of a 95% interval
_LEAST_LINE = 8  # answers from which a line over the length is fitted; below it their mean counts


@dataclass(frozen=True, slots=True)
class Estimate:
    """What asking `prompts` more prompts will take. Money in US dollars, `seconds` of time on the clock.

    `cost` with its interval [`low`, `high`] at `confidence`; tokens of all prompts together. `most` is the
    hard bound that no run passes, None where none was given. `sample` is how many answers it rests on.
    """

    prompts: int
    sample: int
    cost: float
    low: float
    high: float
    input_tokens: float
    output_tokens: float
    seconds: float
    most: float | None = None
    confidence: float = _CONFIDENCE

    def to_json(self) -> dict[str, Any]:
        """Plain numbers under the names of the fields."""
        return asdict(self)

    def describe(self) -> str:
        """One sentence for whoever decides about the spend."""
        text = (
            f"{self.prompts:,} prompts will cost about ${self.cost:.2f} "
            f"({self.confidence:.0%} interval ${self.low:.2f} to ${self.high:.2f}, "
            f"from {self.sample:,} answers): "
            f"{self.input_tokens:,.0f} tokens in, {self.output_tokens:,.0f} out"
        )
        if self.seconds > 0:  # batches tell nothing of it
            text = f"{text}, {_duration(self.seconds)}"
        return text if self.most is None else f"{text}; at most ${self.most:.2f}"


def estimate(
    sample: Sequence[tuple[Prompt, Answer]],
    remaining: Collection[Prompt],
    *,
    most: float | None = None,
    at_once: float = 1.0,
) -> Estimate:
    """Estimate the cost of `remaining` from answers to prompts drawn at random from the same traffic.

    Cost and tokens are fitted as a line over the prompt's bytes, which are known for all, and summed over
    what remains: the regression estimator of a total (Cochran, Sampling Techniques, 1977, ch. 7). The
    interval is Student's t, from the fit's variance with residuals scaled by their leverage (HC3: MacKinnon
    and White 1985, which holds where longer prompts scatter more) and from the scatter of the answers still
    to come; its centre is moved for skewed residuals (Johnson 1978, t modified by the third moment).
    `most` is the hard bound of the remaining cost in US dollars, which also cuts the interval; `at_once` is
    how many calls run together.

    Raises UsageError for fewer than `LEAST_SAMPLE` answers.
    """
    import numpy as np

    _require_sample(sample)
    lengths = _lengths([prompt for prompt, _ in sample])
    rest = _lengths(remaining)
    usages = [answer.usage for _, answer in sample]
    cost, low, high = _total(lengths, np.array([usage.cost for usage in usages]), rest)
    inputs, _, _ = _total(lengths, np.array([float(usage.input_tokens) for usage in usages]), rest)
    outputs, _, _ = _total(lengths, np.array([float(usage.output_tokens) for usage in usages]), rest)
    latency = sum(usage.latency for usage in usages) / len(usages)
    ceiling = np.inf if most is None else most
    return Estimate(
        prompts=len(remaining),
        sample=len(sample),
        cost=float(min(max(cost, 0.0), ceiling)),
        low=float(min(max(low, 0.0), ceiling)),
        high=float(min(max(high, 0.0), ceiling)),
        input_tokens=max(float(inputs), 0.0),
        output_tokens=max(float(outputs), 0.0),
        seconds=latency * len(remaining) / max(at_once, 1.0),
        most=most,
    )


def cost_of_each(sample: Sequence[tuple[Prompt, Answer]], remaining: Sequence[Prompt]) -> Column:
    """What each of `remaining` will cost, float64 [n] in US dollars, by the line that `estimate` sums over.

    Raises UsageError for fewer than `LEAST_SAMPLE` answers.
    """
    import numpy as np

    _require_sample(sample)
    lengths, rest = _lengths([prompt for prompt, _ in sample]), _lengths(remaining)
    costs = np.array([answer.usage.cost for _, answer in sample])
    found: Column = _design(rest, straight := _is_straight(lengths)) @ (
        np.linalg.pinv(_design(lengths, straight)) @ costs
    )
    return np.clip(found, 0.0, None)


def added_up(estimates: Sequence[Estimate]) -> Estimate:
    """What several teachers that are asked one after the other take together; at least one estimate.

    `prompts` is of the one with the most left, `sample` of the one with the fewest answers. The ends of the
    intervals add up: teachers that are asked the same prompts aren't dear or cheap independently.
    """
    return Estimate(
        prompts=max(one.prompts for one in estimates),
        sample=min(one.sample for one in estimates),
        cost=sum(one.cost for one in estimates),
        low=sum(one.low for one in estimates),
        high=sum(one.high for one in estimates),
        input_tokens=sum(one.input_tokens for one in estimates),
        output_tokens=sum(one.output_tokens for one in estimates),
        seconds=sum(one.seconds for one in estimates),
        most=None
        if any(one.most is None for one in estimates)
        else sum(one.most or 0.0 for one in estimates),
        confidence=min(one.confidence for one in estimates),
    )


def _require_sample(sample: Sequence[tuple[Prompt, Answer]]) -> None:
    if len(sample) < LEAST_SAMPLE:
        raise UsageError(
            f"an estimate needs at least {LEAST_SAMPLE} answers, and there are {len(sample)}. "
            "Mend: ask a larger sample (tutelage label --pilot)"
        )


def _lengths(prompts: Collection[Prompt]) -> Column:
    import numpy as np

    lengths = (len(prompt.text.encode("utf-8", "surrogatepass")) for prompt in prompts)
    return np.fromiter(lengths, np.float64, len(prompts))


def _is_straight(lengths: Column) -> bool:
    """Whether there are answers enough for a line over the length."""
    return len(lengths) >= _LEAST_LINE and float(lengths.max() - lengths.min()) > 0


def _design(lengths: Column, straight: bool) -> Column:
    import numpy as np

    return np.column_stack([np.ones_like(lengths), lengths] if straight else [np.ones_like(lengths)])


def _total(lengths: Column, amounts: Column, rest: Column) -> tuple[float, float, float]:
    """The sum of the amounts of `rest`, and the ends of its interval."""
    import numpy as np
    from scipy import stats

    if not len(rest):
        return 0.0, 0.0, 0.0
    straight = _is_straight(lengths)
    design = _design(lengths, straight)
    target = np.array([len(rest), rest.sum()] if straight else [len(rest)], dtype=np.float64)
    inverse = np.linalg.pinv(design.T @ design)
    residuals = amounts - design @ (inverse @ design.T @ amounts)
    # What each answer adds to the total, and how far it draws the fit to itself.
    pull = design @ inverse @ target
    leverage = np.clip(np.einsum("ij,jk,ik->i", design, inverse, design), 0.0, 1.0 - 1e-6)
    freed = residuals / (1.0 - leverage)
    degrees = len(lengths) - design.shape[1]
    scatter = float(residuals @ residuals) / degrees
    variance = float((pull * freed) @ (pull * freed)) + len(rest) * scatter
    total = float(pull @ amounts)
    if variance <= 0.0:
        return total, total, total
    spread = float(stats.t.ppf(0.5 + _CONFIDENCE / 2, degrees)) * variance**0.5
    shift = float(((pull * freed) ** 3).sum()) / variance * _SKEW
    return total, total - spread + shift, total + spread + shift


def _duration(seconds: float) -> str:
    for size, name in ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * size:
            return f"about {seconds / size:.0f} {name}"
    return f"about {seconds:.0f} seconds"
