"""Reports of Orbax after a failed save."""

import logging
import sys

import pytest

from linen_store.formats.orbax import writing


def test_only_errors_of_its_unfinished_tasks_are_silent(monkeypatch, caplog):
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    logger = logging.getLogger("asyncio")
    before = list(logger.filters)
    try:
        with pytest.raises(OSError), writing._no_late_failures():
            raise OSError(28, "No space left on device")
        text = "Task exception was never retrieved\nfuture: <Task coro=<write() at /lib/{}/handlers.py>>"
        logger.error(text.format("orbax"))
        logger.error(text.format("mine"))
        logger.error("orbax is slow")
    finally:
        logger.filters[:] = before
    assert caplog.messages == [text.format("mine"), "orbax is slow"]


def test_nothing_stays_after_a_save():
    hook, filters = sys.unraisablehook, list(logging.getLogger("asyncio").filters)
    with writing._no_late_failures():
        assert sys.unraisablehook is not hook or isinstance(hook, writing._LateFailures)
    assert sys.unraisablehook is hook
    assert logging.getLogger("asyncio").filters == filters
