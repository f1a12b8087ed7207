"""Teachers: whatever answers prompts. One protocol; others are added by entry point (`tutelage.teachers`)."""

from tutelage.teachers.protocol import Teacher, TeacherContext, build_teacher

__all__ = ["Teacher", "TeacherContext", "build_teacher"]
