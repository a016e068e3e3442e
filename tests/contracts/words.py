"""Turns of phrase that need a second reading, and where prose is in a file."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator

OPENINGS = re.compile(r"(What|Tell|Give|Whether)\b")
"""Openings of docstrings: say what a function returns or does."""

PHRASES = {
    r"\b(?:is|are|was|were|be) no\b": "a negated noun: say 'is not a', 'has no' or 'without'",
    r"\binside of\b": "'inside of': say 'inside' or 'in'",
    r"\bwherein\b": "'wherein': say 'in which'",
    r"\ball that\b": "'all that': say 'everything' or 'all'",
    r"\b(?:stands?|stood)\b(?!-)": "'stand' for 'be': say 'is', 'lives' or 'means'",
    r"\bstand-ins?\b": "'stand-in': say 'replacement'",
    r", so that\b": "', so that': start a new sentence with the result",
    r"\(bars? \d|\bbars? (?:is|was|in the|kept|missed)\b": "'bar' for a goal: say 'target'",
    r"\b(?:thereof|therein|thereby|whatsoever)\b": "an archaic adverb",
}
_PHRASES = [(re.compile(pattern, re.IGNORECASE), advice) for pattern, advice in PHRASES.items()]
_CODE_BLOCK = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def awkward_python(name: str, text: str) -> Iterator[str]:
    """Check the docstrings, those of attributes too, the comments and the strings of a Python file."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Expr(value=ast.Constant(value=str(docstring))):
                opening = OPENINGS.match(docstring.lstrip())
                if opening is not None:
                    yield f"{name}:{node.lineno} a docstring opens with {opening.group()!r}"
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from _awkward(f"{name}:{node.lineno}", node.value)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield from _awkward(f"{name}:{token.start[0]}", token.string)


def awkward_markdown(name: str, text: str) -> Iterator[str]:
    """Check the sentences of a document, code blocks left out."""
    yield from _awkward(name, _CODE_BLOCK.sub("", text))


def _awkward(where: str, text: str) -> Iterator[str]:
    for pattern, advice in _PHRASES:
        for match in pattern.finditer(" ".join(text.split())):
            around = match.string[max(0, match.start() - 30) : match.end() + 20]
            yield f"{where} has {advice} (...{around}...)"
