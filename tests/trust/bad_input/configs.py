# ruff: noqa: E501  # a case is easiest to read on a line

"""Rows 1 to 10: what a .gin file and ``--set`` can hold. No case needs torch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tests.trust.bad_input.case import Case

BASE = """\
run.architecture = @resnet8
run.dataset = @glyphs
run.optimizer = @sgd
sgd.lr = 0.05
run.schedule = @cosine
run.batch_size = 16
"""
LAST = 7  # the line on which what a case adds stands


def added(row: int, name: str, text: str, says: str, **more: Any) -> Case:
    """A config whose last line is ``text``, and what is said of that line."""
    return Case(
        row=row,
        name=name,
        command=("check", "c.gin"),
        files={"c.gin": BASE + text + "\n"},
        says=rf"^c\.gin:{LAST + text.count(chr(10))}: {says}",
        **more,
    )


def whole(row: int, name: str, content: str | bytes, says: str, **more: Any) -> Case:
    """A config of ``content`` alone."""
    files = {"c.gin": content, **more.pop("files", {})}
    command = ("check", "c.gin", *more.pop("sets", ()))
    return Case(row=row, name=name, command=command, files=files, says=says, **more)


def no_file(name: str, config: str, says: str, prepare: Any = None) -> Case:
    """A config that can't be read as a file."""
    return Case(row=9, name=name, command=("check", config), prepare=prepare, says=says)


def setting(name: str, text: str, says: str) -> Case:
    """``--set TEXT`` on a config that is fine."""
    command = ("run", "c.gin", "--set", text)
    return Case(row=10, name=name, command=command, files={"c.gin": BASE}, says=f"^--set .*{says}")


def loop(folder: Path) -> None:
    """A link that leads to itself."""
    (folder / "c.gin").symlink_to("c.gin")


def pipe(folder: Path) -> None:
    """A named pipe, which reading would wait for."""
    os.mkfifo(folder / "c.gin")


