"""Cells as tasks, by submitit's executor of local processes; SLURM itself in tests/slurm."""

import os
import pickle
import re
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from submitit import LocalExecutor

import cifarzoo
from cifarzoo.errors import CifarzooError, UsageError
from cifarzoo.run_folders.folder import RunFolder
from cifarzoo.sweeps.plan import Asked
from cifarzoo.sweeps.processes import Resources
from cifarzoo.sweeps.scheduler import Slots
from cifarzoo.sweeps.slurm.demands import Demands, parse_demands, plan_resources
from cifarzoo.sweeps.slurm.submission import log_of, queued_jobs, read_jobs, submit
from cifarzoo.sweeps.slurm.task import MOST_FRUITLESS, CellTask
from cifarzoo.sweeps.slurm.watching import QueuedCells, watch
from cifarzoo.sweeps.training import begin, plan_sweep
from cifarzoo.sweeps.variations import parse_variation
from tests.command import refuse

ONE = Resources(threads=1)
SMALL = """
include 'quickstart.gin'
run.epochs = 40
run.batch_size = 32
glyphs.train_images = 96
glyphs.test_images = 64
run.checkpoint_steps = 10
resnet8.stem_stride = 4
"""


class Queue:
    """submitit's local executor, with the jobs that it has started."""

    def __init__(self, folder):
        self.executor = LocalExecutor(folder / ".slurm", max_num_timeout=100)
        self.executor.update_parameters(timeout_min=10)
        self.jobs = []

    def submit_array(self, fns):
        jobs = self.executor.submit_array(fns)
        self.jobs += jobs
        return jobs

    def states(self):
        return {job.job_id: "RUNNING" for job in self.jobs if not job.done()}


class Accepting:
    """Takes tasks and runs none."""

    def __init__(self):
        self.num = 0
        self.ids = []

    def submit_array(self, fns):
        self.num += 1
        jobs = [SimpleNamespace(job_id=f"{self.num}_{k}") for k in range(len(fns))]
        self.ids += [job.job_id for job in jobs]
        return jobs

    def states(self):
        return dict.fromkeys(self.ids, "PENDING")


def planned(folder, *, vary="sgd.lr=.1", seeds=(0,), sets=()):
    config = folder.parent / "small.gin"
    config.write_text(SMALL)
    asked = Asked(
        configs=(str(config),),
        sets=sets,
        variations=(parse_variation(vary),),
        seeds=seeds,
        plugins=(),
    )
    sweep = plan_sweep(asked, folder, data=None, replaces=False)
    begin(sweep, Slots(resources=(ONE,), data=None), replaces=False)
    return sweep.cells


def submitted(cells, folder, queue, *, retry=False):
    return submit(cells, folder, ONE, data=None, retry=retry, by=queue, queue=queue.states)


def children(pid):
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for(condition):
    while not (found := condition()):
        time.sleep(0.05)
    return found


def has_checkpoint(cell):
    return list(cell.folder.glob("checkpoints/step-*/manifest.json"))


def process(cell):
    return RunFolder(cell.folder).record["process"]["pid"]


