"""Charts keep to the width of the terminal."""

import io

import pytest
from rich.console import Console

from linen_summary import bars, treemap


@pytest.mark.parametrize("draw", [treemap, bars])
@pytest.mark.parametrize("width", [40, 80, 200])
def test_terminal(table, draw, width):
    output = io.StringIO()
    Console(file=output, width=width).print(draw(table))
    lines = output.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert any("Dense_0" in line for line in lines)
    assert lines[0].startswith("Model: 296 variables")
