"""The notebook runs from top to bottom."""
import json
import os


def test_notebook():
    path = os.path.join(os.path.dirname(__file__), "..", "notebooks", "explore.ipynb")
    with open(path) as f:
        cells = json.load(f)["cells"]
    names = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            lines = [line for line in cell["source"] if not line.startswith("%")]
            exec("".join(lines), names)
    assert names["total"] == names["expected"] > 0
