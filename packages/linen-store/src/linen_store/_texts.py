"""Phrases that several messages share."""

from __future__ import annotations

__all__ = ["counted"]


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: ``1 leaf``, ``2,000 leaves``.

    Args:
      number: the number.
      noun: the singular.
      plural: the plural, if it is not the singular with an s.
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
