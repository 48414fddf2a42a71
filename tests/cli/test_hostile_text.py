"""Names and texts of others on a terminal: it obeys none, whichever door they came through.

Commands run on a pseudo terminal with control sequences, bidi controls and markup in each thing
that others write. What arrives is cleared of the sequences that rich sends; nothing may be left.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from filelock import FileLock
from rich.table import Table

from cifarzoo.cli import completion
from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.download_progress import Lines
from cifarzoo.cli.terminal.text import SafeConsole, Text
from cifarzoo.data.download.fetching import fetch
from cifarzoo.data.formats.parquet import peek
from cifarzoo.data.mirrors import Mirror
from cifarzoo.errors import CifarzooError, ConfigError, ConfigProblemsError, DataError
from cifarzoo.escaping import visible, visible_line
from cifarzoo.files.real_folder import RealFolder
from tests.archive_server import Handler, running_server
from tests.installed import write_distribution
from tests.small_cifar import small

# The window's title, a cleared screen, C1 of the same, a colour that rich never sends, what is
# written over, hyperlinks, the direction of writing, and nothing at all.
SEQUENCES = (
    "\x1b]0;title\x07",
    "\x1b[2J\x1b[H",
    "\x9b31m\x9d0;title\x9c",
    "\x1b[1337m",
    "\rover\b\b\x7f\x0b\x0c",
    "\x1b]8;;http://evil\x1b\\",
    "\u202egnp\u202c\u2066\u2069\u200e",
    "\u200b\u2060\ufeff\u00ad\U000e0041",
)
HOSTILE = f"[red]z[/red]:smile:{''.join(SEQUENCES)}!"
NAME = HOSTILE.replace("/", "|")  # of a file
RICH = re.compile(
    r"\x1b\[(?:(?:[0-9]|[2-4][0-9]|9[0-7])(?:;[0-9]+)*m|\?25[lh]|2K|[0-9]*A)|\r(?=\n|\x1b\[[12])"
)
DRIVER = """
import sys
from cifarzoo.cli import main
for words in COMMANDS:
    sys.argv = ["cifarzoo", *words]
    try:
        main()
    except SystemExit as end:
        sys.stderr.write(f"<{words[0][:9]} ended with {end.code}>" + chr(10))
