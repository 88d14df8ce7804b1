"""Readers' own pictures, in memory and streamed, and what goes wrong with them."""

import logging
import os
import time
import unicodedata

import keras
import numpy as np
import pytest
from PIL import Image

from cnnlab import data, evaluation, transfer
from cnnlab.data import folders, pictures

EXIF_ORIENTATION = 0x0112
COLOURS = {"blue": (0, 0, 255), "green": (0, 200, 0), "red": (255, 0, 0)}


def save(path, colour, size=(40, 30), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **options)


def fill(folder, counts, suffixes=("png",)):
    """A subfolder for each class, with pictures of its colour."""
    for name, count in counts.items():
        for number in range(count):
            suffix = suffixes[number % len(suffixes)]
            save(folder / name / f"{number}.{suffix}", COLOURS[name], (30 + number, 40))
    return folder


@pytest.fixture
def album(tmp_path):
    return fill(tmp_path / "album", {"red": 20, "blue": 10}, ("png", "jpg", "webp", "gif", "tif"))


# --- in memory ------------------------------------------------------------------------------------


def test_a_folder_of_mixed_formats_and_sizes(album):
    images = data.load(album, image_size=(8, 12))
    assert images.classes == ("blue", "red")
    assert (images.name, images.source) == ("album", "folder album/")
    assert images.x_train.shape == (21, 8, 12, 3)
    assert [np.bincount(y).tolist() for y in (images.y_train, images.y_val, images.y_test)] == [
        [7, 14],
        [1, 2],
        [2, 4],
    ]
    for x, y in (
        (images.x_train, images.y_train),
        (images.x_val, images.y_val),
        (images.x_test, images.y_test),
    ):
        expected = np.array([COLOURS[name] for name in images.classes])[y]
        assert np.abs(x[:, 4, 6].astype(int) - expected).max() < 6  # JPEG is not exact


def test_every_picture_is_in_one_set(tmp_path):
    for name in "ab":
        for number in range(50):
            save(tmp_path / name / f"{number}.png", (number, ord(name), 0))
    images = data.load(tmp_path, image_size=(1, 1))
    pixels = np.concatenate([images.x_train, images.x_val, images.x_test])[:, 0, 0]
    assert len({tuple(pixel) for pixel in pixels.tolist()}) == len(pixels) == 100
    again, other = (data.load(tmp_path, image_size=(1, 1), seed=seed) for seed in (0, 1))
    np.testing.assert_array_equal(images.x_test, again.x_test)
    assert not np.array_equal(images.x_test, other.x_test)


