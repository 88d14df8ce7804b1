"""cnnlab.data: what load returns, how it splits, and that a stand-in can't be missed."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from cnnlab import data
from cnnlab.data import cifar10, shapes10
from cnnlab.sources import BrokenFileError, DownloadError


def toy(counts=(20, 10, 10), classes=5, **changes):
    """Pictures whose every pixel is their number, so that each can be followed."""
    arrays, number = {}, 0
    for split, count in zip(("train", "val", "test"), counts, strict=True):
        values = np.arange(number, number + count, dtype=np.uint8)
        arrays[f"x_{split}"] = np.broadcast_to(values[:, None, None, None], (count, 4, 6, 3)).copy()
        arrays[f"y_{split}"] = np.arange(count) % classes
        number += count
    facts = {"classes": tuple("abcdefghij"[:classes]), "name": "Toy", "source": "data/toy"}
    return data.ImageSet(**{**arrays, **facts, **changes})


@pytest.fixture
def small_sets(monkeypatch):
    """CIFAR-10 and Shapes-10 of a few hundred pictures; the calls made."""
    calls = []
    real_make = shapes10.make

    def load_cifar10(**options):
        calls.append(options)
        rng = np.random.default_rng(0)
        arrays = {}
        for split, count in (("train", 300), ("test", 50)):
            arrays[f"x_{split}"] = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
            arrays[f"y_{split}"] = rng.permutation(np.arange(count) % 10)
        return arrays, "$CNNLAB_DATA/somewhere"

    monkeypatch.setattr(cifar10, "load", load_cifar10)
    monkeypatch.setattr(
        shapes10, "make", lambda a, b, c, seed: real_make(a // 1000, b // 100, c // 1000, seed=seed)
    )
    return calls


# --- ImageSet -------------------------------------------------------------------------------------


def test_repr_tells_counts_size_classes_and_source():
    assert repr(toy()) == (
        "ImageSet: Toy\n"
        "  pictures  20 train, 10 val, 10 test; 4 × 6 RGB\n"
        "  classes   5: a, b, c, d, e\n"
        "  source    data/toy"
    )


@pytest.mark.parametrize(
    ("labels", "received"),
    [(np.arange(10), "from 0 to 9"), (np.arange(10) % 5 - 1, "from -1"), (np.ones(10), "float64")],
)
def test_labels_that_are_no_classes_are_refused(labels, received):
    with pytest.raises(ValueError, match=rf"y_val to hold indices of the 5 classes.*{received}"):
        toy(y_val=labels)


def test_html_tells_the_same_without_a_box():
    page = toy(source="a <b> & c")._repr_html_()
    text = text_of(page)
    assert "20 train, 10 val, 10 test; 4 × 6 RGB" in text
    assert "a <b> & c" in text  # escaped, not markup
    assert "Stand-in" not in text
    assert "<div" not in page


def test_a_stand_in_says_so_first_in_text_html_and_title():
    images = toy(stands_in_for="CIFAR-10", source="drawn, because <there> is no network")
    assert images.title == "Toy (standing in for CIFAR-10)"
    assert repr(images).splitlines()[1] == "  STAND-IN  these pictures are not CIFAR-10"
    page = images._repr_html_()
    assert page.startswith("<div")
    text = text_of(page)
    assert text.startswith("⚠ Stand-in data: this is Toy, not CIFAR-10")
    assert "because <there> is no network" in text


def test_the_box_takes_the_page_s_own_text_colour():
    """On a dark page a fixed dark text, or a fixed light background, could not be read."""
    page = toy(stands_in_for="CIFAR-10")._repr_html_()
    assert "border:2px solid" in page
    assert set(re.findall(r"[;\"]color:(\w+)", page)) == {"inherit"}
    assert re.findall(r"background:([a-z]+)", page) == ["rgba"]


def text_of(page):
    """The text of well-formed HTML."""
    text, unclosed = [], []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag != "br":
                unclosed.append(tag)

        def handle_endtag(self, tag):
            assert unclosed.pop() == tag

        def handle_data(self, piece):
            text.append(piece)

    Reader().feed(page)
    assert unclosed == []
    return "".join(text)


@pytest.mark.parametrize(
    "changes",
    [
        {"y_val": np.zeros((10, 1), int)},  # labels as Keras returns them
        {"y_test": np.zeros(9, int)},
        {"x_train": np.zeros((20, 4, 6, 3), np.float32)},
        {"x_train": np.zeros((20, 4, 6), np.uint8)},
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes):
    (split,) = (name.split("_")[1] for name in changes)
    with pytest.raises(ValueError, match=rf"Expected x_{split} uint8 .*Received: x_{split}"):
        toy(**changes)


def test_subset_is_a_stratified_part_of_the_training_set():
    images = toy()
    for size in (10, 0.5):
        part = images.subset(size)
        assert np.bincount(part.y_train).tolist() == [2] * 5
        numbers = part.x_train[:, 0, 0, 0]
        assert len(set(numbers)) == 10
        np.testing.assert_array_equal(part.y_train, numbers % 5)  # labels went with their pictures
        assert part.x_val is images.x_val
        assert part.x_test is images.x_test
        assert (part.name, part.source, part.classes) == ("Toy", "data/toy", images.classes)
    assert len(images.y_train) == 20


@pytest.mark.parametrize("size", [0, 4, 21, -1, 0.1, 1.5, float("nan"), True, "all", None])
def test_subset_of_an_impossible_size_is_refused(size):
    with pytest.raises(ValueError, match=re.escape("from 5 (one of each class) to 20, ")):
        toy().subset(size)


def test_at_most_cuts_large_sets_in_proportion_and_leaves_small_ones():
    images = toy()
    part = images.at_most(train=10, val=1_000_000, test=5)
    np.testing.assert_array_equal(part.x_train, images.subset(10).x_train)
    np.testing.assert_array_equal(part.x_val, images.x_val)
    assert np.bincount(part.y_test).tolist() == [1] * 5
    np.testing.assert_array_equal(part.y_test, part.x_test[:, 0, 0, 0] % 5)
    assert len(images.at_most().y_train) == len(images.y_train)


# --- split ----------------------------------------------------------------------------------------


def test_stratified_keeps_proportions_and_at_least_one_of_each():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2, 7], [600, 300, 98, 2]))
    drawn = data.stratified(labels, 100, seed=0)
    assert len(np.unique(drawn)) == 100
    assert np.all(np.diff(drawn) > 0)
    assert np.bincount(labels[drawn]).tolist() == [60, 30, 9, 0, 0, 0, 0, 1]


def test_stratified_depends_on_its_seed_alone():
    labels = np.arange(1_000) % 10
    first = data.stratified(labels, 100, seed=1)
    np.random.default_rng(9).random()
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - must not be touched
    np.testing.assert_array_equal(data.stratified(labels, 100, seed=1), first)
    assert not np.array_equal(data.stratified(labels, 100, seed=2), first)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_larger_parts_contain_smaller_ones():
    labels = np.arange(1_000) % 10
    parts = [set(data.stratified(labels, size)) for size in (50, 200, 1_000)]
    assert parts[0] < parts[1] < parts[2]


@pytest.mark.parametrize("size", range(7, 61))
def test_shares_add_up_and_are_within_one_of_exact(size):
    counts = np.array([1, 2, 3, 5, 7, 11, 31])
    labels = np.arange(7).repeat(counts)
    drawn = data.stratified(labels, size)
    assert len(set(drawn)) == size
    shares = np.bincount(labels[drawn], minlength=7)
    assert (shares >= 1).all()
    if size > 40:  # every exact share is above 0.66, so that the minimum of 1 costs nobody much
        assert np.abs(shares - counts * size / 60).max() < 1


def test_the_sets_of_cifar10_are_disjoint_stratified_and_complete(small_sets):
    images = data.load("cifar10", val_size=50)
    assert np.bincount(images.y_val).tolist() == [5] * 10
    assert np.bincount(images.y_train).tolist() == [25] * 10
    fingerprints = {picture.tobytes() for picture in (*images.x_train, *images.x_val)}
    whole, _ = cifar10.load()
    assert fingerprints == {picture.tobytes() for picture in whole["x_train"]}
    by_picture = {p.tobytes(): y for p, y in zip(whole["x_train"], whole["y_train"], strict=True)}
    assert [by_picture[picture.tobytes()] for picture in images.x_val] == images.y_val.tolist()
    np.testing.assert_array_equal(images.x_test, whole["x_test"])


def test_the_split_follows_its_seed(small_sets):
    first, same, other = (data.load("cifar10", val_size=50, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.x_val, same.x_val)
    assert not np.array_equal(first.x_val, other.x_val)
    np.testing.assert_array_equal(first.x_test, other.x_test)


@pytest.mark.parametrize(("val_size", "expected"), [(30, 30), (0.2, 60)])
def test_val_size_is_a_count_or_a_fraction(small_sets, val_size, expected):
    images = data.load("cifar10", val_size=val_size)
    assert (len(images.y_train), len(images.y_val)) == (300 - expected, expected)


def test_a_validation_set_that_leaves_nothing_is_refused(small_sets):
    with pytest.raises(ValueError, match=r"from 10 \(one of each class\) to 290, .*val_size=300"):
        data.load("cifar10", val_size=300)
    with pytest.raises(ValueError, match=r"to 290, or .*Received: val_size=0\.99"):
        data.load("cifar10", val_size=0.99)
    assert len(data.load("cifar10", val_size=290).y_train) == 10


# --- load -----------------------------------------------------------------------------------------


def test_cifar10_is_named_and_sourced(small_sets):
    images = data.load("cifar10", val_size=50, offline=True)
    assert (images.name, images.title, images.stands_in_for) == ("CIFAR-10", "CIFAR-10", None)
    assert images.source == "$CNNLAB_DATA/somewhere"
    assert images.classes == cifar10.CLASSES
    assert small_sets[-1]["offline"] is True


def test_auto_is_cifar10_where_there_is_one(small_sets):
    assert data.load(val_size=50).title == "CIFAR-10"
    assert small_sets[-1]["limits"].total <= 30 * 60  # a download doesn't go on for ever


@pytest.mark.parametrize(
    "error",
    [
        DownloadError("it could not be downloaded (is there a network?).\n- many\n- lines"),
        BrokenFileError("data/cifar-10-binary.tar.gz is not the official file."),
        FileNotFoundError("CIFAR-10 is not on this disk"),
    ],
)
def test_auto_falls_back_to_shapes10_and_says_why(small_sets, monkeypatch, error):
    def fail(**options):
        raise error

    monkeypatch.setattr(cifar10, "load", fail)
    images = data.load("auto", seed=3)
    assert images.title == "Shapes-10 (standing in for CIFAR-10)"
    first_line = str(error).splitlines()[0]
    assert images.source.startswith(f"drawn by cnnlab.data.shapes10, seed 3, because: {first_line}")
    assert "many" not in images.source
    assert first_line in text_of(images._repr_html_())
    with pytest.raises(type(error)):
        data.load("cifar10")


def test_auto_does_not_hide_a_mistake_in_the_code(monkeypatch):
    def fail(**options):
        raise TypeError("a bug")

    monkeypatch.setattr(cifar10, "load", fail)
    with pytest.raises(TypeError, match="a bug"):
        data.load("auto")


def test_shapes10_asked_for_is_no_stand_in(small_sets):
    images = data.load("shapes10", seed=2)
    assert (images.title, images.source) == ("Shapes-10", "drawn by cnnlab.data.shapes10, seed 2")
    assert images.classes == tuple(shapes10.CLASSES)
    assert len(images.classes) == 10


@pytest.mark.parametrize("name", ["cifar100", "/nowhere/at/all"])
def test_an_unknown_name_lists_what_is_known(name):
    with pytest.raises(ValueError, match=rf'"auto", "cifar10", "shapes10" or .*name=\'{name}\''):
        data.load(name)


@pytest.mark.parametrize("name", ["CIFAR10", "cifar-10", "Cifar_10", "cifra10"])
def test_a_name_spelt_otherwise_is_guessed(name):
    with pytest.raises(ValueError, match=rf"name='{name}'.* Did you mean 'cifar10'\?"):
        data.load(name)


def test_an_empty_name_and_a_file_are_no_folders():
    with pytest.raises(ValueError, match="name='', which is empty"):
        data.load("")
    with pytest.raises(ValueError, match=r"which is a file\. Pass the folder"):
        data.load(__file__)
    with pytest.raises(ValueError, match="folder='', which is none"):
        data.stream("")


def test_importing_data_does_not_import_tensorflow():
    code = (
        "import sys, cnnlab.data; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.real_data
def test_real_cifar10_is_split_as_promised(cifar10_dir, monkeypatch):
    monkeypatch.setenv("CNNLAB_DATA", str(cifar10_dir))
    images = data.load("auto", offline=True)
    assert images.title == "CIFAR-10"
    assert images.source == "$CNNLAB_DATA/cifar-10-batches-bin"
    assert str(cifar10_dir) not in repr(images) + images._repr_html_()
    for labels, each in ((images.y_train, 4_500), (images.y_val, 500), (images.y_test, 1_000)):
        assert np.bincount(labels).tolist() == [each] * 10


def test_one_hot_labels_are_refused():
    with pytest.raises(ValueError, match=r"argmax\(axis=1\).*Received: labels\.shape=\(4, 4\)"):
        data.stratified(np.eye(4), 2)


@pytest.mark.parametrize("limit", ["1GB", 0, True, float("nan")])
def test_a_memory_limit_is_a_number_of_bytes(limit, tmp_path):
    with pytest.raises(ValueError, match=r"memory_limit to be a number of bytes.*memory_limit="):
        data.load(tmp_path, memory_limit=limit)


@pytest.mark.parametrize("batch_size", [2.5, True, 0])
def test_a_batch_is_a_whole_number_of_pictures(batch_size, tmp_path):
    with pytest.raises(ValueError, match=r"batch_size to be a whole number.*batch_size="):
        data.stream(tmp_path, batch_size=batch_size)


def test_lists_for_arrays_no_labels_and_a_count_in_words_are_refused():
    with pytest.raises(ValueError, match=r"x_train and y_train as NumPy arrays\. Received: list"):
        data.ImageSet([[1]], [1], [], [], [], [], classes=("a",), name="x", source="y")
    with pytest.raises(ValueError, match="at least one label"):
        data.stratified(np.array([], int), 0.5)
    x, y = np.zeros((4, 1, 1, 3), np.uint8), np.arange(4) % 2
    few = data.ImageSet(x, y, x, y, x, y, classes=("a", "b"), name="x", source="y")
    with pytest.raises(ValueError, match=r"Expected a count .* size='3'"):
        few.at_most(val="3")


def test_a_home_that_nobody_knows_is_no_error(monkeypatch):
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 987_654)  # as in a container, without a name
    with pytest.raises(RuntimeError):
        Path.home()
    monkeypatch.delenv("KERAS_HOME", raising=False)
    folders = [place.folder for place in cifar10.places()]
    assert any(folder.parts[-2:] == (".keras", "datasets") for folder in folders)
