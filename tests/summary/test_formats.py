"""Every format parses back to what the table says."""

import csv
import html.parser
import io
import json

import jax
import jax.numpy as jnp
import pytest
import rich.console

import linen_core as nn
from linen_summary import summarize
from parity._tabulated import MODELS

RNGS = {name: jax.random.key(i) for i, name in enumerate(("params", "dropout", "noise", "carry"))}


def tables():
    for name in ("mlp", "cnn", "several_inputs_and_outputs", "shared", "partitioned", "methods"):
        module, args, *kwargs = MODELS[name](nn)
        options = {"show_repeated": name == "shared", "compute_flops": name in ("mlp", "shared")}
        yield summarize(module, RNGS, *args, **options, **(kwargs[0] if kwargs else {}))


TABLES = pytest.mark.parametrize(
    "table", list(tables()), ids=lambda table: type(table.module).__name__
)


@TABLES
def test_json_is_the_dict(table):
    assert json.loads(table.to_json()) == table.to_dict()
    read = json.loads(table.to_json(indent=None))
    assert [row["path"] for row in read["rows"]] == [row.name for row in table]
    assert sum(sum(row["size"].values()) for row in read["rows"]) == table.size
    assert sum(read["totals"]["bytes"].values()) == table.bytes
    if table.has_flops:
        assert [row["flops"] for row in read["rows"]] == [row.flops for row in table]


@TABLES
def test_csv_has_a_line_for_each_row(table):
    rows = list(csv.DictReader(io.StringIO(table.to_csv())))
    assert [row["path"] for row in rows] == [row.name for row in table]
    assert [row["module"] for row in rows] == [row.module_type for row in table]
    assert [int(row["params size"]) for row in rows] == [
        row.size_and_bytes(["params"])["params"][0] for row in table
    ]


@TABLES
def test_markdown_has_equal_columns(table):
    lines = table.to_markdown().splitlines()
    columns = {line.replace("\\|", "").count("|") for line in lines}
    assert len(lines) == len(table) + 3
    assert len(columns) == 1
    assert set(lines[1]) <= set("|- ")


class Cells(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.rows = []
        self.open = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


@TABLES
def test_html_parses_back(table):
    parsed = Cells(table.to_html())
    assert parsed.open == []
    header, *rows, total = parsed.rows
    assert [row[0] for row in rows] == [row.name for row in table]
    assert {len(row) for row in (header, *rows, total)} == {len(header)}
    assert total[header.index("params size")] == f"{table.totals()['params'][0]:,}"
    assert table._repr_html_() == table.to_html()


def test_html_and_markdown_escape():
    class Odd:
        def __repr__(self):
            return "<b>|</b>"

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x, odd):
            return x

    table = summarize(Model(), RNGS, jnp.ones(3), Odd())
    assert "- &lt;b&gt;\\|&lt;/b&gt;" in table.to_markdown()
    assert Cells(table.to_html()).rows[1][3] == "- float32[3]\n- <b>|</b>"


def test_not_a_number_is_a_string_in_json():
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x, scale):
            return x

    table = summarize(Model(), RNGS, jnp.ones(3), float("nan"))
    assert json.loads(table.to_json())["rows"][0]["inputs"] == ["float32[3]", "nan"]


@pytest.mark.parametrize("width", [60, 80, 100])
def test_rich_keeps_to_the_width_and_to_one_line_a_row(width):
    module, args = MODELS["transformer"](nn)
    table = summarize(module, RNGS, *args, compute_flops=True, compute_vjp_flops=True)
    output = io.StringIO()
    rich.console.Console(file=output, width=width).print(table)
    lines = output.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    body = [line for line in lines if line.startswith("│") and "Total" not in line]
    assert len(body) == len(table)
    assert all(f"{row.size:,}" in line for row, line in zip(table, body, strict=True) if row.size)


def test_text():
    class Small(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(4)(x)

    text = str(summarize(Small(), RNGS, jnp.ones((16, 9)), compute_flops=True))
    assert text == (
        "Small Summary\n"
        "┏━━━━━━━━━━━┳━━━━━━━━━━━━━━━┳━━━━━━━━┳━━━━━━━┳━━━━━━━━┓\n"
        "┃ module    ┃ outputs       ┃ params ┃ bytes ┃  flops ┃\n"
        "┡━━━━━━━━━━━╇━━━━━━━━━━━━━━━╇━━━━━━━━╇━━━━━━━╇━━━━━━━━┩\n"
        "│ Small     │ float32[16,4] │        │       │ 1.22 k │\n"
        "│   Dense_0 │ float32[16,4] │     40 │ 160 B │ 1.22 k │\n"
        "├───────────┼───────────────┼────────┼───────┼────────┤\n"
        "│ Total     │               │     40 │ 160 B │ 1.22 k │\n"
        "└───────────┴───────────────┴────────┴───────┴────────┘"
    )
