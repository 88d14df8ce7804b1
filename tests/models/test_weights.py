"""What is found where, what is refused, and what happens without a network."""

import hashlib
import html
import inspect
import sys
import time
from dataclasses import replace

import keras
import numpy as np
import pytest

from cnnlab import models
from cnnlab.models import networks, weights
from cnnlab.sources import BrokenFileError, DownloadError, Limits, Remote, places

NOTOP = weights.NETWORKS["vgg16"].imagenet.name
WITH_TOP = weights.VGG16_WITH_TOP.name
BODY, TOP_BODY = (np.random.default_rng(i).bytes(40_000 + i) for i in range(2))
# Long enough for a busy machine; tests of a limit shorten that one.
LIMITS = Limits(connect=20, stall=20, window=20, slow=100, total=200, lock=20)


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """A computer of its own, with small published files in the place of the real ones."""
    for name in ("home", "repository/cnnlab", "repository/data", "named", "keras/models"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "repository" / "pyproject.toml").touch()
    monkeypatch.setattr(places, "PACKAGE", tmp_path / "repository/cnnlab")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CNNLAB_DATA", str(tmp_path / "named"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    publish(monkeypatch)
    limit(monkeypatch)
    return tmp_path


def limit(monkeypatch, **changes):
    for name in ("DEFAULT_LIMITS", "AUTO_LIMITS"):
        monkeypatch.setattr(weights, name, replace(LIMITS, **changes))


def publish(monkeypatch, *, url="http://127.0.0.1:9/file"):
    """Small files in the place of those with ImageNet's weights, and where to get the first."""
    for name, network in weights.NETWORKS.items():
        remote = small(network.imagenet.name, BODY, url)
        monkeypatch.setitem(weights.NETWORKS, name, replace(network, imagenet=remote))
    monkeypatch.setattr(weights, "VGG16_WITH_TOP", small(WITH_TOP, TOP_BODY, url))


def small(name, body, *urls):
    return Remote(name, hashlib.md5(body).hexdigest(), len(body), urls, "md5")


# --- on this disk ---------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", ["auto", "imagenet"])
def test_places_are_searched_in_order(disk, wanted):
    for folder, label in [  # each is preferred to those before it
        ("keras/models", "$KERAS_HOME/models/"),
        ("repository/data", "data/"),
        ("named", "$CNNLAB_DATA/"),
    ]:
        (disk / folder / NOTOP).write_bytes(BODY)
        found = weights.find("vgg16", wanted)
        assert found.path == disk / folder / NOTOP
        assert (found.name, found.source) == ("ImageNet", f"{label}{NOTOP}")
        assert (found.title, found.stands_in_for) == ("VGG-16 (ImageNet)", None)


def test_the_file_with_the_top_serves_for_either_and_the_small_one_only_without(disk):
    (disk / "named" / NOTOP).write_bytes(BODY)
    with pytest.raises(FileNotFoundError, match=rf"VGG-16's .* on this disk.* Get {WITH_TOP} "):
        weights.find("vgg16", "imagenet", include_top=True, offline=True)
    (disk / "named" / NOTOP).unlink()
    (disk / "named" / WITH_TOP).write_bytes(TOP_BODY)
    for include_top in (True, False):
        found = weights.find("vgg16", "imagenet", include_top=include_top)
        assert found.path.name == WITH_TOP


@pytest.mark.parametrize("name", ["vgg19", "inception_v3", "efficientnet_v2_b0", "convnext_tiny"])
def test_the_other_networks_have_files_of_their_own(disk, name):
    (disk / "named" / NOTOP).write_bytes(BODY)
    network = weights.NETWORKS[name]
    with pytest.raises(OSError, match=rf"^{network.imagenet.name} could not be downloaded"):
        weights.find(name, "auto")
    with pytest.raises(FileNotFoundError, match=rf"^{network.title}'s weights from ImageNet can't"):
        weights.find(name, "imagenet", offline=True)
    path = disk / "named" / network.imagenet.name
    path.write_bytes(BODY)
    assert weights.find(name, "auto").path == path


def test_a_broken_file_of_somebody_else_is_passed_over_with_a_warning(disk, caplog):
    (disk / "keras/models" / NOTOP).write_bytes(BODY[:500])
    with pytest.raises(FileNotFoundError):
        weights.find("vgg16", "imagenet", offline=True)
    assert f"Passed over: $KERAS_HOME/models/{NOTOP}" in caplog.text


@pytest.mark.parametrize("wanted", ["imagenet", "auto"])
def test_a_broken_file_of_ours_is_named(disk, wanted, caplog):
    (disk / "named" / NOTOP).write_bytes(BODY[:500])
    if wanted == "imagenet":
        with pytest.raises(BrokenFileError, match=rf"^\$CNNLAB_DATA/{NOTOP} can't be read"):
            weights.find("vgg16", wanted)
    else:
        (disk / "repository/data" / weights.SHIPPED).touch()
        found = weights.find("vgg16", wanted)
        assert f"because: $CNNLAB_DATA/{NOTOP} can't be read" in found.source
        assert found.stands_in_for == "ImageNet"


