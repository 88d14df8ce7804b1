"""cnnlab.sources.published: a copy is taken for the file only where size and digest agree."""

import pytest

from cnnlab.sources import BrokenFileError, Remote

SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of "abc", FIPS 180-2
MD5 = "900150983cd24fb0d6963f7d28e17f72"  # of "abc", RFC 1321


@pytest.fixture
def path(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    return tmp_path / "file"


def test_verify_names_the_file_what_was_expected_and_what_was_found(path):
    Remote("file", SHA256, 3, ()).verify(path)
    with pytest.raises(BrokenFileError, match=f"data/file .*3 bytes.*{SHA256}"):
        Remote("file", "0" * 64, 3, ()).verify(path, "data/file")
    with pytest.raises(BrokenFileError, match=r"Expected 4 bytes .* Received: 3 bytes"):
        Remote("file", SHA256, 4, ()).verify(path)


def test_verify_knows_other_digests_than_sha256(path):
    Remote("file", MD5, 3, (), "md5").verify(path)
    with pytest.raises(BrokenFileError, match=rf"md5 9001.*with md5 {MD5}"):
        Remote("file", "9001", 3, (), "md5").verify(path)
