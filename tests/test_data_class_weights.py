"""Weights of classes in a loss worked out by torch, whatever the labels and batches."""

import keras
import numpy as np
import pytest
import torch
from small_models import tiny_resnet
from torch.utils.data import DataLoader, TensorDataset

import kerastl
from kerastl.data.augmentation import Augmentation
from kerastl.data.class_weights import checked_class_weight, image_weights
from kerastl.errors import UnknownNameError

pytestmark = pytest.mark.filterwarnings("ignore:Your input ran out of data")

SIZE = 32
COUNT = 12
WEIGHTS = {0: 3.0, 1: 0.5, 2: 0.0}
ROW = np.array([3.0, 0.5, 0.0])
OWN = np.linspace(0.25, 2.0, COUNT).astype("float32")


@pytest.fixture(scope="module")
def model():
    """A model that training leaves as it is."""
    keras.utils.set_random_seed(0)
    made = kerastl.ImageClassifier(
        tiny_resnet(), 3, image_size=SIZE, class_names=("cat", "cow", "dog")
    )
    made.batch_norm = "frozen"
    made.compile(keras.optimizers.SGD(), learning_rate=0.0)
    return made


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (COUNT, SIZE, SIZE, 3), dtype=np.uint8)


NUMBERS = np.arange(COUNT) % 3
ONE_HOT = np.eye(3, dtype="float32")[NUMBERS]
SOFT = np.random.default_rng(1).dirichlet((0.5, 0.5, 0.5), COUNT).astype("float32")
SMOOTHED = 0.8 * ONE_HOT + 0.2 / 3
MIXED = 0.7 * ONE_HOT + 0.3 * ONE_HOT[::-1]
LABELS = {
    "numbers": NUMBERS,
    "column": NUMBERS[:, None],
    "one-hot": ONE_HOT,
    "whole one-hot": ONE_HOT.astype("int64"),
    "soft": SOFT,
    "smoothed": SMOOTHED,
    "mixed": MIXED,
}


def shares(labels):
    rows = np.asarray(labels)
    return rows if rows.ndim == 2 and rows.shape[1] == 3 else np.eye(3)[rows.reshape(-1)]


def by_hand(model, pixels, labels, own=None):
    """Torch's weighted cross-entropy of each image; the mean is over images, as in Keras."""
    probabilities = torch.tensor(model.predict(pixels, verbose=0), dtype=torch.float64)
    each = torch.nn.functional.cross_entropy(
        probabilities.log(),
        torch.tensor(shares(labels), dtype=torch.float64),
        weight=torch.tensor(ROW),
        reduction="none",
    ).numpy()
    return float((each * (1 if own is None else own)).mean())


class Batches(keras.utils.PyDataset):
    """All images as one batch."""

    def __init__(self, *columns):
        super().__init__()
        self.columns = columns

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.columns


def loader(*columns):
    return DataLoader(TensorDataset(*map(torch.tensor, columns)), batch_size=COUNT)


def of_tensorflow(*columns):
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices(columns).batch(COUNT)


def generator(*columns):
    return (each for each in [columns])


def loss_of_fit(model, *data, **options):
    options = {
        "batch_size": COUNT,
        "verbose": 0,
        "class_weight": WEIGHTS,
        "shuffle": False,
        **options,
    }
    return model.fit(*data, **options).history["loss"][0]


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("make", [None, loader, Batches, of_tensorflow, generator])
def test_the_loss_is_torchs_with_weights(model, pixels, kind, make):
    labels = LABELS[kind]
    data = (pixels, labels) if make is None else (make(pixels, labels),)
    options = {} if make is None else {"batch_size": None}
    expected = by_hand(model, pixels, labels)
    assert loss_of_fit(model, *data, **options) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", ["numbers", "one-hot", "soft"])
@pytest.mark.parametrize("make", [loader, Batches, of_tensorflow, generator])
def test_weights_in_the_batches_count_too(model, pixels, kind, make):
    labels = LABELS[kind]
    expected = by_hand(model, pixels, labels, OWN)
    for own in (OWN, OWN[:, None]):
        found = loss_of_fit(model, make(pixels, labels, own), batch_size=None)
        assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("mixing", [{"mixup": 0.4}, {"cutmix": 5.0}, {"mixup": 1.0, "cutmix": 1.0}])
