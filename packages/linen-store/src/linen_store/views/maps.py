"""Maps: one declaration of how the arrays of a checkpoint become those of a model."""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from linen_core import as_store
from linen_store.errors import MapError, ViewError
from linen_store.reading.specs import render_spec
from linen_store.reading.stored import Names
from linen_store.views.entry import Entry, Source, StoreLike
from linen_store.views.naming import in_order, split_name
from linen_store.views.operations import Operation, Slice, Take
from linen_store.views.pipelines import chain
from linen_store.views.rules import Rule, Step, check_texts, filled_in, parse_step, pattern_of
from linen_store.views.view import View, find_entries, source_of

__all__ = ["Map", "MapLike", "load_map"]

_START = re.compile(r"\s*\[\[\s*rule\s*\]\]")
_Bindings = tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class Map:
    """Rules that say what each array of a checkpoint becomes.

    A map is total: an array that no rule uses must match a name in ``keep`` or ``drop``. All problems of all rules come
    in one error, before anything is read.

    Attributes:
      rules: the rules.
      drop: names of arrays that are left out, with placeholders.
      keep: names of arrays that keep their names unless a rule uses them, with placeholders.
      file: the file that the map comes from, for errors.

    Example:
      >>> import numpy as np
      >>> torch = {"layers": {str(i): {"weight": np.zeros((3, 2))} for i in range(4)}}
      >>> rule = Rule("layers/{i}/weight", "params/blocks/kernel", ("transpose", "stack i"))
      >>> view = Map((rule,)).apply(torch)
      >>> view.spec("params", ("blocks", "kernel")).shape
      (4, 2, 3)
      >>> Map((rule,)).inverse().apply(view).leaves("layers")[0]
      ('0', 'weight')
    """

    rules: tuple[Rule, ...]
    drop: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    file: str = ""

    @classmethod
    def from_toml(cls, text: str | os.PathLike[str], file: str = "") -> Map:
        r"""Read a map from TOML.

        Args:
          text: the text, or a `pathlib.Path` of a file with it. It has an array of tables ``[[rule]]`` with ``source``
            and ``target``, and if needed ``do`` and ``optional``. ``drop`` and ``keep`` come first.
          file: the name of the file, for errors.

        Raises:
          MapError: the file cannot be read, or the text is not TOML or has other words.

        Example:
          >>> Map.from_toml('drop = ["step"]\n[[rule]]\nsource = "w"\ntarget = "params/w"').rules[0].target
          'params/w'
        """
        if isinstance(text, os.PathLike):
            return load_map(text)
        try:
            found = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            hint = "" if "\n" in text else "; for the path of a file, pass pathlib.Path(...)"
            raise MapError(file, [f"not TOML: {error}{hint}"]) from error
        problems = [
            f"unknown word {word!r}" for word in found if word not in ("rule", "drop", "keep")
        ]
        tables = found.get("rule", [])
        if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
            raise MapError(file, [*problems, "rule: expected tables that begin with [[rule]]"])
        starts = [number for number, line in enumerate(text.splitlines(), 1) if _START.match(line)]
        rules = []
        for table, line in zip(tables, starts, strict=False):
            missing = sorted({"source", "target"} - set(table))
            unknown = sorted(set(table) - {"source", "target", "do", "optional"})
            problems += [f"line {line}: unknown word {word!r}" for word in unknown]
            problems += [f"line {line}: {word!r} is missing" for word in missing]
            if not missing and not unknown:
                try:
                    rules.append(
                        Rule(**{word: _tuple(one) for word, one in table.items()}, line=line)
                    )
                except TypeError as error:
                    problems.append(f"line {line}: {error}")
        lists = {word: _tuple(found.get(word, ())) for word in ("drop", "keep")}
        for word, names in lists.items():
            try:
                check_texts(word, names)
            except TypeError as error:
                problems.append(str(error))
        if problems:
            raise MapError(file, problems)
        return cls(tuple(rules), **lists, file=file)

    def inverse(self) -> Map:
        """Return the map from the targets to the sources.

        Raises:
          MapError: an operation does not have an inverse, or arrays are left out.
        """
        problems = [f"the arrays {name!r} are left out" for name in self.drop]
        rules = []
        for rule in self.rules:
            try:
                rules.append(rule.inverse())
            except ValueError as error:
                problems.append(f"{_label(rule)}: {error}")
        if problems:
            raise MapError(self.file, problems)
        return Map(tuple(rules), (), self.keep, self.file)

    def apply(self, store: StoreLike) -> View:
        """Return the view of a store that the map describes.

        Raises:
          MapError: the map does not suit the store.
        """
        return _Application(self, store).view()


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _label(rule: Rule) -> str:
    where = f"line {rule.line}, " if rule.line else ""
    return f"{where}{' + '.join(rule.sources)} -> {' + '.join(rule.targets)}"


