"""Teach a VGG-16 with random weights what ImageNet's VGG-19 sees, and pack it into about 14 MB.

python data/make_vgg16_weights.py --teacher VGG19.h5 --photographs FOLDER [FOLDER …]

Needs photographs without labels, about 100,000, and a GPU. Writes data/vgg16_shipped.npz and prints
JSON lines. What is learnt, in this order, each for a share of `--minutes`:

A  Each block by itself, fed with the teacher's maps. Its gradients don't have to pass through
   blocks that know nothing yet. The goal: the maps after each convolution, the last of three being
   those of the teacher's fourth.
B  All blocks end to end, so that each learns to cope with what the one before it gets wrong.
C  A dense layer on block 5's average, from the teacher's probabilities of 1,000 classes.

Time is the budget, not epochs: the learning rate follows the share of the time that has passed, so
the training ends well wherever it runs. `--stop-after 500` ends a process early with its state in
a checkpoint; the same command with `--resume` goes on from there, with the same pictures as without
the interruption. A rehearsal on a CPU: `--minutes 2 --batch 8 --side 64 --held-out 8 --measured 16
--log-every 2 --top-batch 4 --top-steps 20`.
"""

import argparse
import datetime
import json
import os
import sys
import time
from functools import partial
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from distilling import distillation, top
from distilling.distillation import CONVS, DENSE, TARGETS, log, rate
from distilling.photographs import Photographs, random_views, read
from distilling.running import Clock, add_common

from cnnlab import models, training
from cnnlab.models import weight_files

TABLE_SIDE = 160  # of photographs that come as files: an enlarged part is still sharp at 128


def own_share(progress: float, alone: float) -> float:
    """Return 0 in phase A, 1 in phase B, with a gentle passage of a few percent between them."""
    return float(np.clip((progress - alone) / 0.04, 0.0, 1.0))


def make_optimizer(args: argparse.Namespace, variables: list) -> keras.optimizers.Optimizer:
    """Make the optimizer that the arguments name, with its state."""
    if args.optimizer in ("muon", "mixed"):
        made = distillation.Muon(
            args.peak,
            momentum=0.95,
            sgd_ratio=0.1,
            steps=5,
            global_clipnorm=args.clip,
            adam_ratio=args.adam_ratio if args.optimizer == "mixed" else None,
        )
    else:
        # A short memory of squares (0.98): the task changes as the blocks are joined.
        made = keras.optimizers.AdamW(
            args.peak, weight_decay=1e-3, beta_2=0.98, global_clipnorm=args.clip
        )
    made.build(variables)
    return made


def save(path: Path, student, optimizer, *, step: int, spent: float) -> None:
    """Write everything that goes on, whole or not at all."""
    state = {f"optimizer/{i}": v.numpy() for i, v in enumerate(optimizer.variables)}
    part = path.with_suffix(".part.npz")
    np.savez(part, **distillation.take(student), **state, step=step, spent=spent)
    os.replace(part, path)


def restore(path: Path, student, optimizer) -> tuple[int, float]:
    """Set what `save` wrote; return the number of steps and seconds that it took."""
    with np.load(path) as file:
        distillation.put(file, student)
        for i, variable in enumerate(optimizer.variables):
            variable.assign(file[f"optimizer/{i}"])
        return int(file["step"]), float(file["spent"])


