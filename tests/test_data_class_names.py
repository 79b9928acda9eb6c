"""Labels of data go to the model's classes by their names, whatever holds the batches."""

import keras
import numpy as np
import pytest
import torch
from PIL import Image
from small_models import tiny_resnet
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset, TensorDataset, random_split
from torchvision.datasets import ImageFolder

import kerastl
from kerastl.data.class_names import Renumbered, class_names_of
from kerastl.data.label_changes import ChangedCollate

NAMES = ("cat", "cow", "dog")
SIZE = 32


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    made = kerastl.ImageClassifier(tiny_resnet(), 3, image_size=SIZE, class_names=NAMES)
    made.compile(keras.optimizers.SGD(), learning_rate=0.0)
    return made


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (12, SIZE, SIZE, 3), dtype=np.uint8)


class Named(Dataset):
    """Images with labels, and names as torchvision's data sets have them."""

    def __init__(self, images, labels, classes, **more):
        self.images, self.labels, self.classes = images, labels, list(classes)
        vars(self).update(more)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index], self.labels[index]


class Batches(keras.utils.PyDataset):
    """Batches of arrays that name their classes."""

    def __init__(self, images, labels, classes):
        super().__init__()
        self.images, self.labels, self.class_names = images, labels, list(classes)

    def __len__(self):
        return 3

    def __getitem__(self, index):
        part = slice(index * 4, index * 4 + 4)
        return self.images[part], self.labels[part]


def of_tensorflow(images, labels, classes):
    tf = pytest.importorskip("tensorflow")
    dataset = tf.data.Dataset.from_tensor_slices((images, labels)).batch(4)
    dataset.class_names = list(classes)
    return dataset


def loader(images, labels, classes, **more):
    return DataLoader(Named(images, labels, classes, **more), batch_size=4)


def parted(images, labels, classes):
    dataset = Named(images, labels, classes)
    return DataLoader(Subset(Subset(dataset, range(12)), range(12)), batch_size=5)


def joined(images, labels, classes):
    parts = [Named(images[:5], labels[:5], classes), Named(images[5:], labels[5:], classes)]
    return DataLoader(ConcatDataset(parts), batch_size=4)


def by_numbers(images, labels, classes):
    numbers = {name: 10 * place for place, name in enumerate(classes)}
    return loader(images, labels * 10, classes, class_to_idx=numbers)


def measured(model, x, y=None):
    return model.evaluate(x, y, verbose=0, return_dict=True)


@pytest.mark.parametrize("order", [("dog", "cat", "cow"), ("cow", "cat", "dog"), NAMES])
@pytest.mark.parametrize("make", [loader, parted, joined, by_numbers, Batches, of_tensorflow])
def test_classes_in_another_order_score_as_the_same_images_in_the_models(
    model, pixels, make, order
):
    truth = np.arange(12) % 3
    own = np.array([order.index(NAMES[label]) for label in truth])
    assert measured(model, make(pixels, own, order)) == pytest.approx(
        measured(model, pixels, truth), rel=1e-5
    )


@pytest.mark.parametrize("order", [("dog", "cow"), ("dog",), ("cat", "dog"), ("cow", "cat")])
@pytest.mark.parametrize("make", [loader, parted, Batches, of_tensorflow])
def test_a_test_set_may_lack_classes(model, pixels, make, order):
    own = np.arange(12) % len(order)
    truth = np.array([NAMES.index(order[label]) for label in own])
    assert measured(model, make(pixels, own, order)) == pytest.approx(
        measured(model, pixels, truth), rel=1e-5
    )


def test_rows_of_shares_get_their_columns(model, pixels):
    own = np.random.default_rng(1).dirichlet((1, 1), 12).astype("float32")
    rows = np.zeros((12, 3), "float32")
    rows[:, 2], rows[:, 0] = own[:, 0], own[:, 1]
    found = measured(model, loader(pixels, own, ("dog", "cat")))
    assert found == pytest.approx(measured(model, pixels, rows), rel=1e-5)


def test_validation_data_and_training_data_are_matched_too(model, pixels):
    truth = np.arange(12) % 3
    own = np.array([("dog", "cow", "cat").index(NAMES[label]) for label in truth])
    named = loader(pixels, own, ("dog", "cow", "cat"))
    model.batch_norm = "frozen"
    found = model.fit(named, validation_data=named, verbose=0).history
    expected = model.fit(
        pixels, truth, shuffle=False, batch_size=4, validation_data=(pixels, truth), verbose=0
    ).history
    for name in ("loss", "val_loss", "accuracy", "val_accuracy"):
        assert found[name] == pytest.approx(expected[name], rel=1e-4)


