"""cnnlab.sources: one search for all rooms, and what ships with the library."""

import hashlib

import pytest

from cnnlab.sources import BrokenFileError, Place, Remote, find, places, shipped

BEST, OTHER = "best.bin", "other.bin"
REMOTE = Remote(BEST, "0" * 64, 4, ("http://127.0.0.1:9/best.bin",))


@pytest.fixture
def folders(tmp_path):
    for name in ("ours", "theirs", "home"):
        (tmp_path / name).mkdir()
    return tmp_path


def read(path, kind, label):
    body = path.read_bytes()
    if body == b"bad":
        raise BrokenFileError(f"{label} is bad")
    return body, kind


def search(folders, **options):
    return find(
        {BEST: 1, OTHER: 2},
        read,
        places=[Place(folders / "ours", "ours/", ours=True), Place(folders / "theirs", "theirs/")],
        home=Place(folders / "home", "home/"),
        title="The file",
        **{"downloads": [REMOTE], "offline": True, **options},
    )


def test_an_earlier_place_wins_and_in_one_place_the_better_name(folders):
    for name, expected in [
        ("theirs/other.bin", 2),
        ("theirs/best.bin", 1),
        ("ours/other.bin", 2),
        ("ours/best.bin", 1),
    ]:
        (folders / name).write_bytes(name.encode())
        assert search(folders) == ((name.encode(), expected), name)


def test_a_broken_file_stops_the_search_only_where_it_is_ours(folders, caplog):
    (folders / "theirs" / BEST).write_bytes(b"bad")
    (folders / "theirs" / OTHER).write_bytes(b"good")
    assert search(folders)[1] == "theirs/other.bin"
    assert "Passed over: theirs/best.bin is bad" in caplog.text
    (folders / "ours" / BEST).write_bytes(b"bad")
    with pytest.raises(BrokenFileError, match=r"ours/best\.bin is bad"):
        search(folders)


def test_a_file_that_cannot_be_read_counts_as_broken(folders, caplog):
    (folders / "theirs" / BEST).mkdir()
    (folders / "theirs" / OTHER).write_bytes(b"good")
    assert search(folders)[1] == "theirs/other.bin"
    assert "theirs/best.bin can't be read: Is a directory." in caplog.text


def test_a_download_is_read_as_what_it_is_and_said_to_be_one(folders, origin):
    url = origin.serve("/other", b"body")
    remote = Remote(OTHER, hashlib.sha256(b"body").hexdigest(), 4, (url,))
    found = search(folders, downloads=[remote], offline=False)
    assert found == ((b"body", 2), "home/other.bin, just downloaded")
    assert (folders / "home" / OTHER).read_bytes() == b"body"


def test_offline_says_what_to_get_where_and_how_to_prove_it(folders):
    with pytest.raises(FileNotFoundError) as caught:
        search(folders)
    for fact in (
        "The file can't be found on this disk",
        *REMOTE.origins,
        "4 bytes",
        "sha256 00",
        "home/",
    ):
        assert fact in str(caught.value)


# --- what ships -----------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed copy of the package that stands on its own."""
    (tmp_path / "lib" / "cnnlab" / "shipped").mkdir(parents=True)
    monkeypatch.setattr(places, "PACKAGE", tmp_path / "lib" / "cnnlab")
    return tmp_path / "lib" / "cnnlab"


def test_an_installed_package_carries_what_ships_inside_itself(package):
    with pytest.raises(FileNotFoundError, match=r"jpg in cnnlab/shipped/, with .* into cnnlab/"):
        shipped("pictures/lake.jpg")
    (package / "shipped" / "pictures").mkdir()
    (package / "shipped" / "pictures" / "lake.jpg").touch()
    assert shipped("pictures/lake.jpg") == package / "shipped" / "pictures" / "lake.jpg"


def test_a_clone_keeps_it_in_the_repository(package):
    (package.parent / "pyproject.toml").touch()
    with pytest.raises(FileNotFoundError, match="in data/ or cnnlab/shipped/, with"):
        shipped("weights.npz")
    (package.parent / "data").mkdir()
    (package.parent / "data" / "weights.npz").touch()
    (package / "shipped" / "weights.npz").touch()
    assert shipped("weights.npz") == package.parent / "data" / "weights.npz"


@pytest.mark.parametrize("name", ["/etc/hostname", "../LICENSE", "pictures/../../LICENSE"])
def test_a_name_that_leads_elsewhere_is_refused(name):
    with pytest.raises(ValueError, match="Expected a path inside what ships"):
        shipped(name)


def test_this_copy_has_its_pictures_and_weights():
    assert shipped("pictures/lake.jpg").is_file()
    assert shipped("vgg16_shipped.npz").is_file()
