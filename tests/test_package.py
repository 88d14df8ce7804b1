import subprocess
import sys


def run(code: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )


def test_importing_the_package_is_cheap():
    run("import sys, cnnlab; assert not {'tensorflow', 'keras', 'matplotlib'} & set(sys.modules)")


def test_tensorflow_starts_without_a_greeting_and_gives_stderr_back():
    code = "import cnnlab, os; cnnlab.start_tensorflow(); os.write(2, b'mine'); import tensorflow"
    assert run(code).stderr == "mine"
