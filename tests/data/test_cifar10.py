"""cnnlab.data.cifar10: found in every place and layout, checked, and never executed."""

import builtins
import hashlib
import io
import os
import pickle
import struct
import tarfile
import time
import tracemalloc
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from cnnlab.data import cifar10
from cnnlab.sources import BrokenFileError, DownloadError, Limits, Remote, places

PER_BATCH = 20
BIN, PY = "cifar-10-batches-bin", "cifar-10-batches-py"
BATCHES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
LIMITS = Limits(connect=20, stall=20)


def records(index):
    """Labels and planes of one small batch file: two pictures a class, every batch different."""
    rng = np.random.default_rng(index)
    labels = rng.permutation(np.arange(PER_BATCH) % 10).astype(np.uint8)
    return labels, rng.integers(0, 256, (PER_BATCH, 3072), dtype=np.uint8)


def binary_files():
    files = {}
    for index, name in enumerate(BATCHES):
        labels, planes = records(index)
        files[f"{BIN}/{name}.bin"] = np.column_stack([labels, planes]).tobytes()
    return files


class Python2Pickler(pickle._Pickler):
    """Writes the official files' opcodes: Python 2's strings, and its NumPy's 0 and 1 for flags."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_bytes(self, value):
        self.write(pickle.BINSTRING + struct.pack("<i", len(value)) + value)
        self.memoize(value)

    def save_str(self, value):
        self.save_bytes(value.encode())

    def save_bool(self, value):
        self.save_long(int(value))

    dispatch |= {bytes: save_bytes, str: save_str, bool: save_bool}


def pickled(value):
    buffer = io.BytesIO()
    Python2Pickler(buffer, protocol=2).dump(value)
    return buffer.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def python_files():
    files = {f"{PY}/batches.meta": b"not read", f"{PY}/readme.html": b"not read"}
    for index, name in enumerate(BATCHES):
        labels, planes = records(index)
        files[f"{PY}/{name}"] = pickled(
            {
                b"batch_label": b"a batch",
                b"labels": labels.tolist(),
                b"data": planes,
                b"filenames": [b"a.png"] * PER_BATCH,
            }
        )
    return files


def write(folder, files):
    for name, body in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(body)
    return folder


def packed(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, body in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))
    return buffer.getvalue()


BINARY_ARCHIVE, PYTHON_ARCHIVE = packed(binary_files()), packed(python_files())
SHAPES = {  # what may lie in a place, best first: name -> what to write there
    BIN: binary_files(),
    "cifar-10-binary.tar.gz": {"cifar-10-binary.tar.gz": BINARY_ARCHIVE},
    PY: python_files(),
    "cifar-10-batches-py-target/cifar-10-batches-py": {
        f"cifar-10-batches-py-target/{name}": body for name, body in python_files().items()
    },
    "cifar-10-python.tar.gz": {"cifar-10-python.tar.gz": PYTHON_ARCHIVE},
    "cifar-10-batches-py-target_archive": {"cifar-10-batches-py-target_archive": PYTHON_ARCHIVE},
    "cifar-10-batches-py.tar.gz": {"cifar-10-batches-py.tar.gz": PYTHON_ARCHIVE},
}


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """A computer of its own: home, repository, working folder, and small official archives."""
    for name in ("home", "work", "repository/cnnlab", "named"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "repository" / "pyproject.toml").touch()
    monkeypatch.setattr(places, "PACKAGE", tmp_path / "repository/cnnlab")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setenv("CNNLAB_DATA", str(tmp_path / "named"))
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.chdir(tmp_path / "work")
    publish(monkeypatch)
    monkeypatch.setattr(cifar10, "read", partial(cifar10.read, per_batch=PER_BATCH))
    return tmp_path


def publish(monkeypatch, binary=BINARY_ARCHIVE, python=PYTHON_ARCHIVE, origins=((), ())):
    """Put small archives in the place of the published ones."""
    small = {}
    for name, body, urls in zip(("BINARY", "PYTHON"), (binary, python), origins, strict=True):
        old = getattr(cifar10, name)
        urls = urls or ("http://127.0.0.1:9/nothing",)
        small[old] = Remote(old.name, hashlib.sha256(body).hexdigest(), len(body), urls)
        monkeypatch.setattr(cifar10, name, small[old])
    candidates = {name: small.get(remote) for name, remote in cifar10.CANDIDATES.items()}
    monkeypatch.setattr(cifar10, "CANDIDATES", candidates)


def is_whole(arrays):
    labels, planes = records(5)
    pictures = planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return (
        arrays["x_train"].shape == (100, 32, 32, 3)
        and np.array_equal(arrays["y_test"], labels)
        and np.array_equal(arrays["x_test"], pictures)
    )


# --- reading ----------------------------------------------------------------------------------


@pytest.mark.parametrize("files", [binary_files(), python_files()], ids=["binary", "python"])
def test_planes_become_rgb_pixels_in_order(tmp_path, files):
    folder = write(tmp_path, files) / next(iter(files)).split("/")[0]
    arrays = cifar10.read(folder, per_batch=PER_BATCH)
    assert is_whole(arrays)
    for index in range(5):
        labels, planes = records(index)
        rows = slice(PER_BATCH * index, PER_BATCH * (index + 1))
        np.testing.assert_array_equal(arrays["y_train"][rows], labels)
        # The format: 1,024 of red row by row, then green, then blue.
        picture = arrays["x_train"][rows][7]
        assert picture[2, 3].tolist() == planes[7, [67, 1024 + 67, 2048 + 67]].tolist()
    assert {name: (array.dtype, array.flags.c_contiguous) for name, array in arrays.items()} == {
        "x_train": (np.uint8, True),
        "y_train": (np.int64, True),
        "x_test": (np.uint8, True),
        "y_test": (np.int64, True),
    }


def wrong_length(files):
    files[f"{BIN}/data_batch_2.bin"] = files[f"{BIN}/data_batch_2.bin"][:-1]


def missing(files):
    del files[f"{BIN}/data_batch_3.bin"]


def label_out_of_range(files):
    body = bytearray(files[f"{BIN}/test_batch.bin"])
    body[3073 * 4] = 10
    files[f"{BIN}/test_batch.bin"] = bytes(body)


def same_batch_twice(files):
    body = bytearray(files[f"{BIN}/data_batch_1.bin"])
    body[0] = (body[0] + 1) % 10
    files[f"{BIN}/data_batch_1.bin"] = bytes(body)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (wrong_length, r"/data_batch_2\.bin .*Expected 61,460 bytes .*Received: 61,459 bytes"),
        (missing, r"/data_batch_3\.bin .*Expected a batch file\. Received: nothing of that name"),
        (label_out_of_range, r"/test_batch\.bin .*labels in 0…9.*Received: label 10 in record 4"),
        (same_batch_twice, r"Expected 10 train pictures of each class\. Received: .*(9|11) "),
    ],
)
def test_files_placed_by_hand_are_checked(disk, spoil, message):
    files = binary_files()
    spoil(files)
    write(disk / "named", files)
    with pytest.raises(BrokenFileError, match=r"\$CNNLAB_DATA/cifar-10-batches-bin.*" + message):
        cifar10.load()


def as_text(batch):
    return {key.decode(): value for key, value in batch.items()}


def with_small_labels(batch):
    return batch | {b"labels": np.uint8(batch[b"labels"])}


def with_scalars(batch):
    return batch | {b"labels": [np.int16(label) for label in batch[b"labels"]]}


def in_planes(batch):
    return batch | {b"data": batch[b"data"].reshape(-1, 3, 32, 32)}


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("change", [dict, as_text, with_small_labels, with_scalars, in_planes])
def test_batches_pickled_again_by_others_are_read(tmp_path, protocol, change):
    for name, body in python_files().items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if path.name not in BATCHES:
            continue
        batch = pickle.loads(body, encoding="bytes")
        path.write_bytes(pickle.dumps(change(batch), protocol))
    assert is_whole(cifar10.read(tmp_path / PY, per_batch=PER_BATCH))


def test_one_damaged_number_in_a_pickle_makes_no_flood_of_memory(tmp_path):
    write(tmp_path, python_files())
    memoize = b"r" + struct.pack("<i", 2**24)  # the value's place among millions
    (tmp_path / PY / "data_batch_1").write_bytes(b"\x80\x02}" + memoize + b".")
    tracemalloc.start()
    with pytest.raises(BrokenFileError, match="pickled batch of arrays"):
        cifar10.read(tmp_path / PY, per_batch=PER_BATCH)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 20e6


def test_a_pickle_far_too_large_is_not_read(tmp_path):
    write(tmp_path, python_files())
    with (tmp_path / PY / "data_batch_1").open("ab") as file:
        file.truncate(10 * PER_BATCH * 3073 + 1)
    with pytest.raises(BrokenFileError, match=r"about 61,440 bytes.*Received: 614,601 bytes"):
        cifar10.read(tmp_path / PY, per_batch=PER_BATCH)


def reshaped(batch):
    batch[b"data"] = batch[b"data"][:, :-1]


def shortened(batch):
    batch[b"labels"] = batch[b"labels"][:-1]


def of_floats(batch):
    batch[b"data"] = batch[b"data"].astype(np.float32)


def without_labels(batch):
    del batch[b"labels"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (reshaped, r"data uint8 \(20, 3071\)"),
        (shortened, r"labels int64 \(19,\)"),
        (of_floats, r"data float32"),
        (without_labels, r"KeyError: 'labels'"),
    ],
)
def test_python_batches_are_checked(tmp_path, spoil, message):
    files = python_files()
    labels, planes = records(0)
    batch = {b"labels": labels.tolist(), b"data": planes}
    spoil(batch)
    files[f"{PY}/data_batch_1"] = pickled(batch)
    with pytest.raises(BrokenFileError, match=rf"data_batch_1 is not CIFAR-10.*{message}"):
        cifar10.read(write(tmp_path, files) / PY, per_batch=PER_BATCH)


class Attack:
    def __init__(self, call, *arguments):
        self.reduced = call, arguments

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (os.system, "touch {mark}"),
        (builtins.eval, "open({mark!r}, 'w').close()"),
        (os.mkdir, "{mark}"),
    ],
)
def test_a_pickle_that_would_run_something_is_refused(tmp_path, call, argument):
    mark = tmp_path / "executed"
    attack = pickle.dumps({b"data": Attack(call, argument.format(mark=str(mark)))}, protocol=2)
    files = python_files() | {f"{PY}/data_batch_1": attack}
    with pytest.raises(BrokenFileError, match=r"it asks for \w+\.\w+, only arrays are allowed"):
        cifar10.read(write(tmp_path, files) / PY, per_batch=PER_BATCH)
    assert not mark.exists()
    pickle.loads(attack)  # the attack is a real one
    assert mark.exists()


@pytest.mark.parametrize(
    "body", [b"", b"junk", pickle.dumps(None), python_files()[f"{PY}/test_batch"][:-9]]
)
def test_a_damaged_pickle_is_named(tmp_path, body):
    files = python_files() | {f"{PY}/data_batch_1": body}
    with pytest.raises(BrokenFileError, match="data_batch_1 is not CIFAR-10"):
        cifar10.read(write(tmp_path, files) / PY, per_batch=PER_BATCH)


# --- finding ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_is_found(disk, name):
    write(disk / "named", SHAPES[name])
    arrays, source = cifar10.load(offline=True)
    assert is_whole(arrays)
    assert source == f"$CNNLAB_DATA/{name}"


@pytest.mark.parametrize("name", SHAPES)
def test_the_variable_may_name_the_folder_or_the_archive_itself(disk, name, monkeypatch):
    write(disk / "named", SHAPES[name])
    monkeypatch.setenv("CNNLAB_DATA", str(disk / "named" / name))
    arrays, source = cifar10.load(offline=True)
    assert is_whole(arrays)
    assert source.startswith("$CNNLAB_DATA/")


@pytest.mark.parametrize("name", [BIN, PY])
def test_the_batches_may_lie_in_a_folder_of_any_name(disk, name, monkeypatch):
    write(disk / "named", SHAPES[name])
    (disk / "named" / name).rename(disk / "named" / "mine")
    monkeypatch.setenv("CNNLAB_DATA", str(disk / "named" / "mine"))
    arrays, source = cifar10.load(offline=True)
    assert is_whole(arrays)
    assert source.startswith("$CNNLAB_DATA/data_batch_1")


def test_a_variable_that_names_nothing_is_said(disk, monkeypatch, caplog):
    monkeypatch.setenv("CNNLAB_DATA", str(disk / "mistyped"))
    write(disk / "home/data", SHAPES[BIN])
    assert cifar10.load(offline=True)[1] == f"~/data/{BIN}"
    assert f"CNNLAB_DATA names {disk / 'mistyped'}, where nothing is" in caplog.text
    assert "quotation" not in caplog.text
    monkeypatch.setenv("CNNLAB_DATA", f'"{disk}"')
    cifar10.load(offline=True)
    assert "The quotation marks belong to the value: set it without them." in caplog.text
    monkeypatch.setenv("CNNLAB_DATA", " ")
    caplog.clear()
    assert is_whole(cifar10.load(offline=True)[0])
    assert not caplog.text


def test_in_one_place_the_better_shape_wins(disk):
    for name in reversed(SHAPES):
        write(disk / "named", SHAPES[name])
        assert cifar10.load(offline=True)[1] in {
            f"$CNNLAB_DATA/{name}",
            f"$CNNLAB_DATA/{BIN}",  # the archive just read has been unpacked
            f"$CNNLAB_DATA/{PY}",
        }
    write(disk / "named", SHAPES[BIN])
    assert cifar10.load(offline=True)[1] == f"$CNNLAB_DATA/{BIN}"


def test_places_are_searched_in_order(disk, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(disk / "keras"))
    expected = [
        (disk / "home/datasets", "~/datasets/"),
        (disk / "home/data", "~/data/"),
        (disk / "work/datasets", "./datasets/"),
        (disk / "work/data", "./data/"),
        (disk / "keras/datasets", "$KERAS_HOME/datasets/"),
        (disk / "repository/data", "data/"),
        (disk / "named", "$CNNLAB_DATA/"),
    ]
    for folder, label in expected:  # each is preferred to those before it
        write(folder, SHAPES[PY])
        assert cifar10.load(offline=True)[1] == f"{label}{PY}"


def test_keras_archive_is_unpacked_once_into_the_home_folder(disk):
    cache = write(disk / "home/.keras/datasets", SHAPES["cifar-10-batches-py-target_archive"])
    arrays, source = cifar10.load(offline=True)
    assert is_whole(arrays)
    assert source == "~/.keras/datasets/cifar-10-batches-py-target_archive"
    assert [path.name for path in cache.iterdir()] == ["cifar-10-batches-py-target_archive"]
    assert [path.name for path in (disk / "named").iterdir()] == [PY]
    assert cifar10.load(offline=True)[1] == f"$CNNLAB_DATA/{PY}"


@pytest.mark.parametrize("name", ["cifar-10-binary.tar.gz", "cifar-10-python.tar.gz"])
def test_a_wrong_archive_is_named_and_never_opened(disk, name, monkeypatch):
    body = {"cifar-10-binary.tar.gz": BINARY_ARCHIVE, "cifar-10-python.tar.gz": PYTHON_ARCHIVE}[
        name
    ]
    write(disk / "named", {name: body[:-1] + b"?"})
    monkeypatch.setattr(cifar10, "unpack", None)
    digest = hashlib.sha256(body).hexdigest()
    with pytest.raises(BrokenFileError, match=rf"\$CNNLAB_DATA/{name} is not .*{digest}.*Delete"):
        cifar10.load()
    assert [path.name for path in (disk / "named").iterdir()] == [name]


def test_what_others_left_broken_is_passed_over_with_a_warning(disk, caplog):
    cache = disk / "home/.keras/datasets"
    write(cache, {f"cifar-10-batches-py-target/{PY}/data_batch_1": b"half"})
    write(cache, {"cifar-10-batches-py-target_archive": PYTHON_ARCHIVE[:500]})
    write(disk / "home/data", SHAPES["cifar-10-python.tar.gz"])
    arrays, source = cifar10.load(offline=True)
    assert is_whole(arrays)
    assert source == "~/data/cifar-10-python.tar.gz"
    assert caplog.text.count("Passed over") == 2
    assert "Received: 500 bytes" in caplog.text


def test_nowhere_and_offline_says_what_to_put_where(disk):
    with pytest.raises(FileNotFoundError) as caught:
        cifar10.load(offline=True)
    for fact in ("cifar-10-binary.tar.gz", cifar10.BINARY.digest, "$CNNLAB_DATA/"):
        assert fact in str(caught.value)
    assert str(disk) not in str(caught.value)
    assert list((disk / "named").iterdir()) == []


# --- downloading --------------------------------------------------------------------------------


def test_downloads_the_binary_archive_into_the_home_folder(disk, monkeypatch, origin):
    url = origin.serve("/binary", BINARY_ARCHIVE)
    publish(monkeypatch, origins=((url,), (origin.serve("/python", PYTHON_ARCHIVE),)))
    arrays, source = cifar10.load(limits=LIMITS)
    assert is_whole(arrays)
    assert source == "$CNNLAB_DATA/cifar-10-binary.tar.gz, just downloaded"
    assert origin.ranges("/python") == []
    assert cifar10.load(offline=True)[1] == f"$CNNLAB_DATA/{BIN}"


def test_downloads_the_python_archive_when_the_binary_one_is_nowhere(disk, monkeypatch, origin):
    urls = origin.serve("/binary", status=404), origin.serve("/python", PYTHON_ARCHIVE)
    publish(monkeypatch, origins=((urls[0],), (urls[1],)))
    arrays, source = cifar10.load(limits=LIMITS)
    assert is_whole(arrays)
    assert source == "$CNNLAB_DATA/cifar-10-python.tar.gz, just downloaded"


def test_without_a_network_the_error_has_the_step_by_hand(disk, monkeypatch):
    monkeypatch.undo()  # the real archives and origins; then only the empty disk again
    monkeypatch.setenv("CNNLAB_DATA", str(disk / "named"))
    monkeypatch.setenv("HOME", str(disk / "home"))
    monkeypatch.setattr(places, "PACKAGE", disk / "repository/cnnlab")
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.chdir(disk / "work")
    monkeypatch.setattr("cnnlab.sources.origins.open_address", raise_unreachable)
    begin = time.monotonic()
    with pytest.raises(DownloadError) as caught:
        cifar10.load()
    assert time.monotonic() - begin < 10
    message = str(caught.value)
    for remote in (cifar10.BINARY, cifar10.PYTHON):
        for fact in (remote.name, remote.digest, f"{remote.size:,}", *remote.origins):
            assert fact in message
    assert "into $CNNLAB_DATA/" in message


def raise_unreachable(*args, **options):
    raise OSError("[Errno 101] Network is unreachable")


@pytest.mark.parametrize("full", [True, False], ids=["nothing can be written", "a leftover"])
def test_an_archive_is_read_where_it_cannot_be_unpacked(disk, monkeypatch, full, caplog):
    write(disk / "home/data", SHAPES["cifar-10-binary.tar.gz"])
    if full:
        real_mkdir = Path.mkdir

        def mkdir(self, *args, **options):
            if self == disk / "named":
                raise OSError(30, "Read-only file system")
            real_mkdir(self, *args, **options)

        monkeypatch.setattr(Path, "mkdir", mkdir)
        monkeypatch.setenv("CNNLAB_DATA", str(disk / "named"))
    else:
        monkeypatch.delenv("CNNLAB_DATA")
        (disk / "repository" / "pyproject.toml").unlink()  # so that Keras's cache is the home
        write(disk / "home/.keras/datasets", {f"{BIN}/data_batch_1.bin": b"half"})
    assert is_whole(cifar10.load(offline=True)[0])
    assert "Unpacking for this time only" in caplog.text
    assert str(disk) not in caplog.text


def test_without_a_named_folder_the_repository_is_the_home(disk, monkeypatch):
    monkeypatch.delenv("CNNLAB_DATA")
    assert places.home_place("datasets").folder == disk / "repository/data"
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert places.home_place("datasets").folder == disk / "home/.keras/datasets"


# --- the real thing -------------------------------------------------------------------------------


@pytest.mark.real_data
def test_cifar10_itself(cifar10_dir, monkeypatch):
    monkeypatch.setenv("CNNLAB_DATA", str(cifar10_dir))
    seconds = []
    for _ in range(3):
        # The processor's time, as the machine may be busy with something else; and in memory that
        # the round before has used, as a virtual machine may take a second to hand out its first.
        arrays = None
        begin = time.process_time()
        arrays, _ = cifar10.load(offline=True)
        seconds.append(time.process_time() - begin)
    assert arrays["x_train"].shape == (50_000, 32, 32, 3)
    assert arrays["x_test"].shape == (10_000, 32, 32, 3)
    assert np.bincount(arrays["y_train"]).tolist() == [5_000] * 10
    assert np.bincount(arrays["y_test"]).tolist() == [1_000] * 10
    # The means that everybody normalises with, here to five places.
    sums = arrays["x_train"].reshape(50_000, -1).sum(0, dtype=np.int64)
    means = sums.reshape(-1, 3).mean(0) / (50_000 * 255)
    np.testing.assert_allclose(means, [0.49140, 0.48216, 0.44653], atol=1e-5)
    assert min(seconds) < 1
