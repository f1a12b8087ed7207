"""Rights: what a teacher's terms allow, and the gate that asks before anything is sent or learned."""

from tutelage.rights.gate import Subject, joint_gate, rights_gate
from tutelage.rights.registry import Registry, Terms, load_registry

__all__ = ["Registry", "Subject", "Terms", "joint_gate", "load_registry", "rights_gate"]