"""


def on_terminal(folder: Path, *commands: list[str], **env: str) -> str:
    """What a terminal gets as stdout and stderr of commands that run one after the other."""
    ours, theirs = os.openpty()
    source = DRIVER.replace("COMMANDS", repr(list(commands)))
    surroundings = os.environ | {"TERM": "xterm-256color", "COLUMNS": "200"} | env
    surroundings.pop("NO_COLOR", None)
    got = b""
    with subprocess.Popen(
        [sys.executable, "-c", source], cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs,
        env=surroundings,
    ) as process:  # fmt: skip
        os.close(theirs)
        while block := _read(ours):
            got += block
    os.close(ours)
    assert process.returncode == 0, got
    return got.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 10_000)
    except OSError:  # as reading ends once nobody can write
        return b""


def left(got: str) -> set[str]:
    """What a terminal would obey, or not show, of what it got, but for what rich sends."""
    return {letter for letter in RICH.sub("", got) if visible_line(letter) != letter} - {"\n"}


PLUGIN = (
    f'''
"""{HOSTILE}"""
from typing import Literal
from cifarzoo import register


@register.schedule
def mine(*, a: Literal["{HOSTILE}"] = "{HOSTILE}", b: int = 1):
    """Mine {HOSTILE}

    Args:
        a: About {HOSTILE}
    """
    raise ValueError("{HOSTILE}")
'''.replace("\r", "")
    .replace("\x1b\\", "\x07")
    .replace("\x0c", "")
    .replace("\x0b", "")
)
DATE = "2026-11-27T10:00:00+00:00"
BEGUN = {"schema": 1, "status": "running"}
CONFIG = """
run.architecture = @resnet8
run.dataset = @glyphs
glyphs.train_images = 32
glyphs.test_images = 20
run.optimizer = @sgd
run.schedule = @constant
run.batch_size = 16
run.epochs = 1
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder in which everything that others name is hostile."""
    (tmp_path / f"{NAME}.py").write_text(PLUGIN)
    (tmp_path / f"broken{NAME}.py").write_text("def oops(:\n")
    (tmp_path / f"{NAME}.gin").write_text(f"# {HOSTILE.splitlines()[0]}\n{CONFIG}")
    text = HOSTILE.replace("\r", "").replace("\x1b\\", "").replace("\x0b", "").replace("\x0c", "")
    (tmp_path / "wrong.gin").write_text(
        f"{CONFIG}run.precision = '{text}'\nrun.compile = {text}\nM = '{text}'\ninclude '{text}'\n"
    )
    (tmp_path / f"data{NAME}").mkdir()
    points = {"zoo": "hostile_zoo"}
    write_distribution(tmp_path, f"zoo{text}", points, version="1", file_name="zoo")
    (tmp_path / "hostile_zoo.py").write_text("def oops(:\n")
    return tmp_path


def test_nothing_that_others_named_is_obeyed_where_source_and_configs_are_read(place: Path):
    python, config = f"{NAME}.py", f"{NAME}.gin"
    got = on_terminal(
        place,
        ["ls", "schedules", "-v", "-p", python],
        ["ls", "-p", f"broken{NAME}.py"],
        ["ls", "-p", "nothing" + NAME],
        ["ls", "configs", NAME],
        ["ls", NAME],
        ["show", "mine", "-p", python],
        ["show", NAME],
        ["show", NAME, f"--{NAME}"],
        ["check", config, "wrong.gin", f"no{NAME}.gin", "-p", python],
        ["check", config, "-p", python, "-s", "run.schedule=@mine", "-s", f"mine.b='{NAME}'"],
        ["check", config, "-p", python, "-s", NAME],
        ["check", "wrong.gin", "--json"],
        ["compare", config, config],
        ["compare", config, "quickstart.gin"],
        ["data", "verify", "--data", f"data{NAME}"],
        ["data", "verify", NAME],
        ["reproduce", NAME],
        ["no command", NAME],
        PYTHONPATH=f"{os.environ.get('PYTHONPATH', '')}:{place}",
        CIFARZOO_PLUGINS=f"gone{NAME}.py",
    )

    assert left(got) == set()
    assert got.count("[red]z[/red]:smile:") + got.count("[red]z[|red]:smile:") > 30
    assert r"\x1b]0;title\x07" in got
    assert r"\u202egnp" in got
    assert "Traceback" not in got
    assert re.findall(r"<ls ended with (\d)>", got) == ["0", "2", "2", "0", "0"]


def test_nothing_that_others_named_is_obeyed_where_runs_are_made_and_read(place: Path):
    python, config = f"{NAME}.py", f"{NAME}.gin"
    for run, record in {
        "r": {"config": HOSTILE, "process": {"pid": 1, "host": HOSTILE, "started": DATE}},
        "q": {
            "config": HOSTILE,
            "name": HOSTILE,
            "tags": [HOSTILE],
            "plugins": [{"origin": f"__main__.{HOSTILE}"}],
        },
    }.items():
        (place / run).mkdir()
        (place / run / "config.gin").write_text(CONFIG)
        (place / run / "run.json").write_text(
            json.dumps({"schema": 1, "status": "running"} | record)
        )

    with FileLock(place / "r/.lock"):
        got = on_terminal(
            place,
            ["run", config, "--out", f"out{NAME}", "-s", "run.max_steps=1"],
            ["runs", "-o", "."],
            ["runs", "-o", ".", "--json"],
            ["runs", ".", "--format", "md", "-w", f"name={NAME}"],
            ["runs", "-w", NAME],
            ["runs", "-o", ".", "--sort", NAME],
            ["runs", NAME],
            ["show", "r"],
            ["show", "q", "--json"],
            ["runs", "rm", "r", NAME],
            ["run", config, "--name", NAME],
            ["run", config, "-p", python, "-s", "run.schedule=@mine"],
            ["run", config, "-p", python, "-s", "run.schedule=@mine", "--traceback"],
            ["resume", "r"],
            ["resume", "q"],
            ["resume", NAME],
            ["doctor", "--data", f"data{NAME}"],
        )

    assert left(got) == set()
    assert "test error" in got
    assert "mine: refuses its settings: [red]z[/red]:smile:" in got
    assert "Traceback (most recent call last)" in got
    assert "r is in use by another run (process 1 on [red]z" in got
    assert "q needs [red]z[/red]:smile:" in got
    listed = ["0", "0", "0", "2", "2", "2", "0", "0", "2", "2"]
    ended = ["0", *listed, "2", "2", "2", "2", "2", "0"]
    assert re.findall(r"<\w+ ended with (\d)>", got) == ended


CRASH = f"""
from cifarzoo.cli import commands
import cifarzoo.cli.doctor

