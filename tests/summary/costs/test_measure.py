"""A measure that is defined in one place appears in every format, chart and option."""

import csv
import io
import json
import xml.etree.ElementTree as ET

import jax
import jax.numpy as jnp
import pytest

import linen_core as nn
from linen_summary import bars, summarize
from linen_summary.commands.cli import main
from linen_summary.costs import meter
from linen_summary.costs.measure import Measure

KEY = jax.random.key(0)
X = jnp.ones(3)


class Inner(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x * 2.0 + 1.0


class Outer(nn.Module):
    @nn.compact
    def __call__(self, x):
        return jnp.sin(Inner()(Inner()(x)))


def operations(**options):
    return Measure(
        name="operations",
        label="operations",
        header="ops",
        argument="compute_operations",
        help="count operations",
        text=lambda number: f"#{number}",
        includes_submodules=True,
        **{"compute": lambda call: len(call.forward.jaxpr.eqns), **options},
    )


@pytest.fixture
def add(monkeypatch):
    """Add a measure to the list of measures, as its author does."""
    return lambda measure: monkeypatch.setattr(meter, "MEASURES", (*meter.MEASURES, measure))


def table_of(**options):
    return summarize(Outer(), KEY, X, **{"compute_operations": True, **options})


def test_rows_and_sums_have_the_number(add):
    add(operations())
    table = table_of()
    assert table.measures == ("operations",)
    assert [row.operations for row in table] == [5, 2, 2]
    assert table.total("operations") == 5
    assert [row.operations for row in table.sorted("operations")] == [2, 2, 5]
    assert table_of(compute_operations=False)[0].operations is None


def test_every_format_has_the_column(add):
    add(operations())
    table = table_of(compute_macs=True)
    assert str(table).splitlines()[2].split() == [
        "┃",
        "module",
        "┃",
        "outputs",
        "┃",
        "bytes",
        "┃",
        "MACs",
        "┃",
        "ops",
        "┃",
    ]
    assert str(table).count("#5") == 2  # in the row of the root and in the totals
    assert [row["operations"] for row in table.to_dict()["rows"]] == [5, 2, 2]
    assert table.to_dict()["totals"]["operations"] == 5
    assert json.loads(table.to_json()) == table.to_dict()
    rows = list(csv.DictReader(io.StringIO(table.to_csv())))
    assert [row["operations"] for row in rows] == ["5", "2", "2"]
    assert "| macs | operations |" in table.to_markdown().splitlines()[0]
    assert ">operations</th>" in table.to_html()
    assert "#5" in "".join(ET.fromstring(table.to_svg()).itertext())


def test_charts_and_the_command_have_it(add, capsys):
    add(operations())
    chart = bars(table_of(), "operations")
    assert chart.title == "Outer: #5 operations"
    assert chart.bars() == [("Inner_1", 2), ("Inner_0", 2), ("Outer", 1)]
    arguments = ["linen_core:Dense", "--arg", "features=2", "--input", "float32[1,3]"]
    assert main([*arguments, "--operations", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["totals"]["operations"] > 0
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "--operations" in capsys.readouterr().out


def test_estimates_and_unknown_numbers_are_marked(add):
    add(operations(estimate_note="Operations are estimated."))
    table = table_of()
    assert "operations (estimated)" in table.to_csv()
    assert str(table).splitlines()[-1] == "Operations are estimated."
    assert table.to_dict()["estimated"] == ["operations"]


def test_a_number_that_cannot_be_computed_is_unknown_with_its_reason(add):
    def refuse(call):
        raise RuntimeError("not today\nnor tomorrow")

    add(operations(compute=refuse))
    table = table_of()
    assert table.total("operations") is None
    assert table[0].unknown == {"operations": "RuntimeError: not today"}
    assert "Operations of Outer: RuntimeError: not today" in str(table)


def test_a_measure_that_nobody_defined_is_an_argument_of_the_call():
    with pytest.raises(TypeError, match="compute_operations"):
        table_of()
    with pytest.raises(AttributeError, match=r"'Row' object has no attribute 'operations'"):
        _ = summarize(Outer(), KEY, X)[0].operations
