"""Proposes a map from the shapes and names of a checkpoint and of a model."""

from __future__ import annotations

import collections
import dataclasses
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from linen_core import as_store
from linen_store.reading.specs import is_array_spec, render_spec
from linen_store.reading.stored import arrays_of
from linen_store.views.alike import likeness, steps_between
from linen_store.views.entry import StoreLike
from linen_store.views.maps import Map
from linen_store.views.rules import Rule

__all__ = ["Suggestion", "suggest"]

_LAYER_NUMBER = re.compile(r"(?<![^/_])\d+(?=/|$)")
_CLOSE = 0.08
"""Two sources whose likeness to a target differs by less are both candidates."""
_ROUNDS = ((False, False, False), (False, True, False), (True, True, False), (False, False, True))
"""Rounds of matching: are sources, and targets, single arrays, and may axes of size 1 differ?"""
_USUAL = 0.05
"""Added to the likeness of names if the shapes fit with the usual transposition, or without one."""


@dataclasses.dataclass(frozen=True)
class Suggestion:
    """A proposed map, and what to check in it.

    Attributes:
      map: the map.
      ambiguous: for each doubtful target of a rule the sources that it may come from, the proposed one first.
      squares: targets whose shape does not say whether they are transposed; they follow the others.
      missing: arrays of the model that no array of the checkpoint fits.
    """

    map: Map
    ambiguous: Mapping[str, tuple[str, ...]]
    squares: tuple[str, ...]
    missing: tuple[str, ...]

    def to_toml(self) -> str:
        """Return the map as TOML, with comments on what is doubtful.

        Example:
          >>> given = suggest({"fc": {"weight": np.zeros((3, 2))}}, {"params": {"kernel": np.zeros((2, 3))}})
          >>> print(given.to_toml())
          [[rule]]
          source = "fc/weight"
          target = "params/kernel"
          do = ["transpose"]
        """
        lines = [f"# missing: nothing fits {name}" for name in self.missing]
        if self.map.drop:
            lines += ["# no array of the model fits these", f"drop = {json.dumps(self.map.drop)}"]
        for rule in self.map.rules:
            (source,), (target,) = rule.sources, rule.targets
            lines += ["", "[[rule]]"] if lines else ["[[rule]]"]
            others = self.ambiguous.get(target, ())[1:]
            lines += [f"# ambiguous: or {other}" for other in others]
            if target in self.squares:
                lines.append("# a square: transposed or not as the others are")
            lines += [f"source = {json.dumps(source)}", f"target = {json.dumps(target)}"]
            lines += [f"do = {json.dumps(rule.do)}"] if rule.do else []
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class _Unit:
    """Arrays whose names differ in one number only, with a placeholder for it; or a single array."""

    name: str
    spec: Any
    members: tuple[str, ...] = ()
    """The names of the arrays; empty for a single one."""

    @property
    def count(self) -> int:
        return len(self.members)

    @property
    def arrays(self) -> tuple[str, ...]:
        """The names of the arrays, also of a single one."""
        return self.members or (self.name,)

    def singles(self) -> list[_Unit]:
        """Return the arrays by themselves."""
        return [_Unit(name, self.spec) for name in self.arrays]


@dataclasses.dataclass(frozen=True)
class _Pair:
    """A source and a target whose shapes fit."""

    source: _Unit
    target: _Unit
    steps: tuple[tuple[str, ...], ...]
    """Operations that make the shape, one of these."""
    score: float


def suggest(store: StoreLike, wanted: StoreLike) -> Suggestion:
    """Propose a map from the arrays of a checkpoint to those of a model.

    Only names, shapes and dtypes are compared, no values. Check the result: a likely map is not a right one.

    Args:
      store: the checkpoint.
      wanted: the variables of the model, as arrays or as `jax.ShapeDtypeStruct`, by collection.

    Example:
      >>> checkpoint = {"h": {str(i): {"fc": {"weight": np.zeros((3, 2))}} for i in range(4)}}
      >>> found = suggest(checkpoint, {"params": {"layers": {"dense": {"kernel": np.zeros((4, 2, 3))}}}})
      >>> found.map.rules[0].do, dict(found.ambiguous)
      (('transpose', 'stack i'), {})
    """
    sources, targets = _units(store), _units(wanted)
    pairs, chosen = _matched(sources, targets)
    convention = _conventions(chosen)
    rules, ambiguous, squares = [], {}, []
    for pair in chosen:
        rules.append(Rule(pair.source.name, pair.target.name, _steps_of(pair, convention)))
        rivals = _rivals(pair, pairs, chosen)
        if rivals:
            ambiguous[pair.target.name] = (pair.source.name, *rivals)
        if len(pair.steps) > 1 and _last_parts(pair) not in convention:
            squares.append(pair.target.name)
    drop = tuple(unit.name for unit in _left(sources, [pair.source for pair in chosen]))
    missing = tuple(
        f"{unit.name}, {render_spec(unit.spec)}"
        for unit in _left(targets, [pair.target for pair in chosen])
    )
    return Suggestion(Map(tuple(rules), drop), ambiguous, tuple(squares), missing)


def _matched(sources: Iterable[_Unit], targets: Iterable[_Unit]) -> tuple[list[_Pair], list[_Pair]]:
    """Return all pairs that fit, and those that are chosen, in the order of the targets.

    What does not fit as a group is matched array by array: a number need not be that of a layer. Axes of size 1 are
    added or left out only where nothing else fits.
    """
    pairs: list[_Pair] = []
    chosen: list[_Pair] = []
    for apart_sources, apart_targets, thin in _ROUNDS:
        ours = _left(sources, [pair.source for pair in chosen], apart=apart_sources)
        theirs = _left(targets, [pair.target for pair in chosen], apart=apart_targets)
        found = [pair for target in theirs for pair in _pairs(ours, target, thin=thin)]
        pairs += found
        chosen += _best_pairs(found)
    names = [name for unit in targets for name in unit.arrays]
    order = {name: number for number, name in enumerate(names)}
    return pairs, sorted(chosen, key=lambda pair: order[pair.target.arrays[0]])


