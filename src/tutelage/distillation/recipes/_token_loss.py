"""What recipes on distributions over tokens have in common: which divergence, and how much of the text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tutelage.config import DivergenceName, StudentConfig, TokensConfig

if TYPE_CHECKING:
    from tutelage.distillation.losses import Divergence


@dataclass(frozen=True, slots=True)
class TokenLoss:
    """See `TokensConfig`; `temperature` softens teacher and student alike."""

    divergence: DivergenceName
    beta: float
    alpha: float
    temperature: float
    text_weight: float

    @classmethod
    def configured(cls, config: StudentConfig, divergence: DivergenceName, text_weight: float) -> TokenLoss:
        """Of a recipe with these defaults."""
        given = config.tokens or TokensConfig()
        return cls(
            given.divergence or divergence,
            0.5 if given.beta is None else given.beta,
            0.1 if given.alpha is None else given.alpha,
            config.temperature or 1.0,
            text_weight if given.text_weight is None else given.text_weight,
        )

    @property
    def kind(self) -> Divergence:
        """The divergence."""
        from tutelage.distillation import losses

        kinds: dict[DivergenceName, Divergence] = {
            "forward-kl": losses.ForwardKL(),
            "reverse-kl": losses.ReverseKL(),
            "jensen-shannon": losses.JensenShannon(self.beta),
            "skewed-kl": losses.SkewedKL(self.alpha),
            "skewed-reverse-kl": losses.SkewedReverseKL(self.alpha),
            "total-variation": losses.TotalVariation(),
        }
        return kinds[self.divergence]
