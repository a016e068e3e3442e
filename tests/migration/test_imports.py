"""Every way of writing an import: the same result with flax and, after the migration, with Linen."""

import sys
import types

import pytest

from linen_core.migration.python_files import rewrite_python

# Each program leaves what it computes in `result`.
PROGRAMS = {
    "the package": "import flax\nresult = flax.linen.Dense(3), flax.core.freeze({'a': 1})",
    "a dotted module": "import flax.linen\nresult = flax.linen.Dense(3)",
    "a module with a name": "import flax.linen as nn\nresult = nn.Dense(3)",
    "from the package": "from flax import linen as nn\nresult = nn.Dense(3)",
    "several modules": "from flax import linen, struct, traverse_util as tu\nresult = linen.Dense(3), tu.flatten_dict({'a': {'b': 1}}), struct.field.__name__",
    "names": "from flax.linen import Dense, relu as r\nresult = Dense(3), float(r(-1.0))",
    "names over lines": "from flax.core import (\n    FrozenDict,  # frozen\n    # one more\n    unfreeze as un,\n)\nresult = un(FrozenDict(a=1))",
    "a backslash": "from flax \\\n    import linen \\\n    as nn\nresult = nn.Dense(3)",
    "statements on a line": "import flax, sys; import flax.linen as nn; result = nn.Dense(3), flax.core.freeze({1: 2})",
    "aliases of packages": "import flax.core as core, flax.linen as nn\nresult = core.freeze({}), core.meta.unbox({}), nn.Dense(3)",
    "files of flax.linen": "from flax.linen.linear import Dense\nfrom flax.linen import linear\nresult = Dense(3), linear.Dense(2)",
    "training": "import flax\nfrom flax.training import train_state\nresult = flax.training.train_state.TrainState.__name__",
    "a star": "from flax.linen import *\nresult = Dense(3), float(relu(-1.0))",
    "a star beside a module of the same name": "import struct, typing\nfrom flax.linen import *\nresult = Dense(3), struct.calcsize('i'), typing.Any, FrozenDict({}), tabulate.__name__, module.Module.__name__",
    "a star of frozen_dict": "from flax.core.frozen_dict import *\nresult = freeze({'a': {}})",
    "a function": "def f():\n    import flax\n    return flax.linen.Dense(3)\nresult = f()",
    "a function with tabs": "def f():\n\tfrom flax import linen as nn, struct\n\treturn nn.Dense(3)\nresult = f()",
    "global": "def f():\n    global nn\n    from flax import linen as nn\nf()\nresult = nn.Dense(3)",
    "nonlocal": "def f():\n    nn = None\n    def g():\n        nonlocal nn\n        import flax.linen as nn\n    g()\n    return nn\nresult = f().Dense(3)",
    "a class": "class A:\n    from flax.linen import Dense\n    import flax\n    d = flax.linen.Dense(3)\nresult = A.Dense(2), A.d",
    "a coroutine": "async def f():\n    import flax.linen as nn\n    return nn.Dense(3)\ntry:\n    f().send(None)\nexcept StopIteration as stop:\n    result = stop.value",
    "try": "try:\n    import flax.linen as nn\nexcept ImportError:\n    nn = None\nresult = nn.Dense(3)",
    "try with a flag": "try:\n    import flax\n    has = True\nexcept ImportError:\n    has = False\nresult = has and flax.linen.Dense(3)",
    "try with None": "try:\n    import flax\n    from flax import core, linen as nn\nexcept ImportError:\n    flax = core = nn = None\nresult = flax.linen.Dense(3), nn.Dense(2), core.freeze({})",
    "try with two places": "try:\n    from flax.core import FrozenDict\nexcept ImportError:\n    from flax.core.frozen_dict import FrozenDict\nresult = FrozenDict({})",
    "finally": "try:\n    pass\nfinally:\n    import flax\nresult = flax.linen.Dense(3)",
    "with": "import contextlib\nwith contextlib.suppress(ImportError):\n    import flax.linen as nn\nresult = nn.Dense(3)",
    "a condition": "if True:\n    import flax.linen as nn\nelse:\n    from flax import linen as nn\nresult = nn.Dense(3)",
    "a loop": "for _ in range(1):\n    import flax.linen as nn\nresult = nn.Dense(3)",
    "type checking": "from __future__ import annotations\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from flax.core import FrozenDict\ndef f(x: FrozenDict): return 1\nresult = f({})",
    "annotations that are read": "import flax, typing\ndef f(x: flax.core.FrozenDict) -> flax.linen.Module: ...\nresult = [hint.__name__ for hint in typing.get_type_hints(f).values()]",
    "string annotations that are read": "import flax, typing\nfrom flax import core\ndef f(x: 'core.FrozenDict', *y: 'flax.struct.PyTreeNode') -> \"flax.linen.Module\": ...\nresult = [hint.__name__ for hint in typing.get_type_hints(f).values()]",
    "literal annotations": "import flax, typing\nx: typing.Literal['flax', 'jax']\nresult = typing.get_args(__annotations__['x']), flax.linen.Dense(3)",
    "import_module": "import importlib as il\nfrom importlib import import_module\nresult = il.import_module('flax.linen').Dense(3), import_module(name='flax.struct').__name__.rpartition('.')[2]",
    "import_module in a condition": "import importlib\nname = 'linen'\nnn = importlib.import_module('flax.linen') if name else None\nresult = getattr(nn, 'Dense')(3)",
    "__import__": "result = __import__('flax.linen', fromlist=['Dense']).Dense(3), __import__('flax.linen', {}, {}, ['x']).relu.__name__",
    "attributes as values": "import flax\nF = flax.linen\ntu = flax.traverse_util\nresult = F.Dense(3), tu.flatten_dict({'a': {'b': 1}})",
    "a module as a value": "import flax.linen as nn, inspect\nresult = inspect.ismodule(nn), [nn][0].Dense(3), (nn if nn else None).relu.__name__",
    "decorators and defaults": "import flax\n@flax.struct.dataclass\nclass A:\n    x: int = flax.struct.field(default=1)\n    def f(self, d=flax.linen.Dense(3)): return d\nresult = A().x, A().f()",
    "bases": "import flax\nclass A(flax.linen.Module, metaclass=type(flax.linen.Module)):\n    x: int\nresult = A(1)",
    "comprehensions and lambdas": "import flax\nresult = [flax.linen.Dense(n) for n in (1, 2)], (lambda n: flax.linen.Dense(n))(3)",
    "f-strings": "import flax\nresult = f'{flax.linen.Dense(3).features!r}' f\"{ {'a': flax.linen.Dense(2).features} }\"",
    "match": "import flax\nmatch flax.linen.Dense(3):\n    case flax.linen.Dense(features=n):\n        result = n",
    "walrus": "import flax\nresult = (d := flax.linen.Dense(3)).features, d",
    "deletion": "import flax.linen as nn\nD = nn.Dense\ndel nn\nresult = D(3)",
    "errors": "import flax, jax\ntry:\n    flax.linen.Dropout(0.5).apply({}, 1.0, deterministic=False)\nexcept flax.errors.FlaxError as error:\n    result = type(error).__name__",
    "a lazy name": "def __getattr__(name):\n    import flax.linen\n    return getattr(flax.linen, name)\nresult = __getattr__('Dense')(3)",
    "a call over lines": "import flax\nresult = (flax\n    .linen\n    .Dense)(3)",
}


