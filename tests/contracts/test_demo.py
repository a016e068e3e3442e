"""The demo of the README runs, and everything it claims holds."""

from __future__ import annotations

import re
import subprocess
import sys

from contracts import workspace

DEMO = workspace.ROOT / "examples" / "digits" / "demo.py"


def test_demo_keeps_its_claims():
    command = [sys.executable, "-W", "error", str(DEMO)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    claims = re.findall(r"^ok +(.*)", done.stdout, flags=re.MULTILINE)
    assert [re.sub(r"[\d.]+", "N", line) for line in claims] == [
        "N% of N held-out images, in N s",
        "the same accuracy from all three",
        "the lazy store read only what apply touched",
        "the trunk is the trained one, bit for bit; the head is new",
        "odd or even, after N epochs from the restored trunk: N%",
    ]
    assert "trunk" in done.stdout.partition("ten digits")[0], "the summary table comes first"


def test_demo_stops_at_a_claim_that_fails():
    code = (
        f"import sys; sys.path.insert(0, {str(DEMO.parent)!r}); import demo; demo.claim(1 > 2, 'x')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (1, "FAIL x")
