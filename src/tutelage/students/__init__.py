"""Students: the small models. Each family knows how to predict, save and load itself."""

from tutelage.students.protocol import Student, load_student

__all__ = ["Student", "load_student"]
