"""The signal that announces the end of a machine."""

import signal
import threading

from linen_store.steps.preemption import Preemption


def test_the_handler_is_restored():
    before = signal.getsignal(signal.SIGTERM)
    preemption = Preemption()
    with preemption.watched():
        signal.raise_signal(signal.SIGTERM)
        assert preemption.reached(0)
    assert signal.getsignal(signal.SIGTERM) is before


def test_another_thread_changes_nothing():
    found = []

    def watch():
        with Preemption().watched():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=watch)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGTERM)]
