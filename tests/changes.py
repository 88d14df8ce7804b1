"""By notebook, a change of each of its parameters, the cells in question, and what it must bring.

The rule: the parameters' cell, the next one, the cell in question, and the change has taken effect.
What is about the pictures takes effect in the cell that loads them, and then in those that follow.
"""

from typing import NamedTuple


class Change(NamedTuple):
    """A change of one parameter.

    Attributes:
        value: The new value; "{folder}", "{picture}" or "{weights}" stand for paths that the test
            makes.
        cells: The cells in question, in order, each by text that it alone contains.
        effect: An expression that is evaluated in the kernel afterwards.
        becomes: What it has to be; ANOTHER: anything but what it was before the change.
    """

    value: object
    cells: tuple[str, ...]
    effect: str
    becomes: object


ANOTHER = object()

FIRST = "01_cifar10_cnn_from_scratch"
SECOND = "02_vgg16_transfer_learning"
THIRD = "03_neural_style_transfer"

# By notebook: small values from which each change starts, beside a folder of few pictures where the
# notebook has a DATASET.
BASE: dict[str, dict[str, object]] = {
    FIRST: {
        "TRAIN_PICTURES": 24, "BATCH_SIZE": 6, "CNN_WIDTHS": [4, 4, 4], "WIDTHS": [4, 8],
        "FAST_EPOCHS": 1, "BEST_EPOCHS": 1,
    },
    SECOND: {
        "FOLDER_SIZE": 32, "TRAIN_PICTURES": 24, "VAL_PICTURES": 6, "TEST_PICTURES": 9,
        "PAINT_STEPS": 1, "SIZES": [32], "PROBE_EPOCHS": 2, "BATCH_SIZE": 4,
        "STAGE_EPOCHS": [1, 1, 1], "SHARE_STEPS": {1.0: [1]}, "SHARE_RATES": [0.1],
    },
    THIRD: {"HAND_SIZE": 32, "HAND_STEPS": 1, "SIZE": 32, "STEPS": 1},
}  # fmt: skip

_FIRST_PICTURE, _LARGE, _OWN = "first = stylized(CONTENT", "large = stylized(", "own = portrait"
_PICTURES, _SQUARES, _HAND = "scene, artwork, second =", "look = keras.Model(", "painted, history ="
_PIECES, _PAINTER = "pieces = style.crops(", "painter, learnt ="
_LOAD = "pictures = data.load("
_LINEAR, _PLAIN = 'rung("linear"', 'rung("plain CNN"'
_AUGMENTED, _RESIDUAL = 'rung("+ augmentation"', 'rung("+ residual"'
_MUON, _FAST, _BEST = 'rung("+ Muon"', "fast = speed_net(", "large = speed_net("
_RACE = "ways.items()"
_VGG, _PAINT, _FEATURES = "vgg = models.vgg16(", "painted = {}", "train_features, val_features ="
_PROBES, _BUILD, _STAGES = (
    "probes = transfer.probes(",
    "devices = training",
    "moved, tuned, last_run",
)
_BEGIN, _TRY, _PAIR, _STARTS = "def beginning(", "tried, stopped =", "def compare(", "plan = ["
_RATES = {"head": 0.3, "blocks 4 and 5": 0.1, "all": 0.15}
# Trained otherwise, the last layer is another.
_TRAINED = "rungs['{}'][0].network.get_weights()[-1]"
_LAYER = "rungs['{}'][0].network.get_layer('{}').{}"
_KERNEL = "network.get_weights()[-2]"  # the bias after one step knows nothing of the pictures

# Code of the test's own, for the second notebook: from then on VGG-16 has few filters and layers,
# but where its size is asked for, or its own answers.
NARROW = """
wide_vgg16 = models.vgg16
def small_vgg16(weights="auto", *shape, include_top=False, **options):
    if shape or include_top:
        return wide_vgg16(weights, *shape, include_top=include_top, **options)
    if weights:  # as if read from a file, the same each time
        keras.utils.set_random_seed(0)
    pixels = keras.Input((None, None, 3))
    x = keras.applications.vgg16.preprocess_input(pixels)
    for block, convolutions in enumerate(("12", "2", "3", "13", "3"), 1):
        for i in convolutions:
            name = f"block{block}_conv{i}"
            x = keras.layers.Conv2D(6, 3, padding="same", activation="relu", name=name)(x)
        x = keras.layers.MaxPooling2D(name=f"block{block}_pool")(x)
    network = keras.Model(pixels, x)
    network.pretrained = weights
    return network
models.vgg16 = small_vgg16
"""

