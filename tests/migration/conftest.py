"""The code bases are copied and run in processes of their own. pytest does not collect them here."""

from pathlib import Path

CODE_BASES = ["vision", "language", "agent"]
collect_ignore = [str(Path(__file__).parent / name) for name in CODE_BASES]
