"""Words that several messages have in common."""

from __future__ import annotations

__all__ = ["counted"]


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Say how many there are: ``1 leaf``, ``2,000 leaves``.

    Args:
      number: how many.
      noun: what one of them is called.
      plural: what several are called, where that is not the noun with an s.
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
