"""The words of a map: what each operation of a rule means, and how a rule is turned around."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import jax

from linen_store.reading.specs import floating_dtype
from linen_store.views.inverting import inverse_of
from linen_store.views.operations import (
    Cast,
    Concatenate,
    Crop,
    Flatten,
    Operation,
    Pad,
    Reshape,
    Resize,
    Same,
    Slice,
    Stack,
    Transpose,
    Unflatten,
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
      axis: the axis of an unstack or of a split.
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
    and has the same text in the target. ``{name:q|k|v}`` matches one of several texts, ``{name:**}`` one or more parts.

    The operations are applied in order: ``"transpose"``, ``"transpose 2 3 1 0"``, ``"reshape 8 -1"``, ``"unflatten AXIS
    SIZE SIZE ..."`` of one axis into several, ``"flatten FIRST LAST"`` of several axes into one, ``"cast bfloat16"``,
    ``"slice AXIS START STOP"``, ``"resize 100 8 fill 0"``, ``"pad AXIS BEFORE AFTER fill 0"``, ``"crop AXIS BEFORE
    AFTER"``; ``"stack i"`` or ``"stack i AXIS"`` for all numbers ``{i}``; ``"unstack i"`` for the reverse, with ``{i}``
    in the target; ``"concatenate AXIS"`` of several sources; ``"split AXIS SIZE SIZE ..."`` into several targets.

    Attributes:
      source: the name, or the names, of the arrays.
      target: the new name, or names.
      do: the operations.
      optional: whether the rule may match nothing, such as that of an output layer that some models share with their
        embedding.
      line: the line of the file that the rule comes from, for errors; 0 without a file.
    """

    source: str | tuple[str, ...]
    target: str | tuple[str, ...]
    do: tuple[str, ...] = ()
    optional: bool = False
    line: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.optional, bool):
            msg = f"'optional': expected true or false, found {self.optional!r}"
            raise TypeError(msg)
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
        stacked = {parse_step(text).name for text in self.do}
        lost = _placeholders(self.sources) - _placeholders(self.targets) - stacked
        if lost:
            names = ", ".join(f"{{{name}}}" for name in sorted(lost))
            msg = f"without {names}, the target does not say which source it comes from: write a rule for each"
            raise ValueError(msg)
        source = _with_choices(self.targets, self.sources)
        target = _with_choices(self.sources, ())
        return Rule(source, target, steps, self.optional, self.line)


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
    if word not in _FORMS:
        msg = f"unknown operation {text!r}: expected one of {', '.join(sorted(_FORMS))}"
        raise ValueError(msg)
    form, parse = _FORMS[word]
    try:
        step: Step = parse(*rest)
    except (ValueError, TypeError) as error:
        msg = f"cannot read the operation {text!r}: expected {form}"
        raise ValueError(msg) from error
    return step


def _integers(words: Iterable[str]) -> tuple[int, ...]:
    return tuple(int(word) for word in words)


def _each(operation: Operation) -> Step:
    return Step("each", operation)


def _of_integers(make: Callable[..., Step]) -> Callable[..., Step]:
    return lambda *words: make(*_integers(words))


def _numbers_and_fill(words: Sequence[str]) -> tuple[tuple[int, ...], float]:
    *numbers, word, fill = words
    if word != "fill":
        raise ValueError(word)
    return _integers(numbers), float(fill)


def _resize(*words: str) -> Step:
    return _each(Resize(*_numbers_and_fill(words)))


def _pad(*words: str) -> Step:
    (axis, before, after), fill = _numbers_and_fill(words)
    return _each(Pad(axis, before, after, fill))


def _unflatten(axis: int, first: int, second: int, *more: int) -> Step:
    return _each(Unflatten(axis, (first, second, *more)))


_FORMS: dict[str, tuple[str, Callable[..., Step]]] = {
    "cast": ("cast and a floating-point dtype", lambda dtype: _each(Cast(floating_dtype(dtype)))),
    "concatenate": (
        "concatenate AXIS",
        _of_integers(lambda axis: Step("concatenate", Concatenate(axis))),
    ),
    "crop": ("crop AXIS BEFORE AFTER", _of_integers(lambda *sizes: _each(Crop(*sizes)))),
    "flatten": ("flatten FIRST LAST", _of_integers(lambda *axes: _each(Flatten(*axes)))),
    "pad": ("pad AXIS BEFORE AFTER fill NUMBER", _pad),
    "reshape": ("reshape SIZE SIZE ...", _of_integers(lambda *shape: _each(Reshape(shape)))),
    "resize": ("resize SIZE SIZE ... fill NUMBER", _resize),
    "slice": ("slice AXIS START STOP", _of_integers(lambda *bounds: _each(Slice(*bounds)))),
    "split": (
        "split AXIS SIZE SIZE ...",
        _of_integers(lambda axis, *sizes: Step("split", axis=axis, sizes=sizes)),
    ),
    "stack": (
        "stack NAME or stack NAME AXIS",
        lambda name, axis="0": Step("stack", Stack(int(axis)), name=name),
    ),
    "transpose": (
        "transpose, or transpose AXIS AXIS ...",
        _of_integers(lambda *axes: _each(Transpose(axes or None))),
    ),
    "unflatten": ("unflatten AXIS SIZE SIZE ...", _of_integers(_unflatten)),
    "unstack": (
        "unstack NAME or unstack NAME AXIS",
        lambda name, axis="0": Step("unstack", name=name, axis=int(axis)),
    ),
}
"""The form of each operation, for errors, and what parses its words."""


def _inverse(text: str) -> str:
    step, (word, *rest) = parse_step(text), text.split()
    if step.name:
        return " ".join(["unstack" if word == "stack" else "stack", *rest])
    if step.kind == "split":
        return f"concatenate {step.axis}"
    try:
        undone = inverse_of(step.operation or Same())
    except ValueError as error:
        msg = f"{text!r} does not have an inverse"
        raise ValueError(msg) from error
    numbers = jax.tree.leaves(dataclasses.astuple(undone))  # type: ignore[call-overload]
    return " ".join([type(undone).__name__.lower(), *map(str, numbers)])


_NAMED_PART = re.compile(r"\{(\w+)(?::([^{}]+))?\}")


def _placeholders(names: Sequence[str]) -> set[str]:
    return {match[1] for name in names for match in _NAMED_PART.finditer(name)}


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
        yield f"(?P<{placeholder}>{_allowed(choices)})"
    yield re.escape(name[start:])


def _allowed(choices: str | None) -> str:
    if choices == "**":
        return ".+"
    return "|".join(map(re.escape, choices.split("|"))) if choices else "[^/]+?"


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
