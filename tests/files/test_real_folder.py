"""In a folder that others write in, files are regular and folders real, or refused at once."""

from __future__ import annotations

import os
import pickle
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from cifarzoo.files.real_folder import FILE, FOLDER, OddFileError, RealFolder, read_regular


@pytest.fixture
def folder(tmp_path: Path) -> RealFolder:
    (tmp_path / "here").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/secret").write_bytes(b"secret")
    return RealFolder(tmp_path / "here")


def bound(path: Path) -> None:
    """A socket in the file system, whose path may be longer than sockets take."""
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(before)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


ODD: dict[str, Callable[[Path], object]] = {
    "a link to '.*else.*'; expected the file itself": lambda path: path.symlink_to(
        path.parent.parent / "elsewhere/secret"
    ),
    "a link to 'nowhere'; expected the file itself": lambda path: path.symlink_to("nowhere"),
    "a named pipe; expected a file": os.mkfifo,
    "a socket; expected a file": bound,
    "a folder; expected a file": Path.mkdir,
}
USES: dict[str, Callable[[RealFolder], object]] = {
    "read": lambda folder: folder.read("x"),
    "size": lambda folder: folder.size("x"),
    "append": lambda folder: folder.append("x", b"more"),
    "cut": lambda folder: folder.cut("x", 0),
    "replace": lambda folder: folder.replace("x", b"other"),
}


@pytest.mark.timeout(20)  # a pipe that is waited for
@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize(
    ("says", "make"), ODD.items(), ids=["link", "gone", "pipe", "socket", "folder"]
)
def test_nothing_but_a_regular_file_is_read_or_written(folder, says, make, use):
    make(folder.path / "x")

    with pytest.raises(OddFileError, match=rf"here/x cannot be used: it is {says}$"):
        use(folder)

    assert (folder.root.parent / "elsewhere/secret").read_bytes() == b"secret"


def test_a_device_is_not_read_though_it_never_ends(tmp_path):
    (tmp_path / "x").symlink_to("/dev/zero")

    with pytest.raises(OddFileError, match=r"it is a device; expected a file"):
        read_regular(tmp_path / "x")
    with pytest.raises(OddFileError, match=r"it is a device; expected a file"):
        RealFolder(Path("/dev")).read("zero")


def test_no_folder_below_is_a_link(folder):
    (folder.path / "sub").symlink_to(folder.root.parent / "elsewhere")

    for use in (
        lambda: folder.read("sub/secret"),
        lambda: folder.below("sub").read("secret"),
        lambda: folder.below("sub").write("new", b""),
        lambda: folder.below("sub").names(),
        lambda: folder.take_away("sub/secret"),
    ):
        with pytest.raises(OddFileError, match=r"here/sub cannot be used: it is a link to '.*'; "):
            use()

    assert names(folder.root.parent / "elsewhere") == ["secret"]


def test_the_folder_itself_and_those_above_may_be_links(folder, tmp_path):
    (tmp_path / "linked").symlink_to(tmp_path)
    (tmp_path / "runs").symlink_to("here")

    for root in (tmp_path / "linked/here", tmp_path / "runs"):
        RealFolder(root).replace("x", b"text")
        assert RealFolder(root).read("x") == b"text"
        assert RealFolder(root).kind("x") == FILE


def test_what_takes_a_files_place_between_a_look_and_its_use_is_not_followed(folder, monkeypatch):
    """The swap comes after the check, by the system call that opens or replaces."""
    secret = folder.root.parent / "elsewhere/secret"
    (folder.path / "x").write_bytes(b"mine")
    opened = os.open

    def swapped(name, flags, *arguments, **within):
        if name == "x":
            (folder.path / "x").unlink()
            (folder.path / "x").symlink_to(secret)
        return opened(name, flags, *arguments, **within)

    monkeypatch.setattr(os, "open", swapped)
    for use in [USES[name] for name in ("read", "append", "cut")]:
        (folder.path / "x").unlink()
        (folder.path / "x").write_bytes(b"mine")
        with pytest.raises(OSError, match="Too many levels of symbolic links"):
            use(folder)

    assert secret.read_bytes() == b"secret"


