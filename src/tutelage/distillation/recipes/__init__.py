"""Recipes: named training plans, each readable top to bottom."""

from collections.abc import Callable

from tutelage.config import StudentConfig
from tutelage.distillation.phases import Recipe, TextRecipe
from tutelage.distillation.recipes.distilbert import DistilBert
from tutelage.distillation.recipes.integrated import Integrated
from tutelage.distillation.recipes.minilm import MiniLM
from tutelage.distillation.recipes.on_policy import OnPolicy
from tutelage.distillation.recipes.preference import Preference
from tutelage.distillation.recipes.prune_recover import PruneRecover
from tutelage.distillation.recipes.rationale_causal import RationaleCausal
from tutelage.distillation.recipes.self_taught import BornAgain, Exits, plan_self
from tutelage.distillation.recipes.sequence import Sequence
from tutelage.distillation.recipes.soft_targets import SoftTargets
from tutelage.distillation.recipes.static import Static
from tutelage.distillation.recipes.step_by_step import StepByStep
from tutelage.distillation.recipes.tinybert import TinyBert
from tutelage.distillation.recipes.tokens import Tokens
from tutelage.distillation.texts import TextSignals

# By the name that `student.recipe` takes: from the configuration, the examples learned from, and the steps of
# the arm that this one is compared to.
RECIPES: dict[str, Callable[[StudentConfig, int, int], Recipe]] = {
    "soft-targets": SoftTargets.planned,
    "integrated": Integrated.planned,
    "self": plan_self,
    "static": Static.planned,
    "prune-recover": PruneRecover.planned,
    "distilbert": DistilBert.planned,
    "tinybert": TinyBert.planned,
    "minilm": MiniLM.planned,
}

# Likewise, of students that write; from the signals learned from in place of their number.
TEXT_RECIPES: dict[str, Callable[[StudentConfig, TextSignals, int], TextRecipe]] = {
    "sequence": Sequence.planned,
    "step-by-step": StepByStep.planned,
    "rationale-causal": RationaleCausal.planned,
    "tokens": Tokens.planned,
    "on-policy": OnPolicy.planned,
    "preference": Preference.planned,
}

__all__ = [
    "RECIPES",
    "TEXT_RECIPES",
    "BornAgain",
    "DistilBert",
    "Exits",
    "Integrated",
    "MiniLM",
    "OnPolicy",
    "Preference",
    "PruneRecover",
    "RationaleCausal",
    "Sequence",
    "SoftTargets",
    "Static",
    "StepByStep",
    "TinyBert",
    "Tokens",
]
