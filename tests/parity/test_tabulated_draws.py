"""Random models with nesting, sharing and transforms have flax's FLOPs and the sizes of `init`."""

import csv
import html.parser
import io
import json
import xml.etree.ElementTree as ET

import flax.linen.summary as flax_summary
import jax
import jax.numpy as jnp
from flax import linen
from hypothesis import given
from hypothesis import strategies as st

import linen_core as nn
from linen_summary import bars, summarize, treemap
from linen_summary.table.summarize import table_of_call
from parity._compare import parity_settings

RNGS = {name: jax.random.key(i) for i, name in enumerate(("params", "dropout"))}
X = jnp.ones((2, 5, 4))
LAYERS = ("dense", "norm", "conv", "dropout", "gru", "ensemble", "attention", "shared")
WRAPS = ("plain", "remat", "jit", "scan")
PLANS = st.recursive(
    st.sampled_from(LAYERS),
    lambda inner: st.tuples(st.sampled_from(WRAPS), st.lists(inner, min_size=1, max_size=2)),
    max_leaves=4,
)


def build(lib, plan):
    class Part(lib.Module):
        plan: tuple

        @lib.compact
        def __call__(self, x, _=None):
            shared = None
            for part in self.plan:
                if part == "shared" and shared is None:
                    shared = lib.Dense(x.shape[-1], name="shared")
                x = shared(lib.tanh(x)) if part == "shared" else layer(part, x)
            return x, None

    def layer(part, x):
        if isinstance(part, tuple):
            wrap, inner = part
            return wrapped(wrap, tuple(inner))(x, None)[0]
        features = x.shape[-1]
        made = {
            "dense": lambda: lib.Dense(features),
            "norm": lib.LayerNorm,
            "conv": lambda: lib.Conv(features, (3,)),
            "dropout": lambda: lib.Dropout(0.5, deterministic=False),
            "gru": lambda: lib.RNN(lib.GRUCell(features)),
            "ensemble": ensemble,
            "attention": lambda: lib.MultiHeadDotProductAttention(2),
        }[part]()
        y = made(x)
        return y.mean(0) if part == "ensemble" else lib.gelu(y)

    def ensemble():
        options = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}}
        return lib.vmap(lib.Dense, in_axes=None, axis_size=2, **options)(X.shape[-1])

    def wrapped(wrap, plan):
        if wrap == "scan":
            options = {
                "variable_axes": {"params": 0},
                "split_rngs": {"params": True, "dropout": True},
            }
            return lib.scan(Part, length=2, **options)(plan)
        return (Part if wrap == "plain" else getattr(lib, wrap)(Part))(plan)

    return Part(tuple(plan))


def flax_numbers(plan):
    """Return flax's FLOPs and VJP FLOPs by path."""
    make = flax_summary._get_module_table(build(linen, plan), None, False, True, True)
    return {row.path: (row.flops, row.vjp_flops) for row in make(RNGS, X)}


def one_iteration(model):
    """Return the table with the numbers that `tabulate` shows."""
    options = {"depth": None, "show_repeated": False, "every_iteration": False}
    return table_of_call(model, RNGS, (X,), {}, measures=("flops", "vjp_flops"), **options)


def has_loops(plan):
    return any(
        part in ("gru", "scan") or (isinstance(part, list | tuple) and has_loops(part))
        for part in plan
    )


@parity_settings(8)
@given(plan=st.lists(PLANS, min_size=1, max_size=3))
def test_numbers_of_drawn_models(plan):
    model = build(nn, plan)
    table = summarize(
        model,
        RNGS,
        X,
        compute_flops=True,
        compute_vjp_flops=True,
        compute_macs=True,
        compute_memory=True,
    )
    numbers = {row.path: (row.flops, row.vjp_flops) for row in one_iteration(model)}
    assert numbers == flax_numbers(plan)
    for row in table:
        assert row.flops >= numbers[row.path][0]
        assert (row.flops, row.vjp_flops) == numbers[row.path] or has_loops(plan)
    variables = jax.eval_shape(lambda: model.init(RNGS, X))
    size = sum(leaf.size for leaf in jax.tree.leaves(variables))
    assert table.size == size
    for row in table:
        assert 2 * row.macs >= 0
        assert row.training_bytes >= 0 <= row.activation_bytes
    assert_formats_parse_back(table, size)


class Cells(html.parser.HTMLParser):
    """Reads the first cells of the rows of an HTML table."""

    def __init__(self, text):
        super().__init__()
        self.first = []
        self.waits = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.waits = True
        elif tag in ("td", "th") and self.waits:
            self.first.append("")

    def handle_endtag(self, tag):
        self.waits = self.waits and tag not in ("td", "th")

    def handle_data(self, data):
        if self.waits and self.first and data != "\n":
            self.first[-1] += data


def assert_formats_parse_back(table, size):
    names = [row.name for row in table]
    read = json.loads(table.to_json())
    assert read == table.to_dict()
    assert sum(read["totals"]["size"].values()) == size
    rows = list(csv.DictReader(io.StringIO(table.to_csv())))
    assert [(row["path"], row["flops"]) for row in rows] == [
        (row.name, str(row.flops)) for row in table
    ]
    lines = table.to_markdown().splitlines()[2:]
    assert [line.split(" | ")[0][2:] for line in lines] == [*names, ""]
    assert Cells(table.to_html()).first == ["path", *names, ""]
    for picture in (table.to_svg(), treemap(table).to_svg(), bars(table, "flops").to_svg()):
        assert ET.fromstring(picture).tag.endswith("svg")
    assert treemap(table).root.total == size
    assert max(map(len, str(table).splitlines())) <= 80
