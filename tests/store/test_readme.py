"""The examples of the README run as they stand."""

import doctest
import pathlib

README = pathlib.Path(__file__).parents[2] / "packages" / "linen-store" / "README.md"


def test_examples_run():
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL
    result = doctest.testfile(str(README), module_relative=False, optionflags=flags)
    assert result.attempted > 20
    assert result.failed == 0
