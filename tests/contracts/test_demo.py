"""The demo of the README runs, and everything it claims holds."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from contracts import workspace

DEMO = workspace.ROOT / "examples" / "digits" / "demo.py"


@pytest.fixture(scope="module")
def output():
    """What the demo prints where nobody watches, warnings being errors."""
    command = [sys.executable, "-W", "error", str(DEMO)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def without_figures(text):
    """The text without what differs between two runs: numbers, times, and widths that follow them."""
    text = re.sub(r"\d[\d.,:]*", "N", text)
    return [" ".join(re.sub(r"[─━]+", "─", line).split()) for line in text.strip().splitlines()]


def test_demo_keeps_its_claims(output):
    claims = re.findall(r"^ok +(.*)", output, flags=re.MULTILINE)
    assert without_figures("\n".join(claims)) == [
        "N% of N held-out images, in N s",
        "the same accuracy from all three",
        "the lazy store read only what apply touched",
        "the trunk is the trained one, bit for bit; the head is new",
        "odd or even, after N epochs from the restored trunk: N%",
    ]


def test_demo_starts_with_the_summary(output):
    assert "trunk" in output.partition("ten digits")[0]


def test_readme_quotes_the_demo(output):
    readme = (workspace.ROOT / "README.md").read_text("utf-8")
    quoted = re.search(
        r"^Output of `scripts/demo`.*?^```text\n(.*?)^```", readme, re.DOTALL | re.MULTILINE
    )
    assert without_figures(quoted.group(1)) == without_figures(output), (
        "paste what scripts/demo prints"
    )


def test_demo_stops_at_a_claim_that_fails():
    code = (
        f"import sys; sys.path.insert(0, {str(DEMO.parent)!r}); import demo; demo.claim(1 > 2, 'x')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (1, "FAIL x")
