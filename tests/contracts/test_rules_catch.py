"""Each rule of the contract tests catches a file that breaks it, and lets one that keeps it pass."""

from __future__ import annotations

import dataclasses
import textwrap
from typing import Any

import pytest

from contracts import rules, structure, words
from contracts.rules import Source
from contracts.test_source_rules import undocumented_methods

FLOORS = [["errors"], ["store"], ["scope"], ["__init__"]]
MODULES = {
    name: Source(name, textwrap.dedent(text), is_face=name == "linen_core")
    for name, text in {
        "linen_core": '__all__ = ["Module"]',
        "linen_core.errors": '__all__ = ["LinenError"]\n_hidden = 1\nopen = 2',
        "linen_core.store.base": '__all__ = ["VariableStore"]',
        "linen_core._jax_compat": "__all__ = []",
        "linen_core.scope": "__all__ = []",
    }.items()
}


def core(text, module="linen_core.scope"):
    return Source(module, textwrap.dedent(text))


def sister(text):
    return Source("linen_store.checkpoint", textwrap.dedent(text))


def test_relative_import():
    assert list(rules.absolute_imports(core("from . import errors"))) == [
        "linen_core.scope:1 imports relatively from ."
    ]
    assert list(rules.absolute_imports(core("from ..errors import LinenError")))
    assert not list(rules.absolute_imports(core("from linen_core import errors")))


def test_import_of_own_root():
    assert list(rules.no_import_of_own_root(core("from linen_core import Module"), MODULES)) == [
        "linen_core.scope:1 imports linen_core.Module from its own root"
    ]
    inside = core("def f():\n    import linen_core as nn")
    assert list(rules.no_import_of_own_root(inside, MODULES)) == [
        "linen_core.scope:2 imports linen_core from its own root"
    ]
    assert not list(rules.no_import_of_own_root(core("from linen_core import errors"), MODULES))


@pytest.mark.parametrize(
    ("module", "text", "expected"),
    [
        (
            "linen_core.store.base",
            "from linen_core.scope import Scope",
            ["linen_core.store.base:1 imports linen_core.scope from no lower floor"],
        ),
        (
            "linen_core.store.base",
            "if 0:\n    from linen_core import scope",
            ["linen_core.store.base:2 imports linen_core.scope from no lower floor"],
        ),
        (
            "linen_core.scope",
            "import linen_core.attic",
            ["linen_core.scope:1 imports linen_core.attic, which stands on no floor"],
        ),
        ("linen_core.attic", "", ["linen_core.attic stands on no floor"]),
        ("linen_core.scope", "from linen_core.errors import LinenError", []),
        ("linen_core.store.memory", "from linen_core.store.base import VariableStore", []),
    ],
)
def test_upward_import(module, text, expected):
    assert list(rules.no_upward_import(core(text, module), FLOORS, MODULES)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "from jax._src import core",
        "import jax.extend",
        "from jax import interpreters",
        "import jax\nx = jax.interpreters.ad.jvp",
        "import jax.extend.linear_util as lu",
    ],
)
def test_jax_internals(text):
    assert list(rules.jax_internals_in_one_file(core(text)))
    assert not list(rules.jax_internals_in_one_file(core(text, "linen_core._jax_compat")))


def test_public_jax_is_no_internal():
    assert not list(rules.jax_internals_in_one_file(core("import jax\nx = jax.extended.y")))


def test_undeclared_import():
    source = core("import os, jax.numpy, rich.table")
    assert list(rules.only_declared_imports(source, frozenset())) == [
        "linen_core.scope:1 imports rich.table, which its package does not depend on"
    ]
    assert not list(rules.only_declared_imports(source, frozenset({"rich"})))


@pytest.mark.parametrize(
    ("text", "is_fine"),
    [
        ("import linen_summary", False),
        ("from linen_core.errors import LinenError", True),
        ("import linen_core as nn\nx = nn.Module", True),
        ("from linen_core import errors\nx = errors.LinenError", True),
    ],
)
def test_sisters_are_strangers(text, is_fine):
    declared = frozenset({"linen_core", "orbax"})
    assert (not list(rules.only_declared_imports(sister(text), declared))) is is_fine


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from linen_core.errors import _hidden", "1 imports linen_core.errors._hidden"),
        ("from linen_core.errors import open", "1 imports linen_core.errors.open"),
        ("from linen_core._jax_compat import x", "1 imports linen_core._jax_compat.x"),
        ("from linen_core import _jax_compat", "1 imports linen_core._jax_compat"),
        ("import linen_core as nn\nx = nn._store", "2 uses linen_core._store"),
        ("import linen_core\nx = linen_core.Scope", "2 uses linen_core.Scope"),
        ("from linen_core import errors as e\nx = e.open", "2 uses linen_core.errors.open"),
    ],
)
def test_private_names_of_core(text, expected):
    found = list(rules.only_public_names_of_core(sister(text), MODULES))
    assert f"linen_store.checkpoint:{expected}, which is not public" in found


def test_public_names_of_core():
    text = (
        "import linen_core as nn\nfrom linen_core import errors\nx = nn.Module, errors.LinenError"
    )
    assert not list(rules.only_public_names_of_core(sister(text), MODULES))


def test_missing_all():
    assert list(rules.declares_names(core("x = 1\nimport sys, os as o"), MODULES)) == [
        "linen_core.scope has no __all__"
    ]
    assert not list(rules.declares_names(core("__all__: list[str] = ['x']"), MODULES))


