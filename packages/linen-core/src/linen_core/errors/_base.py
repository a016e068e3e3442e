"""The base of all errors, and how their texts are made."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["FlaxError", "LinenError", "below", "did_you_mean", "listing", "render_path"]


def _rebuild(cls: type[LinenError], args: tuple[Any, ...], state: dict[str, Any]) -> LinenError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class LinenError(Exception):
    """Base of every error of Linen.

    Subclasses take the facts as arguments, keep them as attributes and hand the finished text to this class.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


FlaxError = LinenError


def render_path(collection: str, path: Sequence[str]) -> str:
    """Render a variable's address as ``collection/module/.../name``."""
    return "/".join((collection, *path))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Render a hint at the closest known name, or nothing where none is close."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def listing(names: Iterable[str]) -> str:
    """Render some names, at most eight of them."""
    listed = sorted(names)
    shown = ", ".join(repr(name) for name in listed[:8])
    return f"{shown}, ... ({len(listed)} in all)" if len(listed) > 8 else shown or "nothing"


def below(scope_path: str) -> str:
    """Render a module's path as what follows a collection."""
    return "" if scope_path in ("", "/") else scope_path
