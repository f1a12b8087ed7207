"""Students: the small models. Each family knows how to initialise, predict, save and load itself."""

from tutelage.students.initialise import average_students, new_learner, new_writing_learner
from tutelage.students.protocol import STUDENT_FILE, Learner, Student, Writer, Written, load_student

__all__ = [
    "STUDENT_FILE",
    "Learner",
    "Student",
    "Writer",
    "Written",
    "average_students",
    "load_student",
    "new_learner",
    "new_writing_learner",
]
