"""The peer of vgg16.py: torchvision's VGG-16, compiled by PyTorch, in a process of its own.

python tests/benchmarks/vgg16_torchvision.py      prints one JSON line; needs torchvision and a GPU

Batches of bfloat16 pictures of 224 × 224, channels last, on the GPU already, which need no
preprocessing; enqueued one after another and waited for once. The figure is the median of five.
"""

import json
import statistics
import sys
import time

import torch
import torchvision

BATCH, BATCHES, REPEATS = 256, 20, 5


def main() -> int:
    """Measure and print."""
    model = torchvision.models.vgg16(weights=None).features.eval().cuda()
    model = torch.compile(model.to(torch.bfloat16, memory_format=torch.channels_last))
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
    line["compile_s"] = round(seconds(3), 2)
    rates = [BATCH * BATCHES / seconds(BATCHES) for _ in range(REPEATS)]
    line["img_per_s"] = round(statistics.median(rates), 1)
    print(json.dumps(line))
    return 0


if __name__ == "__main__":
    sys.exit(main())
