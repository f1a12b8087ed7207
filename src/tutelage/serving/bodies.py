"""What goes over the typed interface."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException

from tutelage.records import NORMAL_SLICE, Fields, Value
from tutelage.serving.gateway import Reply

MOST_INPUTS = 256
Wanted = TypeVar("Wanted", bound=BaseModel)


class Body(BaseModel):
    """A body; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PredictRequest(Body):
    """One input of the task."""

    input: str = Field(min_length=1, description="The task's input.")
    key: str = Field("", max_length=200, description="Whose request it is; the same key stays in the canary.")
    slice: str = Field(NORMAL_SLICE, min_length=1, max_length=100, description="Its slice.")


class BatchRequest(Body):
    """Several inputs."""

    inputs: tuple[PredictRequest, ...] = Field(min_length=1, max_length=MOST_INPUTS)


class PredictResponse(Body):
    """An answer, and who gave it."""

    id: str = Field(description="Names its capture.")
    value: str | list[str] | dict[str, Any] | None = Field(
        description="The answer; null where the teacher's text is none."
    )
    text: str = Field(description="The answer as text.")
    by: str = Field(description="student, teacher or person.")
    revision: str = Field(description="Of the student's weights, or the teacher's model.")
    confidence: float | None = Field(description="The student's, where it answered.")
    stage: str = Field(description="The rollout's.")
    reason: str = Field(description="Why it was they, where it isn't as usual.")
    flagged: bool = Field(description="The student's only because the teacher is down.")

    @classmethod
    def of(cls, reply: Reply) -> PredictResponse:
        """A reply as a body."""
        return cls(value=plain(reply.value), text=reply.text, **about(reply))


class BatchResponse(Body):
    """Answers in the order of the inputs; null where nobody could answer."""

    answers: list[PredictResponse | None]


class RolloutRequest(Body):
    """A step of the rollout."""

    stage: str = Field(description="off, shadow, canary, cascade or full.")
    reason: str = Field("", max_length=2_000, description="Why; needed to override the gate.")
    share: float | None = Field(None, gt=0.0, le=1.0, description="Of keys, in canary.")
    revision: str | None = Field(None, description="Of another exported student.")
    override: bool = Field(False, description="Go past the gate; the journal keeps who did and why.")
    dry_run: bool = Field(False, description="Only say what the gate says.")


class Fault(Body):
    """What went wrong, as OpenAI's clients read it."""

    message: str
    type: str
    code: str | None = None
    param: str | None = None


class FaultBody(Body):
    """A fault's body."""

    error: Fault


def about(reply: Reply) -> dict[str, Any]:
    """Who answered: the extension of a chat completion's body."""
    return {
        "id": reply.id,
        "by": str(reply.by),
        "revision": reply.revision,
        "confidence": reply.confidence,
        "stage": str(reply.stage),
        "reason": reply.reason,
        "flagged": reply.flagged,
    }


def plain(value: Value | None) -> str | list[str] | dict[str, Any] | None:
    """A value as JSON has it."""
    if isinstance(value, Fields):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


def read_body(kind: type[Wanted], content: Any) -> Wanted:
    """Content as such a body. Raises HTTPException 422 that names every place where it isn't one."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        places = (f"{'.'.join(map(str, item['loc'])) or 'body'}: {item['msg']}" for item in faults)
        raise HTTPException(422, "; ".join(places)) from None
