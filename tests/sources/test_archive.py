"""cnnlab.sources.archive: verified by hash, unpacked whole or not at all, and never outside."""

import io
import tarfile

import pytest

from cnnlab.sources import archive

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
    with pytest.raises(archive.BrokenFileError, match=r"a\.tar\.gz can't be unpacked: .+"):
        archive.unpack(tmp_path / "a.tar.gz", inner)
    assert list(inner.iterdir()) == []


def test_flipped_byte_is_noticed(tmp_path, inner):
    body = bytearray(packed(tmp_path / "a.tar.gz").read_bytes())
    body[-6] ^= 1  # in the checksum at the end
    (tmp_path / "a.tar.gz").write_bytes(body)
    with pytest.raises(archive.BrokenFileError, match="can't be unpacked"):
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
    with pytest.raises(archive.BrokenFileError, match=r"a\.tar\.gz holds '.*evil'"):
        archive.unpack(packed(tmp_path / "a.tar.gz", files, links), inner)
    assert names_below(tmp_path) == {"a.tar.gz"}


def test_verify_names_the_file_what_was_expected_and_what_was_found(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2
    archive.verify(path, size=3, digest=digest)
    with pytest.raises(archive.BrokenFileError, match=f"data/file .*3 bytes.*{digest}"):
        archive.verify(path, size=3, digest="0" * 64, label="data/file")
    with pytest.raises(archive.BrokenFileError, match=r"Expected 4 bytes .* Received: 3 bytes"):
        archive.verify(path, size=4, digest=digest)


def test_verify_knows_other_digests_than_sha256(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    archive.verify(path, size=3, digest="900150983cd24fb0d6963f7d28e17f72", algorithm="md5")
    with pytest.raises(archive.BrokenFileError, match=r"md5 9001.*with md5 900150983c"):
        archive.verify(path, size=3, digest="9001", algorithm="md5")
