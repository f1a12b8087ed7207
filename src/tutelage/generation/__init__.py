"""Generative models that run here: how they are asked, what they write, how likely they find a text."""

from tutelage.generation.language_model import LanguageModel, Written

__all__ = ["LanguageModel", "Written"]
