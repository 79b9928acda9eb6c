"""Images that cannot be pixels 0-255 are refused at the first batch; good ones pass in silence."""

import warnings

import keras
import numpy as np
import pytest
import torch
from PIL import Image
from small_models import tiny_resnet
from torch.utils.data import DataLoader, TensorDataset

import kerastl
from kerastl.backbones.base import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

pytestmark = pytest.mark.filterwarnings("ignore:Your input ran out of data")

SIZE = 32
DRAW = np.random.default_rng(0)
PIXELS = DRAW.integers(0, 256, (8, SIZE, SIZE, 3), dtype=np.uint8)
FLOATS = PIXELS.astype("float32")
LABELS = np.arange(8) % 2


@pytest.fixture(scope="module")
def model():
    return made()


def made(kind=kerastl.ImageClassifier, **options):
    keras.utils.set_random_seed(0)
    model = kind(tiny_resnet(), 2, image_size=SIZE, **options)
    model.compile(keras.optimizers.SGD(), learning_rate=0.0)
    return model


class Batches(keras.utils.PyDataset):
    def __init__(self, images):
        super().__init__()
        self.images = images

    def __len__(self):
        return 2

    def __getitem__(self, index):
        part = slice(index * 4, index * 4 + 4)
        return self.images[part], LABELS[part]


def loader(images):
    return DataLoader(TensorDataset(torch.tensor(images), torch.tensor(LABELS)), batch_size=4)


def of_tensorflow(images):
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((images, LABELS)).batch(4)


def generator(images):
    return (Batches(images)[number] for number in range(2))


def as_tensor(images):
    return torch.tensor(images)


def as_list(images):
    return [images]


CONTAINERS = [None, as_tensor, as_list, Batches, loader, of_tensorflow, generator]


def fit(model, make, images):
    data = (images, LABELS) if make in (None, as_tensor, as_list) else (images,)
    model.fit(*_of(make, data), verbose=0, shuffle=False)


def evaluate(model, make, images):
    data = (images, LABELS) if make in (None, as_tensor, as_list) else (images,)
    model.evaluate(*_of(make, data), verbose=0)


def predict(model, make, images):
    model.predict(*_of(make, (images,)), verbose=0)


def validate(model, make, images):
    data = _of(make, (images, LABELS) if make in (None, as_tensor, as_list) else (images,))
    model.fit(PIXELS, LABELS, validation_data=data if len(data) > 1 else data[0], verbose=0)


def _of(make, data):
    images, *others = data
    return (images if make is None else make(images), *others)


def ours(caught):
    return [each for each in caught if "pixels 0-255" in str(each.message)]


METHODS = [fit, evaluate, predict, validate]


def smooth(images):
    """The images as a resampling that goes beyond their range makes them."""
    big = [
        np.stack(
            [
                np.array(Image.fromarray(image[..., c].astype("float32")).resize((64, 64), 3))
                for c in range(3)
            ],
            -1,
        )
        for image in images
    ]
    return np.stack(big)[:, 16:48, 16:48]


BAD = {
    "0-1": (FLOATS / 255, "scaled to 0-1"),
    "0-1 in half precision": ((FLOATS / 255).astype("float16"), "scaled to 0-1"),
    "dark and scaled": (np.round(FLOATS / 20) / 255, "scaled to 0-1"),
    "-1 to 1": (FLOATS / 127.5 - 1, "normalised"),
    "normalised": ((FLOATS / 255 - IMAGENET_MEAN) / IMAGENET_STD, "normalised"),
    "standardised": ((FLOATS - FLOATS.mean()) / FLOATS.std(), "normalised"),
    "without mean": (FLOATS - 120, "mean was taken off"),
    "signed": ((PIXELS.astype("int16") - 128).astype("int8"), "signed numbers"),
    "12 bits": (FLOATS * 16, "10, 12 or 16 bits"),
    "16 bits": (PIXELS.astype("int32") * 257, "10, 12 or 16 bits"),
    "NaN": (np.where(FLOATS == 7, np.nan, FLOATS), "NaN or infinite"),
    "infinite": (np.where(FLOATS == 7, np.inf, FLOATS), "NaN or infinite"),
    "channels first": (np.moveaxis(PIXELS, -1, 1), "channels first.*permute"),
    "channels first and 0-1": (np.moveaxis(FLOATS / 255, -1, 1), "channels first"),
    "grey": (PIXELS[..., 0], "without channels"),
    "grey with an axis": (PIXELS[..., :1], "one channel"),
    "transparent": (np.concatenate([PIXELS, PIXELS[..., :1]], -1), "four channels"),
}

