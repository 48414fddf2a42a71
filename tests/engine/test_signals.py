"""Signals set a flag; a second Ctrl-C ends the process at once and leaves a tidy terminal."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys

from cifarzoo.engine.distributed.signals import STOPPING, StopRequest

TWICE = """
import os, signal
from cifarzoo.engine.distributed.signals import StopRequest

os.write(2, b"a bar")
with StopRequest():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        os.write(2, b"held up")
"""


def test_a_second_ctrl_c_erases_the_bar_and_waits_for_nothing():
    ours, theirs = pty.openpty()

    done = subprocess.run([sys.executable, "-c", TWICE], stderr=theirs, check=False)

    os.close(theirs)
    assert done.returncode == 130
    assert os.read(ours, 1000) == b"a bar\r\x1b[2K"


def test_the_first_signal_counts_and_handlers_are_given_back():
    before = [signal.getsignal(number) for number in STOPPING]

    with StopRequest(at_second_interrupt=None) as stop:
        for number in (signal.SIGUSR2, signal.SIGINT, signal.SIGINT, signal.SIGHUP):
            os.kill(os.getpid(), number)

    assert stop.number == signal.SIGUSR2
    assert [signal.getsignal(number) for number in STOPPING] == before


def test_a_process_that_only_waits_ends_by_the_signal_that_came():
    script = """
import os, signal
from cifarzoo.engine.distributed.signals import StopRequest

with StopRequest() as stop:
    stop.end_if_asked()
    os.kill(os.getpid(), signal.SIGTERM)
    stop.end_if_asked()
"""
    done = subprocess.run([sys.executable, "-c", script], check=False)

    assert done.returncode == -signal.SIGTERM


def test_what_nohup_started_is_deaf_to_hang_ups():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
        assert stop.number == 0
    finally:
        signal.signal(signal.SIGHUP, before)
