"""The JSON schema of a record (draft 2020-12): checked, closed, held to, and made strict for providers.

Nothing is fetched: a schema may refer to parts of itself only.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from tutelage.errors import ConfigError
from tutelage.records import storable
from tutelage.tasks._reading import NoAnswer, out_of_set, unparseable

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_MAPS = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLES = (
    "items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames",
    "unevaluatedItems", "unevaluatedProperties",
)  # fmt: skip
# What may change where names are looked up, or look further than the schema itself.
_REFUSED = ("$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$vocabulary")
# Keywords that leave the shape alone, which providers differ on: left out of what they get, held to here.
_LIMITS = {
    "$schema", "$comment", "title", "default", "examples", "deprecated", "readOnly", "writeOnly",
    "minLength", "maxLength", "pattern", "format", "contentEncoding", "contentMediaType", "contentSchema",
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
    "minItems", "maxItems", "uniqueItems", "contains", "minContains", "maxContains",
    "minProperties", "maxProperties", "propertyNames",
}  # fmt: skip
# What providers' strict modes have in common.
_STRICT = {
    "type", "enum", "properties", "required", "additionalProperties", "items", "anyOf", "$ref", "$defs",
    "definitions", "description",
}  # fmt: skip
_TYPES = {
    "NoneType": "null", "bool": "boolean", "int": "integer", "float": "number", "str": "string",
    "list": "array", "dict": "object",
}  # fmt: skip
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.I | re.A)
_MOST_ERRORS = 20
_SHOWN = 80


def checked_schema(schema: Any, where: str) -> dict[str, Any]:
    """The schema, checked, with its objects closed. Raises ConfigError, naming `where`, for no usable one.

    Two defaults differ from JSON Schema's, as they do in providers' strict modes: an object that says nothing
    of `required` needs all its properties, and one that says nothing of `additionalProperties` has no others.
    """
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    if not isinstance(schema, dict) or schema.get("type") != "object" or not schema.get("properties"):
        raise ConfigError(
            f"{where} must be the JSON schema of an object. Mend: give `type: object` and its `properties`"
        )
    if schema.get("$schema", DIALECT) not in (DIALECT, f"{DIALECT}#"):
        raise ConfigError(f"{where}: $schema is {schema['$schema']!r}. Mend: write it for {DIALECT}")
    try:
        Draft202012Validator.check_schema(schema)
    except (SchemaError, RecursionError) as error:
        place = ".".join(map(str, getattr(error, "absolute_path", ())))
        said = str(getattr(error, "message", "it is nested too deeply"))[:200]
        raise ConfigError(
            f"{where} is no JSON schema: {f'at {place}, ' if place else ''}{said}. Mend: correct it"
        ) from error
    for part in parts_of(schema):
        _refuse_what_looks_elsewhere(part, schema, where)
    closed = copy.deepcopy(schema)
    _close(closed)
    return closed


def _refuse_what_looks_elsewhere(part: Mapping[str, Any], schema: Mapping[str, Any], where: str) -> None:
    if found := next((name for name in _REFUSED if name in part), None):
        raise ConfigError(f"{where} has {found}, which changes where names are looked up. Mend: use #/$defs")
    reference = part.get("$ref")
    if reference is None:
        return
    if not reference.startswith("#"):
        raise ConfigError(
            f"{where} refers to another document, {reference[:_SHOWN]!r}, and none is fetched. "
            "Mend: put that part under $defs, and refer to it as #/$defs/name"
        )
    if resolved(part, schema) is None:
        raise ConfigError(
            f"{where} refers to {reference[:_SHOWN]!r}, which it doesn't have. Mend: correct it"
        )


def resolved(part: Any, schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """The part itself, or what its `$ref` leads to in the end; None where that is no part of the schema."""
    seen: set[str] = set()
    while isinstance(part, dict) and "$ref" in part:
        reference = str(part["$ref"])
        if reference in seen:
            return None
        seen.add(reference)
        part = _pointed(reference, schema)
    return part if isinstance(part, dict) else None


def _pointed(reference: str, schema: Mapping[str, Any]) -> Any:
    found: Any = schema
    for step in reference.removeprefix("#").split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        found = found.get(name) if isinstance(found, dict) else None
    return found


def parts_of(schema: Any) -> Iterator[dict[str, Any]]:
    """The schema and all schemas inside it."""
    if not isinstance(schema, dict):
        return
    yield schema
    for below in _below(schema):
        yield from parts_of(below)


def _below(schema: Mapping[str, Any]) -> Iterator[Any]:
    for name in _MAPS:
        if isinstance(schema.get(name), dict):
            yield from schema[name].values()
    for name in _LISTS:
        if isinstance(schema.get(name), list):
            yield from schema[name]
    for name in _SINGLES:
        yield schema.get(name)


def _close(schema: Any) -> None:
    """Set the two defaults where an object stands by itself; parts of `allOf` and of conditions don't."""
    if not isinstance(schema, dict):
        return
    alone = not any(name in schema for name in ("allOf", "anyOf", "oneOf", "if", "not", "$ref"))
    if schema.get("type") == "object" and isinstance(schema.get("properties"), dict) and alone:
        schema.setdefault("required", list(schema["properties"]))
        if "patternProperties" not in schema and "unevaluatedProperties" not in schema:
            schema.setdefault("additionalProperties", False)
    for name in ("properties", "patternProperties", "$defs", "definitions"):
        for below in schema.get(name, {}).values():
            _close(below)
    for name in ("anyOf", "oneOf", "prefixItems"):
        for below in schema.get(name, ()):
            _close(below)
    for name in ("items", "additionalProperties"):
        _close(schema.get(name))