def test_another_network_under_the_published_name_is_refused_by_its_first_other_layer(disk):
    model = keras.applications.VGG19(weights=None, include_top=False)
    model.save(disk / "model.h5")
    (disk / "model.h5").rename(disk / "named" / NOTOP)
    message = (
        rf"^\$CNNLAB_DATA/{NOTOP} does not fit vgg16\. Expected block4_conv1 3×3×256×512, 512\. "
        r"Received: block3_conv4 3×3×256×256, 256$"
    )
    with pytest.raises(BrokenFileError, match=message):
        weights.find("vgg16", "imagenet")
    keras.applications.VGG16(weights=None, include_top=False).save(disk / "model.h5")
    (disk / "model.h5").rename(disk / "named" / NOTOP)  # fits, but isn't ImageNet's
    with pytest.raises(BrokenFileError, match=rf"{NOTOP} is not the official file.*md5"):
        weights.find("vgg16", "imagenet")


def test_what_ships_is_found_or_said_where_it_should_be(disk, caplog):
    for wanted in ("shipped", "auto"):
        with pytest.raises(FileNotFoundError, match="in data/ or cnnlab/shipped/, with"):
            weights.find("vgg16", wanted, offline=True)
    assert "not ImageNet" not in caplog.text  # nothing is announced that there isn't
    (disk / "repository/data" / weights.SHIPPED).touch()
    found = weights.find("vgg16", "shipped")
    assert found.source == f"data/{weights.SHIPPED}"
    assert found.title == "VGG-16, learnt from ImageNet's VGG-19"


def test_a_file_of_ones_own_and_what_was_found_before_are_taken_as_they_are(disk):
    path = disk / "mine.h5"
    path.touch()
    found = weights.find("vgg16", str(path))
    assert (found.path, found.title) == (path, "VGG-16 (mine.h5)")
    assert weights.find("vgg16", found) is found
    assert weights.find("vgg16", None).title == "VGG-16 (random)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("vgg11",), r"one of vgg16, .*, convnext_tiny\. Received: network='vgg11'"),
        (("vgg16", "imagnet"), r'"shipped", None or a file .*weights=\'imagnet\''),
        (("vgg19", "shipped"), r"\"imagenet\", None or a file .* for vgg19\. Received"),
        (("vgg19", weights.Weights("vgg16", "random", "")), r"of vgg19\. Received: .*VGG-16"),
    ],
)
def test_what_does_not_exist_is_said_with_what_does(disk, arguments, message):
    with pytest.raises(ValueError, match=message):
        weights.find(*arguments)


@pytest.mark.parametrize("arguments", [("vgg19", "imagenet"), ("vgg16", None)])
def test_only_a_trained_vgg16_has_a_top(disk, arguments):
    with pytest.raises(ValueError, match="include_top=True with vgg16 and trained weights only"):
        weights.find(*arguments, include_top=True)


# --- downloading ----------------------------------------------------------------------------------


def test_downloads_once_into_the_home_folder_through_a_redirect(disk, monkeypatch, origin):
    origin.serve("/real", BODY)
    url = origin.serve("/old", status=302, headers={"Location": origin.url("/real")})
    publish(monkeypatch, url=url)
    found = weights.find("vgg16", "auto")
    assert found.path.read_bytes() == BODY
    assert found.source == f"$CNNLAB_DATA/{NOTOP}, just downloaded"
    assert weights.find("vgg16", "imagenet").source == f"$CNNLAB_DATA/{NOTOP}"
    assert len(origin.ranges("/real")) == 1


def test_a_digest_of_another_kind_is_checked_too(disk, monkeypatch, origin):
    network = weights.NETWORKS["convnext_tiny"]
    sha256 = hashlib.sha256(BODY).hexdigest()
    urls = (origin.serve("/right", BODY),)
    remote = Remote(network.imagenet.name, sha256, len(BODY), urls)
    wrong = replace(remote, origins=(origin.serve("/wrong", BODY[::-1]),))
    monkeypatch.setitem(weights.NETWORKS, "convnext_tiny", replace(network, imagenet=wrong))
    with pytest.raises(DownloadError, match="wrong content: sha256"):
        weights.find("convnext_tiny", "imagenet")
    monkeypatch.setitem(weights.NETWORKS, "convnext_tiny", replace(network, imagenet=remote))
    found = weights.find("convnext_tiny", "imagenet")
    assert found.path.read_bytes() == BODY
    assert found.title == "ConvNeXt-Tiny (ImageNet)"


