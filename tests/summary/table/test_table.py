"""Every format parses back to the contents of the table."""

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
