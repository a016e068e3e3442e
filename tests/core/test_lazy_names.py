"""Names of the package and the paths that programs know from flax.linen, as attributes and as imports."""

from __future__ import annotations

import ast
import importlib
import importlib.resources
import pickle
import pkgutil
import subprocess
import sys
from types import ModuleType

import cloudpickle
import jax.numpy as jnp
import pytest

import linen_core as nn
import linen_core.layers
from contracts import rules, workspace
from linen_core.attention import dot_product_attention_weights, make_causal_mask
from linen_core.linear import _conv_dimension_numbers, default_kernel_init
from linen_core.partitioning import axis_rules, param_with_axes

CORE = workspace.modules("linen-core")
SOURCES = workspace.ROOT / "packages" / "linen-core" / "src"
SISTERS = {"FrozenDict", "summary", "tabulate"}
FLAX_PATHS = [
    "activation",
    "attention",
    "batch_apply",
    "combinators",
    "dtypes",
    "fp8_ops",
    "initializers",
    "linear",
    "normalization",
    "partitioning",
    "pooling",
    "recurrent",
    "stochastic",
    "summary",
]


def run(code, **options):
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("name", [*FLAX_PATHS, "module", "spmd", "transforms"])
def test_submodule_can_be_imported_and_is_the_attribute(name):
    assert importlib.import_module(f"linen_core.{name}") is getattr(nn, name)


@pytest.mark.parametrize("name", FLAX_PATHS)
def test_a_path_of_flax_leads_to_one_module_that_keeps_its_own_name(name):
    module = importlib.import_module(f"linen_core.{name}")
    assert sys.modules[f"linen_core.{name}"] is sys.modules[module.__name__] is module
    assert module.__spec__.name == module.__name__ != f"linen_core.{name}"
    assert pickle.loads(cloudpickle.dumps(module)) is module


def test_a_path_of_flax_can_be_the_first_import():
    path = "linen_core.attention"
    code = f"import {path} as m, sys; print(m is sys.modules['linen_core'].attention, m.__name__)"
    assert run(code) == ["True", "linen_core.layers.attention"]
    code = f"from {path} import SelfAttention as c; print(c.__module__)"
    assert run(code) == ["linen_core.layers.attention"]


def test_a_pickle_that_names_a_path_of_flax_can_be_read():
    for name in ("Dense", "_conv_dimension_numbers", "default_kernel_init"):
        code = f"import pickle; print(pickle.loads(b'clinen_core.linear\\n{name}\\n.').__module__)"
        assert run(code)[0].startswith("linen_core.layers.")


@pytest.mark.parametrize("name", ["nothing", "Dense", "tabulate", "layers.nothing", "linear.Dense"])
def test_only_modules_can_be_imported_by_path(name):
    with pytest.raises(ModuleNotFoundError, match=f"No module named 'linen_core.{name}'"):
        importlib.import_module(f"linen_core.{name}")


@pytest.mark.parametrize("package", [nn, linen_core.layers], ids=lambda package: package.__name__)
def test_the_package_has_what_its_stub_says(package):
    """A stub is valid Python: executed at once, it gives the names that the package finds one by one."""
    stub = importlib.resources.files(package).joinpath("__init__.pyi").read_text("utf-8")
    said = {"__name__": package.__name__}
    exec(compile(stub, "__init__.pyi", "exec"), said)
    names = rules.declared_names(CORE[package.__name__], CORE)
    assert len(names) == len(set(names)) > 60
    files = {name for name in names if said[name] is sys.modules.get(f"linen_core.{name}")}
    is_file = {name for name in files if said[name].__name__ == f"linen_core.{name}"}
    assert set(names) == {*package.__all__} | (SISTERS | is_file if package is nn else set())
    assert [name for name in names if getattr(package, name) is not said[name]] == []


@pytest.mark.parametrize("package", [nn.transforms, nn.spmd], ids=lambda package: package.__name__)
def test_a_folder_has_the_names_that_its_files_declare(package):
    assert package.__all__ == sorted(rules.declared_names(CORE[package.__name__], CORE))


def test_every_name_of_the_face_is_found():
    for name in nn.__all__:
        assert getattr(nn, name) is not None
        assert name in dir(nn)
        assert name in vars(nn), name  # found at once the second time
    assert set(linen_core.layers.__all__) < set(nn.__all__)


@pytest.mark.parametrize("package", [nn, linen_core.layers], ids=lambda package: package.__name__)
def test_a_wrong_name_is_an_attribute_error(package):
    assert not hasattr(package, "nothing")
    text = f"^module '{package.__name__}' has no attribute 'Dens'$"
    with pytest.raises(AttributeError, match=text) as caught:
        _ = package.Dens
    assert (caught.value.name, caught.value.obj) == (
        "Dens",
        package,
    )  # for "Did you mean: 'Dense'?"
    with pytest.raises(ImportError, match="cannot import name 'Dens' from 'linen_core'"):
        exec("from linen_core import Dens")