def fails(*_):
    raise RuntimeError({HOSTILE!r})

cifarzoo.cli.doctor.examine = fails
"""


def test_the_traceback_of_a_bug_obeys_nothing(tmp_path: Path):
    code = f"{CRASH}{DRIVER}".replace("COMMANDS", "[['doctor']]")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )

    assert "Traceback (most recent call last)" in done.stderr
    assert "RuntimeError: [red]z[/red]:smile:" in done.stderr
    assert left(done.stderr) == set()
    assert "<doctor ended with 1>" in done.stderr


def test_an_error_is_safe_whoever_prints_it():
    located = ConfigError(HOSTILE, parameter=HOSTILE)
    located.location = HOSTILE

    for error in (CifarzooError(HOSTILE), located, ConfigProblemsError([HOSTILE, HOSTILE])):
        assert left(str(error)) == set()
    assert str(DataError("first\nsecond", "third")) == "first\\nsecond\nthird"
    assert str(ConfigProblemsError(["a\nb", "c"])) == "a\\nb\nc"


def test_the_terms_of_servers_are_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    reason = "[red]z\x1b]0;title\x07\x1b[2J\x9b31m"
    monkeypatch.setattr(Handler, "responses", {404: (reason, "")})
    with running_server() as server:
        server.statuses = [404, 404]
        twice = [Mirror(name=name, version="binary", urls=(server.url("x"),)) for name in "ab"]
        with pytest.raises(DataError, match=r"404 \[red\]z\\x1b\]0;title\\x07") as caught:
            fetch(small().published, tmp_path, Lines(), mirrors=twice)

    left_behind = capsys.readouterr().err
    assert left_behind.startswith("leaving a: it answers 404 [red]z\\x1b]0;title")
    assert left(str(caught.value)) | left(left_behind) == set()


def test_the_names_of_columns_are_text(tmp_path: Path):
    table = pyarrow.table({HOSTILE: [1], "label": [1]})
    path = tmp_path / "train.parquet"
    pyarrow.parquet.write_table(table, path)

    with pytest.raises(DataError, match=r"has the columns \[red\]z\[/red\]:smile:") as caught:
        peek(RealFolder(tmp_path), path.name, label="label")

    assert left(str(caught.value)) == set()


def test_the_shell_is_offered_nothing_that_it_would_run(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ("plain.gin", f"{NAME}.gin", "a$(x).gin", "a`x`.gin", "a\\$x.gin", "a'b.gin", 'a"b.gin')
    for name in names:
        Path(name).write_text("# Title \\$(touch b) `touch b`\x1b[2J\u202e\n")

    offers = dict(completion.configs("./"))

    assert offers == {"./plain.gin": "Title (touch b) touch bx1b[2Ju202e"}


def test_a_pipe_among_configs_is_not_waited_for(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.gin")

    assert completion.configs("./") == []


@pytest.mark.parametrize("made", [str, Text], ids=["text", "Text"])
def test_a_table_is_laid_out_for_what_is_shown(made):
    table = Table("a", "b")
    table.add_row(made("\x1b[31m\r"), made("[bold]x"))
    out = SafeConsole(file=io.StringIO(), width=60)
    out.print(table)

    row = out.file.getvalue().splitlines()[3]

    assert "\\x1b[31m\\r │ [bold]x" in row
    assert len({len(line) for line in out.file.getvalue().splitlines()}) == 1


def test_what_people_write_is_shown_as_it_is():
    text = "größe 🙂 ❤️ 日本語　全角 עברית é → ½\u00a0%\n\tdef f(): \\n"

    assert visible(text) == text
    assert visible_line("a\tb\nc") == "a\\tb\\nc"


@pytest.mark.parametrize("category", ["Cc", "Cf", "Cs", "Zl", "Zp"])
def test_every_character_of_a_category_that_is_unseen_becomes_text(category: str):
    every = [c for c in map(chr, range(0x110000)) if unicodedata.category(c) == category]

    shown = visible_line("".join(every))

    assert shown.isascii()
    assert shown.isprintable()


def test_texts_are_made_in_one_place():
    modules = Path(console.__file__).parent.glob("*.py")
    with_richs_own = [p.name for p in modules if "rich.text" in p.read_text()]

    assert with_richs_own == ["text.py"]
