"""Keeps pytest from importing, as files with doctests, those that are only another path of a file with them."""

from pathlib import Path

_SOURCE = Path(__file__).parent / "src" / "linen_core"

collect_ignore = [
    str(path) for path in _SOURCE.glob("*.py") if "sys.modules[__name__]" in path.read_text("utf-8")
]