def _left(units: Iterable[_Unit], used: Iterable[_Unit], *, apart: bool = False) -> list[_Unit]:
    """Return the units that are not used; as single arrays with ``apart``, or if only some are used."""
    names = {name for unit in used for name in (unit.name, *unit.members)}
    left = []
    for unit in units:
        is_divided = not names.isdisjoint(unit.members)
        if unit.name not in names:
            left += unit.singles() if apart or is_divided else [unit]
    return [unit for unit in left if unit.name not in names]


def _units(store: StoreLike) -> list[_Unit]:
    """Group the arrays of a store by names that differ in one number, the first that counts all layers."""
    specs = {
        "/".join(one.names): one.spec
        for one in arrays_of(as_store(store))
        if is_array_spec(one.spec)
    }
    numbers: dict[str, set[int]] = collections.defaultdict(set)
    for name in specs:
        for match in _LAYER_NUMBER.finditer(name):
            numbers[name[: match.start()]].add(int(match[0]))
    units: dict[str, _Unit] = {}
    for name, spec in specs.items():
        unit = _unit(name, spec, specs, numbers)
        units.setdefault(unit.name, unit)
    return list(units.values())


def _unit(name: str, spec: Any, specs: Mapping[str, Any], numbers: Mapping[str, set[int]]) -> _Unit:
    for match in _LAYER_NUMBER.finditer(name):
        before, after = name[: match.start()], name[match.end() :]
        found = numbers[before]
        members = tuple(f"{before}{number}{after}" for number in sorted(found))
        layers = [specs.get(member) for member in members]
        is_counted = found == set(range(len(found))) and name in members
        if is_counted and all(one is not None and one.shape == spec.shape for one in layers):
            return _Unit(f"{before}{{i}}{after}", spec, members)
    return _Unit(name, spec)


def _pairs(sources: Iterable[_Unit], target: _Unit, *, thin: bool) -> Iterator[_Pair]:
    """Yield the sources whose shapes fit a target."""
    for source in sources:
        steps = tuple(_fitting(source, target, thin=thin))
        if steps:
            pair = _Pair(source, target, steps, likeness(source.name, target.name))
            is_usual = any(_is_transposed(one) is _is_torch(_last_parts(pair)) for one in steps)
            bonus = _USUAL if is_usual or len(source.spec.shape) < 2 else 0.0
            yield dataclasses.replace(pair, score=pair.score + bonus)


def _fitting(source: _Unit, target: _Unit, *, thin: bool) -> Iterator[tuple[str, ...]]:
    ours, theirs = tuple(source.spec.shape), tuple(target.spec.shape)
    if source.count == target.count:
        yield from steps_between(ours, theirs, thin=thin)
    elif not target.count and theirs[:1] == (source.count,):
        for steps in steps_between(ours, theirs[1:], thin=thin):
            yield (*steps, "stack i")
    elif not source.count and ours[:1] == (target.count,):
        for steps in steps_between(ours[1:], theirs, thin=thin):
            yield ("unstack i", *steps)


def _best_pairs(pairs: Iterable[_Pair]) -> list[_Pair]:
    """Pair each target with the source that is most like it; each source is used once."""
    chosen: dict[str, _Pair] = {}
    used: set[str] = set()
    for pair in sorted(pairs, key=lambda one: -one.score):
        if pair.target.name not in chosen and pair.source.name not in used:
            chosen[pair.target.name] = pair
            used.add(pair.source.name)
    return list(chosen.values())


def _rivals(pair: _Pair, pairs: Iterable[_Pair], chosen: Iterable[_Pair]) -> tuple[str, ...]:
    """Return the other sources that a target may come from, the most likely first."""
    scores = {one.source.name: one.score for one in chosen}
    found = [
        one
        for one in pairs
        if one.target.name == pair.target.name
        and one.source.name != pair.source.name
        and one.score > pair.score - _CLOSE
        # A source that is much more like another target is that one's.
        and one.score > scores.get(one.source.name, 0.0) - _CLOSE
    ]
    return tuple(one.source.name for one in sorted(found, key=lambda one: -one.score))


def _last_parts(pair: _Pair) -> tuple[str, str]:
    return pair.source.name.rpartition("/")[2], pair.target.name.rpartition("/")[2]


def _is_torch(leaves: tuple[str, str]) -> bool:
    """Return whether arrays of such names are usually transposed: those of PyTorch are (out, in)."""
    return leaves == ("weight", "kernel")


def _is_transposed(steps: Iterable[str]) -> bool:
    return any(step.startswith("transpose") for step in steps)


def _conventions(pairs: Iterable[_Pair]) -> dict[tuple[str, str], bool]:
    """Return, by the last parts of the names, whether the arrays whose shape tells are transposed."""
    votes: dict[tuple[str, str], list[bool]] = collections.defaultdict(list)
    for pair in pairs:
        if len(pair.steps) == 1 and len(pair.source.spec.shape) > 1:
            votes[_last_parts(pair)].append(_is_transposed(pair.steps[0]))
    return {leaves: 2 * sum(found) > len(found) for leaves, found in votes.items()}


def _steps_of(pair: _Pair, convention: Mapping[tuple[str, str], bool]) -> tuple[str, ...]:
    leaves = _last_parts(pair)
    is_transposed = convention.get(leaves, _is_torch(leaves))
    fitting = [steps for steps in pair.steps if _is_transposed(steps) is is_transposed]
    return (fitting or pair.steps)[0]
