"""The pictures of the README are up to date."""

import importlib.util
import pathlib

import jax
import pytest

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.skipif(
    jax.__version__ != "0.10.2",
    reason="the memory in them is what this release's compiler asks for",
)
def test_pictures_are_up_to_date():
    spec = importlib.util.spec_from_file_location("pictures", ROOT / "examples" / "pictures.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    drawn = script.pictures()
    readme = (ROOT / "packages" / "linen-summary" / "README.md").read_text("utf-8")
    for name, text in drawn.items():
        committed = (script.FOLDER / name).read_text("utf-8")
        assert committed == text, f"{name} is out of date: run python examples/pictures.py"
        assert f"(pictures/{name})" in readme