def learn(lesson, student, photos: Photographs, clock: Clock, args: argparse.Namespace) -> bool:
    """Go through phases A and B; return whether they ended. A checkpoint holds where they are."""
    jit = training.device().jit_compile or args.jit
    optimizer = make_optimizer(args, lesson.variables)
    step_number = 0
    if args.resume and args.checkpoint.is_file():
        step_number, clock.before = restore(args.checkpoint, student, optimizer)
        log(resumed=args.checkpoint.name, step=step_number, spent_s=round(clock.before, 1))
    budget = 60 * args.minutes * (1 - args.top_share)
    step = lesson.step(optimizer, jit=jit)
    views = tf.function(partial(random_views, smallest=args.smallest), jit_compile=jit)
    for side in {args.first_side, args.side}:  # compiles for each size
        for part in {part.shape: part for part in photos.parts}.values():
            views(part, *photos.batch(0, args.batch)[1:], side)
    errors, since, saved, first = [], time.perf_counter(), time.perf_counter(), step_number
    while (progress := clock.spent / budget) < 1:
        own = own_share(progress, args.alone)
        optimizer.learning_rate.assign(rate(progress, args.peak))
        early = progress < args.first_side_until and step_number - first != 1  # compiles both
        side = args.first_side if early else args.side
        pictures = views(*photos.batch(step_number, args.batch), side)
        errors.append(step(pictures, tf.constant(own)))
        step_number += 1
        if step_number - first == 2:
            errors[-1].numpy()  # all is compiled
            log(compiled_s=round(clock.age, 1))
            clock.start()
            errors, since = [], time.perf_counter()
        if len(errors) >= args.log_every:
            seen = np.array([e.numpy() for e in errors])  # waits for the device
            now = time.perf_counter()
            log(
                step=step_number,
                progress=round(progress, 4),
                own=round(own, 2),
                errors=[round(float(x), 4) for x in distillation.by_block(seen.mean(0))],
                img_per_s=round(len(errors) * args.batch / (now - since), 1),
                spent_s=round(clock.spent, 1),
            )
            if not np.isfinite(seen).all():
                raise FloatingPointError(f"Errors are not finite at --peak {args.peak}: lower it")
            errors, since = [], now
            stop = args.stop_after and clock.age > args.stop_after
            if stop or now - saved > args.save_every:
                save(args.checkpoint, student, optimizer, step=step_number, spent=clock.spent)
                saved = time.perf_counter()
            if stop:
                return False
    save(args.checkpoint, student, optimizer, step=step_number, spent=max(clock.spent, budget))
    return True


def parse() -> argparse.Namespace:
    """Read the arguments; their defaults are what the file that ships was made with."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = Path(__file__).resolve().parent
    add_common(parser, out=here / "vgg16_shipped.npz", minutes=13, save_every=120)
    add = parser.add_argument
    add("--teacher", type=Path, required=True, help="VGG-19: Keras's .h5, or .npz of uint8")
    add("--start", type=Path, help="packed weights to start from, instead of random ones")
    add("--alone", type=float, default=0.25, help="phase A's share of A and B")
    add("--top-share", type=float, default=0.12, help="phase C's share of all")
    add("--side", type=int, default=128, help="of the views, in pixels")
    add("--first-side", type=int, default=128, help="of the views at first: small ones are quick")
    add("--first-side-until", type=float, default=0, help="share of A and B")
    add("--batch", type=int, default=256)
    add("--smallest", type=float, default=0.4, help="share of a picture's area kept at least")
    add("--optimizer", choices=("adamw", "muon", "mixed"), default="adamw")
    add("--adam-ratio", type=float, default=1 / 30, help="of block 5's rate, if mixed, to --peak")
    add("--peak", type=float, default=5e-4, help="largest learning rate")
    add("--clip", type=float, default=1.0, help="largest norm of all gradients together")
    add("--block-weights", type=float, nargs=5, default=[1, 1, 1, 1, 1])
    add("--top-batch", type=int, default=256)
    add("--top-steps", type=int, default=4000)
    add("--top-peak", type=float, default=2e-3)
    add("--held-out", type=int, default=1000, help="pictures of each source to measure on")
    add("--measured", type=int, default=2000, help="pictures for the sizes of channels")
    args = parser.parse_args()
    args.checkpoint = args.checkpoint or args.out.with_suffix(".checkpoint.npz")
    return args


def quantize(student: keras.Model) -> dict[str, np.ndarray]:
    """Round the student's convolutions to 8 bits; the student gets what is left of them."""
    packed = weight_files.quantize(distillation.take(student))
    distillation.put(weight_files.dequantize(packed), student)
    return packed


