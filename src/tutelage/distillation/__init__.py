"""Distillation: from a transfer set and a recipe to a student."""
