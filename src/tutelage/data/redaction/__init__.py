"""Personal data: found by form, check digits, words around it and lists; then masked, renamed or dropped."""

from tutelage.data.redaction.entities import Entity, Finding
from tutelage.data.redaction.names import NameList, listed_names
from tutelage.data.redaction.redactor import Action, Redacted, Redactor, find

__all__ = ["Action", "Entity", "Finding", "NameList", "Redacted", "Redactor", "find", "listed_names"]
