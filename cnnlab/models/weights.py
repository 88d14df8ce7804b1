"""Pretrained weights: find them on this disk or download them, make sure that they fit.

ImageNet's are those that Keras publishes, see `networks`. Those that ship are this repository's
own, learnt from ImageNet's VGG-19.
"""

from __future__ import annotations

import html
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cnnlab import sources
from cnnlab.models.networks import NETWORKS, VGG16_WITH_TOP
from cnnlab.models.weight_files import load
from cnnlab.sources import DEFAULT_LIMITS, BrokenFileError, Limits, Remote

logger = logging.getLogger(__name__)

SHIPPED = "vgg16_shipped.npz"
SHIPPED_NAME = "learnt from ImageNet's VGG-19"
# "auto" has something else to offer, so it doesn't wait for hours on a slow line.
AUTO_LIMITS = Limits(total=10 * 60.0)


@dataclass(frozen=True, repr=False)
class Weights:
    """Which weights a network has, and where they come from.

    Attributes:
        network: Its name, a key of `NETWORKS`.
        name: "ImageNet", "learnt from ImageNet's VGG-19", a file's name, or "random".
        source: Where they come from, in words.
        path: The file; None for random ones.
        stands_in_for: The name of the weights that were wanted, where these are a substitute.
    """

    network: str
    name: str
    source: str
    path: Path | None = None
    stands_in_for: str | None = None

    @property
    def title(self) -> str:
        """Return the name for figures, which says so where these are substitutes."""
        network = NETWORKS[self.network].title
        if self.name != SHIPPED_NAME:
            return f"{network} ({self.name})"
        substitute = f", standing in for {self.stands_in_for}" if self.stands_in_for else ""
        return f"{network}, {self.name}{substitute}"

    def __repr__(self) -> str:
        lines = [f"Weights: {self.title}", f"source    {self.source}"]
        if self.stands_in_for:
            lines.insert(1, f"STAND-IN  these weights are not {self.stands_in_for}'s")
        return "\n  ".join(lines)

    def _repr_html_(self) -> str:
        facts = f"<p><b>{html.escape(self.title)}</b><br>source: {html.escape(self.source)}</p>"
        return self._warning() + facts

    def _warning(self) -> str:
        if not self.stands_in_for:
            return ""
        return sources.box(
            f"Stand-in weights: {self.name}, not {self.stands_in_for}'s own VGG-16",
            "The network has learnt to answer as VGG-19 does, from photographs without labels; "
            "“source” says why it stands in.",
        )


def shipped_file(network: str) -> Path:
    """Find the weights of this library's own that ship: of "vgg16", or of style's "painter".

    Raises:
        FileNotFoundError: They aren't there; the message says where they should be.
    """
    return sources.shipped(f"{network}_shipped.npz")


