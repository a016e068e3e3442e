"""The shares of modules add up to the quantity of the table."""

import jax
import jax.numpy as jnp

import linen_core as nn
from linen_summary import bars, summarize, treemap
from linen_summary.charts.rectangles import Box, tiles

KEY = jax.random.key(0)


def test_shares_add_up(table):
    chart = treemap(table)
    assert chart.root.total == table.size
    shares = {part.name: part.own for part in chart.root.every()}
    assert shares["<shared & odd>"] == 72
    assert shares["Model"] == 4
    assert sum(number for _, number in bars(table).bars()) == table.size
    drawn = [part for part, _, is_own in tiles(chart.root, Box(0, 0, 90, 50), 0, 0) if is_own]
    assert sum(part.own for part in drawn) == table.size


def test_flops_of_a_module_do_not_include_submodules(table):
    chart = bars(table, "flops")
    assert chart.root.total == table.flops
    inside = sum(row.flops for row in table if len(row.path) == 1)
    assert chart.root.own == table.flops - inside  # includes the second call of the shared layer
    assert bars(table, "macs").title == "Model: 640 MACs"


class Pair(nn.Module):
    def setup(self):
        self.p = nn.Dense(60)
        self.q = nn.Dense(6)


class Uncalled(nn.Module):
    """Calls submodules of a module, but not the module."""

    def setup(self):
        self.pair = Pair()

    def __call__(self, x):
        return self.pair.q(self.pair.p(x))


def test_flops_below_an_uncalled_module_count_once():
    table = summarize(Uncalled(), KEY, jnp.ones((4, 6)), compute_flops=True)
    chart = treemap(table, "flops")
    assert chart.root.total == table.flops
    assert {part.name: part.own for part in chart.root.every()} == {
        "Uncalled": 0,
        "pair": 0,
        "pair/p": table[1].flops,
        "pair/q": table[2].flops,
    }
