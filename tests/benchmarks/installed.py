"""Does an installed `cnnlab` work away from its repository? One JSON line for each Python.

python tests/benchmarks/installed.py python3.10 python3.13    in a new environment each

Installs the wheel with all that it needs (2 GB and some minutes for each Python), then, in an empty
folder: loads the shipped weights and a shipped picture, and times `import cnnlab`. Everything is
deleted afterwards. Needs hatchling, and for each Python a package registry.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHECK = """
import json, sys, time
before, start = set(sys.modules), time.perf_counter()
import cnnlab
seconds, modules = time.perf_counter() - start, len(set(sys.modules) - before)
cnnlab.start_tensorflow()
from cnnlab import images, models, sources
classifier = models.vgg16("shipped", input_shape=(64, 64, 3))
picture = images.read(sources.shipped("pictures/harbour.jpg"), 64)
features = classifier.predict(picture[None], verbose=0)
print(json.dumps({
    "python": sys.version.split()[0],
    "import_seconds": round(seconds, 4),
    "import_modules": modules,
    "picture": picture.shape,
    "features": features.shape,
    "strongest": float(features.max()),
    "file": cnnlab.__file__,
}))
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
        subprocess.run([*build, "--directory", folder], cwd=ROOT, check=True, capture_output=True)
        (wheel,) = Path(folder).glob("*.whl")
        for python in sys.argv[1:]:
            with tempfile.TemporaryDirectory() as place:
                subprocess.run([python, "-m", "venv", f"{place}/venv"], check=True)
                installed = f"{place}/venv/bin/python"
                pip = [installed, "-m", "pip", "install", "--quiet", "--no-cache-dir", wheel]
                subprocess.run(pip, check=True, stderr=subprocess.DEVNULL)
                Path(place, "empty").mkdir()
                # Isolated: without the current folder, PYTHONPATH and a user's own packages.
                subprocess.run([installed, "-I", "-c", CHECK], cwd=f"{place}/empty", check=True)


if __name__ == "__main__":
    main()