# By notebook: code of the test's own. It notes what can't be seen soon, or without several GPUs;
# puts a network of few filters in the place of VGG-16; and spares the compiling of a step or two.
PREPARE: dict[str, str] = {
    FIRST: """
__import__("tensorflow").config.run_functions_eagerly(True)
handed, share_batches = [], training.distribute
training.distribute = lambda devices: handed.append(devices) or share_batches(devices)
""",
    SECOND: NARROW
    + """
__import__("tensorflow").config.run_functions_eagerly(True)
steps_a_pass = lambda: 2
def noted(network, layer, channels, *, size, steps, seed):
    handed.update(size=size, steps=steps, seed=seed)
    return np.zeros((6, size, size, 3), np.uint8)
handed, interpret.maximize = {}, noted
""",
    THIRD: """
handed, load_vgg16 = {}, models.vgg16
def noted(content, art=None, **options):
    for name in ("init", "pyramid"):
        handed.pop(name, None)
    handed.update(options, art=art)
    made = dict(image=np.zeros((8, 8, 3), np.uint8), levels=(), estimate="", seconds=1.0)
    made |= dict(compile_seconds=0.0, callback_seconds=0.0, distances=dict(content=0, style=0))
    return type("Result", (), made)
def not_trained(art, pieces, **options):
    handed.update(options)
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]), {}
style.stylize, style.train_painter = noted, not_trained
models.vgg16 = lambda weights: handed.update(weights=weights) or load_vgg16("shipped")
""",
}
# By notebook: cells to run once before the changes; among them, those on which others build, which
# are run again after a change of what they make.
START: dict[str, tuple[str, ...]] = {
    FIRST: (
        _LOAD, "sample = pictures", "class Rate(", "def trainer_for(", "def fit(", "def train(",
        "def rung(", _LINEAR, "def plain_cnn(", _PLAIN, 'rung("+ batch norm"', _AUGMENTED,
        "def residual_net(", _RESIDUAL, _MUON, "everything = np.arange(", _FAST, "def race(",
        _RACE, _BEST, "LADDER = (", "def score(", 'newest = score(',
        'kernels = {"untrained"', "right = best.report",
    ),
    SECOND: (
        _VGG, _PAINT, _LOAD, "sample = pictures", _FEATURES, _PROBES, _BUILD, _BEGIN,
        _TRY, _PAIR, _STARTS,
    ),
    THIRD: (
        _PICTURES, _VGG, _SQUARES, "other = look(", _HAND, _FIRST_PICTURE, "low, high = FACTORS",
        _LARGE, _PIECES, _PAINTER, _OWN,
    ),
}  # fmt: skip
FOUNDATIONS = {_LOAD, _VGG, _FEATURES, _BUILD, _PICTURES, _SQUARES}

