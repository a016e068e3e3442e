"""Python files: every way of writing an import, and every byte that stays."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linen_core.migration.findings import UnreadableError
from linen_core.migration.python_files import rewrite_python

# Sources, what they become, and the messages of the lines that are left.
CASES = {
    "module with a name": (
        "import flax.linen as nn\nnn.Dense",
        "import linen_core as nn\nnn.Dense",
        [],
    ),
    "from the package": ("from flax import linen as nn", "import linen_core as nn", []),
    "from the package, no name": ("from flax import linen", "import linen_core as linen", []),
    "two modules": (
        "from flax import linen as nn, struct",
        "import linen_core as nn\nfrom linen_core import struct",
        [],
    ),
    "two modules, indented": (
        "if x:\n\tfrom flax import linen as nn, struct  # both\n\ty",
        "if x:\n\timport linen_core as nn\n\tfrom linen_core import struct  # both\n\ty",
        [],
    ),
    "two modules on a shared line": (
        "a = 1; from flax import linen as nn, struct; b = 2",
        "a = 1; import linen_core as nn; from linen_core import struct; b = 2",
        [],
    ),
    "two modules after a colon": (
        "if x: from flax import linen as nn, struct",
        "if x: import linen_core as nn; from linen_core import struct",
        [],
    ),
    "names": (
        "from flax.linen import Dense as D, Module",
        "from linen_core import Dense as D, Module",
        [],
    ),
    "names over lines": (
        "from flax.linen import (  # layers\n    Dense,  # one\n    Module,\n)",
        "from linen_core import (  # layers\n    Dense,  # one\n    Module,\n)",
        [],
    ),
    "names of several modules": (
        "from flax.core import FrozenDict, Scope, freeze as fr",
        "from linen_store import FrozenDict, freeze as fr\nfrom linen_core.scope import Scope",
        [],
    ),
    "names of several modules over lines": (
        "from flax.core import (\n    FrozenDict,  # frozen\n    Scope,\n)  # end",
        "# frozen\nfrom linen_store import FrozenDict\nfrom linen_core.scope import Scope  # end",
        [],
    ),
    "names of several modules with a comment on a shared line": (
        "if x: from flax.core import (FrozenDict,  # a\n    Scope)",
        "if x: from flax.core import (FrozenDict,  # a\n    Scope)",
        ["1: The import shares its line and has comments inside. Put it on lines of its own."],
    ),
    "a backslash": (
        "from flax.linen import Dense, \\\n    Module",
        "from linen_core import Dense, \\\n    Module",
        [],
    ),
    "a module of training": (
        "from flax.training import train_state, checkpoints as c",
        "from linen_core import train_state\nfrom linen_store import checkpoints as c",
        [],
    ),
    "a module with another name": (
        "from flax.core import frozen_dict\nfrozen_dict.freeze",
        "import linen_store as frozen_dict\nfrozen_dict.freeze",
        [],
    ),
    "a class": (
        "from flax.training.train_state import TrainState",
        "from linen_core.train_state import TrainState",
        [],
    ),
    "the package": (
        "import flax\nflax.linen.Dense(flax.core.freeze({}))\nflax.linen.initializers.zeros",
        "import linen_core\nimport linen_store\nimport linen_core.initializers\n"
        "linen_core.Dense(linen_store.freeze({}))\nlinen_core.initializers.zeros",
        [],
    ),
    "the package by another name": (
        "import flax as fx, os\nfx.linen.Dense; fx.core.freeze",
        "import linen_core, linen_store, os\nlinen_core.Dense; linen_store.freeze",
        [],
    ),
    "the package, unused": ("import flax", "import linen_core", []),
    "a dotted import": (
        "import flax.training.train_state\nflax.training.train_state.TrainState",
        "import linen_core.train_state\nlinen_core.train_state.TrainState",
        [],
    ),
    "a dotted import that brings more": (
        "import flax.linen\nflax.linen.Dense; flax.struct.dataclass",
        "import linen_core\nimport linen_core.struct\nlinen_core.Dense; linen_core.struct.dataclass",
        [],
    ),
    "a dotted import with a name": (
        "import jax, flax.training.train_state as ts",
        "import jax, linen_core.train_state as ts",
        [],
    ),
    "two imports of the package": (
        "import flax\nimport flax.linen as nn\n@flax.struct.dataclass\nclass A: x: nn.Module",
        "import linen_core.struct\nimport linen_core as nn\n@linen_core.struct.dataclass\nclass A: x: nn.Module",
        [],
    ),
    "a package of several modules": (
        "from flax import core, struct\ncore.freeze(core.Scope)",
        "import linen_store\nimport linen_core.scope\nfrom linen_core import struct\n"
        "linen_store.freeze(linen_core.scope.Scope)",
        [],
    ),
    "a package of several modules, unused": (
        "from flax import core",
        "from flax import core",
        ["1: `core` is not used here, and Linen has several modules for flax.core. Remove it."],
    ),
    "everything": ("from flax.linen import *", "from linen_core import *", []),
    "everything, and names that the star of Linen does not bring": (
        "from flax.linen import *  # all\nDense, tabulate, spmd, FrozenDict, other",
        "from linen_core import *\nfrom linen_core import FrozenDict, spmd, tabulate  # all\n"
        "Dense, tabulate, spmd, FrozenDict, other",
        [],
    ),
    "everything of several modules": (
        "from flax.core import *",
        "from flax.core import *",
        ["1: The names of `from flax.core import *` are in several modules. Import them by name."],
    ),
    "in a function": (
        "def f():\n    import flax\n    return lambda: flax.linen.Dense",
        "def f():\n    import linen_core\n    return lambda: linen_core.Dense",
        [],
    ),
    "in a class": (
        "class A:\n    import flax.core as c\n    x = c.freeze\n    def f(self): return c.freeze",
        "class A:\n    import linen_store\n    x = linen_store.freeze\n    def f(self): return c.freeze",
        [],
    ),
    "global": (
        "def f():\n    global flax\n    import flax\nflax.linen.Dense",
        "def f():\n    global flax\n    import linen_core\nlinen_core.Dense",
        [],
    ),
    "try": (
        "try:\n    import flax.linen as nn\nexcept ImportError:\n    nn = None",
        "try:\n    import linen_core as nn\nexcept ImportError:\n    nn = None",
        [],
    ),
    "try, with None for what is missing": (
        "try:\n    import flax\n    from flax import core\nexcept ImportError:\n    flax = core = None\n"
        "flax.linen.Dense, core.freeze",
        "try:\n    import linen_core\n    import linen_store\nexcept ImportError:\n    flax = core = None\n"
        "linen_core.Dense, linen_store.freeze",
        [],
    ),
    "try, with a check for None": (
        "try:\n    import flax\nexcept ImportError:\n    flax = None\nif flax: flax.linen",
        "try:\n    import flax\nexcept ImportError:\n    flax = None\nif flax: flax.linen",
        [
            "4: `flax` is flax or something else in the same scope. Give them different names.",
            "5: `flax` is used as a value, and Linen has several modules for flax. Name the module.",
        ],
    ),
    "type checking": (
        "if TYPE_CHECKING:\n    from flax.core import FrozenDict\ndef f(x: FrozenDict): ...",
        "if TYPE_CHECKING:\n    from linen_store import FrozenDict\ndef f(x: FrozenDict): ...",
        [],
    ),
    "annotations": (
        "import flax\ndef f(x: flax.core.FrozenDict) -> flax.linen.Module: ...",
        "import linen_store\nimport linen_core\ndef f(x: linen_store.FrozenDict) -> linen_core.Module: ...",
        [],
    ),
    "annotations that are strings": (
        "import flax\nx: 'flax.linen.Module'\ndef f(x: 'int', é: list[\"flax.core.Scope | None\"]) -> 'flax.core': ...",
        "import linen_core\nimport linen_core.scope\nimport flax\nx: 'linen_core.Module'\n"
        "def f(x: 'int', é: list[\"linen_core.scope.Scope | None\"]) -> 'flax.core': ...",
        [
            "3: Linen has no counterpart of flax.core. Use the one of linen_store, linen_core.scope, linen_core.meta, "
            "linen_core.lift, linen_core.axes_scan, linen_core.tracers, linen_core.typing that has the name."
        ],
    ),
    "annotations that are strings with escapes": (
        "import flax\nx: 'flax.\\x6cinen.Module'\ny: (\n    'flax.linen'\n    '.Module')",
        "import linen_core\nx: 'flax.\\x6cinen.Module'\ny: (\n    'flax.linen'\n    '.Module')",
        [
            '2: The annotation "flax.linen.Module" is a string and is left. Change it to the name in Linen.',
            '4: The annotation "flax.linen.Module" is a string and is left. Change it to the name in Linen.',
        ],
    ),
    "strings in annotations that are values": (
        "import flax\nx: Literal['flax', 'jax']\ny: Annotated['flax.linen.Module', 'flax']\nz: ''",
        "import linen_core\nx: Literal['flax', 'jax']\ny: Annotated['linen_core.Module', 'flax']\nz: ''",
        [],
    ),
    "annotations with a name that stays": (
        "import flax.linen as nn\nx: 'nn.Module'",
        "import linen_core as nn\nx: 'nn.Module'",
        [],
    ),
    "type comments": (
        "x = []  # type: list[flax.linen.Module]",
        "x = []  # type: list[flax.linen.Module]",
        [
            "1: The comment `# type: list[flax.linen.Module]` is left. Change it to the name in Linen."
        ],
    ),
    "f-strings": (
        "import flax\nf'{flax.linen.Dense!r:>{flax.linen.x}}'",
        "import linen_core\nimport flax\nf'{linen_core.Dense!r:>{flax.linen.x}}'",
        [
            "2: Linen has no counterpart of flax.linen.x. Check the spelling: Linen answers the public names of flax 0.12.8."
        ],
    ),
    "import by a string": (
        "importlib.import_module('flax.linen')\nimport_module(\"flax.struct\")",
        "importlib.import_module('linen_core')\nimport_module(\"linen_core.struct\")",
        [],
    ),
    "the builtin function": (
        "__import__('flax.linen')\nx = __import__('flax.linen', fromlist=['Dense'])",
        "__import__('linen_core')\nx = __import__('linen_core', fromlist=['Dense'])",
        [],
    ),
    "imports by a string that are left": (
        "x = __import__('flax.linen')\nimport_module('flax.core')\nimport_module('flax.optim')\n"
        "import_module(f'flax.{x}')",
        "x = __import__('flax.linen')\nimport_module('flax.core')\nimport_module('flax.optim')\n"
        "import_module(f'flax.{x}')",
        [
            '1: `__import__("flax.linen")` returns the package flax. Use importlib.import_module.',
            "2: Linen has several modules for flax.core. Import the one that has the name.",
            "3: Linen has no counterpart of flax.optim. flax removed it in 2022. Use optax.",
            "4: The module that is imported is computed from `flax`. Write the names of Linen's modules.",
        ],
    ),
    "imports by a string in other forms": (
        "il.import_module(name='flax.linen')\nimport_module('.linen', 'flax')\n"
        "import_module('.linen', package=__package__)\n__import__('os', {'flax': 1})",
        "il.import_module(name='linen_core')\nimport_module('.linen', 'flax')\n"
        "import_module('.linen', package=__package__)\n__import__('os', {'flax': 1})",
        [
            "2: `import_module('.linen', 'flax')` is relative to flax. Write the whole name of the module."
        ],
    ),
    "code in strings": (
        "exec('import flax.linen as nn')\nx = '\\nfrom flax import linen'\ny = 'from flax to us'\n"
        "def f():\n    'Do.\\n\\n>>> import flax'\ndef g():\n    '\\nimport flax'",
        "exec('import flax.linen as nn')\nx = '\\nfrom flax import linen'\ny = 'from flax to us'\n"
        "def f():\n    'Do.\\n\\n>>> import flax'\ndef g():\n    '\\nimport flax'",
        [
            "1: The string has the code `import flax.linen` and is left. Change it to Linen.",
            "2: The string has the code `from flax import linen` and is left. Change it to Linen.",
            "5: The string has the code `>>> import flax` and is left. Change it to Linen.",
        ],
    ),
    "a name from another file": (
        "from .common import flax\nflax.linen.Dense",
        "from .common import flax\nflax.linen.Dense",
        [
            "1: `flax` comes from another file, whose import of it may change. "
            "Import flax here, and run this again."
        ],
    ),
    "a name from a star": (
        "from common import *\nflax.linen.Dense",
        "from common import *\nflax.linen.Dense",
        [
            "2: `flax` comes from another file, whose import of it may change. "
            "Import flax here, and run this again."
        ],
    ),
    "lookups": (
        "pytest.importorskip('flax')\nx = 'flax'",
        "pytest.importorskip('flax')\nx = 'flax'",
        ["1: `pytest.importorskip('flax')` looks for flax and is left as it is."],
    ),
    "strings": (
        "mock.patch('flax.linen.Dense')\nsetup(install_requires=['flax>=0.8'])\n'''flax.linen'''",
        "mock.patch('flax.linen.Dense')\nsetup(install_requires=['flax>=0.8'])\n'''flax.linen'''",
        [
            '1: The string "flax.linen.Dense" is left as it is.',
            '2: The requirement "flax>=0.8" is left. Replace it by linen-core.',
        ],
    ),
    "a name without a counterpart": (
        "from flax import nnx, linen as nn",
        "import linen_core as nn\nfrom flax import nnx",
        [
            "1: Linen has no counterpart of flax.nnx. Linen has the API of flax.linen. "
            "Keep flax for flax.nnx, or write the modules with linen_core."
        ],
    ),
    "a module without a counterpart": (
        "import flax.optim as o\no.Adam",
        "import flax.optim as o\no.Adam",
        ["1: Linen has no counterpart of flax.optim. flax removed it in 2022. Use optax."],
    ),
    "a use without a counterpart": (
        "import flax\nflax.linen.Dense; flax.optim.Adam",
        "import linen_core\nimport flax\nlinen_core.Dense; flax.optim.Adam",
        ["2: Linen has no counterpart of flax.optim. flax removed it in 2022. Use optax."],
    ),
    "a use of a named module without a counterpart": (
        "from flax.linen import partitioning as p\np.logical_to_mesh; p._private",
        "import flax.linen.partitioning\nfrom linen_core import partitioning as p\n"
        "p.logical_to_mesh; flax.linen.partitioning._private",
        [
            "2: Linen has no counterpart of flax.linen.partitioning._private. "
            "It is internal to flax. Use the public names."
        ],
    ),
    "a name that Linen has elsewhere": (
        "from flax.linen import module as m\nm.Module; m.FrozenDict",
        "import linen_store\nfrom linen_core import module as m\nm.Module; linen_store.FrozenDict",
        [],
    ),
    "a name that Linen has elsewhere, imported whole": (
        "import flax.linen.module as m\nm.Module; m.FrozenDict",
        "import linen_core.module as m\nimport linen_store\nm.Module; linen_store.FrozenDict",
        [],
    ),
    "flags, and a name that Linen has elsewhere": (
        "import flax\nfrom flax.linen.module import FrozenDict\nflax.config.update('flax_profile', False)",
        "import linen_core.configurations\nfrom linen_store import FrozenDict\n"
        "linen_core.configurations.config.update('flax_profile', False)",
        [],
    ),
    "a value": (
        "import flax\nprint(flax, flax.linen)",
        "import linen_core\nimport flax\nprint(flax, linen_core)",
        ["2: `flax` is used as a value, and Linen has several modules for flax. Name the module."],
    ),
    "a use over lines": (
        "import flax\n(flax\n .linen\n .Dense)",
        "import linen_core\n(linen_core.Dense)",
        [],
    ),
    "a use with a comment inside": (
        "import flax\n(flax  # a\n .linen.Dense)",
        "import flax\n(flax  # a\n .linen.Dense)",
        [
            "2: `flax.linen.Dense` is inside a string, or has comments or parentheses inside. Write it as one word."
        ],
    ),
    "a parameter": (
        "def f(flax):\n    return flax.linen",
        "def f(flax):\n    return flax.linen",
        ["1: `flax` is a variable here, not the module. It is left as it is."],
    ),
    "a parameter beside the package": (
        "import flax\nflax.linen.Dense\nf = lambda flax: flax.linen\n[flax.x for flax in y]",
        "import linen_core\nlinen_core.Dense\nf = lambda flax: flax.linen\n[flax.x for flax in y]",
        ["3: `flax` is a variable here, not the module. It is left as it is."],
    ),
    "the walrus in a comprehension": (
        "import flax.core as c\nc.freeze\ndef f():\n    [c := 1 for _ in x]\n    c.freeze",
        "import linen_store\nlinen_store.freeze\ndef f():\n    [c := 1 for _ in x]\n    c.freeze",
        [],
    ),
    "a module of the project": (
        "from . import flax\nfrom .flax.linen import Dense\nflax.linen",
        "from . import flax\nfrom .flax.linen import Dense\nflax.linen",
        ["1: `flax` is a variable here, not the module. It is left as it is."],
    ),
    "the name of a package is taken": (
        "from flax.core import freeze\nlinen_store = 1",
        "from flax.core import freeze\nlinen_store = 1",
        ["2: `linen_store` is a variable here. The migration needs the name: choose another."],
    ),
    "other packages": ("import flaxmodels, flax_x.linen", "import flaxmodels, flax_x.linen", []),
}


@pytest.mark.parametrize(("source", "expected", "left"), CASES.values(), ids=CASES.keys())
def test_rewrites(source, expected, left):
    result = rewrite_python(source.encode())
    assert result.data.decode() == expected
    assert [f"{finding.line}: {finding.text}" for finding in result.findings] == left


@pytest.mark.parametrize(("source", "_expected", "_left"), CASES.values(), ids=CASES.keys())
def test_second_run_changes_nothing_and_lists_the_same(source, _expected, _left):
    first = rewrite_python(source.encode())
    second = rewrite_python(first.data)
    assert second.data == first.data
    assert {f.text for f in second.findings} == {f.text for f in first.findings}
    assert second.packages == first.packages


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_keeps_newlines_and_byte_order_mark(newline, end, bom):
    def data(lines):
        return bom + (newline.join(lines) + end * bool(newline)).encode()

    old = [
        "x = 'é'; import flax as f, os",
        "if x:",
        "\timport flax",
        "\tflax.core.freeze(flax.linen)",
    ]
    new = ["x = 'é'; import linen_core, os", "if x:", "\timport linen_store", "\timport linen_core"]
    new.append("\tlinen_store.freeze(linen_core)")
    assert rewrite_python(data(old)).data == data(new)


def test_keeps_the_encoding_of_the_file():
    old = "# -*- coding: latin-1 -*-\nx = 'é'; import flax.linen as nn  # ü\n".encode("latin-1")
    new = "# -*- coding: latin-1 -*-\nx = 'é'; import linen_core as nn  # ü\n".encode("latin-1")
    assert rewrite_python(old).data == new


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            b"import flax.linen as nn\ndef (",
            "Does not parse as Python: line 2: invalid syntax. Correct it, then run this again.",
        ),
        (
            b"import flax.linen as nn\nx = '\xff'",
            "Cannot be decoded: 'utf-8' codec can't decode byte 0xff in position 29: invalid start byte. "
            "Save it in UTF-8, or declare its encoding in the first line.",
        ),
        (
            b"# coding: no-such-encoding\nimport flax",
            "Cannot be decoded: unknown encoding: no-such-encoding. "
            "Save it in UTF-8, or declare its encoding in the first line.",
        ),
        (
            b"import flax\0",
            "Does not parse as Python: it has null bytes. Name files of Python source.",
        ),
    ],
)
def test_bad_sources_are_errors(data, message):
    with pytest.raises(UnreadableError) as caught:
        rewrite_python(data)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("source", "packages"),
    {
        "import flax.linen as nn": {"linen_core"},
        "from flax.linen import FrozenDict": {"linen_core", "linen_store"},
        "import flax.linen as nn\nnn.Dense(1).tabulate": {"linen_core", "linen_summary"},
        "from flax.core import freeze, partial_eval": {"flax", "linen_store"},
        "importlib.import_module('flax.serialization')": {"linen_store"},
        "x.tabulate  # flax": set(),
        "import jax": set(),
    }.items(),
)
def test_packages_that_the_requirements_need(source, packages):
    assert rewrite_python(source.encode()).packages == packages


def test_file_that_does_not_name_flax_is_not_parsed():
    assert rewrite_python(b"print 1 \xff").data == b"print 1 \xff"


SAFE = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
LINES = st.one_of(
    SAFE.map(lambda text: f"# {text}"),
    SAFE.map(lambda text: f"x = {text!r}"),
    st.sampled_from(["", "\f", "   ", "\t", "if x:\n\ty = 1", "x = [1,\n\f  2]", "pass  \t"]),
)
PAIRS = st.sampled_from(
    [
        ("import flax.linen as nn", "import linen_core as nn"),
        ("x = 'ü'; import flax.core.meta as m; y", "x = 'ü'; import linen_core.meta as m; y"),
        (
            "from flax.linen import (Dense,  # é\n Conv)",
            "from linen_core import (Dense,  # é\n Conv)",
        ),
        ("from flax.core import FrozenDict", "from linen_store import FrozenDict"),
        ("if x:\n\tfrom flax import struct", "if x:\n\tfrom linen_core import struct"),
        ("import importlib\nimportlib.import_module( 'flax.linen' )",) * 2,
    ]
).map(lambda pair: (pair[0], pair[1].replace("'flax.linen'", "'linen_core'")))


@given(
    parts=st.lists(st.one_of(LINES.map(lambda line: (line, line)), PAIRS), max_size=8),
    newline=st.sampled_from(["\n", "\r\n"]),
    ends=st.booleans(),
)
def test_every_other_byte_survives(parts, newline, ends):
    old, new = (
        ("\n".join(part[side] for part in parts) + "\n" * ends).replace("\n", newline)
        for side in (0, 1)
    )
    try:
        ast.parse(old) if "flax" in old else None
    except SyntaxError:
        with pytest.raises(UnreadableError):
            rewrite_python(old.encode())
    else:
        assert rewrite_python(old.encode()).data == new.encode()
