"""The kernels' library, compiled on first use by the machine's own compiler and kept.

It is named by all that decides its code: source, flags, compiler and the processor's features, so
that unlike machines share a home folder. A library is tried in a process of its own before any
other loads it. Whatever is missing or fails has one consequence: torch's own kernels are used.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

SOURCE = Path(__file__).with_name("kernels.cpp")
COMPILERS = ("c++", "g++", "clang++")
# Contraction is off so that every compiler gives the same bits; each fma is written out.
FLAGS = (
    *("-std=c++17", "-O3", "-fopenmp", "-shared", "-fPIC"),
    *("-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"),
)
OF_MACHINE = {
    "x86_64": ("-march=native", "-mprefer-vector-width=512"),
    "aarch64": ("-mcpu=native",),
}
COMPILE_SECONDS = 300.0
TRIAL_SECONDS = 60.0
# Loads a library and adds up 8 rows of 3 ones, by torch's OpenMP as later on.
TRIAL = """
import ctypes, sys
ctypes.CDLL(sys.argv[2])
library = ctypes.CDLL(sys.argv[1])
images, moments = (ctypes.c_float * 24)(*[1.0] * 24), (ctypes.c_double * 6)()
size = ctypes.c_int64
library.statistics_float32(images, size(1), size(8), size(3), moments, ctypes.c_int(2))
sys.exit(list(moments) != [1.0] * 3 + [0.0] * 3)
"""


class UnavailableError(Exception):
    """The kernels can't be had here; the message says why, as a phrase."""


@dataclass(frozen=True, kw_only=True)
class Built:
    """A library that was tried.

    Attributes:
        path: Path of the shared library.
        code: SHA-256 (hex) of source and flags, which decide what it computes.
        compiler: Path of the compiler.
        seconds: Seconds that its compilation took; None: it was there.
    """

    path: Path
    code: str
    compiler: Path
    seconds: float | None


def built(folder: Path) -> Built:
    """The library for this machine, compiled now if ``folder`` hasn't got it.

    Args:
        folder: Folder that only this user may write to: what lies in it is run.

    Raises:
        UnavailableError: There is no compiler, it fails, or the machine lacks what it takes.
    """
    flags = _flags()
    compiler = _compiler()
    code = _sha256([SOURCE.read_text(encoding="utf-8"), *flags])
    path = folder / f"kernels-{_identity(code, compiler)[:16]}.so"
    found = Built(path=path, code=code, compiler=compiler, seconds=None)
    try:
        if _is_whole(path):
            return found
        with FileLock(folder / "kernels.lock", timeout=COMPILE_SECONDS):
            if _is_whole(path):  # another process made it meanwhile
                return found
            started = time.monotonic()
            _make(path, compiler, flags)
            return replace(found, seconds=time.monotonic() - started)
    except Timeout:
        raise UnavailableError(f"another process compiles them for ever in {folder}") from None
    except OSError as error:
        raise UnavailableError(f"{error.filename or folder}: {error.strerror}") from error


def _flags() -> tuple[str, ...]:
    machine = platform.machine()
    if platform.system() != "Linux" or machine not in OF_MACHINE:
        raise UnavailableError(f"there are none for {platform.system()} on {machine}")
    if machine == "x86_64" and "fma" not in _features().split():
        raise UnavailableError("this processor has no fused multiply-add")
    return (*FLAGS, *OF_MACHINE[machine])


def _features() -> str:
    """What the processor can do, as the kernel lists it."""
    with suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        found = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
        if found:
            return " ".join(sorted(found[1].split()))
    return ""


def _compiler() -> Path:
    named = os.environ.get("CXX")
    for name in (named,) if named else COMPILERS:
        found = shutil.which(name)
        if found:
            return Path(found).resolve()
    expected = (
        f"CXX names {named!r}, which is none" if named else f"looked for {', '.join(COMPILERS)}"
    )
    raise UnavailableError(f"there is no C++ compiler ({expected})")


def _identity(code: str, compiler: Path) -> str:
    # Of the compiler its file's facts: to ask for its version would take longer than to load.
    facts = compiler.stat()
    return _sha256([code, str(compiler), str(facts.st_size), str(facts.st_mtime_ns), _features()])


def _sha256(parts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _is_whole(path: Path) -> bool:
    """Whether a library is there, as it was when it had been tried."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # nothing is there, or a link
        return False
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or facts.st_uid != os.getuid():
            return False
        digest = hashlib.sha256(file.read()).hexdigest()
    with suppress(OSError, ValueError):
        return _note_of(path).read_text(encoding="utf-8") == digest
    return False


def _note_of(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _make(path: Path, compiler: Path, flags: tuple[str, ...]) -> None:
    with tempfile.TemporaryDirectory(prefix=".making-", dir=path.parent) as folder:
        made = Path(folder) / path.name
        _run(
            [str(compiler), *flags, str(SOURCE), "-o", str(made)],
            f"{compiler.name} cannot compile them",
            seconds=COMPILE_SECONDS,
        )
        trial = [sys.executable, "-I", "-S", "-c", TRIAL, str(made), openmp()]
        _run(trial, "what was compiled does not run here", seconds=TRIAL_SECONDS)
        noted = Path(folder) / "note"
        noted.write_text(hashlib.sha256(made.read_bytes()).hexdigest(), encoding="utf-8")
        made.replace(path)
        noted.replace(_note_of(path))


def _run(command: list[str], otherwise: str, *, seconds: float) -> None:
    try:
        done = subprocess.run(  # noqa: S603  # no shell, and nothing of a config's
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"{otherwise}: it takes more than {seconds:.0f} s") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        why = lines[0].strip() if lines else f"exit code {done.returncode}"
        raise UnavailableError(f"{otherwise}: {why}")


def openmp() -> str:
    """Path of the one OpenMP runtime of this process, torch's.

    Raises:
        UnavailableError: There is none or a second one, whose threads would stand in the way.
    """
    maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    found: list[str] = sorted(set(re.findall(r"/\S*lib(?:gomp|omp|iomp5)[-.\w]*\.so[.\d]*", maps)))
    if len(found) != 1 or "gomp" not in found[0]:
        named = ", ".join(found) or "none"
        raise UnavailableError(f"they need torch's OpenMP alone in the process; loaded: {named}")
    return found[0]
