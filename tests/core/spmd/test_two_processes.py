"""The sharded example: two processes joined on the loopback address compute what one device computes."""

import os
import pathlib
import re
import subprocess
import sys

STEP = pathlib.Path(__file__).parents[3] / "examples" / "sharded" / "step.py"


def test_a_step_over_two_processes_is_that_of_one_device():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, str(STEP)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("process ")]
    assert [line.partition(":")[0] for line in sorted(lines)] == [
        "process 0 of 2",
        "process 1 of 2",
    ]
    for line in lines:
        assert "8 devices, a kernel of (32, 64) is split into parts of {(32, 32)}" in line
        assert float(re.search(r"difference of loss and gradients (\S+)", line)[1]) < 1e-5
