"""Recipes: named training plans, each readable top to bottom."""

from collections.abc import Callable

from tutelage.config import StudentConfig
from tutelage.distillation.phases import Recipe
from tutelage.distillation.recipes.soft_targets import SoftTargets

# By the name that `student.recipe` takes: from the configuration, the examples learned from, and the steps of
# the arm that this one is compared to.
RECIPES: dict[str, Callable[[StudentConfig, int, int], Recipe]] = {
    "soft-targets": SoftTargets.planned,
}

__all__ = ["RECIPES", "SoftTargets"]