def parent(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^PPid:\s*(\d+)", status, re.MULTILINE)[1])


def weights(cell):
    record = RunFolder(cell.folder).record
    return record["status"], record["weights_sha256"]


def attempts(cell):
    return len(RunFolder(cell.folder).record["attempts"])


def test_stopped_cells_go_on_in_their_tasks_to_the_same_bits_and_are_submitted_once(tmp_path):
    study, quiet = tmp_path / "study", tmp_path / "quiet"
    cells = planned(study, vary="sgd.lr=.1,.3")
    queue, drawn, warned, events = Queue(study), [], [], []

    first = submitted(cells, study, queue)
    assert list(first.new) == [cell.name for cell in cells]
    by_signal, alone = cells
    wait_for(lambda: has_checkpoint(by_signal))
    os.kill(parent(process(by_signal)), signal.SIGUSR2)  # as SLURM does before the end of its time
    wait_for(lambda: has_checkpoint(alone))
    os.kill(process(alone), signal.SIGTERM)
    again = submitted(cells, study, queue)
    assert not again.new
    assert {by_signal.name, alone.name} <= set(again.queued)
    queued = QueuedCells(cells, first.jobs, study)
    how = {"queue": queue.states, "warn": warned.append, "refresh": drawn.append}
    stopped = watch(queued, events.append, **how, every=0.2)

    assert (stopped, warned) == ("", [])
    assert any(by_signal in running for running in drawn)
    became = {event.cell.name: event for event in events if event.what != "started"}
    assert [became[cell.name].what for cell in cells] == ["done", "done"]
    assert not submitted(cells, study, queue).jobs
    for cell, other in zip(cells, planned(quiet, vary="sgd.lr=.1,.3"), strict=True):
        cifarzoo.resume(other.folder)
        assert weights(cell) == weights(other)
        assert [attempts(each) for each in (cell, other)] == [2, 1]


def test_what_has_failed_is_submitted_again_by_retry_alone(tmp_path):
    study = tmp_path / "study"
    cells = planned(study, seeds=(0, 1, 2))
    RunFolder(cells[1].folder).update(status="failed", error="no space left")
    queue = Accepting()

    first = submitted(cells[:2], study, queue)
    rest = submitted(cells, study, queue, retry=True)
    jobs = read_jobs(study)
    others = submitted(cells, study, Accepting(), retry=True)

    assert first.new == {cells[0].name: "1_0"}
    assert rest.queued == first.new
    assert rest.new == {cells[1].name: "2_0", cells[2].name: "2_1"}
    assert jobs == rest.jobs
    assert len(others.new) == 3  # SLURM knows none of the jobs of before


def test_a_cell_that_fails_ends_its_task_with_its_line(tmp_path):
    queue = Queue(tmp_path)

    [job] = queue.submit_array([CellTask(tmp_path / "nothing", ONE, data=None)])
    wait_for(lambda: not queue.states())

    assert (
        f"CifarzooError: no run '{tmp_path / 'nothing'}'"
        in log_of(tmp_path, job.job_id).read_text()
    )
    assert "submitted job triggered an exception" in job.stderr().lower()


def test_a_cell_that_is_never_left_to_save_ends_with_a_line(tmp_path):
    study = tmp_path / "study"
    # Drawing its images takes ten seconds, in which it is stopped.
    [cell] = planned(study, sets=("glyphs.train_images=100000",))
    task = CellTask(cell.folder, ONE, data=None)
    for _ in range(MOST_FRUITLESS - 1):
        assert task.checkpoint() is not None
        task = pickle.loads(pickle.dumps(task))
    queue = Queue(study)

    [job] = queue.submit_array([task])
    [process] = wait_for(lambda: children(int(job.job_id)))
    wait_for(lambda: children(process))
    os.kill(process, signal.SIGUSR2)
    wait_for(lambda: not queue.states())

    assert f"was stopped {MOST_FRUITLESS} times in a row" in job.stderr()
    assert not has_checkpoint(cell)


def test_a_new_checkpoint_is_progress(tmp_path):
    task = CellTask(tmp_path, ONE, data=None)
    for step in range(3 * MOST_FRUITLESS):
        (tmp_path / f"checkpoints/step-{step:08}").mkdir(parents=True)
        assert task.checkpoint() is not None


def test_a_queue_that_gives_no_answer_for_a_while_is_asked_again(tmp_path):
    cells = planned(tmp_path / "study")
    answers = [CifarzooError("squeue failed"), CifarzooError("squeue failed"), {}]
    warned, events = [], []

    def states():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    queued = QueuedCells(cells, {cells[0].name: "7_0"}, tmp_path)
    watch(queued, events.append, queue=states, warn=warned.append, refresh=id, every=0)

    assert warned == ["squeue failed; asked again every 0 seconds"]
    [event] = events
    assert event.problem == f"its job 7_0 has ended; see {tmp_path}/.slurm/7_0_0_log.err"


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], Demands()),
        (["partition=gpu", "exclusive"], Demands(options={"partition": "gpu", "exclusive": True})),
        (["time=90"], Demands(minutes=90)),
        (["time=1:30:00"], Demands(minutes=90)),
        (["time=90:01"], Demands(minutes=91)),
        (["time=1-6"], Demands(minutes=1800)),
        (["time=1-6:30"], Demands(minutes=1830)),
        (["time=2"], Demands(minutes=2, signal_seconds=40)),
        (["signal-delay-s=200"], Demands(signal_seconds=200)),
        (["gpus-per-node=a100:2"], Demands(options={"gpus_per_node": "a100:2"})),
    ],
)
def test_what_tasks_ask_for(texts, expected):
    assert parse_demands(texts) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("partition=", "--slurm-set is 'partition='; expected an option of sbatch"),
        ("--mem=1G", "expected an option of sbatch"),
        ("comment=a\n#SBATCH --array=0-99", "expected an option of sbatch"),
        ("cpus-per-task=4", "cpus-per-task can't be set: --threads and --nproc say"),
        ("time=soon", "time is 'soon'; expected minutes"),
        ("time=0", "time is '0'; expected at least a minute"),
        ("signal_delay_s=3600", "signal_delay_s is '3600'; expected seconds, less than the time"),
    ],
)
def test_what_tasks_cannot_ask_for(text, message):
    with pytest.raises(UsageError) as error:
        parse_demands([text])
    assert message in str(error.value)