NAMES = [
    added(1, "misspelt parameter", "sgd.momentun = 0.9", "sgd has no parameter 'momentun'; "
          r"did you mean momentum\?"),
    added(1, "misspelt component", "sgdd.momentum = 0.9", r"no component 'sgdd'; did you mean sgd\?"),
    added(1, "misspelt reference", "run.augmentations = [@flipp]",
          r"no component 'flipp'; did you mean flip\?"),
    added(1, "misspelt macro", "EPOCHS = 3\nrun.epochs = %EPOCH",
          r"nothing sets %EPOCH; did you mean EPOCHS\?"),
    added(1, "misspelt parameter of run", "run.epoch = 3", r".*did you mean epochs\?"),
    added(1, "a set value of another kind", "schedule.sgd.momentum = 1.0",
          r"no component 'schedule.sgd'; did you mean optimizer.sgd\?"),
    added(1, "reference of another kind", "run.augmentations = [@cosine]",
          r"run.augmentations\[0\] is @schedule.cosine; expected an augmentation"),
    added(1, "a component called", "run.augmentations = [@flip()]", r"write @flip without \(\)"),
    added(1, "a text without quotes", "run.precision = float32",
          r"'float32' is not a value; did you mean 'float32'\?"),
    added(2, "misspelt scope", "trian/sgd.momentum = 0.9",
          "trian/sgd.momentum changes nothing: this run has no @trian/sgd"),
    added(2, "unused macro", "epochs = 3", r"epochs is set but .*did you mean run.epochs\?"),
    added(2, "unused component", "multistep.milestones = [3]",
          "multistep.milestones changes nothing: this run has no @multistep"),
    added(3, "one key twice in a file", "run.seed = 1\nrun.seed = 2",
          "run.seed is set twice, first on line 7"),
    added(3, "one key twice in two ways of writing", "sgd.momentum = 0.9\noptimizer.sgd.momentum = 0.8",
          "sgd.momentum is set twice, first on line 7"),
    Case(row=3, name="a key in a file and on the command line", command=("run", "c.gin", "--dry-run",
         "-s", "run.batch_size=32"), files={"c.gin": BASE}, exit_code=0, needs_torch=True,
         prints="run.batch_size = 32"),
    whole(3, "an include that undoes a line", "run.seed = 1\ninclude 'b.gin'\n" + BASE,
          r"^c\.gin:1: run.seed changes nothing: b\.gin:1, which is included after",
          files={"b.gin": "run.seed = 2\n"}),
]  # fmt: skip
TYPES = [
    added(4, "text for a number", "sgd.momentum = '0.9'", "sgd.momentum is '0.9'; expected a number"),
    added(4, "None for a number", "sgd.momentum = None", "sgd.momentum is None; expected a number"),
    added(4, "True for a whole number", "run.seed = True", "run.seed is True; expected a whole"),
    added(4, "fraction for a whole number", "run.epochs = 1.5", "run.epochs is 1.5; expected a whole"),
    added(4, "1 for True", "sgd.nesterov = 1", "sgd.nesterov is 1; expected True or False"),
    added(4, "component for a list", "run.augmentations = @flip",
          "run.augmentations is @augmentation.flip; expected a list"),
    added(4, "text for a list", "run.regularizers = 'mixup'", "run.regularizers is 'mixup'; expected"),
    added(4, "list for a component", "cosine.final = [0.1]", r"cosine.final is \[0.1\]; expected a number"),
    added(4, "a word that is none of the choices", "run.precision = 'fp16'",
          "run.precision is 'fp16'; expected 'auto', 'float64', 'float32'"),
    added(4, "lower-case none", "run.max_steps = none", r"'none' is not a value; did you mean None\?"),
    added(4, "nan", "cosine.final = nan", "'nan' is not a value"),
    added(4, "a sum", "run.epochs = 1 + 2", r"unexpected '\+' after the value"),
    added(4, "what the engine gives", "sgd.params = []", "sgd.params is given by the engine"),
    whole(4, "a number for a component", BASE.replace("@cosine", "1.0"),
          r"^c\.gin:5: run.schedule is 1.0; expected a schedule"),
    whole(4, "something that is needed and not set", BASE.replace("@cosine", "@multistep"),
          r"^c\.gin:5: multistep.milestones is not set\nc\.gin:5: multistep.factors is", lines=2),
    whole(4, "no dataset", BASE.replace("run.dataset = @glyphs\n", ""), "^run.dataset is not set; expected"),
]  # fmt: skip
FILES = [
    added(5, "missing include", "include 'nope.gin'", "no config 'nope.gin' in "),
    added(5, "include of a folder", "include '..'", r"'\.\.' is a folder; expected a \.gin file"),
    added(5, "include without quotes", "include b.gin", r"expected include 'FILE\.gin', with quotes"),
    whole(5, "include cycle", BASE + "include 'b.gin'\n",
          r"^b\.gin:1: 'c.gin' includes itself \(c.gin > b.gin > c.gin\)",
          files={"b.gin": "include 'c.gin'\n"}),
    whole(5, "mistake in an include", BASE + "include 'b.gin'\n", r"^b\.gin:2: run has no parameter 'x'",
          files={"b.gin": "\nrun.x = 1\n"}),
    added(6, "import of a missing module", "import nope", "'import nope': configs import nothing"),
    added(6, "import of a module that is there", "import os", "'import os': configs import nothing"),
    whole(7, "byte-order mark", b"\xef\xbb\xbf" + BASE.encode(), "", exit_code=0, prints="fine"),
    whole(7, "Windows line ends", BASE.replace("\n", "\r\n"), "", exit_code=0, prints="fine"),
    whole(7, "Latin-1", BASE.encode() + b"# caf\xe9\n", r"^c\.gin:7: the byte 0xe9 is not UTF-8"),
    whole(7, "UTF-16", BASE.encode("utf-16"), "^c.gin:1: the byte 0xff is not UTF-8"),
    whole(7, "NUL", BASE + "\0", r"^c\.gin:7: it holds a NUL byte"),
    whole(7, "empty", "", r"run\.architecture is not set", lines=None),
    whole(7, "10 MB", "# x\n" * 2_500_000, r"^c\.gin: it has more than 131072 bytes; expected at most"),
    added(7, "nested 50 deep", f"run.seed = {'[' * 50}1{']' * 50}", r"run\.seed is \[{50}1\]{6}\.\.\.; "),
    added(7, "nested 5,000 deep", f"run.seed = {'[' * 5000}1{']' * 5000}", ".*nested too deeply"),
    added(7, "an open bracket", "run.augmentations = [@flip", "a bracket or a quote is left open"),
    added(7, "an open quote", "run.precision = 'float32", "a bracket or a quote is left open"),
    whole(7, "tabs for blanks", BASE + "run.seed\t=\t1\n", "", exit_code=0, prints="fine"),
    added(7, "another grammar", "run:\n  epochs: 3", ".*expected"),
    whole(8, "macros that name each other", BASE + "A = %B\nB = %A\nrun.seed = %A\n",
          "%A refers to itself"),
    Case(row=8, name="a component that holds itself", command=("check", "c.gin", "-p", "p.py"),
         files={"c.gin": BASE + "run.augmentations = [@twice]\ntwice.first = @twice\n",
                "p.py": "from cifarzoo import register\nfrom cifarzoo.protocols import "
                        "AugmentationFactory\n\n@register.augmentation\ndef twice(*, first: "
                        "AugmentationFactory):\n    '''Twice.'''\n    return first\n"},
         says=r"^c\.gin:8: twice.first leads back to twice itself"),
    no_file("no such config", "nope.gin", r"no config 'nope\.gin' in "),
    no_file("a misspelt recipe", "quikstart.gin", r"did you mean quickstart\.gin\?"),
    no_file("a folder for a config", ".", r"'\.' is a folder; expected a \.gin file"),
    no_file("a link that leads to itself", "c.gin", r"no config 'c.gin'|c\.gin.*symbolic links", loop),
    no_file("a pipe for a config", "c.gin", "c.gin", pipe),
    no_file("a name of 300 letters", "n" * 300, "no config 'nnn"),
    no_file("a name with NUL", "c\0.gin", "no config 'c"),
    no_file("a name with a line end", "c\n.gin", r"no config 'c\\n.gin'"),
    no_file("no name", "", "is a folder|no config ''"),
]  # fmt: skip
SETS = [
    setting("no equals sign", "run.epochs", r"expected NAME=VALUE, such as run\.epochs=3"),
    setting("no value", "run.epochs=", "expected a value, not the end of the line"),
    setting("no name", "=3", "expected a name, not '='"),
    setting("quotes that the shell took", "run.precision=float32",
            r".*did you mean -s \"run\.precision='float32'\"\?"),
    setting("two in one", "run.epochs=1\nrun.seed=2", "expected NAME=VALUE"),
    setting("an include", "include 'x.gin'", "expected NAME=VALUE"),
    setting("without effect", "multistep.milestones=[1]", "changes nothing"),
    setting("a macro of no value", "epochs=3", r"did you mean run\.epochs\?"),
    setting("a component without @", "run.schedule=constant",
            r".*did you mean -s run\.schedule=@constant\?"),
    setting("NUL", "run.seed=1\0", "NUL"),
]  # fmt: skip
CASES = [*NAMES, *TYPES, *FILES, *SETS]
