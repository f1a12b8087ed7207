"""Personal data: found by form, check digits, words around it and lists; then masked, renamed or dropped."""

from tutelage.data.redaction.entities import Entity, Finding
from tutelage.data.redaction.names import NameList, listed_names
from tutelage.data.redaction.presidio import Presidio
from tutelage.data.redaction.redactor import Action, Redacted, Redactor, find
from tutelage.data.redaction.vault import Vault

__all__ = [
    "Action",
    "Entity",
    "Finding",
    "NameList",
    "Presidio",
    "Redacted",
    "Redactor",
    "Vault",
    "find",
    "listed_names",
]
