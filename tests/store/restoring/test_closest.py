"""The closest name: as good as difflib's among all of them, for a small part of its work."""

import difflib
import random
import time

import pytest

from linen_store.restoring.closest import ClosestNames

NAMES = [
    f"params/encoder/layer_{number}/{module}/{name}"
    for number in range(40)
    for module in ("attention", "mlp", "norm")
    for name in ("kernel", "bias", "scale")
]


def _ratio(one, other):
    return difflib.SequenceMatcher(None, other, one).ratio()


def _misspelt(name, chance):
    letters = list(name)
    for _ in range(3):
        place = chance.randrange(len(letters))
        letters[place] = chance.choice(["", "x", letters[place] * 2])
    return "".join(letters)


@pytest.mark.parametrize("seed", range(10))
def test_as_close_as_the_closest_of_all(seed):
    name = _misspelt(NAMES[seed * 17], random.Random(seed))
    best = difflib.get_close_matches(name, NAMES, n=1)[0]
    assert _ratio(name, ClosestNames(NAMES).find(name)) >= _ratio(name, best)


def test_nothing_is_close():
    assert ClosestNames([]).find("params/w") is None
    assert ClosestNames(NAMES).find("0123456789") is None
    assert ClosestNames(["", "\ud800"]).find("") == ""


def test_thirty_names_among_thirty_thousand_take_no_time():
    names = [f"{name}/{number}" for name in NAMES for number in range(90)]
    assert len(names) > 30_000
    start = time.process_time()
    closest = ClosestNames(names)
    found = [closest.find(name.replace("encoder", "encodr")) for name in names[::1100]]
    assert found == names[::1100]
    assert time.process_time() - start < 2  # difflib takes about a minute