def test_declared_names():
    assert rules.declared_names(core("__all__ = ['a', 'b']\nfrom x import c as c"), MODULES) == [
        "a",
        "b",
    ]
    face = core("from linen_core.store.base import *\nfrom x import a as a, b, c as d")
    assert rules.declared_names(face, MODULES) == ["VariableStore", "a"]
    stub = "import x\nfrom x import a as a, b\nc = x"
    listed = Source("linen_core", "__all__ = ['d']", is_face=True, stub=stub)
    assert rules.declared_names(listed, MODULES) == ["a", "c"]


def test_face_that_defines():
    text = '"""Doc."""\nimport os\n__getattr__, __all__ = os.f()\ndef f(): ...\n__a__, b = 1, 2\n'
    assert list(rules.face_defines_nothing(Source("linen_core", text, is_face=True))) == [
        "linen_core:4 defines something in the face",
        "linen_core:5 defines something in the face",
    ]
    assert not list(rules.face_defines_nothing(Source("linen_core.scope", text)))


def test_long_file():
    assert list(rules.short_file(core("x = 1\n" * 501))) == [
        "linen_core.scope has 501 lines, more than 500"
    ]
    assert not list(rules.short_file(core("x = 1\n" * 500)))


def test_long_function():
    body = "    x = 1\n"
    long = f'class A:\n  def f():\n    """Doc."""\n{body * 61}'
    assert list(rules.short_functions(core(long))) == [
        "linen_core.scope:2 f has 61 lines, more than 60"
    ]
    doc = '    """Doc.\n' + "\n" * 90 + '    """\n'
    assert not list(rules.short_functions(core(f"def f():\n{doc}{body * 60}")))


def test_parameters():
    text = (
        "class A:\n  def f(self, x: Any, *y: int, z=1, **w: Any): ...\ndef g(cls: Any, self): ..."
    )
    assert list(rules.parameters(core(text))) == [
        ("linen_core.scope:3 g(cls)", "Any"),
        ("linen_core.scope:2 f(x)", "Any"),
        ("linen_core.scope:2 f(z)", None),
        ("linen_core.scope:2 f(y)", "int"),
        ("linen_core.scope:2 f(w)", "Any"),
    ]


def test_missing_docstring():
    text = "@overload\ndef a(): ...\ndef b(): ...\nclass C: ...\ndef _d(): ..."
    assert list(rules.public_docstrings(core(text))) == [
        "linen_core.scope has no docstring",
        "linen_core.scope:3 b has no docstring",
        "linen_core.scope:4 C has no docstring",
    ]


def test_undocumented_method():
    class Base:
        def documented(self):
            """Do it."""

        def bare(self): ...

    @dataclasses.dataclass
    class Child(Base):
        function: Any = len

        def documented(self): ...

    assert [line.rpartition(".")[2] for line in undocumented_methods(Base)] == ["bare"]
    assert list(undocumented_methods(Child)) == []


@pytest.mark.parametrize("path", ["/home/ann/x", "/root/.cache", "see /Users/ann", "'/opt/ann'"])
def test_machine_path(path):
    assert list(rules.no_machine_paths("README.md", f"a\n{path}"))


@pytest.mark.parametrize(
    "text", ["docs/home/x", "a/root/b", "/usr/bin/env sh", "https://x.org/home/a"]
)
def test_no_machine_path(text):
    assert not list(rules.no_machine_paths("README.md", text))


def test_import_by_a_string():
    text = "import importlib\nimportlib.import_module('linen_core.scope')"
    assert list(rules.no_upward_import(core(text, "linen_core.store.base"), FLOORS, MODULES)) == [
        "linen_core.store.base:2 imports linen_core.scope from no lower floor"
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("import linen_core.b", "from linen_core import a"),
        ("from linen_core.b import B", "if TYPE_CHECKING:\n    from linen_core.a import A"),
        ("def f():\n    from linen_core.b import B", "importlib.import_module('linen_core.a')"),
    ],
)
def test_import_circle(first, second):
    modules = {
        name: core(text, name) for name, text in (("linen_core.a", first), ("linen_core.b", second))
    }
    assert list(structure.import_circles(modules)) == [
        "linen_core.a -> linen_core.b -> linen_core.a"
    ]
    assert not list(structure.import_circles({**modules, "linen_core.b": core("", "linen_core.b")}))


def test_large_median():
    modules = {str(lines): core("x = 1\n" * lines) for lines in (1, 151, 400)}
    assert list(structure.small_median(modules)) == ["the median file has 151 lines, more than 150"]
    assert not list(structure.small_median({**modules, "0": core(""), "2": core("x = 1\n")}))


@pytest.mark.parametrize(
    "text",
    [
        '"""What is imported."""',
        'def f():\n    """Tell whether it holds."""',
        'advice = {}\n"""What to use instead."""',
        "# there is no stream",
        'raise ValueError("a name inside of a scope")',
        "msg = f'{1} stands here'",
        "# the scope ends, so that nothing leaks",
        "# all that a store holds",
    ],
)
def test_awkward_words_in_python(text):
    assert len(list(words.awkward_python("file", text))) == 1


def test_plain_words_pass():
    assert not list(
        words.awkward_python("file", '"""Return a standard value."""\n# understand this')
    )
    assert not list(words.awkward_markdown("page", "A page.\n```\nit stands\n```\n"))
    assert list(words.awkward_markdown("page", "It was missed (bar 0.5)."))


def test_private_name_of_two_files():
    text = '_T = TypeVar("_T")\ndef _same(): ...\n_ONE: int = 1'
    modules = {name: core(text, name) for name in ("linen_core.a", "linen_core.b")}
    assert list(structure.repeated_private_names(modules)) == [
        "_same is defined in linen_core.a, linen_core.b",
        "_ONE is defined in linen_core.a, linen_core.b",
    ]
    assert not list(structure.repeated_private_names({"linen_core.a": modules["linen_core.a"]}))