def for_providers(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema without limits that providers differ on; all that follows the one follows the other."""
    return {name: _loosened(name, value) for name, value in _plain_choices(schema).items()}


def _plain_choices(schema: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in schema.items() if name not in _LIMITS}
    if "const" in kept and "enum" not in kept:
        kept["enum"] = [kept.pop("const")]
    if "oneOf" in kept and "anyOf" not in kept:
        kept["anyOf"] = kept.pop("oneOf")
    return kept


def _loosened(name: str, value: Any) -> Any:
    if name in ("not", "if", "then", "else"):
        return value  # loosened, a negation would be tighter
    if name in _MAPS and isinstance(value, dict):
        return {key: _as_part(below) for key, below in value.items()}
    if name in _LISTS and isinstance(value, list):
        return [_as_part(below) for below in value]
    return _as_part(value) if name in _SINGLES else value


def _as_part(part: Any) -> Any:
    return for_providers(part) if isinstance(part, dict) else part


def inside(record: dict[str, Any], key: str) -> dict[str, Any]:
    """The schema's part under `properties.<key>` of another document; definitions stay at that one's root.

    References start at the root, so those to other parts than definitions are led to where these stand now.
    """
    for part in parts_of(record):
        reference = str(part.get("$ref", "#/$defs/"))
        if not reference.startswith(("#/$defs/", "#/definitions/")):
            part["$ref"] = f"#/properties/{key}{reference.removeprefix('#')}"
    return record


def is_strict(schema: Mapping[str, Any]) -> bool:
    """Whether providers' strict modes take what `for_providers` gave: closed, all required, no conditions."""
    return "anyOf" not in schema and all(_is_strict_part(part) for part in parts_of(schema))


def _is_strict_part(part: Mapping[str, Any]) -> bool:
    if not part.keys() <= _STRICT:
        return False
    kinds = part.get("type")
    if kinds != "object" and not (isinstance(kinds, list) and "object" in kinds):
        return True
    names = part.get("properties")
    closed = part.get("additionalProperties") is False
    return closed and isinstance(names, dict) and set(part.get("required", ())) == set(names)


def validator_of(schema: Mapping[str, Any]) -> Any:
    """A validator that fetches nothing, and holds to these values of `format` whatever else is installed:

    `date`, `date-time`, `email`, `ipv4`, `ipv6`, `uuid`. Others are remarks, as in JSON Schema itself.
    """
    from jsonschema import Draft202012Validator, FormatChecker
    from referencing import Registry

    formats = FormatChecker(formats=("date", "email", "ipv4", "ipv6", "uuid"))
    formats.checks("date-time", ValueError)(_is_moment)
    return Draft202012Validator(schema, registry=Registry(), format_checker=formats)


def _is_moment(value: object) -> bool:
    """Whether a text is a `date-time` of RFC 3339. Raises ValueError for a day or hour that there isn't."""
    if not isinstance(value, str):
        return True
    return _MOMENT.fullmatch(value) is not None and datetime.fromisoformat(value.upper()) is not None


def hold_to(validator: Any, record: Any) -> None:
    """Raise NoAnswer where the record breaks the schema, naming the field and the rule.

    OUT_OF_SET where the only thing wrong is a value outside its `enum` or `const`.
    """
    from jsonschema.exceptions import best_match

    errors = [best_match([error]) for error in islice(validator.iter_errors(record), _MOST_ERRORS)]
    if not errors:
        return
    shape = next((error for error in errors if error.validator not in ("enum", "const")), None)
    raise _fault(shape or errors[0])


def _fault(error: Any) -> NoAnswer:
    path = _printable(".".join(map(str, error.absolute_path)))
    where = f"field {path!r}" if path else "the record"
    rule, given, limit = error.validator, error.instance, error.validator_value
    if rule in ("enum", "const"):
        return out_of_set(f"{where}: {_printable(repr(given))} is not in its set")
    if rule == "required":
        missing = next(name for name in limit if name not in given)
        return unparseable(f"field {_joined(path, missing)!r} is missing (required)")
    if rule == "additionalProperties" and limit is False:
        known = error.schema.get("properties", {})
        extra = next((name for name in given if name not in known), next(iter(given)))
        return unparseable(f"field {_joined(path, extra)!r} is none of the schema's (additionalProperties)")
    if rule == "type":
        kinds = " or ".join(limit) if isinstance(limit, list) else limit
        return unparseable(f"{where} is {json_type(given)}, not {kinds} (type)")
    return unparseable(f"{where} breaks {rule} {_printable(repr(limit))}: {_printable(repr(given))}")


def json_type(value: Any) -> str:
    """A value's type in JSON's words."""
    name = type(value).__name__
    return _TYPES.get(name, name)


def _joined(path: str, name: str) -> str:
    return _printable(f"{path}.{name}" if path else name)


def _printable(text: str) -> str:
    return storable(text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "...")