def test_star_and_help_work_without_the_sister_packages():
    code = """
import sys
sys.modules["linen_store"] = sys.modules["linen_summary"] = None  # as if they were not installed
from linen_core import *
import linen_core, pydoc
assert Dense is linen_core.Dense
print(len(set(linen_core.__all__) - set(globals())), "class Dense" in pydoc.render_doc(linen_core, renderer=pydoc.plaintext))
"""
    assert run(code) == ["0", "True"]


def test_star_leaves_modules_of_the_same_name():
    code = "import struct, typing; from linen_core import *; print(struct.calcsize('b'), typing.Any, initializers.__name__)"
    assert run(code) == ["1", "typing.Any", "linen_core.layers.initializers"]
    assert {"struct", "typing", "errors"} <= {*dir(nn)} - {*nn.__all__}


@pytest.mark.parametrize(
    ("name", "found", "sister"),
    [
        ("FrozenDict", "FrozenDict", "store"),
        ("tabulate", "tabulate", "summary"),
        ("summary", "linen_summary", "summary"),
    ],
)
def test_a_missing_sister_package_is_named(name, found, sister, monkeypatch):
    monkeypatch.setitem(sys.modules, f"linen_{sister}", None)
    monkeypatch.delitem(sys.modules, "linen_core.summary", raising=False)
    monkeypatch.delitem(vars(nn), name, raising=False)
    text = f"`{found}` is part of linen-{sister}, which is not installed. Run: pip install linen-{sister}"
    with pytest.raises(ImportError) as caught:
        getattr(nn, name)
    assert str(caught.value) == text
    if name == "summary":
        with pytest.raises(ImportError) as caught:
            importlib.import_module("linen_core.summary")
        assert str(caught.value) == text


def test_no_name_means_two_things():
    """A name of a package that is also a file of it means the file."""
    for name in ("orbax.checkpoint", "rich"):
        pytest.importorskip(name, reason="files of linen-store and linen-summary import it")
    modules = [
        importlib.import_module(info.name)
        for package in workspace.PACKAGES
        for root in [importlib.import_module(package.replace("-", "_"))]
        for info in pkgutil.walk_packages(root.__path__, f"{root.__name__}.")
        if not info.name.endswith("__main__")
    ]
    assert len(modules) > 100
    shadowed = [
        module.__name__
        for module in modules
        for folder, _, name in [module.__name__.rpartition(".")]
        if getattr(sys.modules[folder], name) is not module
    ]
    assert shadowed == []
    assert isinstance(nn._context, ModuleType)
    assert "_context" not in nn.__all__


def test_faces_list_no_name_of_a_stub():
    """Layers, transforms and sharding: each name is in one list, beside the `__all__` of its file."""
    for face in ("linen_core", "linen_core.layers", "linen_core.transforms", "linen_core.spmd"):
        written = {node.name for node in ast.walk(CORE[face].tree) if isinstance(node, ast.alias)}
        written |= {
            node.value for node in ast.walk(CORE[face].tree) if isinstance(node, ast.Constant)
        }
        assert written & set(nn.__all__) <= {"module", "traceback_util"}, face


def test_a_new_layer_touches_its_file_and_one_list(tmp_path):
    copy = tmp_path / "linen_core"
    for path in (SOURCES / "linen_core").rglob("*.py*"):
        if "__pycache__" not in path.parts:
            target = copy / path.relative_to(SOURCES / "linen_core")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(path.read_text("utf-8"), "utf-8")
    new = "from linen_core.module import Module\n\n\nclass Gate(Module):\n    size: int\n"
    (copy / "layers" / "gate.py").write_text(new)
    with (copy / "layers" / "__init__.pyi").open("a") as stub:
        stub.write("from linen_core.layers.gate import Gate as Gate\n")
    code = """
import sys
sys.path.insert(0, ".")
import linen_core as nn
print(nn.Gate(size=3).size, nn.layers.Gate is nn.Gate, "Gate" in nn.__all__, "Gate" in dir(nn))
"""
    assert run(code, cwd=tmp_path) == ["3", "True", "True", "True"]


def test_names_imported_by_path():
    assert dot_product_attention_weights is nn.dot_product_attention_weights
    assert make_causal_mask is nn.make_causal_mask
    assert default_kernel_init is nn.linear.default_kernel_init
    assert _conv_dimension_numbers is nn.linear._conv_dimension_numbers
    assert axis_rules is nn.partitioning.axis_rules
    assert param_with_axes is nn.partitioning.param_with_axes
    assert nn.attention.promote_dtype is nn.dtypes.promote_dtype


def test_every_initializer_of_flax_is_there():
    theirs = pytest.importorskip("flax.linen.initializers", reason="flax says which there are")
    assert {name for name in vars(theirs) if not name.startswith("_")} <= set(dir(nn.initializers))


def test_the_running_module_can_be_looked_up():
    class Outer(nn.Module):
        @nn.compact
        def __call__(self, x):
            seen.append(nn.module._context.module_stack[-1])
            Inner()(x)
            seen.append(nn.module._context.module_stack[-1])
            return self

    class Inner(nn.Module):
        def __call__(self, x):
            seen.append(nn.module._context.module_stack[-1])

    seen = []
    outer = Outer().apply({}, jnp.ones(1))
    assert seen[0] is seen[2] is outer
    assert type(seen[1]) is Inner
    assert nn.module._context.module_stack == [None]