def find(
    network: str = "vgg16",
    weights: str | Path | Weights | None = "auto",
    *,
    include_top: bool = False,
    offline: bool = False,
) -> Weights:
    """Find weights in `$CNNLAB_DATA`, `data/` or Keras's cache, else download them.

    A broken file in the first two stops the search, because someone put it there; in Keras's cache
    it is passed over with a warning.

    Args:
        network: A key of `NETWORKS`.
        weights: "imagenet": from this disk, else downloaded. "shipped": this repository's own
            VGG-16, learnt from ImageNet's VGG-19. "auto": ImageNet's if they can be had, in ten
            minutes at most; else, for VGG-16, the shipped ones, which then say that they stand in.
            Anything else: a file with such weights, `.h5` in Keras's layouts or `.npz` as shipped.
            None: random. A model's `pretrained`: the same again.
        include_top: Whether the layers that classify are wanted too (VGG-16 only). ImageNet's are
            553 MB and not downloaded for "auto".
        offline: Whether to do without a download.

    Returns:
        Which weights they are, and the file.

    Raises:
        BrokenFileError: A file on this disk isn't what it should be; the message names the first
            layer that doesn't fit, if there is one.
        OSError: The weights are not on this disk and can't be downloaded; the message says what to
            do by hand.
        ValueError: There are no such weights, or not for this network.
    """
    if network not in NETWORKS:
        raise ValueError(f"Expected one of {', '.join(NETWORKS)}. Received: network={network!r}")
    if include_top and (network != "vgg16" or weights is None):
        raise ValueError(
            "Expected include_top=True with vgg16 and trained weights only. "
            f"Received: network={network!r}, weights={weights!r}"
        )
    if isinstance(weights, Weights):
        if weights.network != network:
            raise ValueError(f"Expected weights of {network}. Received: weights={weights.title!r}")
        if not include_top:
            return weights
        if weights.path is None:
            raise ValueError(
                f"Expected include_top=True with trained weights only. Received: {weights.title!r}"
            )
        if weights.name == "ImageNet":  # whose file may be the one without those layers
            return _imagenet(network, include_top, offline, DEFAULT_LIMITS)
        return weights
    if weights is None:
        return Weights(network, "random", "drawn at random")
    if weights == "imagenet":
        return _imagenet(network, include_top, offline, DEFAULT_LIMITS)
    if weights == "shipped" and network == "vgg16":
        return _shipped()
    if weights == "auto":
        return _auto(network, include_top, offline)
    path = Path(os.path.expanduser(str(weights)))
    if not path.is_file():
        shipped = '"shipped", ' if network == "vgg16" else ""
        raise ValueError(
            f'Expected "auto", "imagenet", {shipped}None or a file of weights for {network}. '
            f"Received: weights={str(weights)!r}, which is no file"
        )
    return Weights(network, path.name, f"file {path.name}", path)


def _auto(network: str, include_top: bool, offline: bool) -> Weights:
    try:
        return _imagenet(network, include_top, offline or include_top, AUTO_LIMITS)
    except (OSError, BrokenFileError) as error:
        if network != "vgg16":
            raise
        why = str(error).splitlines()[0]
    shipped = _shipped()
    logger.warning("VGG-16 with the weights that ship, not ImageNet's own: %s", why)
    source = f'{shipped.source}, because: {why} weights="imagenet" says what to do by hand.'
    return replace(shipped, source=source, stands_in_for="ImageNet")


def _imagenet(network: str, include_top: bool, offline: bool, limits: Limits) -> Weights:
    wanted = VGG16_WITH_TOP if include_top else NETWORKS[network].imagenet
    # The file with the layers that classify has all the others too.
    known = (wanted, VGG16_WITH_TOP) if network == "vgg16" else (wanted,)
    path, source = find_published(known, network=network, offline=offline, limits=limits)
    return Weights(network, "ImageNet", source, path)


def _shipped() -> Weights:
    path = sources.shipped(SHIPPED)
    return Weights("vgg16", SHIPPED_NAME, f"{path.parent.name}/{path.name}", path)


def find_published(
    known: Sequence[Remote],
    *,
    network: str | None = None,
    offline: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> tuple[Path, str]:
    """Find a published file, or download it.

    Args:
        known: Files of which any that is on this disk will do; the first is the one to download.
        network: What the files should fit, for a better message about one that doesn't.
        offline: Whether to do without a download.
        limits: Time limits of the download.

    Returns:
        The path, and where it was found, in words.

    Raises:
        BrokenFileError: As `find`.
        OSError: As `find`.
    """

    def verified(path: Path, remote: Remote, label: str) -> Path:
        try:
            remote.verify(path, label)
        except BrokenFileError:
            if network:  # which layer is wrong says more than a digest
                load(NETWORKS[network].build(include_top=False, weights=None), path, label)
            raise
        return path

    return sources.find(
        {remote.name: remote for remote in known},
        verified,
        places=sources.search_places("models"),
        home=sources.home_place("models"),
        downloads=known[:1],
        title=f"{NETWORKS[network].title}'s weights from ImageNet" if network else known[0].name,
        offline=offline,
        limits=limits,
    )
