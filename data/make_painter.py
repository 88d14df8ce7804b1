"""Teach one network to paint in all styles of data/pictures, and pack it into half a megabyte.

python data/make_painter.py --photographs FOLDER|TABLE.npy [...] --teacher VGG19.h5 --proof FILE.png

Needs some thousand photographs of about `--stored` pixels, which needn't be labelled, and a GPU.
Writes data/painter_shipped.npz, which `style.paint` loads, and prints JSON lines.

The loss is `style.train_painter`'s, a batch has pictures in every style. How much a style counts
against the content is found during the training: each style's weight grows while its paintings are
nearer to their photographs than `--content`, and falls while they are farther. So all styles leave
as much of the content, whatever their losses are worth.

Time is the budget: the learning rate follows the share of the time that has passed. `--stop-after
500` ends a process early with its state in a checkpoint; the same command with `--resume` goes on.
A rehearsal on a CPU: `--minutes 2 --side 64 --stored 96 --each 1 --blocks 1 --log-every 2`.
"""

import argparse
import datetime
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from distilling import distillation
from distilling.distillation import log, rate
from distilling.photographs import Photographs, random_views, read, whole_views
from distilling.running import Clock, add_common
from make_pictures import STYLES

from cnnlab import images, models, plots, style, training
from cnnlab.models import weight_files

HERE = Path(__file__).resolve().parent
NAMES = list(STYLES)
# Shallow features alone would keep lines and lose faces, deep ones the other way round.
CONTENT_LAYERS = ("block3_conv3", "block4_conv2")