def test_copies_of_a_picture_in_two_sets_are_told_once(tmp_path, caplog):
    for split in ("train", "val", "test"):
        for label, name in enumerate("ab"):
            for number in range(3):
                grey = 0 if number == label == 0 and split != "val" else 99
                colour = (grey, "train val test".index(split) * 20 + number, ord(name) * grey // 99)
                save(
                    tmp_path / split / name / f"{split}{number}.png", colour if grey else (0, 0, 0)
                )
    data.load(tmp_path, image_size=8)
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(f"1 pictures of {tmp_path} are in two of the sets")
    assert "train/a/train0.png (train)" in caplog.text
    assert "test/a/test0.png (test)" in caplog.text


def test_a_share_that_leaves_nothing_is_shown_as_written_and_the_bound_is_accepted(album):
    with pytest.raises(ValueError, match=r"to 22, .*fraction of 30 .*Received: val_size=0\.9$"):
        data.load(album, val_size=0.9)
    assert set(data.load(album, val_size=22, image_size=4).y_train) == {0, 1}


def test_hidden_files_and_other_files_are_passed_over(album):
    for name in ("Thumbs.db", ".DS_Store", "._0.png", "notes.txt"):
        (album / "red" / name).write_bytes(b"not a picture")
    (album / ".hidden").mkdir()
    (album / "red" / ".cache").mkdir()
    (album / "red" / ".cache" / "0.png").write_bytes(b"not a picture")
    images = data.load(album, image_size=(8, 8))
    assert images.classes == ("blue", "red")
    assert len(images.y_train) + len(images.y_val) + len(images.y_test) == 30


def test_endings_in_capitals_and_folders_in_folders_count(tmp_path):
    fill(tmp_path, {"red": 3, "blue": 3})
    save(tmp_path / "red" / "2024" / "IMG_1.JPG", COLOURS["red"], format="JPEG")
    _, files = folders.scan(tmp_path)
    assert len(files["train"].paths) == 7


def test_turned_by_exif_as_images_read_turns_it(tmp_path):
    fill(tmp_path, {"red": 5, "blue": 4})
    turned = Image.new("RGB", (40, 40), "white")
    turned.paste("black", (0, 0, 40, 20))  # the upper half; upright, the right half
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    turned.save(tmp_path / "blue" / "turned.png", exif=exif)
    images = data.load(tmp_path, image_size=(4, 4))
    everything = np.concatenate([images.x_train, images.x_val, images.x_test])
    assert any(np.all(x[:, 3] == 0) and np.all(x[:, 0] == 255) for x in everything)


def test_a_split_of_its_own_is_kept(tmp_path):
    fill(tmp_path / "train", {"red": 6, "blue": 6})
    fill(tmp_path / "valid", {"red": 1, "blue": 2})
    fill(tmp_path / "test", {"red": 3, "blue": 4})
    images = data.load(tmp_path, image_size=(4, 4))
    counts = [np.bincount(y).tolist() for y in (images.y_train, images.y_val, images.y_test)]
    assert counts == [[6, 6], [2, 1], [4, 3]]


def test_a_missing_validation_set_is_taken_from_training(tmp_path):
    fill(tmp_path / "train", {"red": 10, "blue": 10})
    fill(tmp_path / "test", {"red": 3, "blue": 4})
    images = data.load(tmp_path, image_size=(4, 4), val_size=4)
    counts = [np.bincount(y).tolist() for y in (images.y_train, images.y_val, images.y_test)]
    assert counts == [[8, 8], [2, 2], [4, 3]]


def test_a_class_may_be_called_train(tmp_path, monkeypatch):
    monkeypatch.setitem(COLOURS, "train", (9, 9, 9))
    fill(tmp_path, {"red": 3, "train": 3})
    assert folders.scan(tmp_path)[0] == ("red", "train")


def test_three_pictures_of_each_class_are_enough(tmp_path):
    fill(tmp_path, {"red": 3, "blue": 3})
    images = data.load(tmp_path, image_size=(4, 4))
    counts = [np.bincount(y).tolist() for y in (images.y_train, images.y_val, images.y_test)]
    assert counts == [[1, 1]] * 3


def test_a_dot_is_named_after_the_folder(album, monkeypatch):
    monkeypatch.chdir(album)
    assert data.load("./", image_size=(4, 4)).source == "folder album/"


# --- what can be wrong ----------------------------------------------------------------------------


def no_subfolders(folder):
    for path in list((folder / "red").iterdir()):
        path.rename(folder / path.name)
    (folder / "red").rmdir()
    for path in list((folder / "blue").iterdir()):
        path.unlink()
    (folder / "blue").rmdir()


def one_class(folder):
    for path in (folder / "blue").iterdir():
        path.unlink()
    (folder / "blue").rmdir()


def empty_class(folder):
    (folder / "green").mkdir()
    (folder / "green" / "Thumbs.db").touch()


def too_few(folder):
    save(folder / "green" / "0.png", "green")


def sets_differ(folder):
    for name in ("red", "blue"):
        (folder / name).rename(folder.parent / name)
    fill(folder / "train", {"red": 3, "blue": 3})
    fill(folder / "test", {"red": 3, "green": 3})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_subfolders, r"at least two subfolders in .*album.* Received: none\. Move the pictures"),
        (one_class, r"at least two subfolders in .*album.* Received: red\."),
        (
            empty_class,
            r"Expected pictures \(\.jpg, .*\) in .*green\. Received: none\. Add some, or",
        ),
        (too_few, r"at least 3 pictures of each class .* Received: 1 of 'green'\. Add some"),
        (sets_differ, r"same subfolders in every set .* train: blue, red; test: green, red"),
    ],
)
def test_a_folder_that_makes_no_set_is_described(album, spoil, message):
    spoil(album)
    for use in (data.load, data.stream):
        with pytest.raises(ValueError, match=message):
            use(album)


