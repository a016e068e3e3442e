"""Batches of a read, and the reports between them."""

import sys

import pytest

from linen_store.reading import progress
from linen_store.reading.progress import batches, in_terminal, reporting

WANTED = {("params", ("a",)): 3, ("params", ("b",)): 5, ("state", ("c",)): 1}


def test_one_batch_a_collection():
    assert list(batches(WANTED, in_parts=False)) == [
        ("params", [("a",), ("b",)], 8),
        ("state", [("c",)], 1),
    ]
    assert list(batches({}, in_parts=False)) == []


def test_parts(monkeypatch):
    monkeypatch.setattr(progress, "_PART_BYTES", 2)
    assert list(batches(WANTED, in_parts=True)) == [
        ("params", [("a",)], 3),
        ("params", [("b",)], 5),
        ("state", [("c",)], 1),
    ]


def test_a_function_gets_the_sum_and_the_total():
    reports = []
    with reporting(lambda *sizes: reports.append(sizes), 8) as report:
        report(3)
        report(5)
    assert reports == [(3, 8), (8, 8)]


def test_without_progress_there_is_nothing_to_call():
    with reporting(False, 8) as report:
        assert report is None


@pytest.mark.parametrize("is_terminal", [False, True])
def test_the_line_is_removed_at_the_end(capsys, monkeypatch, is_terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    with in_terminal(2 << 20) as add:
        add(1 << 20)
    written = capsys.readouterr().err
    assert written == ("\r 50 % of 2.0 MiB\x1b[K\r\x1b[K" if is_terminal else "")
