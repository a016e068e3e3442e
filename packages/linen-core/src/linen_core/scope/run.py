"""State that all scopes of one run share."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from linen_core._jax_compat import current_trace

if TYPE_CHECKING:
    from linen_core.scope.origin import Origin
    from linen_core.scope.scope import Scope

__all__ = ["Run", "RunObserver"]


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
        self,
        scope: Scope,
        init_fn: Callable[..., Any],
        args: tuple[object, ...],
        kwargs: dict[str, object],
        value: object,
    ) -> None:
        """Called with the value that an initializer made of the newest key of the stream 'params'."""


class Run:
    """State that all scopes below one root share.

    Attributes:
      adopted: the modules of this run that replace modules made outside of it, by the latter's id.
      observer: what looks on while the run reads and makes variables; None for nothing.
      origin: the scope and the lifted transform that the root was made from; None outside transforms.
      entered_transform: the lifted transform that runs its function now, on scopes of its own.
      trace: the JAX trace under which the run began; None where values of any trace may be written.
    """

    __slots__ = ("adopted", "entered_transform", "observer", "origin", "trace")

    def __init__(self, observer: RunObserver | None = None, origin: Origin | None = None) -> None:
        self.adopted: weakref.WeakValueDictionary[Any, Any] = weakref.WeakValueDictionary()
        self.observer = observer
        self.origin = origin
        self.entered_transform: str | None = None
        self.trace = current_trace()
