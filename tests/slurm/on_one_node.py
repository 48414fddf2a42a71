"""``sweep --slurm`` through a real SLURM; ``make slurm`` runs it, a plain ``pytest`` doesn't."""

import json
import signal
import subprocess
import sys
import time

import pytest

from cifarzoo.run_folders.folder import RunFolder
from tests.slurm.cluster import NoClusterError, one_node, wait_until

SMALL = """
include 'quickstart.gin'
run.epochs = 300
run.batch_size = 32
glyphs.train_images = 96
glyphs.test_images = 64
run.checkpoint_steps = 10
resnet8.stem_stride = 4
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    try:
        with one_node(tmp_path_factory.mktemp("slurm")) as started:
            yield started
    except NoClusterError as error:
        pytest.skip(f"no SLURM: {error}")


@pytest.fixture
def sweep(cluster, tmp_path):
    """``sweep(*options)``: the cells of a small config through SLURM."""
    config = tmp_path / "small.gin"
    config.write_text(SMALL)

    def command(*options):
        words = [sys.executable, "-m", "cifarzoo", "sweep", config, *options]
        return cluster.run(*words, check=False)

    return command


def jobs(study):
    return json.loads((study / ".slurm/jobs.json").read_text())


def is_pending(cluster, *jobs):
    return all(cluster.state(job) == "PENDING" for job in jobs)


def has_checkpoint(folder):
    return list(folder.glob("checkpoints/step-*/manifest.json"))


def logs(study):
    return "\n".join(path.read_text() for path in sorted(study.glob(".slurm/*_log.*")))


def weights(folder):
    return RunFolder(folder).record["weights_sha256"]


def attempts(folder):
    return len(RunFolder(folder).record.get("attempts", []))


def undisturbed(*words):
    """A sweep in processes of this machine that nobody stops; within ``with`` it goes on."""
    command = [sys.executable, "-m", "cifarzoo", "sweep", *words, "--threads", "1"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_stopped_preempted_and_cancelled_cells_go_on_to_the_same_bits(cluster, sweep, tmp_path):
    study = tmp_path / "study"
    command = ("--seeds", "2", "-o", study, "--slurm", "--slurm-set", "partition=low")

    first = sweep(*command)
    assert first.returncode == 0, first.stderr
    assert "2 cells submitted as " in first.stderr
    one, two = (study / f"small/seed{seed}" for seed in (0, 1))
    job_one, job_two = (jobs(study)[f"small/seed{seed}"] for seed in (0, 1))
    wait_until(lambda: has_checkpoint(one) and has_checkpoint(two), "the first checkpoints")

    # A preemption's SIGTERM reaches all processes of both jobs, and leaves them 30 seconds.
    urgent = cluster.run("sbatch", "-p", "urgent", "-n2", "-o", "/dev/null", "--wrap", "sleep 1")
    wait_until(lambda: is_pending(cluster, job_one, job_two), "both cells to make room")
    again = sweep(*command)
    assert "submitted" not in again.stderr
    assert f"2 cells queued or running as {job_one.partition('_')[0]}" in again.stderr
    wait_until(lambda: not cluster.state(urgent.stdout.split()[-1]), "the urgent job to end")
    cluster.release(job_one)
    cluster.release(job_two)
    wait_until(lambda: attempts(one) == attempts(two) == 2, "both cells to go on")
    cluster.run("scancel", "--signal=USR2", job_one)
    cluster.run("scancel", job_two)
    wait_until(lambda: not cluster.state(job_two), "a cell to be cancelled")
    assert RunFolder(two).record["status"] == "stopped", logs(study)
    cluster.release(job_one)
    last = sweep(*command, "--wait")

    assert last.returncode == 0, f"{last.stderr}\n{logs(study)}"
    assert "1 cell submitted as " in last.stderr
    quiet = tmp_path / "quiet"
    with undisturbed(tmp_path / "small.gin", "--seeds", "2", "-o", quiet, "-j", "2"):
        pass
    for seed, folder in enumerate((one, two)):
        assert attempts(folder) == 3
        assert weights(folder) == weights(quiet / f"small/seed{seed}")


@pytest.mark.timeout(900)  # each time limit is a minute, the least that SLURM knows
def test_a_cell_that_takes_longer_than_its_time_goes_on_to_the_same_bits(cluster, sweep, tmp_path):
    study, config = tmp_path / "study", tmp_path / "small.gin"
    epochs = ("-s", "run.epochs=1500")
    words = [sys.executable, "-m", "cifarzoo", "sweep", config, *epochs, "-o", study]
    command = [*map(str, words), "--slurm", "--slurm-set", "time=1", "--wait"]
    look = {"env": cluster.environment, "stderr": subprocess.PIPE, "text": True}

    with subprocess.Popen(command, **look) as looking:
        wait_until(lambda: has_checkpoint(study / "small/seed0"), "the first checkpoint")
        looking.send_signal(signal.SIGINT)
        told = looking.communicate()[1]
    job = jobs(study)["small/seed0"]
    assert looking.returncode == 75
    assert f"the jobs go on; scancel {job} ends them, with all saved" in told
    assert cluster.state(job) == "RUNNING"
    quiet = undisturbed(config, *epochs, "-o", tmp_path / "quiet")
    with quiet, subprocess.Popen(command, **look) as looking:
        while looking.poll() is None:
            if cluster.state(job) == "PENDING":
                cluster.release(job)
            time.sleep(5)
        told = looking.stderr.read()

    assert looking.returncode == 0, f"{told}\n{logs(study)}"
    assert attempts(study / "small/seed0") > 1
    assert weights(study / "small/seed0") == weights(tmp_path / "quiet/small/seed0")
