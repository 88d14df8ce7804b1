"""cnnlab.sources.archive: unpacked whole or not at all, and never outside."""

import io
import tarfile

import pytest

from cnnlab.sources import BrokenFileError, archive

FILES = {"box/one.txt": b"1" * 3_000, "box/deeper/two.txt": b"2" * 70_000}


def packed(path, files=FILES, links=()):
    with tarfile.open(path, "w:gz") as tar:
        for name, body in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))
        for name, kind, target in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            tar.addfile(member)
    return path


def names_below(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def inner(tmp_path):
    """A folder to unpack into, with room around it where nothing may land."""
    folder = tmp_path / "outer" / "inner"
    folder.mkdir(parents=True)
    return folder


def test_unpacks_every_file_and_leaves_nothing_else(tmp_path, inner):
    archive.unpack(packed(tmp_path / "a.tar.gz"), inner)
    assert names_below(inner) == set(FILES)
    for name, body in FILES.items():
        assert (inner / name).read_bytes() == body
    assert [path.name for path in inner.iterdir()] == ["box"]


def test_what_is_already_there_stays(tmp_path, inner):
    (inner / "box").mkdir()
    (inner / "box" / "mine.txt").write_bytes(b"mine")
    archive.unpack(packed(tmp_path / "a.tar.gz"), inner)
    assert names_below(inner) == {"box/mine.txt"}


@pytest.mark.parametrize("cut", [20, 500, -9])
def test_truncated_archive_leaves_nothing(tmp_path, inner, cut):
    whole = packed(tmp_path / "a.tar.gz", {"box/noise": bytes(range(256)) * 4_000}).read_bytes()
    (tmp_path / "a.tar.gz").write_bytes(whole[:cut])
    with pytest.raises(BrokenFileError, match=r"a\.tar\.gz can't be unpacked: .+"):
        archive.unpack(tmp_path / "a.tar.gz", inner)
    assert list(inner.iterdir()) == []


def test_flipped_byte_is_noticed(tmp_path, inner):
    body = bytearray(packed(tmp_path / "a.tar.gz").read_bytes())
    body[-6] ^= 1  # in the checksum at the end
    (tmp_path / "a.tar.gz").write_bytes(body)
    with pytest.raises(BrokenFileError, match="can't be unpacked"):
        archive.unpack(tmp_path / "a.tar.gz", inner)
    assert list(inner.iterdir()) == []


@pytest.mark.parametrize(
    ("files", "links"),
    [
        ({"box/ok": b"1", "../evil": b"1"}, ()),
        ({"box/ok": b"1", "box/../../evil": b"1"}, ()),
        ({"box/ok": b"1", "{outside}/evil": b"1"}, ()),
        ({"box/ok": b"1"}, [("box/evil", tarfile.SYMTYPE, "{outside}")]),
        ({"box/ok": b"1"}, [("box/evil", tarfile.SYMTYPE, "ok")]),
        ({"box/ok": b"1"}, [("box/evil", tarfile.LNKTYPE, "box/ok")]),
        ({"box/ok": b"1"}, [("box/evil", tarfile.FIFOTYPE, "")]),
    ],
    ids=["parent", "parent inside", "absolute", "link out", "link in", "hard link", "pipe"],
)
def test_members_that_would_land_outside_are_refused(tmp_path, inner, files, links):
    outside = tmp_path / "outside"
    outside.mkdir()
    files = {name.format(outside=outside): body for name, body in files.items()}
    links = [(name, kind, target.format(outside=outside)) for name, kind, target in links]
    with pytest.raises(BrokenFileError, match=r"a\.tar\.gz holds '.*evil'"):
        archive.unpack(packed(tmp_path / "a.tar.gz", files, links), inner)
    assert names_below(tmp_path) == {"a.tar.gz"}


def test_a_python_that_cannot_filter_members_is_told_so(tmp_path, inner, monkeypatch):
    monkeypatch.delattr(tarfile, "data_filter")
    with pytest.raises(OSError, match=r"Python 3\.10\.12.* Received: Python 3\.\d+.*a\.tar\.gz by"):
        archive.unpack(packed(tmp_path / "a.tar.gz"), inner)
    assert list(inner.iterdir()) == []
