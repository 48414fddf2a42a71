# ruff: noqa: E501  # a case is easiest to read on a line

"""Row 73: what somebody would read in a run's folder that is handed on."""

from __future__ import annotations

from tests.trust.bad_input.case import Case
from tests.trust.bad_input.folders import CONFIG, after, unfinished
from tests.trust.bad_input.senseless import record

ROW = 73
STATE = {"CIFARZOO_STATE": "{root}/work/state"}
TOKEN = f"hf_{'aB3' * 8}"
PLUGIN = '''
from cifarzoo import register


@register.schedule
def hub(*, token: str = ""):
    """A schedule that needs a token."""
    return lambda moment: 1.0
'''
HUB = ("-p", "p.py", "-s", "run.schedule=@hub", "-s")
# ``$1`` is the interpreter; what is found is said, and is a fault.
FOUND = 'if {}; then echo "found"; exit 1; fi'
HOST = '"$(python3 -c "import socket; print(socket.gethostname())")"'


def kept(
    name: str, found: str, *options: str, says: str = "", shell: str = '"$@"', **more: object
) -> Case:
    """A run after which a bash condition that finds something in its folder ``r`` must not hold."""
    fixed = {
        "exit_code": 0,
        "lines": None,
        "leaves": ("r", "state"),
        "environment": STATE,
        "needs_torch": True,
    }
    return Case(row=ROW, name=name, says=says, command=("run", "c.gin", "--run-dir", "r", "--data", "data", *options),
                shell=f"{shell} || exit 9; {FOUND.format(found)}",
                files={"c.gin": CONFIG, "p.py": PLUGIN, "data/x": ""}, **{**fixed, **more})  # type: ignore[arg-type]  # fmt: skip


CASES = [
    kept("a token in a setting", f"grep -q {TOKEN} r/run.json", *HUB, f"hub.token='{TOKEN}'",
         says=r"hub\.token looks like a secret, and config\.gin and resolved\.gin in the run's folder keep it"),
    kept("a password in a setting", "grep -q open-sesame r/run.json", *HUB, "hub.token='open-sesame'", says=r"hub\.token looks like a secret"),
    kept("a home folder", 'grep -qF "$HOME" r/run.json r/resolved.gin', shell='HOME=$PWD; "$@"'),
    kept("a host's name among TensorBoard's files", f"ls r/tensorboard | grep -qF .{HOST}"),
    kept("an anonymous run", f'grep -qwF -e {HOST} -e "$PWD" r/run.json r/resolved.gin', "--anonymous"),
    kept("an anonymous run, by the environment", 'grep -qE \'"(host|folder|data_folder)": "\' r/run.json', environment=STATE | {"CIFARZOO_ANONYMOUS": "1"}),
    Case(row=ROW, name="a variable that is neither on nor off", command=("run", "c.gin"), files={"c.gin": CONFIG}, lines=None,
         says=r"CIFARZOO_ANONYMOUS.*Input should be a valid boolean", environment={"CIFARZOO_ANONYMOUS": "maybe"}),
    after(ROW, "a data folder of a user who isn't here", r"^'~nobody-here/data': there is no home folder ~nobody-here",
          unfinished(record(data_folder="~nobody-here/data"))),
    after(ROW, "a record whose being anonymous is a text", r"^r/run\.json has anonymous 'yes'; expected true or false", unfinished(record(anonymous="yes"))),
]  # fmt: skip
