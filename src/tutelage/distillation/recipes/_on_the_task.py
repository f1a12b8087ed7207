"""What recipes have in common that end in soft targets for the task."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar, Self

from tutelage.distillation.recipes.soft_targets import SoftTargets
from tutelage.distillation.schedule import Passes


@dataclass(frozen=True, slots=True)
class OnTheTask:
    """A recipe whose last phase, or only one, is `task`; `name` is what `student.recipe` takes."""

    name: ClassVar[str]

    task: SoftTargets

    @property
    def members(self) -> int:
        """See `Recipe`."""
        return self.task.members

    @property
    def steps(self) -> int:
        """See `Recipe`."""
        return self.task.steps

    def seeded(self, seed: int) -> Self:
        """See `Recipe`: the seed of every phase."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        passes = {
            name: replace(value, seed=seed) for name, value in values.items() if isinstance(value, Passes)
        }
        return replace(self, task=self.task.seeded(seed), **passes)

    def to_json(self) -> dict[str, Any]:
        """For run.json."""
        return {"name": self.name, **asdict(self)}
