"""Print the commands of a document's bash blocks that can be tried here, one a line.

A block with ``title="FILE"`` is a file that the reader saves: a command that writes it stands in
its place. What other stages do (installing, pytest) and what needs a network or photographs is
named on stderr and left out. A training of hours is tried with --dry-run, which does everything up
to the first batch; a loop goes over two values, and its trainings are cut to a few steps.
"""

import re
import shlex
import sys
from pathlib import Path

BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```', re.MULTILINE | re.DOTALL)
ELSEWHERE = re.compile(r"(python3 -m venv|\. \S*activate|(uv )?pip|pytest$|make|git|uv)\b")
NEEDS_MORE = re.compile(r"cifarzoo data (fetch|export)")  # a network, CIFAR-10
TRAINING = re.compile(r"(cifarzoo|python cli\.py) (run (?!quickstart\.gin)|reproduce \S+/)")
SHORT = re.compile(r"--dry-run|--budget smoke")
LOOP = re.compile(r"^for .*?^done$", re.MULTILINE | re.DOTALL)
FEW_STEPS = "-s run.max_steps=20 -s glyphs.train_images=1280 -s glyphs.test_images=400"


def commands(document: Path) -> list[str]:
    """Every command of the document, in order; ``a && b`` is two."""
    found = []
    for language, title, text in BLOCK.findall(document.read_text(encoding="utf-8")):
        if title:
            this = shlex.join(["python", str(Path(__file__).resolve()), str(document.resolve())])
            found.append(f"{this} {shlex.quote(title)} > {shlex.quote(title)}")
        elif language in ("bash", "sh"):
            lines = LOOP.sub(in_a_line, text.replace("\\\n", " ")).splitlines()
            lines = [re.sub(r"(^|\s)#.*", "", line).strip() for line in lines]
            found += [command.strip() for line in lines if line for command in line.split("&&")]
    return found


def in_a_line(loop: re.Match[str]) -> str:
    """A loop of several lines, as a command."""
    return re.sub(r"\n *", "; ", re.sub(r"; do\n *", "; do ", loop[0]))


def shorter(loop: str) -> str:
    """A loop over its first two values only, of trainings of a few steps."""
    few = re.sub(r"^(for \w+ in \S+ \S+)[^;]*", r"\1", loop)
    return re.sub(r"(cifarzoo run \S+)", rf"\1 {FEW_STEPS}", few)


def file(document: Path, title: str) -> str:
    """The text of the document's block with that title."""
    blocks = BLOCK.findall(document.read_text(encoding="utf-8"))
    [text] = [text for _, name, text in blocks if name == title]
    return str(text)


def main() -> None:
    """Print what can be tried; with a second argument, the file of that title."""
    document, *titles = sys.argv[1:]
    for title in titles:
        sys.stdout.write(file(Path(document), title))
    if titles:
        return
    for command in commands(Path(document)):
        if ELSEWHERE.match(command) or NEEDS_MORE.match(command):
            sys.stderr.write(f"not here: {command}\n")
        elif command.startswith("for "):
            sys.stdout.write(f"{shorter(command)}\n")
        elif TRAINING.match(command) and not SHORT.search(command):
            sys.stdout.write(f"{command} --dry-run\n")
        else:
            sys.stdout.write(f"{command}\n")


main()
