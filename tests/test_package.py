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


def test_flags_for_xla_that_are_set_already_are_kept(monkeypatch):
    def flags() -> list[str]:
        return run("import cnnlab, os; print(os.environ['XLA_FLAGS'])").stdout.split()

    own = "--xla_gpu_enable_triton_gemm=false"
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    assert flags() == [own]
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=here")
    assert flags() == ["--xla_dump_to=here", own]
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_enable_triton_gemm=true")
    assert flags() == ["--xla_gpu_enable_triton_gemm=true"]
