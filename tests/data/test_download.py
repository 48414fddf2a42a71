"""Fetching from a server on this machine that cuts, lies, stalls and refuses."""

import os
from dataclasses import replace

import pytest

from cifarzoo.data.catalogue import CIFAR10
from cifarzoo.data.download import fetching
from cifarzoo.data.download.transfer import Patience
from cifarzoo.errors import DataError
from tests.archive_server import running_server
from tests.full_disk import no_file_larger_than
from tests.heard import Heard


@pytest.fixture
def server():
    with running_server() as server:
        yield server


def fetch(archive, folder, heard=None, *, pauses=(0, 0, 0), timeout=5):
    published = replace(CIFAR10, binary=archive, mirrors=CIFAR10.mirrors[:1])
    patient = Patience(pauses=pauses, timeout=timeout)
    return fetching.fetch(published, folder, heard or Heard(), patient=patient)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_arrives_is_the_archive_and_nothing_else_is_left(tmp_path, server):
    archive, heard = server.archive(), Heard()
    fetched = fetch(archive, tmp_path / "new" / "data", heard)
    assert fetched.mirror == "official"
    assert fetched.path.read_bytes() == server.body
    assert names(fetched.path.parent) == ["cifar-10-binary.tar.gz"]
    assert (heard.bytes[0], heard.bytes[-1], heard.total) == (0, archive.size, archive.size)


def test_a_whole_file_is_not_fetched_again(tmp_path, server):
    archive = server.archive()
    (tmp_path / archive.file_name).write_bytes(server.body)
    assert fetch(archive, tmp_path).mirror is None
    assert server.ranges == []


@pytest.mark.parametrize("damage", [b"", b"<html>", b"x" * 5000])
def test_a_damaged_file_makes_way_and_is_kept(tmp_path, server, damage):
    archive, heard = server.archive(), Heard()
    (tmp_path / archive.file_name).write_bytes(damage)
    assert fetch(archive, tmp_path, heard).path.read_bytes() == server.body
    assert heard.aside == [tmp_path / f"{archive.file_name}.1"]
    assert heard.aside[0].read_bytes() == damage


def test_a_file_of_the_right_size_but_another_digest_makes_way(tmp_path, server):
    archive, heard = server.archive(), Heard()
    (tmp_path / archive.file_name).write_bytes(server.body[:-1] + b"?")
    (tmp_path / f"{archive.file_name}.1").write_bytes(b"an older one")
    assert fetch(archive, tmp_path, heard).path.read_bytes() == server.body
    assert heard.aside == [tmp_path / f"{archive.file_name}.2"]
    assert (tmp_path / f"{archive.file_name}.1").read_bytes() == b"an older one"


def test_a_cut_connection_goes_on_where_it_stopped(tmp_path, server):
    archive, heard = server.archive(), Heard()
    server.cuts = [1000, 2000]
    fetched = fetch(archive, tmp_path, heard)
    assert server.ranges == [None, "bytes=1000-", "bytes=3000-"]
    assert fetched.path.read_bytes() == server.body
    assert heard.bytes == sorted(heard.bytes)
    assert heard.problems[0] == f"the connection ended after 1,000 of {archive.size:,} bytes"


def test_progress_starts_the_attempts_anew(tmp_path, server):
    archive = server.archive()
    server.cuts = [1000] * 10
    assert fetch(archive, tmp_path, pauses=(0,)).path.read_bytes() == server.body


def test_an_interrupted_fetch_keeps_what_came_and_the_next_goes_on(tmp_path, server):
    archive = server.archive()

    class Interrupt(Heard):
        def arrived(self, done, _total):
            if done:
                raise KeyboardInterrupt

    server.cuts = [1000]
    with pytest.raises(KeyboardInterrupt):
        fetch(archive, tmp_path, Interrupt())
    assert names(tmp_path) == ["cifar-10-binary.tar.gz.part"]

    assert fetch(archive, tmp_path).path.read_bytes() == server.body
    assert server.ranges == [None, "bytes=1000-"]


