"""Charts: every share is drawn, nothing overlaps, and each format parses."""

import html.parser
import io
import xml.etree.ElementTree as ET

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

import linen_core as nn
from linen_summary import bars, summarize, tabulate_store, treemap
from linen_summary.charts.rectangles import Box, divide, tiles
from linen_summary.errors import UnknownMeasureError

KEY = jax.random.key(0)
SVG = "{http://www.w3.org/2000/svg}"


class Model(nn.Module):
    @nn.compact
    def __call__(self, x):
        layer = nn.Dense(8, name="<shared & odd>")
        x = layer(nn.tanh(layer(x)))
        x = nn.Dense(4)(nn.gelu(nn.Dense(16)(x)))
        return nn.LayerNorm()(x) + self.param("bias", nn.initializers.ones, (4,))


@pytest.fixture(scope="module")
def table():
    return summarize(Model(), KEY, jnp.ones((2, 8)), compute_flops=True, compute_macs=True)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    weights=st.lists(st.integers(1, 1000), min_size=1, max_size=30),
    width=st.integers(1, 900),
    height=st.integers(1, 500),
)
def test_rectangles_fill_the_whole_in_proportion(weights, width, height):
    weights.sort(reverse=True)
    boxes = divide(Box(0, 0, width, height), weights)
    scale = width * height / sum(weights)
    for weight, box in zip(weights, boxes, strict=True):
        assert box.width * box.height == pytest.approx(weight * scale)
        assert box.x >= -1e-6
        assert box.x + box.width <= width + 1e-6
        assert box.y >= -1e-6
        assert box.y + box.height <= height + 1e-6
    for number, one in enumerate(boxes):
        for other in boxes[:number]:
            across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
            down = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
            assert min(across, down) <= 1e-6


def test_shares_add_up(table):
    chart = treemap(table)
    assert chart.root.total == table.size
    shares = {part.name: part.own for part in chart.root.every()}
    assert shares["<shared & odd>"] == 72
    assert shares["Model"] == 4
    assert sum(number for _, number in bars(table).bars()) == table.size
    drawn = [part for part, _, is_own in tiles(chart.root, Box(0, 0, 90, 50), 0, 0) if is_own]
    assert sum(part.own for part in drawn) == table.size


def test_flops_of_a_module_are_without_those_of_the_modules_in_it(table):
    chart = bars(table, "flops")
    assert chart.root.total == table.flops
    inside = sum(row.flops for row in table if len(row.path) == 1)
    assert chart.root.own == table.flops - inside  # among it is the second call of the shared layer
    assert bars(table, "macs").title == "Model: 640 MACs"


class Pair(nn.Module):
    def setup(self):
        self.p = nn.Dense(60)
        self.q = nn.Dense(6)


class Uncalled(nn.Module):
    """Calls what is in a module, not the module itself."""

    def setup(self):
        self.pair = Pair()

    def __call__(self, x):
        return self.pair.q(self.pair.p(x))


def test_modules_without_a_number_do_not_have_the_numbers_in_them_counted_twice():
    table = summarize(Uncalled(), KEY, jnp.ones((4, 6)), compute_flops=True)
    chart = treemap(table, "flops")
    assert chart.root.total == table.flops
    assert {part.name: part.own for part in chart.root.every()} == {
        "Uncalled": 0,
        "pair": 0,
        "pair/p": table[1].flops,
        "pair/q": table[2].flops,
    }


@pytest.mark.parametrize("draw", [treemap, bars])
@pytest.mark.parametrize("width", [1, 10, 100])
def test_narrow_pictures_have_no_negative_sizes(table, draw, width):
    picture = ET.fromstring(draw(table).to_svg(width, width))
    sizes = [rect.get(side) for rect in picture.iter(f"{SVG}rect") for side in ("width", "height")]
    assert not any(size.startswith("-") for size in sizes)


def test_the_rest_shares_a_bar(table):
    found = bars(table, top=2).bars()
    assert found == [("Dense_1", 144), ("<shared & odd>", 72), ("3 more", 80)]


@pytest.mark.parametrize("draw", [treemap, bars])
@pytest.mark.parametrize("by", ["size", "bytes", "flops", "macs"])
def test_svg_parses_and_says_each_number(table, draw, by):
    chart = draw(table, by)
    picture = ET.fromstring(chart.to_svg())
    titles = [title.text for title in picture.iter(f"{SVG}title")]
    assert titles[0] == chart.title
    assert any(text.startswith("<shared & odd>: ") for text in titles[1:])
    assert len(list(picture.iter(f"{SVG}rect"))) == len(titles)
    assert chart._repr_svg_() == chart.to_svg()


class Tags(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.open = []
        self.seen = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        if tag not in ("meta", "rect"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.add(tag)

    def handle_endtag(self, tag):
        if tag != "rect":
            assert self.open.pop() == tag


def test_html_stands_alone(table):
    page = treemap(table).to_html()
    parsed = Tags(page)
    assert parsed.open == []
    assert {"svg", "button", "script"} <= parsed.seen
    assert "src=" not in page
    assert "href=" not in page.replace("link.href", "")


@pytest.mark.parametrize("draw", [treemap, bars])
@pytest.mark.parametrize("width", [40, 80, 200])
def test_terminal(table, draw, width):
    output = io.StringIO()
    Console(file=output, width=width).print(draw(table))
    lines = output.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert any("Dense_0" in line for line in lines)
    assert lines[0].startswith("Model: 296 variables")


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
