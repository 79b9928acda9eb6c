"""torchvision's models: the same features, every tensor in one block, weights and errors."""

import gc
import hashlib
import urllib.error

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from small_models import TORCHVISION_FAMILIES, TORCHVISION_SIZE, TORCHVISION_SIZES

import kerastl
from kerastl.backbones import registry, torchvision_models
from kerastl.backbones.torchvision_table import FAMILIES
from kerastl.errors import UnknownNameError, WeightsError


def test_the_table_has_exactly_torchvisions_classification_models():
    assert sorted(FAMILIES) == sorted(torchvision.models.list_models(module=torchvision.models))


@pytest.fixture
def constructed(monkeypatch):
    """The torch module that the source builds, as it is built."""
    kept = []
    construct = torchvision_models._construct
    monkeypatch.setattr(
        torchvision_models,
        "_construct",
        lambda *arguments: kept.append(construct(*arguments)) or kept[-1],
    )
    return kept


def original_features(module, path: str, images: np.ndarray, evaluation) -> np.ndarray:
    """What enters the classifying layer of torchvision's own model, in eval mode."""
    seen = []
    hook = module.get_submodule(path).register_forward_pre_hook(lambda _, a: seen.append(a[0]))
    inputs = torch.tensor(images).permute(0, 3, 1, 2)
    inputs = torchvision.transforms.functional.convert_image_dtype(inputs)
    inputs = torchvision.transforms.functional.normalize(inputs, evaluation.mean, evaluation.std)
    with torch.no_grad():
        module.eval()(inputs)
    hook.remove()
    return (seen[0].mean((2, 3)) if seen[0].ndim == 4 else seen[0]).numpy()


def check_model(name: str, constructed) -> None:
    size = TORCHVISION_SIZES.get(name, TORCHVISION_SIZE)
    images = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    model = kerastl.ImageClassifier(
        f"torchvision:{name}", num_classes=3, weights=None, image_size=size
    )
    (module,) = constructed
    features = model.features(images).numpy()
    evaluation = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    classifier = FAMILIES[name].classifier
    expected = original_features(module, classifier, images, evaluation)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(features, expected, atol=1e-5 * scale, rtol=1e-5)
    names = [n for b in model.blocks[:-1] for n in b.layers[0].named_variables()]
    tensors = [n for n, _ in (*module.named_parameters(), *module.named_buffers())]
    assert sorted(names) == sorted(n for n in tensors if not n.startswith(f"{classifier}."))


@pytest.mark.parametrize("name", TORCHVISION_FAMILIES)
def test_features_equal_torchvisions_and_every_tensor_is_in_one_block(name, constructed):
    check_model(name, constructed)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(FAMILIES) - set(TORCHVISION_FAMILIES)))
def test_features_of_all_other_models_equal_torchvisions(name, constructed):
    check_model(name, constructed)
    constructed.clear()
    gc.collect()


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_the_rescaled_input_of_pretrained_inception_is_in_the_preprocessing(
    name, constructed, tmp_path
):
    torchvision_models.build(name, weights=None, image_size=96, arguments={})
    module = constructed.pop()
    torch.save(module.state_dict(), tmp_path / "weights.pt")
    model = kerastl.ImageClassifier(
        f"torchvision:{name}", 3, weights=str(tmp_path / "weights.pt"), image_size=96
    )
    images = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), dtype=np.uint8)
    module.transform_input = True
    evaluation = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    expected = original_features(module, "fc", images, evaluation)
    np.testing.assert_allclose(
        model.features(images).numpy(), expected, atol=1e-5 * np.abs(expected).max(), rtol=1e-4
    )


def test_memory_is_shared_with_the_torch_module_and_not_copied(constructed):
    model = kerastl.ImageClassifier("torchvision:resnet18", 3, weights=None, image_size=32)
    (module,) = constructed
    variables = {n: v for b in model.blocks[:-1] for n, v in b.layers[0].named_variables().items()}
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if not name.startswith("fc."):
            assert variables[name].value.data_ptr() == tensor.data_ptr(), name


def test_what_is_published_comes_from_torchvision():
    info = registry.describe("torchvision:resnet50")
    weights = torchvision.models.ResNet50_Weights.DEFAULT
    assert info.num_parameters == 25_557_032
    assert info.top1 == weights.meta["_metrics"]["ImageNet-1K"]["acc@1"]
    assert info.image_size == 224
    backbone = torchvision_models.build("resnet50", weights=None, image_size=None, arguments={})
    assert (backbone.resizing.resize_size, backbone.resizing.crop_size) == (232, 224)


def resnet_state() -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    return torchvision.models.resnet18(num_classes=7).state_dict()


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
def test_a_local_file_loads_whatever_its_classifier(tmp_path, suffix, constructed):
    state = resnet_state()
    path = tmp_path / f"weights{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    registry.build("torchvision:resnet18", weights=str(path), image_size=32)
    loaded = constructed[0].state_dict()
    for name, value in state.items():
        if not name.startswith("fc."):
            torch.testing.assert_close(loaded[name], value, rtol=0, atol=0)


