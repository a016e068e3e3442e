"""Numbers in names: the order of the layers of a stack."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["in_order"]


def in_order(numbered: Iterable[tuple[str, str]]) -> list[str]:
    """Sort names by their numbers, which must be 0, 1, 2, ... without a hole.

    Args:
      numbered: pairs of a number, as a text, and a name.

    Raises:
      ValueError: a text is not a number, two names have the same number, or a number is missing.

    Example:
      >>> in_order([("1", "b_1"), ("0", "b_0")])
      ['b_0', 'b_1']
    """
    found: dict[int, str] = {}
    for text, name in numbered:
        if not text.isdecimal():
            msg = f"{name}: expected a number, found {text!r}"
            raise ValueError(msg)
        number = int(text)
        if number in found:
            msg = f"{found[number]} and {name} have the same number {number}"
            raise ValueError(msg)
        found[number] = name
    missing = [str(number) for number in range(max(found)) if number not in found]
    if missing:
        msg = (
            f"a hole in the stack: {', '.join(missing)} is missing, but {found[max(found)]} exists"
        )
        raise ValueError(msg)
    return [found[number] for number in sorted(found)]
