"""What looks on while a run reads and makes variables."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from linen_core.scope.scope import Scope

__all__ = ["RunObserver"]


class RunObserver:
    """Is told what the scopes of one run read, miss and make. This base does nothing.

    Attributes:
      makes_missing: whether a variable that is missing and must not be made is made all the same, for this run only.
      runs_forward: whether the result of the run is used, and not its variables alone.
    """

    makes_missing = False
    runs_forward = True

    def on_read(self, scope: Scope, col: str, name: str) -> None:
        """Called before a variable is read."""

    def on_missing(self, scope: Scope, col: str, name: str, value: object) -> None:
        """Called with the value made for a variable that is missing."""

    def on_param(
        self, scope: Scope, init_fn: Callable[..., Any], args: Any, kwargs: Any, value: object
    ) -> None:
        """Called with the value that an initializer made of the newest key of the stream 'params'."""
