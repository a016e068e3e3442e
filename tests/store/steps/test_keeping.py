"""Which steps are kept."""

import math

import pytest

from linen_store.steps.keeping import best_step, removed_steps


@pytest.mark.parametrize(
    ("options", "removed"),
    [
        ({"keep": None, "keep_every": None, "best": None}, []),
        ({"keep": 2, "keep_every": None, "best": None}, [0, 5, 10, 15]),
        ({"keep": 2, "keep_every": 10, "best": None}, [5, 15]),
        ({"keep": 2, "keep_every": 10, "best": 15}, [5]),
        ({"keep": 9, "keep_every": None, "best": None}, []),
        ({"keep": 2, "keep_every": None, "best": None, "saved": 5}, [0, 10, 15]),
    ],
)
def test_removed_steps(options, removed):
    assert removed_steps([25, 0, 5, 10, 15, 20], **{"saved": 25, **options}) == removed


@pytest.mark.parametrize(("largest", "best"), [(True, 3), (False, 4)])
def test_best_step(largest, best):
    metrics = {
        1: {"loss": 0.5},
        2: {"other": 9.0},
        3: {"loss": 0.5},
        4: {"loss": 0.25},
        5: {"loss": math.nan},
        6: {"loss": -math.inf},
        7: {},
    }
    assert best_step(metrics, "loss", largest=largest) == best
    assert best_step({2: {"other": 1.0}}, "loss", largest=largest) is None