def run(monkeypatch, source):
    module = types.ModuleType("program")
    monkeypatch.setitem(sys.modules, "program", module)
    exec(compile(source, "program.py", "exec", dont_inherit=True), vars(module))
    return repr(module.result)


@pytest.mark.parametrize("source", PROGRAMS.values(), ids=PROGRAMS)
def test_program_has_the_same_result(monkeypatch, source):
    before = run(monkeypatch, source)
    moved = rewrite_python(source.encode())
    assert [finding.text for finding in moved.findings] == []
    with monkeypatch.context() as patch:
        for name in [name for name in sys.modules if name.partition(".")[0] == "flax"]:
            patch.delitem(sys.modules, name)
        patch.setitem(sys.modules, "flax", None)  # cannot be imported
        assert run(patch, moved.data.decode()) == before


PACKAGE = {
    "__init__.py": "from . import layers\nfrom .compat import nn, freeze as fr\nfrom .layers import *\n",
    "compat.py": "from flax import linen as nn\nfrom flax.core import freeze\n__all__ = ['nn']\n",
    "layers.py": "from .compat import *\nfrom . import flax\n__all__ = ['Layer', 'flax']\n\n\nclass Layer(nn.Dense):\n    pass\n",
    # A file of the project with this name is another module.
    "flax.py": "from flax.linen import relu\nvalue = float(relu(-1.0))\n",
    "use.py": "from . import fr, nn\nfrom .layers import Layer\nfrom .flax import value\nresult = Layer(3), nn.Dense(2), fr({'a': 1}), value\n",
}


def test_relative_imports(monkeypatch, tmp_path):
    results = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        for file, source in PACKAGE.items():
            moved = rewrite_python(source.encode()).data if name == "second" else source.encode()
            folder.joinpath(file).write_bytes(moved)
            assert name == "first" or not moved.startswith(b"from flax")
        monkeypatch.syspath_prepend(str(tmp_path))
        results.append(repr(__import__(f"{name}.use", fromlist=["result"]).result))
    assert results[0] == results[1]
