"""The recipe for 96 % on CIFAR-10: every setting, and why it is what it is.

Ideas: airbench96_faster.py of https://github.com/KellerJordan/cifar10-airbench. Rates are for the
mean loss of the chosen half of a batch.
"""

from dataclasses import dataclass

import keras
from race import Pictures, Race

from cnnlab import models
from cnnlab.training import (
    BatchedMuon,
    BlockTrainer,
    HardHalf,
    Lookahead,
    LookUp,
    OneCycle,
    RankedSGD,
    SmoothCrossentropy,
    Visits,
)


@dataclass(frozen=True)
class Settings:
    """What can be changed from the command line."""

    # Many times the epochs and the network of 94 %: the last per cents are dear.
    epochs: int = 64
    # The proxy sees 1,024 pictures and keeps the harder half for the large network.
    batch_size: int = 1024
    keep: int = 512
    widths: tuple = (128, 384, 512)
    # Three convolutions a group, the last two inside a shortcut.
    depth: int = 3
    # 4 % of the large network's work; which pictures are hard is a simple question.
    proxy_widths: tuple = (32, 64, 64)
    proxy_every: int = 4
    activation: str = "gelu"
    # "sgd" for all weights, or "muon" for the filters.
    optimizer: str = "sgd"
    # Per picture kept: 9 for every 1,024, divided by what Nesterov's momentum adds up to,
    # 1 + 1 / (1 - 0.85) = 7.67. It climbs for a tenth of the steps, then falls to 0.
    rate: float = 9 / 1024 / 7.67
    momentum: float = 0.85
    warmup: float = 0.1
    # Biases are few and bear it.
    bias_ratio: float = 64.0
    # Share of every weight taken off a step at the peak rate: 0.012 for a batch, divided likewise.
    decay: float = 0.012 / 7.67
    # Filters under "muon": a smaller angle than for 94 %, as there are more steps.
    filter_rate: float = 0.2
    filter_momentum: float = 0.6
    norm_momentum: float = 0.9
    smoothing: float = 0.2
    # With so many epochs stronger augmentation pays: shifts of 4 pixels, a hidden square of 12.
    crop: int = 4
    cutout: int = 12
    # Every fifth step returns to the mean of the path; its memory grows to 0.95⁵ by the end.
    lookahead: bool = True
    head_scale: float = 1 / 9
    unsure: float = 1.0
    precision: str = "mixed_float16"
    pool: str = "window"
    unroll: int = 1
    steps_per_call: int = 0
    jit: bool = True


def build(shown: Pictures, settings: Settings) -> Race:
    """The networks, their trainer and all that a run needs, on pictures of the device."""
    keras.config.set_dtype_policy(settings.precision)
    steps = settings.epochs * (len(shown.rows) // settings.batch_size)
    look_up = LookUp(shown.table, cutout=settings.cutout)
    model = _net(settings, settings.widths, depth=settings.depth, name="large")
    proxy = _net(settings, settings.proxy_widths, depth=2, name="proxy")
    loss = SmoothCrossentropy(settings.smoothing)
    proxy_optimizer = _sgd(settings, -(-steps // settings.proxy_every))
    proxy.compile(proxy_optimizer, loss, auto_scale_loss=False)
    half = HardHalf(proxy, look_up, keep=settings.keep, every=settings.proxy_every)
    lookahead = Lookahead(model, steps=steps) if settings.lookahead else None
    trainer = BlockTrainer(
        model,
        look_up,
        unroll=settings.unroll,
        choose=half.choose,
        after_step=lookahead.after_step if lookahead else None,
    )
    optimizer = {"sgd": _sgd, "muon": _muon}[settings.optimizer](settings, steps)
    trainer.compile(
        optimizer, loss, metrics=["accuracy"], jit_compile=settings.jit, auto_scale_loss=False
    )

    def visits(seed: int) -> Visits:
        side = shown.table.shape[1]
        chance = {"crop": settings.crop, "flip": True, "cutout": settings.cutout, "side": side}
        return Visits(shown.rows, shown.labels, settings.batch_size, seed=seed, **chance)

    def redraw(seed: int) -> None:
        for net, number in ((model, 2 * seed), (proxy, 2 * seed + 1)):
            # As wide as PyTorch draws a linear layer, uniform in ±1/√inputs.
            head_std = (3 * net.get_layer("head").kernel.shape[0]) ** -0.5
            net.set_weights(models.draw_weights(net, number, head_std=head_std))
        half.start_over()

    return Race(
        trainer=trainer,
        shown=shown,
        visits=visits,
        epochs=settings.epochs,
        predict=models.careful_predictor(model, unsure=settings.unsure, jit_compile=settings.jit),
        redraw=redraw,
        whitened=[model, proxy],
        begin=lookahead.start_over if lookahead else lambda: None,
        optimizers=[optimizer, proxy_optimizer],
        steps_per_call=settings.steps_per_call or None,
    )


def _net(settings: Settings, widths: tuple, *, depth: int, name: str) -> keras.Model:
    return models.speed_net(
        widths,
        depth=depth,
        activation=settings.activation,
        head_scale=settings.head_scale,
        momentum=settings.norm_momentum,
        pool=settings.pool,
        name=name,
    )


def _sgd(settings: Settings, steps: int) -> RankedSGD:
    peak = settings.rate * settings.keep
    return RankedSGD(
        OneCycle(peak, steps, warmup=settings.warmup),
        peak=peak,
        momentum=settings.momentum,
        bias_ratio=settings.bias_ratio,
        decay=settings.decay,
        loss_scale_factor=_loss_scale(settings),
    )


def _muon(settings: Settings, steps: int) -> BatchedMuon:
    rate = settings.rate * settings.keep / settings.filter_rate
    return BatchedMuon(
        OneCycle(settings.filter_rate, steps, warmup=settings.warmup),
        peak=settings.filter_rate,
        filter_momentum=settings.filter_momentum,
        half=settings.precision.removeprefix("mixed_"),
        momentum=settings.momentum,
        matrix_ratio=rate,
        bias_ratio=rate * settings.bias_ratio,
        decay=settings.decay,
        loss_scale_factor=_loss_scale(settings),
    )


def _loss_scale(settings: Settings) -> float | None:
    """The mean's gradients would vanish in float16; the sum's do not."""
    return float(settings.keep) if settings.precision == "mixed_float16" else None
