"""Notebooks: code cells change, every other byte stays."""

import json

import pytest

from linen_core.migration.findings import UnreadableError
from linen_core.migration.notebooks import rewrite_notebook


def notebook(*sources, **kwargs):
    cells = [{"cell_type": "markdown", "source": ["import flax  ü"]}]
    cells += [
        {"cell_type": "code", "outputs": [{"text": ["import flax"]}], "source": source}
        for source in sources
    ]
    content = {"cells": cells, "metadata": {"flax": 'import "flax"'}, "nbformat": 4}
    return json.dumps(content, **kwargs).encode()


CASES = {
    "one line": (
        ["import flax.linen as nn\n", "nn.Dense"],
        ["import linen_core as nn\n", "nn.Dense"],
    ),
    "one line becomes two": (
        ["x = 1\n", "from flax import struct, linen as nn  # é\n", "y"],
        ["x = 1\n", "import linen_core as nn\n", "from linen_core import struct  # é\n", "y"],
    ),
    "an import over lines": (
        ["from flax.core import (FrozenDict,\n", "    Scope)\n", "y"],
        ["from linen_store import FrozenDict\n", "from linen_core.scope import Scope\n", "y"],
    ),
    "a use over lines": (
        ["import flax\n", "(flax\n", ".linen)"],
        ["import linen_core\n", "(linen_core)"],
    ),
    "magics": (
        ["%%time\n", "if x:\n", "  !ls é\n", "y = %env A\n", "import flax.linen as nn"],
        ["%%time\n", "if x:\n", "  !ls é\n", "y = %env A\n", "import linen_core as nn"],
    ),
    "another language": (["%%bash\n", "echo 'import flax"], ["%%bash\n", "echo 'import flax"]),
    "await": (["import flax.linen as nn\n", "await x"], ["import linen_core as nn\n", "await x"]),
    "string": ("import flax.linen as nn\nx", "import linen_core as nn\nx"),
    "empty": ([], []),
}


@pytest.mark.parametrize(("old", "new"), CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize(
    "style", [{"indent": 1, "ensure_ascii": False}, {}, {"separators": (",", ":")}]
)
def test_rewrites_code_cells(old, new, style):
    result = rewrite_notebook(notebook(old, **style))
    assert result.data == notebook(new, **style)
    assert rewrite_notebook(result.data).data == result.data


def test_cells_share_names():
    old = notebook(["import flax"], ["x = flax.linen.Dense"], "flax.linen.Conv")
    new = notebook(["import linen_core"], ["x = linen_core.Dense"], "linen_core.Conv")
    assert rewrite_notebook(old).data == new


def test_findings_say_cell_and_line():
    data = notebook(
        ["import flax\n", "flax.nnx"],
        ["!pip install 'flax>=0.8'\n", "flax.linen.Dense?"],
        ["def ("],
        ["x = 1\n", "flax.optim"],
    )
    result = rewrite_notebook(data)
    assert result.data == data
    assert [finding.describe("a.ipynb") for finding in result.findings] == [
        "a.ipynb: cell 4, line 1: Does not parse as Python: line 1: invalid syntax. "
        "Correct it, then run this again.",
        "a.ipynb: cell 2, line 2: Linen has no counterpart of flax.nnx. Linen has the API of flax.linen. "
        "Keep flax for flax.nnx, or write the modules with linen_core.",
        "a.ipynb: cell 3, line 1: `!pip install 'flax>=0.8'` is not Python and is left. "
        "Change it to Linen's packages.",
        "a.ipynb: cell 3, line 2: `flax.linen.Dense?` is not Python and is left. "
        "Change it to Linen's packages.",
        "a.ipynb: cell 5, line 2: Linen has no counterpart of flax.optim. "
        "flax removed it in 2022. Use optax.",
    ]
    assert "flax" in result.packages


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'["flax"', "Expecting ',' delimiter: line 1 column 8 (char 7)"),
        (b'["flax"]', "it has no cells of format 4"),
        (b'{"nbformat": 3, "worksheets": ["flax"]}', "it has no cells of format 4"),
        (b"flax\xff", "'utf-8' codec can't decode byte 0xff in position 4: invalid start byte"),
    ],
)
def test_bad_notebooks_are_errors(data, reason):
    with pytest.raises(UnreadableError) as caught:
        rewrite_notebook(data)
    expected = f"Cannot be read as a notebook: {reason}. Save it with Jupyter in format 4."
    assert str(caught.value) == expected
