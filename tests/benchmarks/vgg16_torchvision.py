"""The peer of vgg16.py: torchvision's VGG-16, compiled by PyTorch, in a process of its own.

python tests/benchmarks/vgg16_torchvision.py [--mode max-autotune]
prints one JSON line; needs torchvision and a GPU

Batches of bfloat16 pictures of 224 × 224, channels last, on the GPU already, which need no
preprocessing; enqueued one after another and waited for once. cuDNN chooses its kernels by trial
(`cudnn.benchmark`), and so does PyTorch's compiler. The figure is the median of five.
"""

import argparse
import json
import statistics
import sys
import time

import torch
import torchvision

BATCH, BATCHES, REPEATS = 256, 20, 5
MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mode", choices=MODES, default="max-autotune", help="of torch.compile")
    mode = parser.parse_args().mode
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = True
    model = torchvision.models.vgg16(weights=None).features.eval().cuda()
    model = model.to(torch.bfloat16, memory_format=torch.channels_last)
    model = torch.compile(model, mode=mode)
    pictures = torch.rand((BATCH, 3, 224, 224), device="cuda", dtype=torch.bfloat16)
    pictures = pictures.to(memory_format=torch.channels_last)

    def seconds(batches: int) -> float:
        start = time.perf_counter()
        with torch.inference_mode():
            for _ in range(batches):
                model(pictures)
        torch.cuda.synchronize()
        return time.perf_counter() - start

    line = {"device": torch.cuda.get_device_name(), "torch": torch.__version__, "batch": BATCH}
    line |= {"mode": mode, "compile_s": round(seconds(3), 2)}
    rates = [BATCH * BATCHES / seconds(BATCHES) for _ in range(REPEATS)]
    line["img_per_s"] = round(statistics.median(rates), 1)
    print(json.dumps(line))
    return 0


if __name__ == "__main__":
    sys.exit(main())
