"""Every format parses back to what the table says."""

import csv
import html.parser
import io
import json

import jax
import jax.numpy as jnp
import pytest
import rich.console
from markdown_it import MarkdownIt

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


def markdown_cells(text):
    parser = MarkdownIt("commonmark").enable("table")
    rows = []
    for token in parser.parse(text):
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            markup = [child.type for child in token.children]
            assert set(markup) <= {"text", "text_special", "html_inline"}, token.content
            rows[-1].append("".join(child.content for child in token.children))
    return rows


@TABLES
def test_markdown_parses_back(table):
    header, *rows, total = markdown_cells(table.to_markdown())
    assert [row[:3] for row in rows] == [[row.name, row.module_type, row.method] for row in table]
    assert total[header.index("params size")] == f"{table.totals()['params'][0]:,}"


def test_odd_names_are_the_same_in_every_format():
    name = "a|b<c>&\"'\\_x_ *y* `z` ~~w~~ [red]"

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(2, name=name)(x)

    table = summarize(Model(), RNGS, jnp.ones((1, 3)))
    assert markdown_cells(table.to_markdown())[2][0] == name
    assert list(csv.DictReader(io.StringIO(table.to_csv())))[1]["path"] == name
    assert Cells(table.to_html()).rows[2][0] == name
    assert json.loads(table.to_json())["rows"][1]["path"] == name
    output = io.StringIO()
    rich.console.Console(file=output, width=120).print(table)
    assert name in output.getvalue()


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


class Half(nn.Module):
    def setup(self):
        self.up = nn.Dense(6)
        self.down = nn.Dense(6)

    def begin(self, x):
        return self.up(x)

    def end(self, x):
        return self.down(x)


class Late(nn.Module):
    def setup(self):
        self.a = Half()
        self.b = nn.Dense(6)

    def __call__(self, x):
        return self.a.end(self.b(self.a.begin(x)))


def names(table):
    return [line.split("│")[1].rstrip() for line in str(table).splitlines() if line[0] == "│"]


def test_rows_stand_under_the_module_that_they_are_in():
    table = summarize(Late(), RNGS, jnp.ones((4, 6)), compute_flops=True)
    assert names(table) == [
        " Late",
        "   a (Half).begin",
        "     up (Dense)",
        "   b (Dense)",
        "   a/down (Dense)",
        " Total",
    ]
    by_name = table.sorted("name", reverse=True)
    assert names(by_name)[:3] == [" b (Dense)", " a/up (Dense)", " a/down (Dense)"]
    inner = table.filter(lambda row: len(row.path) == 2)
    assert names(inner) == [" a/up (Dense)", " a/down (Dense)", " Total"]
    assert "unknown" not in str(inner)  # the whole has no row, which is no failure to count it


def printed(table, width):
    output = io.StringIO()
    rich.console.Console(file=output, width=width).print(table)
    return output.getvalue()


def test_what_is_too_wide_is_left_out_and_names_and_numbers_stay():
    options = dict.fromkeys(("compute_flops", "compute_vjp_flops", "compute_macs"), True)
    table = summarize(Late(), RNGS, jnp.ones((4, 6)), compute_memory=True, **options)
    for width in (80, 60, 40, 30):
        lines = printed(table, width).splitlines()
        assert max(map(len, lines)) <= width
        body = [line.split("│") for line in lines if line[0] == "│"]
        assert [cells[1].split()[0] for cells in body[:3]] == ["Late", "a", "up"]
        assert "…" not in "".join("".join(cells[2:]) for cells in body)
    assert "Outputs, bytes, MACs, activation memory and activation memory in training are not" in (
        " ".join(printed(table, 50).split())
    )


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
