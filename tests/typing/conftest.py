"""The program is read by a type checker, never run."""

collect_ignore = ["user_program.py"]
