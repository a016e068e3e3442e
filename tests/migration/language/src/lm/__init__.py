"""A small language model."""

__version__ = "0.1"