CHANGES: dict[str, dict[str, Change]] = {
    FIRST: {
        "PRESET": Change("full", (), "[preset, STEM_STRIDE, len(SEEDS)]", ["full", 1, 3]),
        "DATASET": Change(
            "{folder}", (_LOAD, _LINEAR), "rungs['linear'][0].network.output_shape", [None, 2]
        ),
        "TRAIN_PICTURES": Change(12, (_LOAD, _LINEAR), "len(table.train_rows)", 12),
        "VAL_PICTURES": Change(9, (_LOAD, _LINEAR), "len(table.val_rows)", 9),
        "DEVICES": Change(3, (_LINEAR,), "handed[-1]", 3),
        "SEED": Change(1, (_PLAIN,), _TRAINED.format("plain CNN"), ANOTHER),
        "PICTURE": Change("{picture}", ("own = images.read(",), "own[0, 0]", [250, 0, 0]),
        "BATCH_SIZE": Change(4, (_PLAIN,), _TRAINED.format("plain CNN"), ANOTHER),
        "EPOCHS": Change(3, (_LINEAR,), "len(rungs['linear'][0].history['loss'])", 3),
        "LEARNING_RATE": Change(1e-2, (_PLAIN,), _TRAINED.format("plain CNN"), ANOTHER),
        "PEAK_LEARNING_RATE": Change(0.05, (_MUON,), _TRAINED.format("+ Muon"), ANOTHER),
        "RATE_FACTORS": Change([2], (_PLAIN,), "rungs['plain CNN'][0].settings['lr']", 4e-3),
        "SEEDS": Change(
            [1, 2], (_PLAIN,), "[run.settings['seed'] for run in rungs['plain CNN']]", [1, 2]
        ),
        "LABEL_SMOOTHING": Change(0.0, (_PLAIN,), _TRAINED.format("plain CNN"), ANOTHER),
        "CROP": Change(8, (_AUGMENTED,), _TRAINED.format("+ augmentation"), ANOTHER),
        "CNN_WIDTHS": Change(
            [4, 4, 5], (_PLAIN,), _LAYER.format("plain CNN", "conv3", "filters"), 5
        ),
        "WIDTHS": Change(
            [4, 6], (_RESIDUAL,), _LAYER.format("+ residual", "group1_conv1", "filters"), 6
        ),
        "DEPTH": Change(
            2,
            (_RESIDUAL,),
            "'group1_conv3' in [l.name for l in rungs['+ residual'][0].network.layers]",
            True,
        ),
        "STEM_STRIDE": Change(
            1, (_RESIDUAL,), _LAYER.format("+ residual", "stem", "strides"), [1, 1]
        ),
        "FAST_WIDTHS": Change([4, 8, 12], (_FAST,), "fast.get_layer('group3_conv1').filters", 12),
        "FAST_EPOCHS": Change(2, (_RACE,), "len(races['as it is'][0].history['loss'])", 2),
        "BEST_WIDTHS": Change([4, 8, 12], (_BEST,), "large.get_layer('group3_conv1').filters", 12),
        "BEST_EPOCHS": Change(2, (_BEST,), "lookahead.steps", ANOTHER),
        "RESUME": Change(True, (_PLAIN,), "any(run._checkpoints for run in log)", True),
    },
    SECOND: {
        "PRESET": Change("full", (), "[preset, CUTOUT, len(SEEDS)]", ["full", 8, 3]),
        "DATASET": Change("{folder}", (_LOAD,), "[num_classes, len(classes)]", [2, 2]),
        "FOLDER_SIZE": Change(40, (_LOAD,), "table.table.shape[1]", 40),
        "TRAIN_PICTURES": Change(12, (_LOAD,), "len(table.train_rows)", 12),
        "VAL_PICTURES": Change(3, (_LOAD,), "len(table.val_rows)", 3),
        "TEST_PICTURES": Change(6, (_LOAD,), "len(x_test)", 6),
        "SEED": Change(1, (_PROBES,), "answers['block5_pool_32'].numpy()", ANOTHER),
        "PICTURE": Change("{picture}", ("seen = images.read(",), "seen[0, 0]", [250, 0, 0]),
        "WEIGHTS": Change("{weights}", (_VGG,), "vgg.pretrained[-4:]", ".npz"),
        "PAINT_SIZE": Change(40, (_PAINT,), "handed['size']", 40),
        "PAINT_STEPS": Change(2, (_PAINT,), "handed['steps']", 2),
        "SIZES": Change([32, 40], (_FEATURES,), "list(val_features)", [32, 40]),
        "PROBE_EPOCHS": Change(3, (_PROBES,), "answers['block5_pool_32'].numpy()", ANOTHER),
        "SIZE": Change(40, (_BUILD,), "len(some[0])", 40),
        "BATCH_SIZE": Change(6, (_STARTS,), _KERNEL, ANOTHER),
        "STAGE_EPOCHS": Change([1, 1, 2], (_STAGES,), "len(last_run[SEEDS[0]].history['loss'])", 2),
        "RATES": Change(_RATES, (_STAGES,), "last_run[SEEDS[0]].settings['rate']", 0.15),
        "SEEDS": Change([1, 2], (_STARTS,), "len(shares['pretrained'][1.0][1])", 2),
        "WEIGHT_DECAY": Change(0.5, (_STARTS,), "network.get_weights()[0]", ANOTHER),
        "LABEL_SMOOTHING": Change(0.0, (_STARTS,), _KERNEL, ANOTHER),
        "MIRROR": Change(False, (_STARTS,), _KERNEL, ANOTHER),
        "CROP": Change(8, (_STARTS,), _KERNEL, ANOTHER),
        "CUTOUT": Change(16, (_STARTS,), _KERNEL, ANOTHER),
        "SHARE_STEPS": Change(
            {0.5: [2]},
            (_STARTS,),
            "{s: list(found) for s, found in shares['pretrained'].items()}",
            {"0.5": [2]},
        ),
        "SHARE_RATES": Change([0.3], (_TRY,), "list(tried['from scratch'])", [0.3]),
    },
    THIRD: {
        "PRESET": Change("full", (), "[preset, START]", ["full", "content"]),
        "CONTENT": Change("{picture}", (_PICTURES,), "scene[0, 0]", [250, 0, 0]),
        "STYLE": Change("{picture}", (_PICTURES,), "artwork[0, 0]", [250, 0, 0]),
        "SECOND_STYLE": Change("{picture}", (_PICTURES,), "second[0, 0]", [250, 0, 0]),
        "PICTURE": Change("{picture}", (_OWN,), "own[0, 0]", [250, 0, 0]),
        "PICTURE_STYLE": Change("{picture}", (_OWN,), "handed['art'][-4:]", ".png"),
        "WEIGHTS": Change("{weights}", (_VGG,), "handed['weights'][-4:]", ".npz"),
        "SEED": Change(1, (_FIRST_PICTURE,), "handed['seed']", 1),
        "HAND_SIZE": Change(40, (_SQUARES,), "len(small_scene)", 40),
        "HAND_STEPS": Change(2, (_HAND,), "len(history)", 2),
        "SIZE": Change(48, (_FIRST_PICTURE,), "handed['size']", 48),
        "STEPS": Change(2, (_FIRST_PICTURE,), "handed['steps']", 2),
        "START": Change("content", (_FIRST_PICTURE,), "handed.get('pyramid')", None),
        "LARGE_SIZE": Change(64, (_LARGE,), "handed['size']", 64),
        "FACTORS": Change([0.5, 2], ("low, high = FACTORS",), "list(weighed)", ANOTHER),
        "NETWORK_STEPS": Change(3, (_PAINTER,), "handed['steps']", 3),
        "CONTENT_LAYERS": Change(
            ["block3_conv1"], (_FIRST_PICTURE,), "handed['content_layers']", ["block3_conv1"]
        ),
        "STYLE_LAYERS": Change(
            {"block3_conv1": 2}, (_FIRST_PICTURE,), "handed['style_layers']", {"block3_conv1": 2}
        ),
        "STYLE_LOSS": Change("gram", (_FIRST_PICTURE,), "handed['style_loss']", "gram"),
        "CONTENT_WEIGHT": Change(2, (_FIRST_PICTURE,), "handed['content_weight']", 2),
        "STYLE_WEIGHT": Change(2, (_FIRST_PICTURE,), "handed['style_weight']", 2),
        "TV_WEIGHT": Change(2, (_FIRST_PICTURE,), "handed['tv_weight']", 2),
        "LEARNING_RATE": Change(2, (_FIRST_PICTURE,), "handed['learning_rate']", 2),
    },
}

# By notebook, where a training is stopped: the cell, those that go on all the same, and those that
# end in a sentence, with words of it.
STOPS: dict[str, list[tuple[str, tuple[str, ...], dict[str, str]]]] = {
    FIRST: [
        (
            _MUON,
            ("worth(val_accuracy)", "late = [100", "tops = [", "def score("),
            {"newest = score(": "Rung 8 has made no whole epoch yet: run its training"},
        ),
    ],
    SECOND: [
        (
            _STAGES,
            ("plots.changes(moved", "for seed in SEEDS[1:]"),
            {'looks = {"one view"': "No stage but the head has made a whole pass yet"},
        ),
        (
            _STARTS,
            ("outcomes = {", "control_reports = {}"),
            {"plots.score_panels(panels": "Nothing to compare yet: run the cell above"},
        ),
        (_TRY, (), {_STARTS: "Not all rates were tried yet: run the cell that tries rates"}),
    ],
}
