"""Charts show every share, name unknown numbers, and reject missing quantities."""

import xml.etree.ElementTree as ET

import jax
import jax.numpy as jnp
import pytest

import linen_core as nn
from linen_summary import bars, summarize, tabulate_store, treemap
from linen_summary.errors import UnknownMeasureError

KEY = jax.random.key(0)
SVG = "{http://www.w3.org/2000/svg}"


def test_the_rest_shares_a_bar(table):
    found = bars(table, top=2).bars()
    assert found == [("Dense_1", 144), ("<shared & odd>", 72), ("3 more", 80)]


def test_text_of_bars():
    store = {"params": {"a": {"w": jnp.ones((6, 4))}, "b": {"w": jnp.ones(12)}, "c": jnp.ones(4)}}
    assert str(bars(tabulate_store(store))) == (
        "Variables: 40 variables\n"
        "a         ██████████████████████████████ 24 60.0%\n"
        "b         ███████████████                12 30.0%\n"
        "Variables █████                           4 10.0%"
    )


def test_unknown_numbers_are_named():
    decoder = nn.MultiHeadDotProductAttention(num_heads=2, decode=True)
    table = summarize(decoder, KEY, jnp.ones((1, 5, 4)), compute_flops=True)
    chart = treemap(table, "flops")
    assert chart.unknown == ("MultiHeadDotProductAttention",)
    assert "Unknown, and left out: MultiHeadDotProductAttention" in str(chart)


def test_nothing_to_draw():
    empty = tabulate_store({"params": {}})
    assert treemap(empty).root.total == 0
    assert ET.fromstring(treemap(empty).to_svg()).tag == f"{SVG}svg"
    assert ET.fromstring(bars(empty).to_svg()).tag == f"{SVG}svg"
    assert str(bars(empty)) == "Variables: 0 variables"


def test_measure_that_the_table_does_not_have(table):
    with pytest.raises(UnknownMeasureError) as caught:
        treemap(table, "vjp_flops")
    assert str(caught.value) == (
        "Cannot draw 'vjp_flops': found only size, bytes, flops, macs in the table. Choose one of them, or request "
        "it from `summarize`, for example with compute_flops=True."
    )