@pytest.mark.parametrize("cache", ["auto", "memory"])
def test_cached_features_go_with_matched_labels(pixels, cache):
    keras.utils.set_random_seed(0)
    model = kerastl.ImageClassifier(tiny_resnet(), 3, image_size=SIZE, class_names=NAMES)
    model.freeze()
    model.compile(keras.optimizers.SGD(), learning_rate=0.0)
    own = np.arange(12) % 2
    truth = np.array([2, 0])[own]
    named = loader(pixels, own, ("dog", "cat"))
    found = model.fit(named, epochs=2, cache=cache, verbose=0).history["loss"]
    assert found == pytest.approx([measured(model, pixels, truth)["loss"]] * 2, rel=1e-4)


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (("cat", "cow", "horse"), "only in the data: horse; only in the model: dog"),
        (("Cat", "Cow", "Dog"), "only in the data: Cat, Cow, Dog"),
        (("cat", "cow", "dog", "emu"), "only in the data: emu"),
        (("cat", "cat", "dog"), "a name that stands for several"),
    ],
)
@pytest.mark.parametrize("make", [loader, Batches, of_tensorflow])
def test_other_names_are_refused_with_both_lists(model, pixels, make, classes, words):
    data = make(pixels, np.arange(12) % 3, classes)
    for call in (
        lambda: model.evaluate(data, verbose=0),
        lambda: model.fit(pixels, np.arange(12) % 3, validation_data=data, verbose=0),
        lambda: model.fit(data, verbose=0),
        lambda: model.solve_head(data),
        lambda: model.find_learning_rate(data),
    ):
        with pytest.raises(ValueError, match=words) as refused:
            call()
        assert "The model has cat, cow, dog; the data have " + ", ".join(classes) in str(
            refused.value
        )
        assert "Build the classifier" not in str(refused.value)


def test_a_model_without_names_goes_by_those_it_was_trained_on(pixels):
    keras.utils.set_random_seed(0)
    model = kerastl.ImageClassifier(tiny_resnet(), 3, image_size=SIZE)
    model.compile(keras.optimizers.SGD(), learning_rate=0.0)
    model.fit(loader(pixels, np.arange(12) % 3, NAMES), verbose=0)
    assert model.class_names is None
    found = measured(model, loader(pixels, np.zeros(12, int), ["dog"]))
    assert found == pytest.approx(measured(model, pixels, np.full(12, 2)), rel=1e-5)
    with pytest.raises(ValueError, match="only in the data: emu"):
        measured(model, loader(pixels, np.zeros(12, int), ["emu"]))


def test_images_of_a_folder_are_matched_by_its_names(model, pixels, tmp_path):
    for number, name in enumerate(("dog", "cow")):
        (tmp_path / name).mkdir()
        for image in range(4):
            Image.fromarray(pixels[4 * number + image]).save(tmp_path / name / f"{image}.png")
    data = kerastl.load_data(
        f"folder:{tmp_path}", image_size=SIZE, validation_split=0, test_split=0, num_workers=0,
        resize="squash",
    )  # fmt: skip
    truth = np.repeat([2, 1], 4)
    expected = measured(model, pixels[:8], truth)
    assert measured(model, data.in_order("train")) == pytest.approx(expected, rel=1e-5)
    of_torchvision = ImageFolder(str(tmp_path), transform=np.array)
    some, rest = random_split(of_torchvision, [5, 3], torch.Generator().manual_seed(0))
    parts = [(measured(model, DataLoader(part, batch_size=8)), len(part)) for part in (some, rest)]
    mean = sum(found["loss"] * count for found, count in parts) / 8
    assert mean == pytest.approx(expected["loss"], rel=1e-5)
    found = kerastl.calibrate(model, data.in_order("train"))
    model.get_layer("head").temperature = 1.0
    model.test_function = None
    assert found.loss_before == pytest.approx(expected["loss"], rel=1e-4)


