"""What will be done with the student, which decides whether a teacher's terms allow it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from tutelage.config.section import Section


class OverrideConfig(Section):
    """A person's decision to go past the rights gate for one entry. It is written to the journal."""

    entry: str = Field(
        pattern=r"^[a-z0-9][a-z0-9.-]*$",
        description="The entry it is for, as in teacher.rights; another teacher's isn't opened.",
    )
    name: str = Field(min_length=2, description="Who decided.")
    reason: str = Field(min_length=10, description="Why it is right to.")


class RightsConfig(Section):
    """What will be done with the student, which decides whether a teacher's terms allow it."""

    distribution: Literal["internal", "distributed"] = Field(
        "internal", description="Whether the student leaves the organisation."
    )
    registry: str | None = Field(
        None,
        description="A file of entries of your own, of the form of the package's registry: customers', "
        "third parties' and your own models' terms. Relative to tutelage.yaml.",
    )
    lapsed: Literal["refuse", "leave_out"] = Field(
        "refuse",
        description="What `train` and `compare` do where a right has expired, changed or been withdrawn "
        "under which some answers of the transfer set were given: refuse, or leave those rows out.",
    )
    override: tuple[OverrideConfig, ...] = Field(
        (),
        description="Named decisions past a refusal, one or a list. `tutelage rights decide` records one "
        "that ends on a day and is void once the clause changes.",
    )

    @field_validator("override", mode="before")
    @classmethod
    def _one_or_many(cls, given: Any) -> Any:
        if given is None:
            return ()
        return (given,) if isinstance(given, dict | OverrideConfig) else given

    @field_validator("override")
    @classmethod
    def _each_entry_once(cls, given: tuple[OverrideConfig, ...]) -> tuple[OverrideConfig, ...]:
        entries = [one.entry for one in given]
        if twice := [entry for entry in entries if entries.count(entry) > 1]:
            raise ValueError(f"has the entry {twice[0]!r} twice. Mend: keep one")
        return given

    def override_for(self, entry: str) -> OverrideConfig | None:
        """The override of this entry, if there is one."""
        return next((one for one in self.override if one.entry == entry), None)
