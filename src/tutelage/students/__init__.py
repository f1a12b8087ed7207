"""Students: the small models. Each family knows how to initialise, predict, save and load itself."""

from tutelage.students.initialise import average_students, new_learner
from tutelage.students.protocol import Learner, Student, load_student

__all__ = ["Learner", "Student", "average_students", "load_student", "new_learner"]
