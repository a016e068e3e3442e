"""The printed table keeps to the width of the console, with one line for each row."""

import io

import jax
import jax.numpy as jnp
import pytest
import rich.console

import linen_core as nn
from linen_summary import summarize
from parity._tabulated import MODELS

RNGS = {name: jax.random.key(i) for i, name in enumerate(("params", "dropout", "noise", "carry"))}


@pytest.mark.parametrize("width", [60, 80, 100])
def test_each_row_has_one_line_within_the_width(width):
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


def test_rows_are_indented_under_their_module():
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
    assert "unknown" not in str(inner)  # a filtered table without the root has empty totals


def printed(table, width):
    output = io.StringIO()
    rich.console.Console(file=output, width=width).print(table)
    return output.getvalue()


def test_wide_columns_are_left_out_and_names_and_numbers_kept():
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