def write(args, packed: dict, sizes: dict, about: dict) -> None:
    """Write the file that ships, which `models.vgg16` loads.

    Beside the weights: `classes`; `about`, a JSON text; `sizes`, a JSON text with what each
    convolution's channels are to be multiplied by to be in the teacher's units, as for its dense
    layers. Texts, because a file's numbers are weights.
    """
    rounded = {name: [float(f"{x:.6g}") for x in sizes[TARGETS[name]]] for name in CONVS}
    notes = {"about": json.dumps(about), "sizes": json.dumps(rounded)}
    if "logits/kernel" in packed:
        notes["classes"] = np.array(models.class_names("imagenet"))
    np.savez_compressed(args.out, **packed, **notes)


def main() -> int:
    """Read, teach, pack, measure."""
    args, clock, device = parse(), Clock(), training.device()
    keras.config.set_dtype_policy(device.precision)
    keras.utils.set_random_seed(args.seed)
    known = distillation.read_teacher(args.teacher)
    has_top = all(f"{name}/kernel" in known for name in DENSE)
    if has_top:
        models.class_names("imagenet")  # now, rather than when all is learnt
    tables = [read(source, TABLE_SIDE) for source in args.photographs]
    photos = Photographs(tables, held_out=args.held_out, seed=args.seed)
    about = {
        "learnt_from": f"VGG-19, ImageNet ({args.teacher.name})",
        "photographs": args.about,
        "pictures": photos.count,
        "precision": device.precision,
        "device": device.name,
    }
    log(
        **about, parts=[list(p.shape) for p in photos.parts], top=has_top, age_s=round(clock.age, 1)
    )

    teacher = distillation.put(known, models.backbone("vgg19", None))
    squares = distillation.mean_squares(teacher, photos.samples(args.measured, args.side))
    equal, sizes = distillation.equalize(known, squares)
    distillation.put(equal, teacher)
    student = models.vgg16(None)
    if args.start:
        with np.load(args.start) as file:
            distillation.put(weight_files.dequantize(file), student)
    lesson = distillation.Lesson(teacher, student, sizes, squares, weights=args.block_weights)
    log(start=lesson.left_over(photos.held_out, args.side)["blocks"], age_s=round(clock.age, 1))

    top_seconds = 60 * args.minutes * args.top_share if has_top else 0
    finished = learn(lesson, student, photos, clock, args)
    left = {"learnt": lesson.left_over(photos.held_out, args.side)}
    packed = quantize(student)
    left["packed"] = lesson.left_over(photos.held_out, args.side)
    settings = ("minutes", "optimizer", "peak", "batch", "side", "first_side", "first_side_until")
    settings += ("block_weights", "seed")
    about |= {
        "settings": {name: getattr(args, name) for name in settings},
        "steps": int(np.load(args.checkpoint)["step"]),
        "left_over": left,
        "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
        "date": datetime.date.today().isoformat(),
    }
    write(args, packed, sizes, about)  # what there is so far
    log(left_over=left, age_s=round(clock.age, 1))
    if not finished or (args.stop_after and clock.age + top_seconds > args.stop_after):
        log(unfinished="the same command with --resume goes on")
        return 0
    if has_top:
        dense = distillation.dense_layers(known, sizes["block5_conv4"])
        *means, logits = top.answers(dense, teacher, student, photos, top_seconds, args)
        kernel, bias = top.learn(means, logits, args)
        packed |= weight_files.quantize({"logits/kernel": kernel, "logits/bias": bias})
        write(args, packed, sizes, about)
    log(file_mb=round(args.out.stat().st_size / 1e6, 2), **about, age_s=round(clock.age, 1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