def test_mixed_images_count_by_what_they_are_mixed_of(model, pixels, mixing):
    data = kerastl.load_data(
        (pixels, NUMBERS), image_size=SIZE, batch_size=COUNT, validation_split=0, test_split=0,
        resize="squash", augment=Augmentation(**mixing),
    )  # fmt: skip
    data.set_epoch(0)
    ((images, labels),) = data.train
    expected = by_hand(model, images.numpy(), labels.numpy())
    data.set_epoch(0)
    found = loss_of_fit(model, data.train, batch_size=None)
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("cache", [False, "memory"])
@pytest.mark.parametrize("kind", ["numbers", "soft"])
def test_cached_features_are_weighed_alike(pixels, cache, kind):
    keras.utils.set_random_seed(0)
    model = kerastl.ImageClassifier(tiny_resnet(), 3, image_size=SIZE)
    model.freeze()
    model.compile(keras.optimizers.SGD(), learning_rate=0.0)
    expected = by_hand(model, pixels, LABELS[kind])
    for data in ((pixels, LABELS[kind]), (loader(pixels, LABELS[kind]),)):
        size = COUNT if len(data) == 2 else None
        found = loss_of_fit(model, *data, cache=cache, batch_size=size)
        assert found == pytest.approx(expected, rel=1e-4)


def test_weights_are_of_one_fit_alone(model, pixels):
    plain = model.evaluate(pixels, SOFT, verbose=0)[0]
    loss_of_fit(model, pixels, SOFT)
    assert loss_of_fit(model, pixels, SOFT, class_weight=None) == pytest.approx(plain, rel=1e-4)


@pytest.mark.parametrize("kind", ["numbers", "soft"])
def test_validation_is_not_weighed(model, pixels, kind):
    labels = LABELS[kind]
    found = model.fit(pixels, labels, validation_split=0.5, class_weight=WEIGHTS, verbose=0).history
    expected = model.evaluate(pixels[6:], labels[6:], verbose=0)[0]
    assert found["val_loss"][0] == pytest.approx(expected, rel=1e-4)
    assert found["loss"][0] == pytest.approx(by_hand(model, pixels[:6], labels[:6]), rel=1e-4)


def test_one_probability_with_shares(pixels):
    keras.utils.set_random_seed(0)
    model = kerastl.ImageClassifier(tiny_resnet(), 1, image_size=SIZE)
    model.batch_norm = "frozen"
    model.compile(keras.optimizers.SGD(), learning_rate=0.0)
    given = model.predict(pixels, verbose=0)[:, 0].astype("float64")
    for labels in (np.linspace(0, 1, COUNT, dtype="float32"), np.arange(COUNT) % 2):
        each = -(4 * labels * np.log(given) + 0.5 * (1 - labels) * np.log(1 - given))
        for data in ((pixels, labels), (loader(pixels, labels),)):
            size = COUNT if len(data) == 2 else None
            found = loss_of_fit(model, *data, class_weight={0: 0.5, 1: 4.0}, batch_size=size)
            assert found == pytest.approx(each.mean(), rel=1e-4)


def test_smoothed_losses_are_mixed_of_what_whole_classes_have(model, pixels):
    model.compile(
        keras.optimizers.SGD(),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=0.1),
        learning_rate=0.0,
    )
    whole = [
        loss_of_fit(model, pixels, np.eye(3, dtype="float32")[np.full(COUNT, c)]) for c in range(3)
    ]
    expected = sum(share * loss for share, loss in zip((0.5, 0.3, 0.2), whole, strict=True))
    rows = np.tile(np.array([0.5, 0.3, 0.2], "float32"), (COUNT, 1))
    assert loss_of_fit(model, pixels, rows) == pytest.approx(expected, rel=1e-4)
    model.compile(keras.optimizers.SGD(), learning_rate=0.0)


def test_a_solved_head_with_shares_is_that_of_images_that_are_repeated(pixels):
    """An image that is 3/4 of one class is three images of it and one of the other."""
    model = kerastl.ImageClassifier(tiny_resnet(), 3, image_size=SIZE)
    rows = 0.75 * ONE_HOT + 0.25 * np.roll(ONE_HOT, 1, 1)
    model.solve_head(pixels, rows, class_weight=WEIGHTS, penalty=1.0)
    found = model.predict(pixels, verbose=0)
    three = np.repeat(pixels, 2, 0)
    labels = np.stack([rows.argmax(1), np.roll(ONE_HOT, 1, 1).argmax(1)], 1).reshape(-1)
    model.solve_head(
        three, labels, class_weight=WEIGHTS, penalty=1.0, sample_weight=np.tile([0.75, 0.25], COUNT)
    )
    np.testing.assert_allclose(found, model.predict(pixels, verbose=0), atol=1e-3)


