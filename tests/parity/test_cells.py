"""The cells of the printed table: YAML as flax has PyYAML write it, to the character."""

import flax.linen.summary as flax_summary
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from linen_summary.table.tabulate import _CELLS
from parity._compare import parity_settings


class Value:
    def __init__(self, text):
        self.text = text

    def __repr__(self):
        return self.text


SIGNS = "ab:#-?'\"\\[{,&*!|>%@`~\t\n\x85é漢😀"
PIECES = [*SIGNS, "word", "\n\n", "\n ", ": ", " #", "- ", "---", "..."]
PROSE = ["word", "longer", "a", "it's", "é", "\n"]
TEXTS = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
    st.lists(st.sampled_from(PROSE), max_size=60).map(" ".join),
    st.lists(st.sampled_from(["abc", "de", "fghij", "'k'"]), max_size=60).map(" ".join),
)
NUMBERS = st.sampled_from([0, 17, True, None, 1.5, 1e20, 1e-7, float("inf"), float("nan")])
NAMES = st.one_of(TEXTS, st.integers(119, 126).map("k".__mul__), NUMBERS)
KEYS = st.one_of(NAMES, st.tuples(NAMES, TEXTS), st.tuples(st.tuples(TEXTS), NAMES))
TREES = st.recursive(
    TEXTS.map(Value),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


def texts(tree):
    if isinstance(tree, dict):
        return {key: texts(item) for key, item in tree.items()}
    return tuple(map(texts, tree)) if isinstance(tree, tuple) else repr(tree)


def printed(markup):
    return "\n".join(line.rstrip() for line in Text.from_markup(markup).plain.strip().split("\n"))


@parity_settings()
@given(tree=TREES)
def test_cells(tree):
    assert printed(_CELLS.write(tree)) == printed(flax_summary._as_yaml_str(texts(tree)))
