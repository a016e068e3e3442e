"""Every module and every public name of flax, without flax.nnx, has a counterpart or a stated reason."""

import importlib
import os
import pkgutil
import subprocess
import sys
import types
import typing
import warnings

import flax
import pytest

from linen_core.migration.flax_names import (
    ADVICE,
    INTERNAL,
    MODULES,
    NAMES,
    VERSION,
    advice_for,
    counterpart,
)

SPELLING = advice_for("flax.Nothing")
NEEDS_TENSORFLOW = {"flax.metrics.tensorboard"}
# Modules that flax has as attributes only.
ATTRIBUTES = {"flax.core.nn.activation", "flax.core.nn.initializers"}


def _modules():
    with warnings.catch_warnings(action="ignore"):
        found = [info.name for info in pkgutil.walk_packages(flax.__path__, "flax.")]
    return ["flax", *(name for name in found if not f"{name}.".startswith("flax.nnx."))]


ALL = _modules()
# Later releases have other modules: this test is about the one that Linen follows.
pytestmark = pytest.mark.skipif(flax.__version__ != VERSION, reason=f"flax is not {VERSION}")


def test_there_is_much_to_compare():
    assert len(ALL) > 55
    assert {"flax.core.axes_scan", "flax.linen.normalization", "flax.training.orbax_utils"} < {*ALL}


@pytest.mark.parametrize("name", ALL)
def test_module_has_a_counterpart_or_a_reason(name):
    assert name in MODULES or advice_for(name) in ADVICE.values()


def test_listed_modules_are_in_flax():
    assert {*MODULES} - ATTRIBUTES <= {*ALL}
    for name in ATTRIBUTES:
        module, _, last = name.rpartition(".")
        assert isinstance(getattr(importlib.import_module(module), last), types.ModuleType)


def _public_names(module):
    """The names of flax's own functions, classes and constants in a module."""
    for name, value in vars(importlib.import_module(module)).items():
        home = getattr(value, "__module__", None) or module
        is_own = isinstance(home, str) and home.startswith("flax")
        if is_own and name[0] != "_" and not isinstance(value, types.ModuleType | typing.TypeVar):
            yield name


@pytest.mark.parametrize("module", sorted({*MODULES} - ATTRIBUTES - NEEDS_TENSORFLOW))
def test_public_names_have_a_counterpart_or_a_reason(module):
    missing = [name for name in _public_names(module) if counterpart(f"{module}.{name}") is None]
    assert [name for name in missing if advice_for(f"{module}.{name}") == SPELLING] == []


@pytest.mark.parametrize("module", INTERNAL)
def test_internal_names_are_in_flax_and_not_in_linen(module):
    for name in INTERNAL[module].split():
        assert hasattr(importlib.import_module(module), name), name
        assert counterpart(f"{module}.{name}") is None, name
        assert advice_for(f"{module}.{name}") != SPELLING


@pytest.mark.parametrize("name", NAMES)
def test_names_with_an_entry_of_their_own(name):
    module, _, last = name.rpartition(".")
    assert hasattr(importlib.import_module(module), last)
    assert counterpart(name).load() is not None


def test_programs_can_import_each_module_or_read_the_reason():
    program = """
        import importlib, sys
        from linen_core.flax_compat import install
        install()
        for name in sys.argv[1:]:
            try:
                print(name, importlib.import_module(name).__name__)
            except ImportError as error:
                print(name, error)
    """
    done = subprocess.run(
        [sys.executable, "-c", "if True:" + program, *ALL],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": ""},
    )
    lines = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert list(lines) == ALL
    for name, found in lines.items():
        assert found == name if name in MODULES else found.endswith(advice_for(name))
