"""Langfuse: traces and observations as its pages, its API and its blob storage export them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tutelage.data.logs.chats import Message, Request, UnreadableMessages, messages_in, parsed, said_in

_EMPTY: tuple[Any, ...] = (None, "", {}, [])


def requests_in(row: Mapping[str, Any]) -> Iterator[Request]:
    """The request of a trace, or of an observation of type GENERATION; other observations are no requests.

    A trace that comes with its observations (as `Download JSON` gives it) is its generations, or where it
    has none itself.
    """
    nested = parsed(row.get("observations"))
    if isinstance(nested, list) and (inner := [one for one in nested if _is_generation(one)]):
        trace: Mapping[str, Any] = row["trace"] if isinstance(row.get("trace"), dict) else row
        for one in inner:
            yield _request(one, trace)
    elif isinstance(row.get("trace"), dict) and "input" not in row:
        yield _request(row["trace"], {})
    elif not row.get("type") or _is_generation(row):
        yield _request(row, {})


def looks_like(row: Mapping[str, Any]) -> bool:
    """Whether a row can only be Langfuse's."""
    names = row.keys()
    if "observations" in names and ("projectId" in names or "trace" in names or "htmlPath" in names):
        return True
    has_io = {"input", "output"} <= names
    return has_io and (
        {"traceId", "startTime"} <= names
        or {"trace_id", "start_time"} <= names
        or {"sessionId", "timestamp"} <= names
        or {"session_id", "timestamp", "project_id"} <= names
    )


def _is_generation(observation: Any) -> bool:
    return isinstance(observation, dict) and str(observation.get("type", "")).upper() == "GENERATION"


def _request(row: Mapping[str, Any], trace: Mapping[str, Any]) -> Request:
    given = parsed(row.get("input"))  # of CSV and blob storage a text, whatever it was
    if given in _EMPTY:
        return Request(
            fault="no input: it was not recorded, or left out of the export", reason="missing_column"
        )
    messages, fault = list[Message](), None
    try:
        messages = messages_in(given)
    except UnreadableMessages as error:
        fault = f"{error}. Mend: name what holds the text, as columns.text: input.question"

    def of(*names: str) -> Any:
        return next((found for one in (row, trace) for name in names if (found := one.get(name))), None)

    return Request(
        messages,
        model=of("model", "provided_model_name", "providedModelName"),
        id=row.get("id"),
        subject=of("userId", "user_id", "sessionId", "session_id"),
        time=of("startTime", "start_time", "timestamp"),
        answer=said_in(row.get("output")),
        fault=fault,
    )
