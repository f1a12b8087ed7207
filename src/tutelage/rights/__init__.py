"""Rights: what a teacher's terms allow, what persons decided, and the gates that ask before anything is sent,
learned, exported, released or served."""

from tutelage.rights.basis import Basis, bases_of, basis_text, read_basis
from tutelage.rights.duties import NOTICE, Duties, Owed, Source, State
from tutelage.rights.gate import TAUGHT, Subject, Use, joint_gate, rights_gate, standing_gate, terms_gate
from tutelage.rights.registry import Duty, Registry, Terms, load_registry
from tutelage.rights.rulings import Ruling, add_ruling, read_rulings

__all__ = [
    "NOTICE",
    "TAUGHT",
    "Basis",
    "Duties",
    "Duty",
    "Owed",
    "Registry",
    "Ruling",
    "Source",
    "State",
    "Subject",
    "Terms",
    "Use",
    "add_ruling",
    "bases_of",
    "basis_text",
    "joint_gate",
    "load_registry",
    "read_basis",
    "read_rulings",
    "rights_gate",
    "standing_gate",
    "terms_gate",
]