def test_weights_may_be_by_name(model, pixels):
    names = {"cat": 3.0, "cow": 0.5, "dog": 0.0}
    found = loss_of_fit(model, pixels, NUMBERS, class_weight=names)
    assert found == pytest.approx(by_hand(model, pixels, NUMBERS), rel=1e-4)


@pytest.mark.parametrize(
    ("weights", "error", "words"),
    [
        ({3: 1.0}, ValueError, "by class, 0 to 2. Received: 3"),
        ({-1: 1.0}, ValueError, "by class, 0 to 2. Received: -1"),
        ({0: -1.0}, ValueError, "weights from 0 on. Received: -1.0"),
        ({0: float("nan")}, ValueError, "weights from 0 on"),
        ({"horse": 1.0}, UnknownNameError, "Unknown class 'horse'.*cat, cow, dog"),
    ],
)
def test_weights_that_make_no_sense_are_refused(model, pixels, weights, error, words):
    with pytest.raises(error, match=words):
        model.fit(pixels, NUMBERS, class_weight=weights, verbose=0)


@pytest.mark.parametrize("task", ["multi-label", "regression"])
def test_images_that_are_not_of_one_class_have_no_weights_by_class(pixels, task):
    model = kerastl.ImageClassifier(tiny_resnet(), 3, image_size=SIZE, task=task)
    model.compile("sgd", metrics=[])
    with pytest.raises(ValueError, match="`class_weight` must be left out with task="):
        model.fit(pixels, ONE_HOT, class_weight={0: 2.0}, verbose=0)


def test_weights_that_are_not_one_per_image_are_one_sentence(model, pixels):
    with pytest.raises(ValueError, match=r"one weight per image.*shape \(12, 3\) for 12 images"):
        loss_of_fit(model, loader(pixels, NUMBERS, ONE_HOT), batch_size=None)


def test_rows_that_are_no_shares_count_by_their_largest():
    signs = np.where(ONE_HOT > 0, 1.0, -1.0)
    np.testing.assert_array_equal(image_weights(signs, WEIGHTS), ROW[NUMBERS])


@pytest.mark.parametrize(
    "given",
    [
        [3.0, 0.5, 0.0],
        (3, 0.5, 0),
        ROW,
        ROW.astype("float32"),
        torch.tensor(ROW),
        torch.tensor(ROW, requires_grad=True),
        torch.tensor(ROW).to(torch.bfloat16),
        {np.int64(0): np.float32(3), 1: 0.5, 2: 0},
    ],
)
def test_a_weight_for_each_class_may_be_a_list_or_an_array(given):
    found = checked_class_weight(given, names=None, task="classification", num_outputs=3)
    assert found == WEIGHTS


def test_a_list_of_weights_trains_as_a_dictionary_does(model, pixels):
    labels = np.arange(COUNT) % 3
    losses = [
        model.fit(pixels, labels, class_weight=given, verbose=0).history["loss"]
        for given in (WEIGHTS, ROW, list(ROW), torch.tensor(ROW))
    ]
    np.testing.assert_allclose(losses, losses[:1] * 4, rtol=1e-6)


@pytest.mark.parametrize(
    "given", ["balanced", "", [1.0, 2.0], np.ones((3, 1)), 2.0, ["a", "b", "c"], [1.0, -1.0, 1.0]]
)
def test_other_things_than_a_weight_for_each_class_are_one_sentence(model, pixels, given):
    labels = np.arange(COUNT) % 3
    with pytest.raises(ValueError, match="`class_weight` must"):
        model.fit(pixels, labels, class_weight=given, verbose=0)
    with pytest.raises(ValueError, match="`class_weight` must"):
        model.solve_head(pixels, labels, class_weight=given)


def test_folds_of_solved_heads_are_weighed_by_names_numbers_and_lists_alike(model, pixels):
    labels = np.arange(COUNT) % 3
    named = {"cat": 3.0, "cow": 0.5, "dog": 2.0}
    found = [
        kerastl.cross_validate(
            model, pixels, labels, folds=2, solve={"penalty": 1.0, "class_weight": given}
        ).evaluation.probabilities
        for given in ({0: 3.0, 1: 0.5, 2: 2.0}, named, [3.0, 0.5, 2.0], None)
    ]
    np.testing.assert_allclose(found[1], found[0], rtol=1e-6)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-6)
    assert not np.allclose(found[3], found[0])
