"""Tutelage: turn a strong model's behaviour on one narrow task into a small model you own."""

__version__ = "0.1.0"