UNLIKELY = {
    "masks": ((PIXELS > 127).astype("uint8"), "masks"),
    "masks as floats": ((PIXELS > 127).astype("float32"), "masks"),
    "white masks": (np.ones_like(PIXELS), "masks"),
    "levels": (np.round(FLOATS / 255 * 16), "16 levels of grey"),
    "brightened": (FLOATS * 1.2, "Clip them"),
    "bright and normalised": (FLOATS / 255 + 1.1, "hardly more than black"),
    "some scaled to 0-1": (
        np.where(np.arange(len(FLOATS))[:, None, None, None] % 2, FLOATS / 255, FLOATS),
        "images that were looked at with values of at most 1",
    ),
}

GOOD = {
    "uint8": PIXELS,
    "floats": FLOATS,
    "double": FLOATS.astype("float64"),
    "int64": PIXELS.astype("int64"),
    "between": FLOATS * 0.7 + 0.3,
    "black": np.zeros_like(PIXELS),
    "black floats": np.zeros_like(FLOATS),
    "white": np.full_like(PIXELS, 255),
    "dark": PIXELS // 20,
    "dark floats": FLOATS / 20,
    "dark whole floats": (PIXELS // 20).astype("float32"),
    "one bright pixel": np.where(np.arange(SIZE)[:, None, None] == 3, FLOATS, 0.0),
    "constant dark": np.full_like(PIXELS, 9),
    "masks of 255": (PIXELS > 127).astype("uint8") * 255,
    "beyond by resampling": smooth(PIXELS),
    "dark beyond by resampling": smooth(PIXELS // 4),
    "black, one image": np.concatenate([np.zeros((7, SIZE, SIZE, 3)), FLOATS[:1]]),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_pixels_is_refused(model, kind, method):
    images, words = BAD[kind]
    name = "validation_data" if method is validate else "x"
    with pytest.raises(
        ValueError, match=f"`{name}` must h(old pixels 0-255|ave the shape).*{words}"
    ):
        method(model, None, images)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("make", CONTAINERS)
@pytest.mark.parametrize("kind", ["0-1", "normalised", "NaN", "channels first", "12 bits"])
def test_whatever_holds_the_images(model, kind, make, method):
    images, words = BAD[kind]
    with pytest.raises(ValueError, match=words):
        method(model, make, images)


@pytest.mark.parametrize("method", [fit, predict])
@pytest.mark.parametrize("kind", UNLIKELY)
def test_what_is_only_unlikely_is_a_warning(model, kind, method):
    images, words = UNLIKELY[kind]
    with pytest.warns(UserWarning, match=words) as caught:
        method(model, None, images)
    assert len(ours(caught)) == 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", GOOD)
def test_good_images_pass_in_silence(model, kind, method):
    method(model, None, GOOD[kind])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("make", CONTAINERS)
def test_good_images_pass_in_silence_from_anywhere(model, make, method):
    method(model, make, FLOATS)


def test_a_single_image_is_told_to_be_a_batch(model):
    with pytest.raises(ValueError, match=r"a single image. Pass image\[None\]"):
        model.predict(PIXELS[0], verbose=0)


def test_batches_are_looked_at_once_and_drawn_once(model):
    drawn = []

    def batches():
        for number in range(5):
            drawn.append(number)
            yield (PIXELS > 127).astype("float32"), LABELS

    with pytest.warns(UserWarning, match="masks") as caught:
        model.fit(batches(), steps_per_epoch=2, epochs=2, verbose=0, shuffle=False)
    assert len(ours(caught)) == 1
    assert len(drawn) <= 5
    seen = []
    model.predict((seen.append(n) or (PIXELS,) for n in range(3)), verbose=0)
    assert seen == [0, 1, 2]


def test_validation_is_looked_at_once_in_a_fit(model):
    masks = loader((PIXELS > 127).astype("float32"))
    with pytest.warns(UserWarning, match="`validation_data`.*masks") as caught:
        model.fit(PIXELS, LABELS, validation_data=masks, epochs=3, verbose=0)
    assert len(ours(caught)) == 1


@pytest.mark.parametrize("make", [None, loader])
def test_images_behind_a_cache_are_looked_at(make):
    model = made()
    model.freeze()
    model.compile(learning_rate=0.0)
    for images, words in (BAD["0-1"], BAD["normalised"]):
        data = (images, LABELS) if make is None else (make(images),)
        with pytest.raises(ValueError, match=words):
            model.fit(*data, epochs=2, cache="memory", verbose=0)
        with pytest.raises(ValueError, match=words):
            model.solve_head(*data)
    with pytest.raises(ValueError, match="scaled to 0-1"):
        model.solve_head(Batches(FLOATS / 255))


def test_a_model_that_wants_other_numbers_gets_them():
    scaled = Preprocessing(scale=1.0, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    nothing = Preprocessing(scale=1.0, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    for preprocessing in (scaled, nothing):
        model = made(preprocessing=preprocessing)
        fit(model, None, FLOATS / 255)
        fit(model, loader, FLOATS / 127.5 - 1)
        with pytest.raises(ValueError, match="NaN"):
            predict(model, None, BAD["NaN"][0])


@keras.saving.register_keras_serializable(package="tests")
class Rescales(kerastl.ImageClassifier):
    """Takes 0-1."""

    def call(self, inputs, training=None, mask=None):
        return super().call(inputs * 255.0, training=training, mask=mask)


class OwnStep(kerastl.ImageClassifier):
    """Takes 0-1 in training."""

    def train_step(self, data):
        images, labels = data
        return super().train_step((images * 255.0, labels))


def test_a_model_that_rescales_by_itself_is_left_alone():
    model = made(Rescales)
    for method in METHODS[:3]:
        for make in (None, loader):
            method(model, make, FLOATS / 255)
    own = made(OwnStep)
    fit(own, None, FLOATS / 255)
    with pytest.raises(ValueError, match="scaled to 0-1"):
        predict(own, None, FLOATS / 255)


def test_a_model_behind_a_rescaling_layer_is_left_alone(model):
    outer = keras.Sequential([keras.layers.Rescaling(255.0), model])
    outer.compile("sgd", "sparse_categorical_crossentropy")
    outer.predict(FLOATS / 255, verbose=0)
    outer.fit(FLOATS / 255, LABELS, verbose=0)


def test_whoever_knows_better_can_say_so():
    model = made()
    model.checks_pixels = False
    for method in METHODS:
        for make in (None, loader):
            method(model, make, FLOATS / 255)


def test_images_on_another_device_are_not_moved_as_a_whole(model):
    moved = []

    class Far(torch.Tensor):
        def cpu(self, *args, **kwargs):
            moved.append(len(self))
            return super().cpu(*args, **kwargs)

    images = torch.tensor(np.repeat(PIXELS, 40, 0)).as_subclass(Far)
    model.check_pixels(images)
    assert moved == [32]


def test_some_of_the_images_stand_for_all(model):
    """Sorted images: the first are black."""
    images = np.concatenate([np.zeros((200, SIZE, SIZE, 3)), np.repeat(FLOATS / 255, 25, 0)])
    with pytest.raises(ValueError, match="scaled to 0-1"):
        model.check_pixels(images)


def test_nothing_is_said_of_what_is_no_image(model):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.check_pixels(np.zeros((0, SIZE, SIZE, 3)))