MapLike: TypeAlias = Map | str | os.PathLike[str] | None
"""A map, or the path of its TOML file; None for none."""


def load_map(given: Map | str | os.PathLike[str]) -> Map:
    """Return a map, read from a TOML file if a path is given.

    Raises:
      MapError: the file cannot be read, or is not a map.
    """
    if isinstance(given, Map):
        return given
    file = os.fspath(given)
    try:
        with open(file, encoding="utf-8") as stream:
            text = stream.read()
    except (OSError, UnicodeDecodeError) as error:
        raise MapError(file, [f"cannot be read: {error}"]) from error
    return Map.from_toml(text, file)


class _Application:
    """A map on its way to become a view of one store."""

    def __init__(self, given: Map, store: StoreLike) -> None:
        self._map = given
        self._store = as_store(store)
        self._sources = {
            "/".join(names): source_of(self._store, names, entry)
            for names, entry in find_entries(self._store).items()
            if isinstance(entry, Entry)
        }
        self._problems: list[str] = []
        self._used: set[str] = set()
        self._entries: dict[Names, Any] = {}
        self._makers: dict[str, Rule] = {}

    def view(self) -> View:
        for rule in self._map.rules:
            try:
                for target, entry in self._entries_of(rule):
                    self._add(rule, target, entry)
            except ValueError as error:
                self._problems.append(f"{_label(rule)}: {error}")
        dropped, kept = self._listed("drop"), self._listed("keep")
        for name, source in self._sources.items():
            if name in self._used or name in dropped:
                continue
            if name in kept:
                self._add(Rule(name, name), name, Entry((source,)))
            else:
                where = f"{name}, {render_spec(source.spec)}"
                self._problems.append(
                    f"{where}: no rule uses it, and neither keep nor drop names it"
                )
        if self._problems:
            raise MapError(self._map.file, self._problems)
        try:
            return View(self._entries.items(), f"map of {self._store!r}")
        except ViewError as error:
            raise MapError(self._map.file, error.problems) from None

    def _listed(self, word: Literal["drop", "keep"]) -> set[str]:
        """Return the arrays that a list of the map names."""
        listed: set[str] = set()
        for name in getattr(self._map, word):
            found = {one for one in self._sources if pattern_of(name).fullmatch(one)}
            if not found:
                self._problems.append(f"{word} {name!r}: it matches nothing{self._closest(name)}")
            listed |= found
        return listed

    def _closest(self, name: str) -> str:
        close = difflib.get_close_matches(name, self._sources, 1, 0.4)
        return f"; the closest name is {close[0]!r}" if close else ""

    def _add(self, rule: Rule, target: str, entry: Entry) -> None:
        if target in self._makers:
            self._problems.append(
                f"{target}: two rules make it, {_label(self._makers[target])} and {_label(rule)}"
            )
            return
        try:
            entry.spec()
        except ValueError as error:
            self._problems.append(f"{_label(rule)}: {target}: {error}")
            return
        self._makers[target] = rule
        self._entries[split_name(target)] = entry

    def _entries_of(self, rule: Rule) -> Iterator[tuple[str, Entry]]:
        """Find the arrays of a rule, and what they become."""
        # This comes first: the arrays of a rule with another problem do not count as unused.
        matches = self._matches(rule)
        steps = [parse_step(text) for text in rule.do]
        special = [step for step in steps if step.kind != "each"]
        if len(special) > 1:
            msg = "more than one of stack, unstack, concatenate and split: use two maps"
            raise ValueError(msg)
        kind, step = (special[0].kind, special[0]) if special else ("each", None)
        expected = len(step.sizes) if step is not None and kind == "split" else 1
        if len(rule.targets) != expected:
            msg = f"{len(rule.targets)} targets, expected {expected}"
            raise ValueError(msg)
        if step is not None and kind == "stack":
            matches = _stacked(matches, step)
        whole = chain(*_operations(steps))
        specs: dict[tuple[int, ...], Any] = {}
        for bindings, sources in matches.items():
            if len(sources) > 1 and kind not in ("stack", "concatenate"):
                msg = "several sources: expected concatenate"
                raise ValueError(msg)
            taken = tuple(self._sources[name] for name in sources)
            if step is not None and kind in ("unstack", "split"):
                middle = steps.index(step)
                before, after = _operations(steps[:middle]), _operations(steps[middle:])
                for target, part in _taken_apart(rule, step, dict(bindings), taken[0], before):
                    yield target, Entry(taken, chain(*before, part, *after))
            else:
                # Most arrays of a rule share their spec with others.
                shared = tuple(id(one.spec) for one in taken)
                entry = Entry(taken, whole, specs.get(shared))
                yield filled_in(rule.targets[0], dict(bindings)), entry
                specs[shared] = entry.known

    def _matches(self, rule: Rule) -> dict[_Bindings, list[str]]:
        """Return the arrays of a rule by the texts of its placeholders."""
        matches: dict[_Bindings, list[str]] = {}
        for source in rule.sources:
            pattern = pattern_of(source)
            found = [match for match in map(pattern.fullmatch, self._sources) if match is not None]
            if not found and not rule.optional:
                msg = f"{source!r} matches nothing{self._closest(source)}"
                raise ValueError(msg)
            for match in found:
                self._used.add(match.string)
                matches.setdefault(tuple(sorted(match.groupdict().items())), []).append(
                    match.string
                )
        for bindings, sources in matches.items():
            if len(sources) != len(rule.sources):
                texts = ", ".join(f"{name}={text}" for name, text in bindings)
                where = f" for {texts}" if texts else ""
                msg = f"only {sources} of {len(rule.sources)} sources{where}"
                raise ValueError(msg)
        return matches


