"""Likeness of names and shapes: what `suggest` compares."""

from __future__ import annotations

import collections
import difflib
import functools
import re
from collections.abc import Iterator

__all__ = ["likeness", "steps_between"]

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|\{i\}")

# Words that say nothing, and words with the same meaning in the libraries.
_COMMON = {"params", "model", "transformer", "target", "bert", "vit", "proj", "projection", "self"}
_SAME = {
    "attn": "attention",
    "attentions": "attention",
    "cls": "head",
    "classifier": "head",
    "crossattention": "cross",
    "dec": "decoder",
    "embed": "embedding",
    "embedder": "embedding",
    "embeddings": "embedding",
    "enc": "encoder",
    "fc": "dense",
    "ffn": "mlp",
    "h": "layer",
    "block": "layer",
    "blocks": "layer",
    "encoderblock": "layer",
    "k": "key",
    "layers": "layer",
    "layernorm": "norm",
    "linear": "dense",
    "ln": "norm",
    "lm": "head",
    "o": "out",
    "output": "out",
    "pos": "position",
    "posemb": "position",
    "q": "query",
    "v": "value",
}
_LEAVES = {"weight": "weight", "kernel": "weight", "scale": "weight", "embedding": "weight"}


def likeness(source: str, target: str) -> float:
    """Return how alike two names are, from 0 to 1.

    Example:
      >>> likeness("h/{i}/attn/q_proj/weight", "params/layers_{i}/attention/query/kernel")
      1.0
      >>> likeness("h/{i}/attn/q_proj/bias", "params/layers_{i}/attention/query/kernel")
      0.8
    """
    ours, theirs = _words(source), _words(target)
    shared = sum((collections.Counter(ours) & collections.Counter(theirs)).values())
    words = 2 * shared / max(len(ours) + len(theirs), 1)
    letters = difflib.SequenceMatcher(None, "/".join(ours), "/".join(theirs)).ratio()
    leaves = _leaf(source) == _leaf(target)
    return 0.5 * words + 0.3 * letters + 0.2 * leaves


def _leaf(name: str) -> str:
    last = name.rpartition("/")[2]
    return _LEAVES.get(last, last)


@functools.cache
def _words(name: str) -> tuple[str, ...]:
    """Return the words of a module's name, the same ones for the libraries that say the same."""
    module = name.rpartition("/")[0] if _leaf(name) in ("weight", "bias") else name
    joined = re.sub(r"layer_?norm", "norm", module.replace("LayerNorm", "norm"))
    words = (_SAME.get(word, word) for word in map(str.lower, _WORDS.findall(joined)))
    return tuple(word for word in words if word not in _COMMON)


Steps = tuple[str, ...]


def steps_between(
    source: tuple[int, ...], target: tuple[int, ...], *, thin: bool = False
) -> list[Steps]:
    """Return the operations of maps that may make one shape of another, simple ones first.

    Args:
      source: the one shape.
      target: the other.
      thin: whether an axis of size 1 may be added or left out, such as that of a single head of attention.

    Example:
      >>> steps_between((4, 6), (6, 4)), steps_between((4, 4), (4, 4))
      ([('transpose',)], [(), ('transpose',)])
      >>> steps_between((8, 6), (6, 2, 4))
      [('transpose', 'unflatten 1 2 -1')]
    """
    return list(dict.fromkeys(_steps(source, target, thin)))


def _steps(source: tuple[int, ...], target: tuple[int, ...], thin: bool) -> Iterator[Steps]:
    if source == target:
        yield ()
    if len(source) in (2, 3) and source[::-1] == target:
        yield ("transpose",)
    if len(source) == 4 and tuple(source[axis] for axis in (2, 3, 1, 0)) == target:
        yield ("transpose 2 3 1 0",)
    if len(target) == len(source) + 1:
        for step in _unflattened(source, target, thin):
            yield (step,)
        if len(source) == 2:
            for step in _unflattened(source[::-1], target, thin):
                yield ("transpose", step)
    if len(source) == len(target) + 1:
        for axis in _joined_axes(target, source, thin):
            yield (f"flatten {axis} {axis + 1}",)
        if len(target) == 2:
            for axis in _joined_axes(target[::-1], source, thin):
                yield (f"flatten {axis} {axis + 1}", "transpose")


def _unflattened(flat: tuple[int, ...], apart: tuple[int, ...], thin: bool) -> Iterator[str]:
    for axis in _joined_axes(flat, apart, thin):
        yield f"unflatten {axis} {apart[axis]} -1"


def _joined_axes(flat: tuple[int, ...], apart: tuple[int, ...], thin: bool) -> Iterator[int]:
    """Yield the axes that become one shape, joined with the next, of the other."""
    for axis in range(len(flat)):
        joined = apart[axis] * apart[axis + 1]
        if not thin and 1 in apart[axis : axis + 2]:
            continue
        if (*apart[:axis], joined, *apart[axis + 2 :]) == flat:
            yield axis
