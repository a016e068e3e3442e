"""Replaces the Python arguments that errors name by the options of the command."""

from __future__ import annotations

import re

__all__ = ["with_option_names"]

_NAMES = "compression|item|key_map|layout|map|overwrite|root|step|to"
_PATTERN = re.compile(
    rf"""
    (?P<root>\{{'params':\ \(\)\}})
    | `(?P<set>{_NAMES})="(?P<value>\w+)"`
    | (?<![\w/])`?(?P<flag>{_NAMES})=True`?
    | `(?P<name>{_NAMES})=?`
    | (?<![\w/'"`])(?P<given>{_NAMES})=(?P<found>'(?:[^'\\]|\\.)*'|\S+)
    | '(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*"  # a quoted part is not text of the error
    """,
    re.VERBOSE,
)


def with_option_names(message: str) -> str:
    """Replace the arguments in a message by options.

    Example:
      >>> with_option_names("Cannot open '/a/step=3': pass `step=` one of [1], or overwrite=True.")
      "Cannot open '/a/step=3': pass `--step` one of [1], or --overwrite."
    """
    return _PATTERN.sub(_option, message)


def _option(match: re.Match[str]) -> str:
    if match["root"]:
        return "`--root params=`"
    if match["set"]:
        return f"`{_dashed(match['set'])} {match['value']}`"
    if match["flag"]:
        return _dashed(match["flag"])
    if match["name"]:
        return f"`{_dashed(match['name'])}`"
    if match["given"]:
        return f"{_dashed(match['given'])} {match['found']}"
    return match[0]


def _dashed(name: str) -> str:
    return "--" + name.replace("_", "-")