def test_a_server_without_ranges_is_read_from_the_start(tmp_path, server):
    archive = server.archive()
    server.understands_ranges = False
    server.cuts = [1000]
    assert fetch(archive, tmp_path).path.read_bytes() == server.body


def test_a_server_that_does_not_say_the_length_will_do(tmp_path, server):
    archive = server.archive()
    server.says_length = False
    server.cuts = [1000]
    assert fetch(archive, tmp_path).path.read_bytes() == server.body


def test_a_leftover_that_is_too_long_is_started_over_and_kept(tmp_path, server):
    archive, heard = server.archive(), Heard()
    (tmp_path / (archive.file_name + ".part")).write_bytes(b"x" * (archive.size + 1))
    assert fetch(archive, tmp_path, heard).path.read_bytes() == server.body
    assert heard.aside[0].stat().st_size == archive.size + 1


def test_a_leftover_that_is_whole_is_only_checked(tmp_path, server):
    archive = server.archive()
    (tmp_path / (archive.file_name + ".part")).write_bytes(server.body)
    assert fetch(archive, tmp_path).path.read_bytes() == server.body
    assert server.ranges == []


def test_a_foreign_leftover_is_found_out_and_kept_and_all_is_fetched(tmp_path, server):
    archive, heard = server.archive(), Heard()
    (tmp_path / (archive.file_name + ".part")).write_bytes(b"x" * 1000)
    assert fetch(archive, tmp_path, heard).path.read_bytes() == server.body
    assert heard.aside == [tmp_path / f"{archive.file_name}.part.1"]
    assert heard.aside[0].read_bytes()[:1000] == b"x" * 1000
    assert server.ranges == ["bytes=1000-", None]


def test_other_bytes_of_the_right_length_never_get_the_name(tmp_path, server):
    archive = server.archive()
    server.body = server.body[:-1] + b"?"
    problem = (
        rf"what arrived has the sha256 [0-9a-f]{{64}}, expected {archive.sha256}, and was removed"
    )
    with pytest.raises(DataError, match=by_hand(archive, tmp_path, problem)):
        fetch(archive, tmp_path)
    assert len(server.ranges) == 1
    assert names(tmp_path) == []


def by_hand(archive, folder, problem):
    return (
        rf"^cannot fetch {archive.url}: {problem}; "
        rf"fetch it by hand \({archive.size:,} bytes\) and put it into {folder}$"
    )


@pytest.mark.parametrize(("status", "words"), [(404, "Not Found"), (403, "Forbidden")])
def test_a_refusal_is_not_asked_again(tmp_path, server, status, words):
    archive = server.archive()
    server.statuses = [status]
    with pytest.raises(DataError, match=by_hand(archive, tmp_path, f"it answers {status} {words}")):
        fetch(archive, tmp_path)
    assert len(server.ranges) == 1


def test_a_server_that_is_busy_is_asked_again(tmp_path, server):
    archive, heard = server.archive(), Heard()
    server.statuses = [503, 429]
    assert fetch(archive, tmp_path, heard).path.read_bytes() == server.body
    assert heard.problems == [
        "it answers 503 Service Unavailable",
        "it answers 429 Too Many Requests",
    ]


def test_a_web_page_instead_of_the_archive_is_refused_by_its_length(tmp_path, server):
    archive = server.archive()
    server.body, server.content_type = b"<html>Please log in</html>", "text/html"
    problem = rf"it offers 26 bytes \(text/html\), expected {archive.size}"
    with pytest.raises(DataError, match=by_hand(archive, tmp_path, problem)):
        fetch(archive, tmp_path)
    assert names(tmp_path) == []


def test_a_stream_that_does_not_end_is_cut_off(tmp_path, server):
    archive = server.archive()
    server.body += b"x" * 10**6
    server.says_length = False
    problem = f"it sends more than {archive.size:,} bytes"
    with pytest.raises(DataError, match=by_hand(archive, tmp_path, problem)):
        fetch(archive, tmp_path)