def test_broken_pictures_are_all_named(album):
    whole = (album / "red" / "1.jpg").read_bytes()
    (album / "red" / "1.jpg").write_bytes(whole[: len(whole) // 2])
    (album / "blue" / "0.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"2 of 30 pictures can't be used; replace") as caught:
        data.load(album, image_size=8)
    assert str(album / "red" / "1.jpg") in str(caught.value)
    assert str(album / "blue" / "0.png") in str(caught.value)


def test_a_folder_too_large_for_memory_points_to_stream(album):
    with pytest.raises(MemoryError, match=r"30 pictures of 64 × 64 take .* use data\.stream\(\)"):
        data.load(album, memory_limit=100_000)
    with pytest.raises(MemoryError, match=r"half of the free memory"):
        data.load(album, image_size=(10_000_000, 10_000_000))


def test_stop_does_not_read_the_rest(album, monkeypatch):
    read = []

    def slow_read(path, size):
        read.append(path)
        time.sleep(0.001)
        return np.zeros((*size, 3), np.uint8)

    def interrupt(self, n=1):
        raise KeyboardInterrupt

    monkeypatch.setattr(pictures.images, "read", slow_read)
    monkeypatch.setattr(pictures.tqdm, "update", interrupt)
    with pytest.raises(KeyboardInterrupt):
        pictures.read([album / "red" / "0.png"] * 20_000, (4, 4))
    assert len(read) < 10_000


def test_a_mistake_in_the_code_is_not_taken_for_a_broken_picture(album, monkeypatch):
    monkeypatch.setattr(pictures.images, "read", None)
    with pytest.raises(TypeError):
        data.load(album)


# --- streamed -------------------------------------------------------------------------------------


@pytest.fixture
def jpegs(tmp_path):
    return fill(tmp_path / "jpegs", {"red": 30, "blue": 20}, ("png", "jpg"))


def collect(dataset):
    pixels, labels = [], []
    for x, y in dataset:
        assert x.dtype == "float32"
        assert y.dtype == "int32"
        pixels.append(x.numpy())
        labels.append(y.numpy())
    return np.concatenate(pixels), np.concatenate(labels)


def test_stream_gives_three_disjoint_sets_of_the_right_pictures(tmp_path, capsys):
    for name in "ab":
        for number in range(50):
            save(tmp_path / name / f"{number}.png", (number, ord(name), 0))
    sets = data.stream(tmp_path, image_size=(2, 2), batch_size=8)
    assert sets.classes == ("a", "b")
    assert capsys.readouterr().out == ""
    seen = {}
    for part in ("train", "val", "test"):
        x, y = collect(getattr(sets, part))
        np.testing.assert_array_equal(x[:, 0, 0, 1], np.array([ord("a"), ord("b")])[y])
        seen[part] = {tuple(pixel) for pixel in x[:, 0, 0].tolist()}
    assert {part: len(pixels) for part, pixels in seen.items()} == {
        "train": 70,
        "val": 10,
        "test": 20,
    }
    assert len(set.union(*seen.values())) == 100
    again, _ = collect(data.stream(tmp_path, image_size=(2, 2), check=False).test)
    assert {tuple(pixel) for pixel in again[:, 0, 0].tolist()} == seen["test"]


def test_stream_shuffles_training_anew_each_epoch_and_the_rest_never(jpegs):
    sets = data.stream(jpegs, image_size=(2, 2))
    first, second = collect(sets.train)[1], collect(sets.train)[1]
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(collect(sets.val)[1], collect(sets.val)[1])


def test_stream_keeps_a_split_of_the_folder_s_own(tmp_path):
    fill(tmp_path / "train", {"red": 20, "blue": 10})
    fill(tmp_path / "test", {"red": 3, "blue": 4})
    sets = data.stream(tmp_path, image_size=(4, 4))
    assert np.bincount(collect(sets.test)[1]).tolist() == [4, 3]
    assert len(collect(sets.val)[1]) == 3
    assert len(collect(sets.train)[1]) == 27
    fill(tmp_path / "val", {"red": 1, "blue": 2})
    sets = data.stream(tmp_path, image_size=(4, 4))
    assert np.bincount(collect(sets.val)[1]).tolist() == [2, 1]
    assert len(collect(sets.train)[1]) == 30


def test_stream_names_a_broken_picture_before_the_first_epoch(jpegs):
    (jpegs / "red" / "1.jpg").write_bytes((jpegs / "red" / "1.jpg").read_bytes()[:200])
    with pytest.raises(ValueError, match=r"1 of 50 pictures .*\n- .*red.1\.jpg: .*damaged"):
        data.stream(jpegs)


def test_stream_holds_what_load_holds_of_any_format_upright_and_in_the_same_sets(album):
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    turned = Image.new("RGB", (40, 20), "white")
    turned.paste("black", (0, 0, 40, 10))
    turned.save(album / "red" / "turned.webp", exif=exif, lossless=True)
    save(album / "red" / "._0.jpg", "red")
    whole = data.load(album, image_size=(8, 12), seed=3)
    sets = data.stream(album, image_size=(8, 12), seed=3, shuffle=False, batch_size=7)
    for part in ("train", "val", "test"):
        x, y = collect(getattr(sets, part))
        np.testing.assert_array_equal(x, getattr(whole, f"x_{part}"))
        np.testing.assert_array_equal(y, getattr(whole, f"y_{part}"))


def test_stream_repeats_its_orders_with_the_same_seed(jpegs):
    labels = [collect(data.stream(jpegs, image_size=2, seed=seed).train)[1] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(labels[0], labels[1])
    assert not np.array_equal(labels[0], labels[2])


def test_stream_names_a_picture_that_breaks_during_an_epoch(jpegs):
    sets = data.stream(jpegs, image_size=4)
    for path in (jpegs / "red").iterdir():
        path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(Exception, match=r"Expected a whole picture.*red.\d+\.(jpg|png)"):
        collect(sets.train)


def test_what_is_streamed_is_fitted_scored_and_made_features_of(jpegs):
    sets = data.stream(jpegs, image_size=8, batch_size=10, shuffle=False)
    inputs = keras.Input((None, None, 3))
    maps = keras.layers.Conv2D(2, 1, name="maps")(keras.layers.Rescaling(1 / 255)(inputs))
    logits = keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(maps))
    model = keras.Model(inputs, logits)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.1), loss, metrics=["accuracy"], jit_compile=False)
    fit = model.fit(sets.train, validation_data=sets.val, epochs=12, verbose=0, shuffle=False)
    report = evaluation.evaluate(model, sets.test, classes=sets.classes)
    assert report.accuracy == fit.history["val_accuracy"][-1] == 1
    assert report.confusion.tolist() == [[4, 0], [0, 6]]
    features = transfer.extract_features(model, sets.train, "maps")["maps"]
    labels = np.concatenate([y for _, y in sets.train])
    whole = data.load(jpegs, image_size=8)
    np.testing.assert_array_equal(labels, whole.y_train)
    expected = transfer.extract_features(model, whole.x_train, ["maps"])["maps"]
    np.testing.assert_allclose(features, expected, atol=1e-5)


def test_stream_refuses_what_makes_no_batches(jpegs):
    for options in ({"batch_size": 0}, {"image_size": 0}, {"seed": -1}, {"seed": 2**32}):
        with pytest.raises(ValueError, match=rf"Received: {next(iter(options))}="):
            data.stream(jpegs, **options)
    with pytest.raises(ValueError, match="which is none"):
        data.stream(jpegs / "nowhere")


# --- a split, or what looks like one --------------------------------------------------------------

SPELLINGS = [
    ("Train", "Test"),
    ("Training", "Testing"),
    ("TRAIN", "VALID"),
    ("train_set", "test_set"),
    ("train2017", "val2017"),
    ("seg_train", "seg_test"),
    ("training-images", "validation-images"),
]


@pytest.mark.parametrize(("train", "other"), SPELLINGS)
def test_a_split_is_known_in_any_spelling(tmp_path, train, other):
    fill(tmp_path / train, {"red": 6, "blue": 6})
    fill(tmp_path / other, {"red": 2, "blue": 3})
    save(tmp_path / "__MACOSX" / train / "red" / "0.png", "red")
    save(tmp_path / "@eaDir" / "0.png", "red")
    classes, files = folders.scan(tmp_path)
    assert classes == ("blue", "red")
    name = "val" if "val" in other.lower() else "test"
    assert {part: len(found.paths) for part, found in files.items()} == {"train": 12, name: 5}


def flat_test(folder):
    fill(folder / "train", {"red": 6, "blue": 6})
    save(folder / "test" / "1.png", "red")


def flat_sets(folder):
    for part in ("train", "test"):
        save(folder / part / "1.png", "red")


def a_fourth_folder(folder):
    for part in ("train", "val", "test"):
        fill(folder / part, {"red": 6, "blue": 6})
    save(folder / "pred" / "1.png", "red")


def without_train(folder):
    for part in ("val", "test"):
        fill(folder / part, {"red": 6, "blue": 6})


def classes_beside(folder):
    fill(folder, {"red": 6, "blue": 6})
    fill(folder / "validation", {"red": 6, "blue": 6})


def sets_in_classes(folder):
    for name in ("red", "blue"):
        for part in ("train", "test"):
            save(folder / name / part / "0.png", name)


def one_inside_another(folder):
    fill(folder / "album", {"red": 6, "blue": 6})


@pytest.mark.parametrize(
    ("lay_out", "message"),
    [
        (flat_test, "Received: test, train, of which test has no subfolders"),
        (flat_sets, "of which test has no subfolders; train has no subfolders"),
        (a_fourth_folder, "pred, test, train, val, of which pred is none of the sets"),
        (without_train, "Received: test, val, of which there is no train"),
        (classes_beside, "of which blue is none of the sets; red is none of the sets"),
        (sets_in_classes, r"sets that hold classes.*blue, a class that holds sets"),
        (one_inside_another, r"Received: album\. If the classes are in album, pass that folder"),
    ],
)
def test_what_looks_like_a_split_and_is_none_is_refused_by_name(tmp_path, lay_out, message):
    lay_out(tmp_path)
    for use in (data.load, data.stream):
        with pytest.raises(ValueError, match=message):
            use(tmp_path)


# --- which files are pictures ---------------------------------------------------------------------


OTHER_KINDS = ("e.avif", "f.jp2", "g.tga", "h.dib", "i.qoi")


def test_whatever_pillow_reads_is_read_with_any_ending_or_none(tmp_path):
    fill(tmp_path, {"red": 1, "blue": 5})
    for name in ("a.jfif", "b.JPE", "c", "photo.jpg_large", "d.mpo"):
        save(tmp_path / "red" / name, "red", format="JPEG")
    kinds = Image.registered_extensions()  # Pillow 10 writes no AVIF and no QOI
    written = [name for name in OTHER_KINDS if kinds.get(os.path.splitext(name)[1]) in Image.SAVE]
    for name in written:
        save(tmp_path / "red" / name, "red")
    _, files = folders.scan(tmp_path)
    assert len(written) >= 3
    assert np.bincount(files["train"].labels).tolist() == [5, 6 + len(written)]
    images = data.load(tmp_path, image_size=4)
    red = np.concatenate([images.x_train, images.x_val, images.x_test])
    red = red[np.concatenate([images.y_train, images.y_val, images.y_test]) == 1]
    assert np.abs(red.astype(int) - COLOURS["red"]).max() < 6


def test_a_linked_subfolder_is_followed_but_not_in_circles(tmp_path):
    fill(tmp_path / "mine", {"red": 3, "blue": 3})
    fill(tmp_path / "elsewhere", {"red": 4})
    (tmp_path / "mine" / "red" / "more").symlink_to(tmp_path / "elsewhere" / "red")
    (tmp_path / "mine" / "red" / "circle").symlink_to(tmp_path / "mine")
    (tmp_path / "mine" / "red" / "self").symlink_to(tmp_path / "mine" / "red")
    _, files = folders.scan(tmp_path / "mine")
    found = [path.resolve() for path in files["train"].paths]
    assert len(set(found)) == len(found)
    assert sum(path.parent == tmp_path / "elsewhere" / "red" for path in found) == 4


def test_what_is_left_out_is_counted_by_ending_and_reason(album, caplog):
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
    for name in ("IMG_1.HEIC", "IMG_2.HEIC", "IMG_3"):
        (album / "red" / name).write_bytes(heic)
    (album / "red" / "notes.txt").write_text("P6 is not a picture")
    (album / "red" / "page.pdf").write_bytes(b"%PDF-1.4")
    (album / "red" / "Thumbs.db").write_bytes(b"litter")
    save(album / "loose.png", "red")
    os.mkfifo(album / "red" / "pipe")
    with caplog.at_level(logging.WARNING):
        assert len(data.load(album, image_size=4).y_train) == 21
    (record,) = [one for one in caplog.records if one.name == folders.logger.name]
    said = record.getMessage()
    assert said.startswith("7 files of ")
    for part in (
        "2 .heic (HEIC, which Pillow doesn't read: convert it to JPEG, or install pillow-heif",
        "1 without an ending (HEIC",
        "1 without an ending (no pictures that Pillow reads)",
        "1 .txt (no pictures",
        "1 .pdf (no pictures",
        "1 in no class's subfolder",
    ):
        assert part in said


def test_a_class_of_heic_alone_says_what_to_do(album):
    (album / "green").mkdir()
    (album / "green" / "1.heic").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(ValueError, match=r"green\. Received: 1 \.heic \(HEIC, .*convert it"):
        data.load(album)


def test_a_size_of_numpy_s_is_a_size(album):
    assert data.load(album, image_size=np.int64(16)).x_train.shape[1:] == (16, 16, 3)


@pytest.mark.parametrize("seed", [-1, 2**32, 0.5, "a"])
def test_a_seed_that_no_generator_takes_is_refused(album, seed):
    for use in (lambda: data.load(album, seed=seed), lambda: data.load("shapes10", seed=seed)):
        with pytest.raises(ValueError, match=r"Expected seed .* in 0…4,294,967,295"):
            use()


def test_two_subfolders_for_one_set_are_refused(tmp_path):
    for part in ("train", "val", "valid"):
        fill(tmp_path / "mine" / part, {"red": 4, "blue": 4})
    with pytest.raises(ValueError, match=r"Received: train, val, valid, of which two name one set"):
        data.load(tmp_path / "mine")


def test_a_class_is_the_same_however_its_accents_are_written(tmp_path):
    for split, form in (("train", "NFC"), ("val", "NFD")):
        for name in (unicodedata.normalize(form, "café"), "tea"):
            for i in range(3):
                folder = tmp_path / split / name
                folder.mkdir(parents=True, exist_ok=True)
                color = (i, len(name), len(split))
                Image.new("RGB", (9, 9), color).save(folder / f"{i}.png")
    found = data.load(tmp_path, image_size=9)
    assert found.classes == (unicodedata.normalize("NFC", "café"), "tea")
    assert np.bincount(found.y_val).tolist() == [3, 3]


def test_a_picture_in_two_classes_is_told_once(tmp_path, caplog):
    for name in ("a", "b"):
        for split in ("train", "val", "test"):
            (tmp_path / split / name).mkdir(parents=True)
            Image.new("RGB", (9, 9), (ord(name), len(split), 1)).save(
                tmp_path / split / name / "own.png"
            )
        Image.new("RGB", (9, 9), (200, 0, 0)).save(tmp_path / "train" / name / "same.png")
    data.load(tmp_path, image_size=9)
    (warning,) = caplog.messages
    assert warning.startswith("1 pictures of ")
    assert "two classes" in warning
    assert "train/b/same.png (train) and train/a/same.png (train)" in warning
