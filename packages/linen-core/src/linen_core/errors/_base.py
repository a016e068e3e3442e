"""The base class of all errors, and helpers that render parts of their messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["FlaxError", "LinenError", "below", "did_you_mean", "listing", "render_path"]


def _unpickle(cls: type[LinenError], args: tuple[Any, ...], state: dict[str, Any]) -> LinenError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class LinenError(Exception):
    """Base of every error of Linen.

    A subclass takes the details of a failure as arguments, keeps them as attributes and passes the finished
    message to this class.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)

    def __str__(self) -> str:
        # KeyError, a base of several errors, would show the message in quotes.
        return str(self.args[0]) if self.args else ""

    def __reduce__(self) -> tuple[Any, ...]:
        # The default calls cls(*args) to unpickle, but args holds the message, not the arguments of the subclass.
        return _unpickle, (type(self), self.args, self.__dict__)


FlaxError = LinenError


def render_path(collection: str, path: Sequence[str]) -> str:
    """Render the path of a variable as ``collection/module/.../name``."""
    return "/".join((collection, *path))


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Render a hint at the candidate closest to a name, or an empty string if none is close."""
    close = difflib.get_close_matches(name, list(candidates), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def listing(names: Iterable[str]) -> str:
    """Render some names in alphabetical order, at most eight of them."""
    listed = sorted(names)
    shown = ", ".join(repr(name) for name in listed[:8])
    return f"{shown}, ... ({len(listed)} in all)" if len(listed) > 8 else shown or "nothing"


def below(scope_path: str) -> str:
    """Render the path of a module as a suffix of a collection name; the root module has an empty one."""
    return "" if scope_path in ("", "/") else scope_path