def test_a_task_has_a_process_a_gpu_and_the_threads_of_before(tmp_path):
    def resources(*texts, threads=None, nproc=None):
        demands = parse_demands(texts)
        return plan_resources(tmp_path, demands, threads=threads, nproc=nproc, emit=told.append)

    told = []
    assert resources() == ONE
    assert resources("gpus-per-node=2") == Resources(threads=1, nproc=2)
    (tmp_path / "sweep.json").write_text('{"schema": 1, "threads": 4}')
    assert resources(nproc=3) == Resources(threads=4, nproc=3)
    assert not told
    assert resources(threads=2).threads == 2
    assert told == ["cells had 4 threads before and have 2 from here on: bits may differ"]
    with pytest.raises(UsageError, match="--nproc is 3; expected 1 to 2"):
        resources("gpus-per-node=2", nproc=3)
    with pytest.raises(UsageError, match="--threads is 0"):
        resources(threads=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--slurm-set", "time=5"], "--slurm-set needs --slurm"),
        (["--wait"], "--wait needs --slurm"),
        (["--slurm", "--print"], "--print doesn't go with --slurm"),
        (["--slurm", "-j", "0"], "--jobs is 0; expected 1 to 1000"),
        (["--slurm"], "--slurm needs sbatch, which isn't found here"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path, monkeypatch, options, message):
    monkeypatch.setenv("PATH", str(tmp_path))

    told = refuse("sweep", "quickstart.gin", "-o", tmp_path / "study", *options)

    assert message in told
    assert not (tmp_path / "study").exists()


def test_without_submitit_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)

    told = refuse("sweep", "quickstart.gin", "-o", tmp_path / "study", "--slurm")

    assert "--slurm needs submitit: pip install 'cifarzoo[slurm]'" in told


def test_a_folder_that_slurm_would_take_for_a_pattern_is_refused(tmp_path):
    assert "has a %" in refuse("sweep", "quickstart.gin", "-o", tmp_path / "50%", "--slurm")


def test_a_queue_that_cannot_be_asked_is_told_with_its_words(tmp_path, monkeypatch):
    program = tmp_path / "squeue"
    program.write_text(
        "#!/bin/sh\necho 'squeue: error: Unable to contact the controller' >&2\nexit 1"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    with pytest.raises(CifarzooError, match="squeue failed: squeue: error: Unable to contact"):
        queued_jobs()


def test_a_list_of_jobs_that_makes_no_sense_is_refused(tmp_path):
    (tmp_path / ".slurm").mkdir()
    path = tmp_path / ".slurm/jobs.json"
    deep = "[" * 200_000
    no_list = ('{"a": 1}', "is no list of jobs")
    for text, message in (("{", "cannot be read"), (deep, "cannot be read"), no_list):
        path.write_text(text)
        with pytest.raises(UsageError, match=message):
            read_jobs(tmp_path)
