"""Generative models that run here: how they are asked, what they write, how likely they find a text."""

from tutelage.generation.language_model import LanguageModel, Written
from tutelage.generation.tokenized import TokenizedModel

__all__ = ["LanguageModel", "TokenizedModel", "Written"]