def _taken_apart(
    rule: Rule,
    step: Step,
    bindings: Mapping[str, str],
    source: Source,
    before: Sequence[Operation],
) -> Iterator[tuple[str, Operation]]:
    """Return the targets of an array that is taken apart, and the operation for each."""
    shape = chain(*before).spec([source.spec]).shape
    if not -len(shape) <= step.axis < len(shape):
        msg = f"{'/'.join(source.path)} of shape {shape} does not have the axis {step.axis} to {step.kind}"
        raise ValueError(msg)
    size = shape[step.axis]
    if step.kind == "unstack":
        for index in range(size):
            target = filled_in(rule.targets[0], {**bindings, step.name: str(index)})
            yield target, Take(step.axis, index)
        return
    if sum(step.sizes) != size:
        msg = f"{'/'.join(source.path)} of shape {shape}: the parts have {sum(step.sizes)} of {size} indices"
        raise ValueError(msg)
    start = 0
    for target, part in zip(rule.targets, step.sizes, strict=True):
        yield filled_in(target, bindings), Slice(step.axis, start, start + part)
        start += part


def _operations(steps: Sequence[Step]) -> tuple[Operation, ...]:
    return tuple(step.operation for step in steps if step.operation is not None)


def _stacked(matches: Mapping[_Bindings, list[str]], step: Step) -> dict[_Bindings, list[str]]:
    """Group the arrays that differ in the number of a stack, in the order of the numbers."""
    groups: dict[_Bindings, list[tuple[str, str]]] = {}
    if any(step.name not in dict(bindings) for bindings in matches):
        msg = f"the source does not have the placeholder {{{step.name}}} of the stack"
        raise ValueError(msg)
    for bindings, (name, *_) in matches.items():
        rest = tuple(one for one in bindings if one[0] != step.name)
        groups.setdefault(rest, []).append((dict(bindings)[step.name], name))
    return {rest: in_order(members) for rest, members in groups.items()}