def test_arrays_without_names_go_to_a_model_that_has_them(model, pixels):
    truth = np.arange(12) % 3
    options = {"image_size": SIZE, "validation_split": 0, "test_split": 0, "resize": "squash"}
    data = kerastl.load_data((pixels, truth), **options)
    expected = pytest.approx(measured(model, pixels, truth), rel=1e-5)
    assert measured(model, data.in_order("train")) == expected
    named = kerastl.load_data((pixels, np.arange(12) % 2), class_names=["dog", "cow"], **options)
    expected = pytest.approx(measured(model, pixels, 2 - np.arange(12) % 2), rel=1e-5)
    assert measured(model, named.in_order("train")) == expected


def test_one_probability_turns_with_the_names(pixels):
    keras.utils.set_random_seed(0)
    model = kerastl.ImageClassifier(tiny_resnet(), 1, image_size=SIZE, class_names=["no", "yes"])
    model.compile(keras.optimizers.SGD(), learning_rate=0.0)
    shares = np.linspace(0, 1, 12, dtype="float32")
    for own in (np.arange(12) % 2, shares, shares[:, None]):
        found = measured(model, loader(pixels, own, ["yes", "no"]))
        assert found["loss"] == pytest.approx(measured(model, pixels, 1 - own)["loss"], rel=1e-5)


def test_several_labels_that_the_data_lack_are_on_no_image(pixels):
    keras.utils.set_random_seed(0)
    model = kerastl.ImageClassifier(
        tiny_resnet(), 3, image_size=SIZE, class_names=NAMES, task="multi-label"
    )
    model.compile(keras.optimizers.SGD(), learning_rate=0.0, metrics=[])
    own = (np.arange(24).reshape(12, 2) % 5 > 1).astype("float32")
    rows = np.stack([own[:, 1], np.zeros(12), own[:, 0]], 1)
    found = measured(model, loader(pixels, own, ("dog", "cat")))
    assert found == pytest.approx(measured(model, pixels, rows), rel=1e-5)


def test_numbers_to_predict_must_all_be_there(pixels):
    model = kerastl.ImageClassifier(
        tiny_resnet(), 2, image_size=SIZE, class_names=["x", "y"], task="regression"
    )
    model.compile(keras.optimizers.SGD(), learning_rate=0.0)
    own = np.random.default_rng(0).normal(size=(12, 2)).astype("float32")
    found = measured(model, loader(pixels, own, ("y", "x")))
    assert found == pytest.approx(measured(model, pixels, own[:, ::-1]), rel=1e-4)
    with pytest.raises(ValueError, match="only in the model: y"):
        measured(model, loader(pixels, own[:, :1], ("x",)))


def test_data_that_say_nothing_of_their_labels_are_taken_as_they_are(pixels):
    changed = Named(pixels, np.zeros(12, int), ["a"], target_transform=lambda label: label + 1)
    assert class_names_of(DataLoader(changed)) is None
    assert class_names_of(DataLoader(TensorDataset(torch.tensor(pixels)))) is None
    assert class_names_of(pixels) is None
    odd = Named(pixels, np.zeros(12, int), [("tench", "Tinca tinca"), ("goldfish",)])
    assert class_names_of(DataLoader(odd)) is None


def test_joined_sets_of_other_classes_are_refused(model, pixels):
    sets = [Named(pixels, np.zeros(12, int), names) for names in (["cat", "dog"], ["dog"])]
    with pytest.raises(ValueError, match=r"must have the same classes.*cat, dog; and dog"):
        measured(model, DataLoader(ConcatDataset(sets)))


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.array([0, 2]), "must be numbers of the data's classes, 0 to 1. Received: 2"),
        (np.eye(3)[:2], "a column for each of the data's 2 classes. Received: 3 columns"),
    ],
)
def test_labels_beyond_the_datas_own_classes_are_refused(labels, words):
    change = Renumbered({0: 2, 1: 0}, 3)
    with pytest.raises(ValueError, match=words):
        change(labels, None)


def test_a_changed_batch_keeps_its_images_and_weights():
    batch = (torch.ones(2, 1), torch.tensor([0, 1]), torch.tensor([1.0, 3.0]))
    images, labels, weights = ChangedCollate(lambda samples: batch, Renumbered({0: 2, 1: 0}, 3))([])
    assert images is batch[0]
    assert labels.tolist() == [2, 0]
    assert labels.dtype == torch.int64
    assert weights.tolist() == [1.0, 3.0]
