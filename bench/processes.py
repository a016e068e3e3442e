"""Runs a script of this folder in a new process."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from collections.abc import Mapping

__all__ = ["output_of"]


def output_of(script: str, *arguments: str, settings: Mapping[str, str] | None = None) -> str:
    """Run a script of this folder in a new process, with further variables, and return its output."""
    path = pathlib.Path(__file__).with_name(script)
    command = [sys.executable, str(path), *arguments]
    variables = {**os.environ, **(settings or {})}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=variables)
    return done.stdout
