"""The table in flax's format, without flax."""

import jax
import jax.numpy as jnp

import linen_core as nn
from linen_summary import tabulate

KEY = jax.random.key(0)
PLAIN = {"force_terminal": False, "width": 100}


class Outer(nn.Module):
    def setup(self):
        self.inner = nn.Dense(2, use_bias=False)

    def __call__(self, x):
        return self.inner(x)

    def encode(self, x):
        return self.inner(x) + 1


def test_text():
    text = tabulate(Outer(), KEY, console_kwargs=PLAIN, compute_flops=True)(jnp.ones((1, 3)))
    assert [line.strip() for line in text.strip().splitlines()] == [
        "Outer Summary",
        "┏━━━━━━━┳━━━━━━━━┳━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━┳━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━┓",
        "┃ path  ┃ module ┃ inputs       ┃ outputs      ┃ flops ┃ params               ┃",
        "┡━━━━━━━╇━━━━━━━━╇━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━╇━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━┩",
        "│       │ Outer  │ float32[1,3] │ float32[1,2] │ 12    │                      │",
        "├───────┼────────┼──────────────┼──────────────┼───────┼──────────────────────┤",
        "│ inner │ Dense  │ float32[1,3] │ float32[1,2] │ 12    │ kernel: float32[3,2] │",
        "│       │        │              │              │       │                      │",
        "│       │        │              │              │       │ 6 (24 B)             │",
        "├───────┼────────┼──────────────┼──────────────┼───────┼──────────────────────┤",
        "│       │        │              │              │ Total │ 6 (24 B)             │",
        "└───────┴────────┴──────────────┴──────────────┴───────┴──────────────────────┘",
        "",
        "Total Parameters: 6 (24 B)",
    ]


def test_methods_have_their_names():
    text = tabulate(Outer(), KEY, console_kwargs=PLAIN, method="encode")(jnp.ones((1, 3)))
    assert "│ Outer (encode) │" in text
    assert "│ inner │ Dense          │" in text


def test_depth_and_arguments_of_rich():
    options = {"depth": 0, "table_kwargs": {"show_edge": False}, "column_kwargs": {"min_width": 9}}
    text = tabulate(Outer(), KEY, console_kwargs=PLAIN, **options)(jnp.ones((1, 3)))
    assert "6 (24 B)" in text
    assert "Dense" not in text
    assert "┏" not in text


def test_the_text_has_escape_codes_unless_told_otherwise():
    x = jnp.ones((1, 3))
    assert "\x1b[" in tabulate(nn.Dense(2), KEY)(x)
    assert "\x1b[" not in tabulate(nn.Dense(2), KEY, console_kwargs=PLAIN)(x)
