"""The words of a map: what each operation of a rule means, and how a rule is turned around."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from linen_store.reading.specs import floating_dtype
from linen_store.views.operations import (
    Cast,
    Concatenate,
    Operation,
    Reshape,
    Resize,
    Slice,
    Stack,
    Transpose,
)

__all__ = ["Rule", "Step", "check_texts", "filled_in", "parse_step", "pattern_of"]

Kind = Literal["each", "stack", "unstack", "concatenate", "split"]


@dataclasses.dataclass(frozen=True)
class Step:
    """One operation of a rule.

    Attributes:
      kind: whether it changes each array, combines several, or takes one apart.
      operation: the operation, for one array or for several.
      name: the placeholder of a stack or of an unstack.
      axis: the axis of everything that has one.
      sizes: the sizes of the parts of a split.
    """

    kind: Kind
    operation: Operation | None = None
    name: str = ""
    axis: int = 0
    sizes: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Rule:
    """A rule of a `Map`: which arrays become which, and how.

    Names are those of the stores, joined by "/". A placeholder such as ``{i}`` matches a part of a name without "/",
    and has the same text in the target. ``{name:q|k|v}`` matches one of several texts.

    The operations are applied in order: ``"transpose"``, ``"transpose 2 3 1 0"``, ``"reshape 8 -1"``, ``"cast
    bfloat16"``, ``"slice AXIS START STOP"``, ``"resize 100 8 fill 0"``; ``"stack i"`` or ``"stack i AXIS"`` for all
    numbers ``{i}``; ``"unstack i"`` for the reverse, with ``{i}`` in the target; ``"concatenate AXIS"`` of several
    sources; ``"split AXIS SIZE SIZE ..."`` into several targets.

    Attributes:
      source: the name, or the names, of the arrays.
      target: the new name, or names.
      do: the operations.
      line: the line of the file that the rule comes from, for errors; 0 without a file.
    """

    source: str | tuple[str, ...]
    target: str | tuple[str, ...]
    do: tuple[str, ...] = ()
    line: int = 0

    def __post_init__(self) -> None:
        check_texts("source", self.sources)
        check_texts("target", self.targets)
        check_texts("do", self.do)

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the sources."""
        return _several(self.source)

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the targets."""
        return _several(self.target)

    def inverse(self) -> Rule:
        """Return the rule from the targets to the sources.

        Raises:
          ValueError: an operation does not have an inverse.
        """
        steps = tuple(_inverse(text) for text in reversed(self.do))
        source = _with_choices(self.targets, self.sources)
        return Rule(source, _with_choices(self.sources, ()), steps, self.line)


def _several(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names


def check_texts(word: str, found: object) -> None:
    """Raise if a value is not a tuple of strings.

    Raises:
      TypeError: it is not.
    """
    if not isinstance(found, tuple) or not all(isinstance(one, str) for one in found):
        msg = f"{word!r}: expected a list of strings, found {found!r}"
        raise TypeError(msg)


def parse_step(text: str) -> Step:
    """Parse one operation of a rule.

    Raises:
      ValueError: a word is unknown, or its numbers are missing.
    """
    word, *rest = text.split() or [""]
    try:
        step: Step = _PARSERS[word](rest)
    except KeyError:
        msg = f"unknown operation {text!r}: expected one of {', '.join(sorted(_PARSERS))}"
    except (ValueError, IndexError, TypeError) as error:
        msg = f"cannot read the operation {text!r}: {error}"
    else:
        return step
    raise ValueError(msg)


def _integers(words: Sequence[str]) -> tuple[int, ...]:
    return tuple(int(word) for word in words)


def _each(operation: Operation) -> Step:
    return Step("each", operation)


def _resize(words: Sequence[str]) -> Step:
    if len(words) < 3 or words[-2] != "fill":
        msg = "expected sizes, then fill and a number"
        raise ValueError(msg)
    return _each(Resize(_integers(words[:-2]), float(words[-1])))


def _with_axis(kind: Kind, words: Sequence[str]) -> Step:
    axis = int(words[1]) if len(words) > 1 else 0
    return Step(kind, Stack(axis) if kind == "stack" else None, name=words[0], axis=axis)


_PARSERS: dict[str, Any] = {
    "cast": lambda words: _each(Cast(floating_dtype(words[0]))),
    "concatenate": lambda words: Step(
        "concatenate", Concatenate(int(words[0])), axis=int(words[0])
    ),
    "reshape": lambda words: _each(Reshape(_integers(words))),
    "resize": _resize,
    "slice": lambda words: _each(Slice(*_integers(words))),
    "split": lambda words: Step("split", axis=int(words[0]), sizes=_integers(words[1:])),
    "stack": lambda words: _with_axis("stack", words),
    "transpose": lambda words: _each(Transpose(_integers(words) or None)),
    "unstack": lambda words: _with_axis("unstack", words),
}


def _inverse(text: str) -> str:
    word, *rest = text.split()
    if word == "transpose":
        axes = _integers(rest)
        return " ".join([word, *(str(axes.index(axis)) for axis in range(len(axes)))])
    if word in ("stack", "unstack"):
        return " ".join(["unstack" if word == "stack" else "stack", *rest])
    if word == "split":
        return f"concatenate {rest[0]}"
    msg = f"{text!r} does not have an inverse"
    raise ValueError(msg)


_NAMED_PART = re.compile(r"\{(\w+)(?::([^{}]+))?\}")


def pattern_of(name: str) -> re.Pattern[str]:
    """Return the regular expression of a name with placeholders."""
    return re.compile("".join(_pattern_parts(name)))


def _pattern_parts(name: str) -> Iterator[str]:
    seen: set[str] = set()
    start = 0
    for match in _NAMED_PART.finditer(name):
        yield re.escape(name[start : match.start()])
        start = match.end()
        placeholder, choices = match.groups()
        if placeholder in seen:
            yield f"(?P={placeholder})"
            continue
        seen.add(placeholder)
        allowed = "|".join(map(re.escape, choices.split("|"))) if choices else "[^/]+?"
        yield f"(?P<{placeholder}>{allowed})"
    yield re.escape(name[start:])


def filled_in(name: str, bindings: Mapping[str, str]) -> str:
    """Replace the placeholders of a name by texts.

    Raises:
      ValueError: a placeholder has no text.
    """

    def text(match: re.Match[str]) -> str:
        if match[1] not in bindings:
            msg = f"the target has a placeholder {match[1]!r} that the source lacks"
            raise ValueError(msg)
        return bindings[match[1]]

    return _NAMED_PART.sub(text, name)


def _with_choices(names: Sequence[str], others: Sequence[str]) -> Any:
    """Return names whose placeholders have the choices that other names have."""
    choices = {
        placeholder: f"{{{placeholder}:{found}}}"
        for name in others
        for placeholder, found in _NAMED_PART.findall(name)
        if found
    }
    changed = tuple(
        _NAMED_PART.sub(lambda match: choices.get(match[1], f"{{{match[1]}}}"), name)
        for name in names
    )
    return changed if len(changed) > 1 else changed[0]
