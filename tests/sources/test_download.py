"""cnnlab.sources.download against a local server that truncates, corrupts, stalls and lies."""

import errno
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import filelock
import numpy as np
import pytest
from tqdm import tqdm

from cnnlab.sources import DownloadError, Limits, Remote, origins
from cnnlab.sources.download import fetch

BODY = np.random.default_rng(0).bytes(64_000)
OTHER = np.random.default_rng(1).bytes(64_000)
# Long enough for a busy machine; tests of a limit shorten that one.
LIMITS = Limits(connect=20, stall=20, window=20, slow=100, total=200, lock=20)


def remote(*urls, body=BODY, name="file.bin"):
    return Remote(name, hashlib.sha256(body).hexdigest(), len(body), urls)


def only(folder):
    """The names in a folder, without the lock."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def limits(**changes):
    return Limits(**{**vars(LIMITS), **changes})


# --- when all is well ---------------------------------------------------------------------------


def test_fetches_once_and_asks_nobody_the_second_time(origin, tmp_path):
    file = remote(origin.serve("/file", BODY))
    path = fetch([file], tmp_path / "new" / "folder", limits=LIMITS)
    assert path == tmp_path / "new" / "folder" / "file.bin"
    assert path.read_bytes() == BODY
    assert only(path.parent) == ["file.bin"]
    assert fetch([file], path.parent, limits=LIMITS) == path
    assert origin.ranges("/file") == [None]


def test_shows_speed_and_time_left(origin, tmp_path, capfd):
    fetch([remote(origin.serve("/file", BODY))], tmp_path, limits=LIMITS)
    assert "file.bin: 100%" in capfd.readouterr().err


def test_a_wrong_file_of_the_same_name_is_replaced(origin, tmp_path):
    (tmp_path / "file.bin").write_bytes(OTHER)
    fetch([remote(origin.serve("/file", BODY))], tmp_path, limits=LIMITS)
    assert (tmp_path / "file.bin").read_bytes() == BODY


def test_follows_a_redirect(origin, tmp_path):
    origin.serve("/real", BODY)
    url = origin.serve("/old", status=302, headers={"Location": origin.url("/real")})
    assert fetch([remote(url)], tmp_path, limits=LIMITS).read_bytes() == BODY


def test_takes_the_second_file_when_the_first_is_nowhere(origin, tmp_path):
    first = remote(origin.serve("/first", status=404))
    second = remote(origin.serve("/second", OTHER), body=OTHER, name="second.bin")
    assert fetch([first, second], tmp_path, limits=LIMITS).name == "second.bin"
    assert only(tmp_path) == ["second.bin"]


# --- resume ---------------------------------------------------------------------------------------


def test_goes_on_from_the_byte_it_had_when_the_connection_drops(origin, tmp_path):
    url = origin.serve("/file", BODY, breaks=[10_000, 25_000])
    assert fetch([remote(url)], tmp_path, limits=LIMITS).read_bytes() == BODY
    assert origin.ranges("/file") == [None, "bytes=10000-", "bytes=35000-"]


def test_goes_on_in_the_next_call_and_from_another_origin(origin, tmp_path):
    stalls = origin.serve("/stalls", BODY, breaks=[30_000], stall=True)
    with pytest.raises(DownloadError, match=r"(?s)stalled.*kept .*file\.bin\.part \(0\.0 MB\)"):
        fetch([remote(stalls)], tmp_path, limits=limits(stall=0.3))
    assert only(tmp_path) == ["file.bin.part"]
    fetch([remote(origin.serve("/file", BODY))], tmp_path, limits=LIMITS)
    assert origin.ranges("/file") == ["bytes=30000-"]
    assert (tmp_path / "file.bin").read_bytes() == BODY
    assert only(tmp_path) == ["file.bin"]


def test_starts_again_where_the_server_ignores_ranges(origin, tmp_path):
    url = origin.serve("/file", BODY, breaks=[10_000], ranges=False)
    assert fetch([remote(url)], tmp_path, limits=LIMITS).read_bytes() == BODY
    assert origin.ranges("/file") == [None, "bytes=10000-"]


def test_starts_again_after_a_stale_part(origin, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(OTHER[:20_000])
    url = origin.serve("/file", BODY)
    assert fetch([remote(url)], tmp_path, limits=LIMITS).read_bytes() == BODY
    assert origin.ranges("/file") == ["bytes=20000-", None]


@pytest.mark.parametrize("part", [BODY + b"more", OTHER], ids=["too long", "wrong, but whole"])
def test_starts_again_after_a_part_that_cannot_be_completed(origin, tmp_path, part):
    (tmp_path / "file.bin.part").write_bytes(part)
    url = origin.serve("/file", BODY)
    assert fetch([remote(url)], tmp_path, limits=LIMITS).read_bytes() == BODY
    assert origin.ranges("/file") == [None]


def test_a_whole_part_needs_no_transfer(origin, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(BODY)
    fetch([remote(origin.serve("/file", BODY))], tmp_path, limits=LIMITS)
    assert origin.ranges("/file") == []


def test_an_origin_that_always_breaks_off_is_given_up(origin, tmp_path):
    url = origin.serve("/file", BODY, ranges=False, breaks=[1_000] * 100)
    with pytest.raises(DownloadError, match=r"the connection ended at byte 1,000 of 64,000"):
        fetch([remote(url)], tmp_path, limits=LIMITS)
    assert len(origin.requests) == origins.ATTEMPTS


def test_stop_keeps_the_part_and_frees_the_lock(origin, tmp_path, monkeypatch):
    def interrupt(self, n):
        raise KeyboardInterrupt

    file = remote(origin.serve("/file", BODY))
    with monkeypatch.context() as patched:
        patched.setattr(tqdm, "update", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fetch([file], tmp_path, limits=LIMITS)
    assert only(tmp_path) == ["file.bin.part"]
    assert fetch([file], tmp_path, limits=LIMITS).read_bytes() == BODY


# --- origins that fail ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ({"status": 404}, "HTTP 404 Not Found"),
        ({"body": OTHER}, f"wrong content: sha256 {hashlib.sha256(OTHER).hexdigest()}, expected"),
        ({"body": BODY[:5_000]}, "offers 5,000 bytes, expected 64,000"),
        (
            {"body": b"<html>", "headers": {"Content-Type": "text/html; charset=utf-8"}},
            "sent an HTML page instead of the file",
        ),
    ],
    ids=["404", "wrong hash", "truncated", "HTML"],
)
def test_a_useless_origin_is_named_and_the_next_one_used(origin, tmp_path, reply, reason):
    bad = origin.serve("/bad", **reply)
    with pytest.raises(DownloadError) as caught:
        fetch([remote(bad)], tmp_path, label="data/", limits=LIMITS)
    message = str(caught.value)
    assert f"- {bad}: {reason}" in message
    assert "put it, as it is, into data/" in message
    assert f"file.bin (64,000 bytes, sha256 {hashlib.sha256(BODY).hexdigest()})" in message
    assert str(tmp_path) not in message
    assert only(tmp_path) == []
    assert origin.ranges("/bad") == [None]  # asking again would not help

    good = origin.serve("/good", BODY)
    assert fetch([remote(bad, good)], tmp_path, limits=LIMITS).read_bytes() == BODY
    assert origin.ranges("/good") == [None]


def test_a_redirect_to_a_login_page_is_named_as_such(origin, tmp_path):
    origin.serve("/login", b"<html>", headers={"Content-Type": "text/html"})
    url = origin.serve("/file", status=302, headers={"Location": origin.url("/login")})
    with pytest.raises(DownloadError, match=r"HTML page .* after a redirect to http.*/login"):
        fetch([remote(url)], tmp_path, limits=LIMITS)
    assert only(tmp_path) == []


def test_a_stalled_origin_is_left_for_the_next(origin, tmp_path):
    stalls = origin.serve("/stalls", BODY, breaks=[16_000], stall=True)
    good = origin.serve("/good", BODY)
    begin = time.monotonic()
    path = fetch([remote(stalls, good)], tmp_path, limits=limits(stall=0.3))
    assert time.monotonic() - begin < 10
    assert path.read_bytes() == BODY
    assert origin.ranges("/good") == ["bytes=16000-"]


def test_a_slow_origin_is_left_for_a_faster_one(origin, tmp_path):
    slow = origin.serve("/slow", BODY, pace=0.5)  # 8 s in all
    fast = origin.serve("/fast", BODY)
    path = fetch([remote(slow, fast)], tmp_path, limits=limits(window=0.2, slow=1))
    assert path.read_bytes() == BODY
    (resumed,) = origin.ranges("/fast")
    assert resumed.startswith("bytes=")


def test_when_all_are_slow_the_fastest_goes_on(origin, tmp_path):
    slow = origin.serve("/slow", BODY, pace=0.15)
    slower = origin.serve("/slower", BODY, pace=0.6)
    path = fetch([remote(slower, slow)], tmp_path, limits=limits(window=0.1, slow=0.1))
    assert path.read_bytes() == BODY
    assert len(origin.ranges("/slower")) == 1
    assert len(origin.ranges("/slow")) == 2


def test_too_slow_for_the_whole_limit_is_an_error(origin, tmp_path):
    url = origin.serve("/slow", BODY, pace=0.3)
    with pytest.raises(DownloadError, match=r"too slow: [\d.]+ kB/s, \d+ s left"):
        fetch([remote(url)], tmp_path, limits=limits(window=0.1, slow=0.1, total=0.2))


def test_without_a_network_all_origins_together_take_one_limit(tmp_path, monkeypatch):
    def black_hole(*args, **options):
        time.sleep(2)
        raise OSError("too late")

    monkeypatch.setattr(origins, "_open", black_hole)
    urls = [f"http://nowhere{number}.example/file" for number in range(6)]
    begin = time.monotonic()
    with pytest.raises(DownloadError, match=r"is there a network\?") as caught:
        fetch([remote(*urls)], tmp_path, limits=limits(connect=0.3))
    assert time.monotonic() - begin < 1.5  # one after the other: 1.8 s
    assert all(f"- {url}: no answer in time" in str(caught.value) for url in urls)


def test_a_refused_connection_is_not_waited_for(tmp_path):
    begin = time.monotonic()
    with pytest.raises(DownloadError, match=r"(?s)is there a network\?.*no connection: .*refused"):
        fetch([remote("http://127.0.0.1:9/file")], tmp_path, limits=LIMITS)
    assert time.monotonic() - begin < 10


# --- this disk ------------------------------------------------------------------------------------


def test_no_space_is_said_and_leaves_nothing(origin, tmp_path, monkeypatch):
    class FullDisk:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, chunk):
            self.file.write(chunk[:100])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    real_open = Path.open

    def open_on_full_disk(self, mode="r", **options):
        file = real_open(self, mode, **options)
        return FullDisk(file) if "w" in mode else file

    monkeypatch.setattr(Path, "open", open_on_full_disk)
    urls = [origin.serve("/one", BODY), origin.serve("/two", BODY)]
    with pytest.raises(DownloadError, match=r"can't be written to data/: No space left.*CNNLAB_DA"):
        fetch([remote(*urls)], tmp_path, label="data/", limits=LIMITS)
    assert only(tmp_path) == []
    assert origin.ranges("/two") == []  # another origin would not help


def test_a_read_only_folder_is_said(origin, tmp_path, monkeypatch):
    real_open = os.open

    def open_on_read_only_disk(path, flags, *args, **options):
        if str(path).startswith(str(tmp_path)) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return real_open(path, flags, *args, **options)

    monkeypatch.setattr(os, "open", open_on_read_only_disk)
    with pytest.raises(DownloadError, match=r"can't be written to data/: Read-only file system"):
        fetch([remote(origin.serve("/file", BODY))], tmp_path, label="data/", limits=LIMITS)
    assert only(tmp_path) == []


def test_a_whole_file_in_a_read_only_folder_is_used(tmp_path, monkeypatch):
    (tmp_path / "file.bin").write_bytes(BODY)
    monkeypatch.setattr(filelock.FileLock, "acquire", None)
    assert fetch([remote("http://nowhere.example")], tmp_path) == tmp_path / "file.bin"


# --- two at once ----------------------------------------------------------------------------------


def test_two_processes_download_once(origin, tmp_path):
    file = remote(origin.serve("/file", BODY, pace=0.1))  # 1.6 s
    code = (
        "import sys, pathlib; from cnnlab.sources.published import Remote;"
        "from cnnlab.sources.download import fetch;"
        f"path = fetch([{file!r}], pathlib.Path(sys.argv[1]));"
        "sys.exit(path.stat().st_size != 64_000)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert origin.ranges("/file") == [None]
    assert only(tmp_path) == ["file.bin"]


def test_a_holder_of_the_lock_that_makes_no_progress_is_an_error(origin, tmp_path, caplog):
    file = remote(origin.serve("/file", BODY))
    with (
        filelock.FileLock(tmp_path / ".file.bin.lock"),
        pytest.raises(DownloadError, match=r"Another process .* nothing has arrived for 0\.2 s"),
    ):
        fetch([file], tmp_path, limits=limits(lock=0.2))
    assert "waiting for it" in caplog.text
    assert fetch([file], tmp_path, limits=LIMITS).read_bytes() == BODY


def test_a_file_whose_sha256_nobody_publishes_is_checked_by_md5(origin, tmp_path):
    bad, good = origin.serve("/bad", OTHER), origin.serve("/good", BODY)
    md5 = hashlib.md5(BODY).hexdigest()
    with pytest.raises(DownloadError, match=rf"(?s)wrong content: md5 .*64,000 bytes, md5 {md5}"):
        fetch([Remote("file.bin", md5, 64_000, (bad,), "md5")], tmp_path, limits=LIMITS)
    both = Remote("file.bin", md5, 64_000, (bad, good), "md5")
    assert fetch([both], tmp_path, limits=LIMITS).read_bytes() == BODY