def test_a_misfitting_file_is_reported_in_full_and_nothing_is_loaded(tmp_path, constructed):
    state = resnet_state()
    del state["layer1.0.conv1.weight"]
    state["layer9.weight"] = torch.zeros(1)
    state["conv1.weight"] = torch.zeros(64, 3, 3, 3)
    torch.save(state, tmp_path / "weights.pt")
    with pytest.raises(WeightsError) as caught:
        registry.build("torchvision:resnet18", weights=str(tmp_path / "weights.pt"), image_size=32)
    message = str(caught.value)
    assert "1 missing: layer1.0.conv1.weight" in message
    assert "1 unexpected: layer9.weight" in message
    assert "conv1.weight (file (64, 3, 3, 3), model (64, 3, 7, 7))" in message
    assert not torch.equal(constructed[0].layer4[1].conv2.weight, state["layer4.1.conv2.weight"])


def test_the_old_names_of_densenets_published_files_load(tmp_path, constructed):
    state = torchvision.models.densenet121().state_dict()
    renamed = {
        name.replace("norm1", "norm.1")
        .replace("norm2", "norm.2")
        .replace("conv1", "conv.1")
        .replace("conv2", "conv.2"): value
        for name, value in state.items()
    }
    assert set(renamed) != set(state)
    torch.save(renamed, tmp_path / "weights.pth")
    registry.build("torchvision:densenet121", weights=str(tmp_path / "weights.pth"), image_size=32)
    name = "features.denseblock1.denselayer1.conv1.weight"
    torch.testing.assert_close(constructed[0].state_dict()[name], state[name])


def test_position_embeddings_are_interpolated_to_another_image_size(tmp_path, constructed):
    torch.save(torchvision.models.vit_b_32().state_dict(), tmp_path / "vit.pth")
    registry.build("torchvision:vit_b_32", weights=str(tmp_path / "vit.pth"), image_size=64)
    assert constructed[0].state_dict()["encoder.pos_embedding"].shape == (1, 5, 768)


@pytest.mark.parametrize(
    ("spec", "weights", "error", "says"),
    [
        ("torchvision:resnet19", None, UnknownNameError, "Did you mean 'torchvision:resnet18'"),
        ("resnet18", None, UnknownNameError, "Did you mean 'torchvision:resnet18'"),
        ("tochvision:resnet18", None, UnknownNameError, "Did you mean 'torchvision:resnet18'"),
        ("torchvision:resnet18?a=1", None, ValueError, "take no arguments"),
        ("torchvision:resnet18", "IMAGENET1K_V9", UnknownNameError, "It has: default, IMAGENET"),
        ("torchvision:resnet18", "/nowhere/x.pth", WeightsError, "must name a file that exists"),
        ("torchvision:resnet18", "weights.h5", WeightsError, "exists"),
    ],
)
def test_a_wrong_spec_or_weights_name_says_what_there_is(spec, weights, error, says):
    with pytest.raises(error, match=says):
        registry.build(spec, weights=weights, image_size=None)


@pytest.mark.parametrize("content", [b"not a file of weights", b""])
def test_an_unreadable_weights_file_is_one_sentence(tmp_path, content):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="Cannot read the weights file"):
        registry.build("torchvision:resnet18", weights=str(path), image_size=None)


def test_a_pickle_that_is_more_than_tensors_is_refused(tmp_path):
    path = tmp_path / "module.pth"
    torch.save(torchvision.models.resnet18(), path)
    with pytest.raises(WeightsError, match="Cannot read the weights file"):
        registry.build("torchvision:resnet18", weights=str(path), image_size=None)


def test_a_failed_download_names_file_address_place_and_option(monkeypatch, tmp_path):
    def refuse(*_args, **_kwargs):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "urlopen", refuse)
    with pytest.raises(WeightsError) as caught:
        registry.build("torchvision:resnet18", weights="IMAGENET1K_V1", image_size=None)
    message = str(caught.value)
    assert "https://download.pytorch.org/models/resnet18-f37072fd.pth" in message
    assert str(tmp_path / "checkpoints" / "resnet18-f37072fd.pth") in message
    assert "--weights PATH" in message
    assert "no route to host" in message


def test_published_weights_load_from_the_place_that_the_error_names(
    monkeypatch, tmp_path, constructed
):
    # The file's own hash is in its name; a file made here cannot have the published one.
    state = torchvision.models.resnet18().state_dict()
    torch.save(state, tmp_path / "made.pth")
    digest = hashlib.sha256((tmp_path / "made.pth").read_bytes()).hexdigest()
    file = (tmp_path / "made.pth").rename(tmp_path / f"resnet18-{digest[:8]}.pth")
    monkeypatch.setattr(torchvision_models, "_cached_file", lambda weights: file)
    assert registry.describe("torchvision:resnet18").weights_on_disk
    registry.build("torchvision:resnet18", weights="default", image_size=32)
    torch.testing.assert_close(constructed[0].state_dict()["conv1.weight"], state["conv1.weight"])


@pytest.mark.parametrize(
    ("name", "size"), [("alexnet", 16), ("vit_b_32", 50), ("maxvit_t", 100), ("inception_v3", 32)]
)
def test_an_image_size_that_the_backbone_cannot_take_is_refused(name, size):
    with pytest.raises(ValueError, match="`image_size` must be one that") as raised:
        kerastl.ImageClassifier(f"torchvision:{name}", 3, weights=None, image_size=size)
    assert "Exception encountered" not in str(raised.value)
