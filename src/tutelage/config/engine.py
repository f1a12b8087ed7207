"""Section `engine`: where the heavy work of a programme runs."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from tutelage.config.section import Section

_OF_RAY = ("address", "workers", "cpus", "gpus")


class EngineConfig(Section):
    """Where the work runs: `local`, or `ray`. `engine: ray` is short for a section with that type alone."""

    type: Literal["local", "ray"] = Field(
        "local", description="`local`: in this process; `ray`: in workers of a Ray cluster (docs/scale.md)."
    )
    address: str | None = Field(
        None,
        pattern=r"^(auto|[A-Za-z0-9._\-]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5})$",
        description="The cluster's `host:port`, or `auto` for the one that this machine is part of; where "
        "absent one is started here for the command.",
    )
    workers: int | None = Field(
        None, ge=1, le=1024, description="Workers; as many as the cluster has room for where absent."
    )
    cpus: float = Field(1.0, gt=0.0, description="Processors set aside for each worker.")
    gpus: float = Field(0.0, ge=0.0, description="GPUs set aside for each worker; several may share one.")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"type": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _belongs(self) -> EngineConfig:
        given = [key for key in _OF_RAY if getattr(self, key) != type(self).model_fields[key].default]
        if given and self.type == "local":
            raise ValueError(f"{' and '.join(given)} say where workers of Ray are. Mend: type: ray")
        return self
