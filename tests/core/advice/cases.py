"""A mistake, the advice of its error, and the program that follows the advice."""

import dataclasses
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True)
class Case:
    """One error that a user can run into.

    Attributes:
      error: its class.
      advice: the words of its text that are followed.
      wrong: a program that raises it.
      right: the program changed as the words say.
      expected: what that program returns.
    """

    error: type[Exception]
    advice: str
    wrong: Callable[[], Any]
    right: Callable[[], Any]
    expected: Any = True