def test_a_stale_range_is_started_over(tmp_path, server):
    archive = server.archive()
    (tmp_path / (archive.file_name + ".part")).write_bytes(b"x" * 1000)
    server.statuses = [416]
    assert fetch(archive, tmp_path).path.read_bytes() == server.body
    assert server.ranges == ["bytes=1000-", None]


def test_without_a_connection_the_address_and_the_place_are_named(tmp_path, server):
    archive, heard = server.archive(), Heard()
    server.server_close()
    server.shutdown()
    with pytest.raises(DataError, match=by_hand(archive, tmp_path, "Connection refused")):
        fetch(archive, tmp_path, heard)
    assert heard.problems == ["Connection refused"] * 3


def test_a_server_that_stalls_is_given_up(tmp_path, server):
    archive, heard = server.archive(), Heard()
    server.gate.clear()
    with pytest.raises(DataError, match=by_hand(archive, tmp_path, "(timed out|.*timed out)")):
        fetch(archive, tmp_path, heard, pauses=(0,), timeout=0.1)
    server.gate.set()
    assert len(heard.problems) == 1


@pytest.mark.parametrize("url", ["http://example.org/x.tar.gz", "file:///etc/passwd", "ftp://h/x"])
def test_only_https_is_fetched(tmp_path, url):
    with pytest.raises(
        DataError, match=f"^cannot fetch {url}: it leads to {url}, which is not https"
    ):
        fetch(replace(CIFAR10.binary, url=url), tmp_path)


def test_a_redirect_to_plain_http_is_refused(tmp_path, server):
    archive = server.archive()
    server.statuses, server.location = [302], "http://example.org/cifar-10-binary.tar.gz"
    with pytest.raises(
        DataError, match=r": it leads to http://example.org/.*, which is not https;"
    ):
        fetch(archive, tmp_path)


def test_a_redirect_to_a_safe_place_is_followed(tmp_path, server):
    archive = server.archive()
    server.statuses, server.location = [302], archive.url + "?again"
    assert fetch(archive, tmp_path).path.read_bytes() == server.body


def test_a_folder_that_cannot_be_made_is_refused(tmp_path, server):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"^cannot write to .*file/data: Not a directory$"):
        fetch(server.archive(), tmp_path / "file" / "data")


def test_a_full_disk_is_named_and_keeps_what_came(tmp_path, server):
    archive = server.archive()
    with (
        no_file_larger_than(1000),
        pytest.raises(DataError, match=rf"^cannot write to {tmp_path}: File too large$"),
    ):
        fetch(archive, tmp_path)
    assert (tmp_path / f"{archive.file_name}.part").stat().st_size == 1000
    assert fetch(archive, tmp_path).path.read_bytes() == server.body


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["cifar-10-binary.tar.gz", "cifar-10-binary.tar.gz.part"])
@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda path: path.symlink_to(path.parent / "mine"), "a link to '.*mine'"),
        (lambda path: path.symlink_to("/dev/zero"), "a link to '/dev/zero'"),
        (os.mkfifo, "a named pipe"),
        (lambda path: path.mkdir(), "a folder"),
    ],
    ids=["link", "device", "pipe", "folder"],
)
def test_what_is_no_regular_file_is_refused_and_not_written_through(
    tmp_path, server, name, make, what
):
    (tmp_path / "mine").write_bytes(b"mine")
    make(tmp_path / name)
    words = rf"^{tmp_path}/{name} cannot be used: it is {what}; .*; take it away, or name another"
    with pytest.raises(DataError, match=words):
        fetch(server.archive(), tmp_path)
    assert (tmp_path / "mine").read_bytes() == b"mine"
    assert server.ranges == []


def test_a_folder_that_is_a_link_is_fetched_into(tmp_path, server):
    (tmp_path / "disk").mkdir()
    (tmp_path / "data").symlink_to("disk")
    assert fetch(server.archive(), tmp_path / "data").mirror
    assert names(tmp_path / "disk") == ["cifar-10-binary.tar.gz"]
