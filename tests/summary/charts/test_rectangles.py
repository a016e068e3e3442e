"""Rectangles fill a box without gaps or overlaps."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linen_summary.charts.rectangles import Box, divide


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    weights=st.lists(st.integers(1, 1000), min_size=1, max_size=30),
    width=st.integers(1, 900),
    height=st.integers(1, 500),
)
def test_rectangles_fill_the_whole_in_proportion(weights, width, height):
    weights.sort(reverse=True)
    boxes = divide(Box(0, 0, width, height), weights)
    scale = width * height / sum(weights)
    for weight, box in zip(weights, boxes, strict=True):
        assert box.width * box.height == pytest.approx(weight * scale)
        assert box.x >= -1e-6
        assert box.x + box.width <= width + 1e-6
        assert box.y >= -1e-6
        assert box.y + box.height <= height + 1e-6
    for number, one in enumerate(boxes):
        for other in boxes[:number]:
            across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
            down = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
            assert min(across, down) <= 1e-6