FAULTS = {
    "404": ({"status": 404}, "HTTP 404"),
    "corrupt": ({"body": TOP_BODY[: len(BODY)]}, "wrong content: md5"),
    "truncated": ({"body": BODY[:500]}, "offers 500 bytes, expected 40,000"),
    "stalled": ({"body": BODY, "breaks": [500] * 3, "stall": True}, "stalled: nothing for 0.3 s"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_auto_falls_back_on_a_bad_origin_and_imagenet_says_why(disk, monkeypatch, origin, fault):
    (disk / "repository/data" / weights.SHIPPED).touch()
    reply, reason = FAULTS[fault]
    limit(monkeypatch, stall=0.3)
    publish(monkeypatch, url=origin.serve("/file", **reply))
    begin = time.monotonic()
    found = weights.find("vgg16", "auto")
    assert time.monotonic() - begin < 10
    assert found.path == disk / "repository/data" / weights.SHIPPED
    with pytest.raises(DownloadError) as caught:
        weights.find("vgg16", "imagenet")
    for fact in (reason, origin.url("/file"), NOTOP, hashlib.md5(BODY).hexdigest(), "$CNNLAB_DATA"):
        assert fact in str(caught.value)
    assert not (disk / "named" / NOTOP).exists()


def test_without_a_network_auto_gives_up_within_seconds(disk, monkeypatch):
    def black_hole(*args, **options):
        time.sleep(3)
        raise OSError("too late")

    monkeypatch.setattr("cnnlab.sources.origins._open", black_hole)
    limit(monkeypatch, connect=0.3)
    (disk / "repository/data" / weights.SHIPPED).touch()
    begin = time.monotonic()
    weights.find("vgg16", "auto")
    assert time.monotonic() - begin < 2


def test_nobody_waits_for_long_to_know_that_there_is_no_network():
    for limits in (weights.AUTO_LIMITS, weights.DEFAULT_LIMITS):
        assert limits.connect <= 10
    assert weights.AUTO_LIMITS.total <= 15 * 60


def test_the_stand_in_cannot_be_missed(disk, caplog):
    (disk / "repository/data" / weights.SHIPPED).touch()
    found = weights.find("vgg16", "auto")
    assert "VGG-16 with the weights that ship, not ImageNet's own" in caplog.text
    assert found.title == "VGG-16, learnt from ImageNet's VGG-19, standing in for ImageNet"
    assert "STAND-IN  these weights are not ImageNet's" in repr(found)
    assert "VGG-19, not ImageNet's own VGG-16" in html.unescape(found._repr_html_())
    assert f"because: {NOTOP} could not be downloaded" in found.source
    assert str(disk) not in found.source
    assert "Stand-in" not in weights.find("vgg16", "shipped")._repr_html_()


def test_offline_and_half_a_gigabyte_nobody_asked_for_are_not_downloaded(disk, monkeypatch, origin):
    (disk / "repository/data" / weights.SHIPPED).touch()
    publish(monkeypatch, url=origin.serve("/file", BODY))
    assert weights.find("vgg16", "auto", offline=True).stands_in_for == "ImageNet"
    assert weights.find("vgg16", "auto", include_top=True).stands_in_for == "ImageNet"
    with pytest.raises(
        FileNotFoundError, match=rf"no download was wanted\. Get {NOTOP} .* from http"
    ):
        weights.find("vgg16", "imagenet", offline=True)
    assert origin.requests == []


def test_names_addresses_and_digests_are_those_in_keras():
    remotes = [network.imagenet for network in weights.NETWORKS.values()]
    for remote in (*remotes, weights.VGG16_WITH_TOP, networks.IMAGENET_CLASSES):
        folder, name = remote.origins[0].rsplit("/", 1)
        module = folder.rsplit("/", 1)[1]
        module = "imagenet_utils" if remote is networks.IMAGENET_CLASSES else module
        keras_s = sys.modules[f"keras.src.applications.{module}"]
        source = inspect.getsource(keras_s).replace('"\n    "', "")
        assert name == remote.name
        # The newer ones are put together there: the network's name, then "_notop.h5".
        newer = name.removesuffix("_notop.h5") if hasattr(keras_s, "WEIGHTS_HASHES") else name
        for fact in (newer, remote.digest, folder):
            assert fact in source
        if newer != name:
            hashes = keras_s.WEIGHTS_HASHES[newer.removeprefix("efficientnetv2-")]
            assert (
                hashes[1] == remote.digest
            )  # the first is of the file with the layers that classify


def test_class_names_of_imagenet(disk, monkeypatch):
    body = b'{"0": ["n01440764", "tench"], "1": ["n01514859", "sea_hen"]}'
    remote = small(networks.IMAGENET_CLASSES.name, body, "http://127.0.0.1:9/names")
    monkeypatch.setattr("cnnlab.models.pretrained.IMAGENET_CLASSES", remote)
    with pytest.raises(FileNotFoundError, match=r"imagenet_class_index\.json"):
        models.class_names("imagenet", offline=True)
    (disk / "keras/models" / networks.IMAGENET_CLASSES.name).write_bytes(body)
    assert models.class_names("imagenet") == ("tench", "sea hen")
    with pytest.raises(ValueError, match="Received: weights='cifar10'"):
        models.class_names("cifar10")


def test_random_weights_have_no_top_however_they_are_given():
    random = weights.find("vgg16", None)
    with pytest.raises(ValueError, match="Expected include_top=True with trained weights only"):
        weights.find("vgg16", random, include_top=True)


def test_weights_of_nobody_s_home_or_of_another_type_are_no_file():
    for wrong in ("~nosuchuser/x.npz", True):
        with pytest.raises(ValueError, match=f"weights='{wrong}', which is no file"):
            models.vgg16(wrong)
