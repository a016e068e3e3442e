"""`summarize` counts each iteration of a scan. `tabulate` shows flax's number, which has one iteration."""

import re

import jax
import jax.numpy as jnp
import pytest
from jax import lax

import linen_core as nn
from linen_summary import summarize
from summary.costs._counting import counted as count_flops

KEY = jax.random.key(0)
X = jnp.ones((8, 32))
SCANNED = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}}


class Turn(nn.Module):
    @nn.compact
    def __call__(self, x, _=None):
        return nn.Dense(32)(nn.relu(nn.Dense(64)(nn.LayerNorm()(x)))), None


class Model(nn.Module):
    """The same layers, applied in several ways."""

    way: str
    turns: int = 12

    @nn.compact
    def __call__(self, x):
        if self.way == "unrolled":
            for _ in range(self.turns):
                x, _ = Turn()(x)
            return x
        options = {"length": self.turns, **SCANNED}
        if self.way == "rematerialized":
            return nn.scan(nn.remat(Turn), **options)()(x, None)[0]
        if self.way == "nested":
            inner = nn.scan(Turn, length=3, **SCANNED)
            outer = nn.scan(inner, length=self.turns // 3, **SCANNED)
            return outer()(x, None)[0]
        unroll = {"scanned by five": 5}.get(self.way, 1)
        return nn.scan(Turn, unroll=unroll, **options)()(x, None)[0]


def flops(way, turns=12):
    table = summarize(Model(way, turns), KEY, X, compute_flops=True, compute_vjp_flops=True)
    return table.flops, table.vjp_flops


@pytest.mark.parametrize("way", ["scanned", "scanned by five", "nested"])
def test_a_scan_costs_as_much_as_its_iterations(way):
    assert flops(way) == flops("unrolled")


def test_a_scan_costs_in_proportion_to_its_length():
    one, two, four = (flops("scanned", turns) for turns in (1, 2, 4))
    assert two == tuple(2 * number for number in one)
    assert four == tuple(4 * number for number in one)
    assert flops("scanned", 0)[0] == 0


def test_rematerialized_operations_count_again():
    plain, again = flops("scanned"), flops("rematerialized")
    assert again[0] == plain[0]
    assert again[1] > plain[1] + plain[0] // 2


def printed_flops(model):
    plain = {"force_terminal": False, "width": 200}
    text = model.tabulate(KEY, X, compute_flops=True, console_kwargs=plain)
    return int(re.findall(r"│ (\d+) +│", text)[0])


def test_tabulate_shows_one_iteration():
    one, many = (printed_flops(Model("scanned", turns)) for turns in (2, 12))
    assert one == many
    turn = summarize(Turn(), KEY, X, compute_flops=True).flops
    assert turn <= one < turn + 10  # and the counter of the loop


def counted(function, *, every_iteration=True):
    return count_flops(function, X, every_iteration=every_iteration)


def times(x, length):
    return lax.scan(lambda c, _: (c * 2.5, None), x, length=length)[0]


PROGRAMS = {
    "scan": (lambda x: times(x, 7), 7 * X.size),
    "xs": (lambda x: lax.scan(lambda c, y: (c * y, None), x[0], x)[0], X.size),
    "no turn": (lambda x: times(x, 0), 0),
    "jitted": (jax.jit(lambda x: times(x, 7)), 7 * X.size),
    "in a derivative's rule": (jax.checkpoint(lambda x: times(x, 7)), 7 * X.size),
    "static loop": (lambda x: lax.fori_loop(0, 7, lambda _, y: y * 2.5, x), 7 * X.size),
    "nested": (
        lambda x: lax.scan(lambda c, _: (times(c, 3) * 2.5, None), x, length=7)[0],
        7 * 4 * X.size,
    ),
    "constants that fold": (
        lambda x: lax.scan(lambda c, _: (c * jnp.ones_like(x) + 0.0, None), x, length=7)[0],
        0,
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name):
    function, expected = PROGRAMS[name]
    assert expected <= counted(function) <= expected + 3 * 7  # a loop's own counter


def test_the_larger_branch_counts_with_all_its_iterations():
    """XLA also counts the larger branch, but compares one iteration of each."""
    cheap = lambda x: times(x, 50)
    dear = lambda x: jnp.sin(x * 2.5) * 2.5 * x
    branch = lambda x: lax.cond(x[0, 0] > 0, cheap, dear, x)
    extra = counted(branch) - counted(cheap)
    assert 0 <= extra <= 10
    assert counted(branch, every_iteration=False) - counted(dear, every_iteration=False) <= 10


def test_a_while_loop_counts_one_iteration():
    loop = lambda x: lax.while_loop(lambda y: y[0, 0] < 9, lambda y: times(y, 7), x)
    assert 7 * X.size <= counted(loop) <= 7 * X.size + 30


def test_a_scan_counts_all_iterations_if_the_program_is_lowered_as_a_whole():
    """The constant array makes the counter lower the whole program."""
    rest = lambda x: x + jnp.asarray(range(32), jnp.float32)
    whole = lambda x: times(rest(x), 7)
    assert counted(whole) - counted(rest) == pytest.approx(7 * X.size, abs=10)
