"""What every test relies on: no window, no network, no figure left open, and CIFAR-10 if there."""

import os

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import socket
import sys
from pathlib import Path

import pytest
from origins import Origin

from cnnlab.data import cifar10

# Groups that take longest, begun first: what is short fills the cores' last minutes evenly.
LONGEST = (
    "03_neural_style_transfer",
    "02_vgg16_transfer_learning",
    "test_notebooks.py",
    "01_cifar10_cnn_from_scratch",
    "test_make_vgg16_weights.py",
    "test_make_painter.py",
    "test_shapes10.py",
    "test_strategies.py",
    "test_package.py",
    "test_backbones.py",
)
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@pytest.hookimpl(tryfirst=True)  # before xdist, which reads the groups
def pytest_collection_modifyitems(config, items):
    """Keeps tests with a costly fixture in common on one core: a file's, or a notebook's.

    Leaves fuzzing and the browser out unless the command line asks for them. What takes longest
    comes first, as --no-loadscope-reorder leaves it.
    """
    for marker in ("fuzz", "browser"):
        if marker not in config.option.markexpr:
            left_out = [item for item in items if item.get_closest_marker(marker)]
            items[:] = [item for item in items if item not in left_out]
            config.hook.pytest_deselected(items=left_out)
    places = {}
    for item in items:
        notebook = item.callspec.params.get("session") if hasattr(item, "callspec") else None
        group = notebook.stem if notebook else item.path.name
        item.add_marker(pytest.mark.xdist_group(group))
        places[item] = LONGEST.index(group) if group in LONGEST else len(LONGEST)
    items.sort(key=places.__getitem__)  # in each group they keep their order


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """A test that reaches for the network fails at once, as it does on a machine without one."""
    connect, getaddrinfo = socket.socket.connect, socket.getaddrinfo

    def guarded_connect(self, address):
        if isinstance(address, tuple) and address[0] not in LOOPBACK:
            raise OSError(f"the tests run without a network, and {address} was called")
        return connect(self, address)

    def guarded_getaddrinfo(host, *args, **options):
        if host not in (None, "", *LOOPBACK):
            raise socket.gaierror(f"the tests run without a network, and {host} was looked up")
        return getaddrinfo(host, *args, **options)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_getaddrinfo)


@pytest.fixture(autouse=True)
def no_open_figures():
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


@pytest.fixture(scope="session")
def cifar10_dir() -> Path:
    """The folder that holds cifar-10-batches-bin/: what CNNLAB_DATA should name."""
    for place in cifar10.places():
        if (place.folder / "cifar-10-batches-bin" / "test_batch.bin").is_file():
            return place.folder
    pytest.skip("CIFAR-10 is not on this disk; CNNLAB_DATA may name the folder that has it")


@pytest.fixture
def origin():
    """A web server on this machine; `origin.serve(path, body, ...)` gives an address."""
    server = Origin()
    yield server
    server.close()
