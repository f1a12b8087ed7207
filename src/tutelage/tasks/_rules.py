"""How each field of a record is compared: by its type in the schema, or as `task.fields` says."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from tutelage.config import FieldConfig
from tutelage.errors import ConfigError
from tutelage.tasks._schema import resolved
from tutelage.tasks.comparison import Branch, Leaf, Listing, Node, Rule

_FOR_TYPE = {"number": ("number", "integer"), "text": ("string",), "set": ("array",)}


def rules_of(schema: Mapping[str, Any], configured: Mapping[str, FieldConfig]) -> Node:
    """The tree of fields with their rules. Lists add nothing to a path: `lines.amount` is of every line.

    Raises ConfigError where `configured` names a field that the schema doesn't have, or a comparison that
    doesn't fit its type.
    """
    builder = _Builder(schema, configured)
    tree = builder.node(schema, "", ())
    for name in configured:
        if name not in builder.met:
            near = difflib.get_close_matches(name, builder.met, n=1, cutoff=0.5)
            hint = f"; nearest is {near[0]!r}" if near else ""
            raise ConfigError(
                f"task.fields names {name!r}, which the record's schema doesn't have{hint}. "
                "Mend: correct it; a field inside another is written outer.inner"
            )
    return tree


class _Builder:
    def __init__(self, schema: Mapping[str, Any], configured: Mapping[str, FieldConfig]) -> None:
        self._schema, self._configured = schema, configured
        self.met: set[str] = set()

    def node(self, part: Any, path: str, above: tuple[str, ...]) -> Node:
        """`above`: the references that led here, so that a schema that holds itself ends."""
        reference = part.get("$ref") if isinstance(part, dict) else None
        body = value_part(resolved(part, self._schema) or {}, self._schema)
        if path:
            self.met.add(path)
        config = self._configured.get(path)
        kinds = kinds_of(body)
        if config is not None and config.compare is not None:
            self._require_fit(path, config.compare, body, kinds)
            if config.compare in ("set", "ignore"):
                return Leaf(_rule(config, config.compare))
        if reference in above:
            return Leaf(_rule(config, "exact"))
        stack = above if reference is None else (*above, reference)
        if "array" in kinds:
            return Listing(self.node(body.get("items", {}), path, stack))
        if isinstance(body.get("properties"), dict) and (config is None or config.compare is None):
            prefix = f"{path}." if path else ""
            names = body["properties"]
            return Branch({name: self.node(names[name], prefix + name, stack) for name in names})
        usual = "number" if kinds and kinds <= {"number", "integer"} else "exact"
        return Leaf(_rule(config, config.compare if config and config.compare else usual))

    def _require_fit(self, path: str, how: str, body: Mapping[str, Any], kinds: set[str]) -> None:
        allowed = _FOR_TYPE.get(how)
        item = value_part(resolved(body.get("items", {}), self._schema) or {}, self._schema)
        there = kinds_of(item) if kinds == {"array"} and how != "set" else kinds
        if allowed is not None and there and not there & set(allowed):
            raise ConfigError(
                f"task.fields.{path}: compare is {how!r}, which is for {' or '.join(allowed)}, and the "
                f"schema has {' or '.join(sorted(there))} there. Mend: use exact, or correct the schema"
            )


def _rule(config: FieldConfig | None, how: str) -> Rule:
    return Rule(how) if config is None else Rule(how, config.tolerance, config.similarity)


def value_part(part: dict[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Of a choice between one thing and null, that thing."""
    for name in ("anyOf", "oneOf"):
        branches = [resolved(branch, schema) or {} for branch in part.get(name, ())]
        some = [branch for branch in branches if kinds_of(branch) or "type" not in branch]
        if branches and len(some) == 1 and "properties" not in part:
            return some[0]
    return part


def kinds_of(part: Mapping[str, Any]) -> set[str]:
    """The types that a value may have, null aside."""
    given = part.get("type", ())
    return ({given} if isinstance(given, str) else set(given)) - {"null"}