class Lesson:
    """A painter, its loss, and the weight of each style, which follows the content that is left.

    Args:
        painter: Of all styles, for pictures of one size.
        loss: With all styles' targets.
        optimizer: Of the painter.
        content: The content distance that every style is to settle at.
        pace: What is added to a weight's logarithm for a picture whose content is left untouched.
    """

    def __init__(
        self,
        painter: keras.Model,
        loss: style.PerceptualLoss,
        optimizer: keras.optimizers.Optimizer,
        *,
        content: float,
        pace: float,
    ):
        self.painter, self.loss, self.optimizer = painter, loss, optimizer
        self.content, self.pace = content, pace
        self.balance = tf.Variable(tf.zeros(len(NAMES)), trainable=False)  # logarithms
        optimizer.build(painter.trainable_variables)

    @property
    def state(self) -> list:
        """The variables that go into a checkpoint."""
        return [*self.painter.variables, *self.optimizer.variables, self.balance]

    @property
    def style_weights(self) -> tf.Tensor:
        """The weight of each style's distance, (styles,)."""
        return self.loss.term_weights[1] * tf.exp(self.balance)

    def step(self, *, jit: bool) -> Callable:
        """Return a function of pictures (n, side, side, 3) and styles (n,): one step, its terms."""

        @tf.function(jit_compile=jit)
        def step(pictures: tf.Tensor, styles: tf.Tensor) -> tf.Tensor:
            variables = self.painter.trainable_variables
            with tf.GradientTape() as tape:
                painted = self.painter([pictures, tf.one_hot(styles, len(NAMES))], training=True)
                terms = self.loss.terms(painted, pictures, styles)
                content, distance, variation = tf.unstack(terms, axis=1)
                total = self.loss.term_weights[0] * content
                total += tf.gather(self.style_weights, styles) * distance
                total = tf.reduce_mean(total + self.loss.term_weights[2] * variation)
            self.optimizer.apply(tape.gradient(total, variables), variables)
            room = tf.clip_by_value(1 - content / self.content, -1.0, 1.0)
            ones = tf.one_hot(styles, len(NAMES))
            moved = self.balance + self.pace * tf.linalg.matvec(ones, room, transpose_a=True)
            self.balance.assign(tf.clip_by_value(moved, -4.0, 4.0))
            return terms

        return step

    def measure(self, painter: keras.Model) -> Callable[[np.ndarray], dict[str, list[float]]]:
        """Return a function of pictures: content and style of their paintings, by style's name."""

        @tf.function
        def terms(given: tf.Tensor, styles: tf.Tensor) -> tf.Tensor:
            painted = painter([given, tf.one_hot(styles, len(NAMES))])
            return self.loss.terms(painted, given, styles)

        def measured(pictures: np.ndarray) -> dict[str, list[float]]:
            found, batches = {}, np.array_split(pictures.astype("float32"), -(-len(pictures) // 8))
            for i, name in enumerate(NAMES):
                each = [terms(batch, tf.fill([len(batch)], i)).numpy() for batch in batches]
                found[name] = rounded(np.concatenate(each).mean(0)[:2])
            return found

        return measured


def rounded(values) -> list[float]:
    """Round numbers to three digits, for a line to read."""
    return [float(f"{x:.3g}") for x in np.asarray(values)]


def save(path: Path, lesson: Lesson, *, step: int, spent: float) -> None:
    """Write everything that goes on, whole or not at all."""
    part = path.with_suffix(".part.npz")
    state = {str(i): np.asarray(variable) for i, variable in enumerate(lesson.state)}
    np.savez(part, **state, step=step, spent=spent)
    os.replace(part, path)


def restore(path: Path, lesson: Lesson) -> tuple[int, float]:
    """Set what `save` wrote; return the number of steps and seconds that it took."""
    with np.load(path) as file:
        for i, variable in enumerate(lesson.state):
            variable.assign(file[str(i)])
        return int(file["step"]), float(file["spent"])


def learn(lesson: Lesson, photos: Photographs, clock: Clock, args: argparse.Namespace) -> bool:
    """Train until the time is over; return whether it is. A checkpoint holds where it stands."""
    jit = training.device().jit_compile or args.jit
    count = args.each * len(NAMES)
    styles = tf.constant(np.arange(count) % len(NAMES), tf.int32)
    views = tf.function(
        lambda part, rows, seed: random_views(part, rows, seed, args.side, smallest=args.smallest),
        jit_compile=jit,
    )
    number = 0
    if args.resume and args.checkpoint.is_file():
        number, clock.before = restore(args.checkpoint, lesson)
        log(resumed=args.checkpoint.name, step=number, spent_s=round(clock.before, 1))
    step, first, saved = lesson.step(jit=jit), number, time.perf_counter()
    for part in {part.shape: part for part in photos.parts}.values():  # compiles for each size
        views(part, *photos.batch(0, count)[1:])
    found, since = [], time.perf_counter()
    while (progress := clock.spent / (60 * args.minutes)) < 1:
        lesson.optimizer.learning_rate.assign(rate(progress, args.peak))
        found.append(step(views(*photos.batch(number, count)), styles))
        number += 1
        if number - first == 2:
            found[-1].numpy()  # all is compiled
            log(compiled_s=round(clock.age, 1))
            clock.start()
            found, since = [], time.perf_counter()
        if len(found) >= args.log_every:
            seen = np.mean([terms.numpy() for terms in found], axis=0)  # waits for the device
            now = time.perf_counter()
            by_style = seen.reshape(args.each, len(NAMES), 3).mean(0)
            log(
                step=number,
                progress=round(progress, 4),
                content=rounded(by_style[:, 0]),
                style=rounded(by_style[:, 1]),
                weights=rounded(lesson.style_weights),
                img_per_s=round(len(found) * count / (now - since), 1),
                spent_s=round(clock.spent, 1),
            )
            if not np.isfinite(seen).all():
                raise FloatingPointError(f"Losses are not finite at --peak {args.peak}: lower it")
            found, since = [], now
            stop = args.stop_after and clock.age > args.stop_after
            if stop or now - saved > args.save_every:
                save(args.checkpoint, lesson, step=number, spent=clock.spent)
                saved = now
            if stop:
                return False
    save(args.checkpoint, lesson, step=number, spent=max(clock.spent, 60 * args.minutes))
    return True


def pack(painter: keras.Model) -> dict[str, np.ndarray]:
    """Round a painter to 8 bits; it gets what is left of its weights."""
    weights = {f"{v.path.split('/')[-2]}/{v.name}": v.numpy() for v in painter.weights}
    packed = weight_files.quantize(weights)
    rounded = weight_files.dequantize(packed)
    painter.set_weights([rounded[name] for name in weights])
    return packed


def prove(path: Path, painter: keras.Model, pictures: list[np.ndarray]) -> None:
    """Write a sheet of pictures, each beside its paintings in all styles."""
    rows = {}
    for i, picture in enumerate(pictures):
        given = tf.cast(picture[None], tf.float32)
        painted = [painter([given, row[None]])[0].numpy() for row in tf.eye(len(NAMES))]
        rows[f"{i + 1}"] = [picture, *painted]
    plots.board(rows, ["photograph", *NAMES]).savefig(path, dpi=300)


def parse() -> argparse.Namespace:
    """Read the arguments; their defaults are what the file that ships was made with."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_common(parser, out=HERE / "painter_shipped.npz", minutes=8, save_every=60)
    add = parser.add_argument
    add("--teacher", type=Path, help="VGG-19 to compare in: Keras's .h5, or .npz of uint8")
    add("--proof", type=Path, help="a PNG of held-out pictures in all styles")
    add("--show", type=Path, nargs="*", default=[], help="further pictures for the proof")
    add("--widths", type=int, nargs=3, default=[16, 32, 80], help="at full, half, quarter size")
    add("--blocks", type=int, default=4)
    add("--stored", type=int, default=384, help="side at which a folder's pictures are kept")
    add("--side", type=int, default=256, help="of the views, in pixels")
    add("--smallest", type=float, default=0.5, help="share of a picture's area kept at least")
    add("--style-size", type=int, default=512, help="longer side of the styles, in pixels")
    add("--each", type=int, default=2, help="pictures of a batch in each style")
    add("--peak", type=float, default=1e-3, help="largest learning rate")
    add("--clip", type=float, default=10.0, help="largest norm of all gradients together")
    add("--content", type=float, default=0.9, help="content distance to settle at")
    add("--pace", type=float, default=0.002, help="at which the styles' weights follow it")
    add("--style-weight", type=float, default=30.0, help="at the start")
    add("--tv-weight", type=float, default=1.0)
    add("--precision", choices=("float32", "mixed_bfloat16"), help="default: the device's")
    add("--held-out", type=int, default=32, help="pictures of each source to measure on")
    args = parser.parse_args()
    args.checkpoint = args.checkpoint or args.out.with_suffix(".checkpoint.npz")
    return args


def make_lesson(args: argparse.Namespace, form: dict, precision: str) -> Lesson:
    """Build the network, and the loss in the teacher's features, else the shipped VGG-16's."""
    if args.teacher:
        weights = distillation.read_teacher(args.teacher)
        judge = distillation.put(weights, models.backbone("vgg19", None))
    else:
        judge = models.vgg16("shipped")
    loss = style.PerceptualLoss(
        [HERE / "pictures" / f"{name}.jpg" for name in NAMES],
        size=args.style_size,
        style_weight=args.style_weight,
        tv_weight=args.tv_weight,
        content_layers=CONTENT_LAYERS,
        model=judge,
        precision=precision,
    )
    painter = style.painter_network((args.side, args.side, 3), precision=precision, **form)
    optimizer = keras.optimizers.Adam(args.peak, global_clipnorm=args.clip)
    return Lesson(painter, loss, optimizer, content=args.content, pace=args.pace)


def main() -> int:
    """Read, teach, pack, measure, show."""
    args, clock, device = parse(), Clock(), training.device()
    own = device.precision if device.precision == "mixed_bfloat16" else "float32"
    precision = args.precision or own
    keras.utils.set_random_seed(args.seed)
    tables = [read(source, args.stored) for source in args.photographs]
    photos = Photographs(tables, held_out=args.held_out, seed=args.seed)
    form = {"styles": len(NAMES), "widths": args.widths, "blocks": args.blocks}
    lesson = make_lesson(args, form, precision)
    free = style.painter_network(**form)
    judged = np.concatenate([whole_views(table, args.side) for table in photos.held_out])
    about = {
        "photographs": args.about,
        "pictures": photos.count,
        "compared_in": args.teacher.name if args.teacher else "the shipped VGG-16",
        "precision": precision,
        "device": device.name,
    }
    measure = lesson.measure(free)
    measured = {"before": measure(judged)}
    log(**about, **measured, age_s=round(clock.age, 1))

    finished = learn(lesson, photos, clock, args)
    free.set_weights(lesson.painter.get_weights())
    measured["after"] = measure(judged)
    packed = pack(free)
    measured["packed"] = measure(judged)
    settings = ("minutes", "peak", "clip", "each", "stored", "side", "smallest", "style_size")
    settings += ("content", "pace", "style_weight", "tv_weight", "held_out", "seed")
    about |= {
        "settings": {name: getattr(args, name) for name in settings},
        "style_weights": rounded(lesson.style_weights),
        "steps": int(np.load(args.checkpoint)["step"]),
        "content_and_style": measured,
        "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
        "date": datetime.date.today().isoformat(),
    }
    notes = {"styles": np.array(NAMES), "form": json.dumps(form), "about": json.dumps(about)}
    np.savez_compressed(args.out, **packed, **notes)
    log(file_mb=round(args.out.stat().st_size / 1e6, 3), **about, age_s=round(clock.age, 1))
    if args.proof:
        scenes = [HERE / "pictures/harbour.jpg", HERE / "pictures/lake.jpg", *args.show]
        chosen = [images.read(path) for path in scenes]
        for table in photos.held_out:
            chosen += list(table[:: max(1, len(table) // 4)][:4])
        prove(args.proof, free, chosen)
    log(finished=finished, age_s=round(clock.age, 1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
