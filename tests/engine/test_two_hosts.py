"""Two hosts that only a network joins; skipped where there can be no network namespaces."""

from __future__ import annotations

import os
import signal

import pytest

from tests.two_hosts import two_hosts, why_not

WHY_NOT = why_not()


@pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
def test_a_run_on_two_hosts_goes_on_after_a_rank_of_one_was_killed(tmp_path):
    with two_hosts(tmp_path) as (a, b):
        for host in (a, b):
            host.start("-s", "run.epochs=40", torchrun=("--max-restarts", "1"))
        a.wait_for("epoch 1/")  # of many, so that the kill comes before the end
        os.kill(b.workers[0], signal.SIGKILL)

        assert (a.wait(200), b.wait(200)) == (0, 0)

    assert "going on from step" in a.said()  # torchrun may end rank 0 before it misses rank 1
    assert a.record["status"] == "done"
    assert not (b.folder / "run").exists()  # rank 0's host alone needs the run's folder
