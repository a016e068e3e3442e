"""Lines that are left, as text."""

from linen_core.migration.findings import Finding


def test_place_of_a_finding():
    assert Finding(3, "Look.").describe("a.py") == "a.py:3: Look."
    assert Finding(3, "Look.", cell=2).describe("a.ipynb") == "a.ipynb: cell 2, line 3: Look."
