"""CRC-32s of chunks: which a process computes, and that readers with other regions get the same."""

import itertools
import zlib

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linen_store.formats.orbax.chunks import chunk_crc, covers, own_chunks, whole


@st.composite
def grids(draw):
    """A shape, and cuts along each axis."""
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=3)))
    cuts = [sorted({0, size, *draw(st.lists(st.integers(0, size), max_size=2))}) for size in shape]
    return shape, cuts


def regions_of(array, cuts):
    spans = [list(itertools.pairwise(cut)) for cut in cuts]
    return {
        bounds: array[tuple(slice(*span) for span in bounds)]
        for bounds in itertools.product(*spans)
    }


@given(grids(), st.data())
def test_a_chunk_of_many_regions(grid, data):
    shape, cuts = grid
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    regions = regions_of(array, cuts)
    bounds = tuple(
        tuple(
            sorted(data.draw(st.lists(st.integers(0, size), min_size=2, max_size=2, unique=True)))
        )
        for size in shape
    )
    assert covers(regions, bounds)
    chunk = np.ascontiguousarray(array[tuple(slice(*span) for span in bounds)])
    assert chunk_crc(bounds, regions) == zlib.crc32(chunk.tobytes())
    needed = [
        region
        for region in regions
        if all(
            low < stop and start < high
            for (low, high), (start, stop) in zip(region, bounds, strict=True)
        )
    ]
    missing = data.draw(st.sampled_from(needed))
    rest = {region: values for region, values in regions.items() if region != missing}
    assert not covers(rest, bounds)


@pytest.mark.parametrize("rows", [2048, 2041])
def test_large_chunks_are_blocks_of_rows(rows):
    array = np.arange(rows * 600, dtype=np.float32).reshape(rows, 600)
    chunks = own_chunks(array)
    if rows % 8:
        assert [chunk.bounds for chunk in chunks] == [whole(array.shape)]
    else:
        step = rows // 8
        assert [chunk.bounds for chunk in chunks] == [
            ((start, start + step), (0, 600)) for start in range(0, rows, step)
        ]
    for (span, _), crc in chunks:
        assert crc == zlib.crc32(array[slice(*span)].tobytes())


def test_scalars_and_arrays_without_elements():
    assert own_chunks(np.float32(1).reshape(()))[0].bounds == ()
    assert own_chunks(np.zeros((0, 3))) == [(((0, 0), (0, 3)), 0)]
    assert own_chunks(jax.numpy.ones(2))[0].bounds == ((0, 2),)