def test_a_pipe_that_takes_a_files_place_in_between_is_not_waited_for(folder, monkeypatch):
    (folder.path / "x").write_bytes(b"mine")
    opened = os.open

    def swapped(name, flags, *arguments, **within):
        if name == "x":
            (folder.path / "x").unlink()
            os.mkfifo(folder.path / "x")
        return opened(name, flags, *arguments, **within)

    monkeypatch.setattr(os, "open", swapped)
    with pytest.raises(OddFileError, match="it is a named pipe; expected a file"):
        folder.read("x")


def test_a_folder_that_is_moved_away_in_between_leads_nowhere_else(folder, monkeypatch):
    """The descriptor that is held stays that of the real folder."""
    (folder.path / "sub").mkdir()
    elsewhere = folder.root.parent / "elsewhere"
    opened = os.open

    def swapped(name, flags, *arguments, **within):
        if name == "new":
            (folder.path / "sub").rename(folder.path / "moved")
            (folder.path / "sub").symlink_to(elsewhere)
        return opened(name, flags, *arguments, **within)

    monkeypatch.setattr(os, "open", swapped)
    folder.below("sub").write("new", b"text")

    assert names(elsewhere) == ["secret"]
    assert (folder.path / "moved/new").read_bytes() == b"text"


def test_a_file_is_replaced_whole_and_a_killed_attempt_is_in_nobodys_way(folder):
    (folder.path / f".x.{os.getpid()}").write_bytes(b"half")
    folder.replace("x", b"one")
    folder.replace("x", b"two")

    assert folder.names() == ["x"]
    assert folder.read("x") == b"two"


def test_only_what_a_killed_attempt_left_is_swept(folder):
    for name in (".x.12", ".x.swp", ".x.12b", "x.12", ".xx.12"):
        (folder.path / name).write_bytes(b"")
    (folder.path / ".x.13").mkdir()

    folder.sweep("x")

    assert folder.names() == [".x.12b", ".x.13", ".x.swp", ".xx.12", "x.12"]


def test_a_file_that_is_larger_than_expected_is_not_read(folder):
    with (folder.path / "x").open("wb") as file:
        file.truncate(2**40)

    with pytest.raises(OddFileError, match=r"it has 1,099,511,627,776 bytes; expected at most 10$"):
        folder.read("x", at_most=10)


def test_only_links_and_empty_folders_are_taken_away_and_nothing_behind_them(folder):
    (folder.path / "link").symlink_to(folder.root.parent / "elsewhere")
    (folder.path / "full").mkdir()
    (folder.path / "full/file").write_bytes(b"")

    folder.take_away("link")
    with pytest.raises(OSError, match="not empty"):
        folder.take_away("full")

    assert folder.kind("full") == FOLDER
    assert (folder.root.parent / "elsewhere/secret").exists()


def test_what_moves_into_another_folder_goes_through_no_link(folder):
    for name in ("from", "to"):
        folder.make_folder(name)
    (folder.path / "link").symlink_to(folder.path.parent / "elsewhere")
    for name in ("x", "y"):
        folder.write(f"from/{name}", name.encode())

    folder.below("from").move("x", folder.below("to"))
    with pytest.raises(OddFileError, match=r"it is a link to '.*'; expected the folder"):
        folder.below("from").move("y", folder.below("link"))

    assert folder.read("to/x") == b"x"
    assert names(folder.path / "from") == ["y"]
    assert names(folder.path.parent / "elsewhere") == ["secret"]


def test_a_refusal_goes_from_rank_to_rank(folder):
    (folder.path / "x").symlink_to("y")
    with pytest.raises(OddFileError) as caught:
        folder.read("x")

    again = pickle.loads(pickle.dumps(caught.value))

    assert str(again) == str(caught.value)
    assert again.exit_code == 2
