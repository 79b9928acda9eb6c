"""fastai's `vision_learner` and `fine_tune` at their defaults, on the same network."""

from __future__ import annotations

import time
from functools import partial

import torch
from fastai.vision.all import (
    Callback,
    CancelValidException,
    ImageDataLoaders,
    Learner,
    create_vision_model,
    default_split,
    set_seed,
)

from benchmarks.accuracy.rows.torch_network import Backbone, accuracy_of, backbone_of
from benchmarks.accuracy.tasks import Outcome, Task

_EPOCHS = 10
_BATCH_SIZE = 64  # fastai's own
_SMALL_BATCH = 16
_FEW_IMAGES = 1000


class NoValidation(Callback):
    """Leaves the validation out: the images there are the test's, and decide nothing."""

    def before_validate(self) -> None:
        """Cancel it before the first batch."""
        raise CancelValidException()


def measure(task: Task) -> Outcome:
    """One epoch of the new head, ten of everything; all images of `train/` train."""
    set_seed(task.seed)
    started = time.perf_counter()
    batches = ImageDataLoaders.from_folder(
        task.folder,
        valid="test",
        # A batch that is not full is dropped: 64 would leave 100 images one step per epoch.
        bs=_BATCH_SIZE if len(task.sample.labels) >= _FEW_IMAGES else _SMALL_BATCH,
        num_workers=0,
        device=torch.device("cpu"),
    )
    learner = _vision_learner(batches, backbone_of(task))
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(_EPOCHS)
    seconds = time.perf_counter() - started
    return Outcome(accuracy_of(learner.model, task), seconds)


def _vision_learner(batches: ImageDataLoaders, backbone: Backbone) -> Learner:
    """What `vision_learner` makes, which in 2.8.12 does not hand `cut` on; the body is whole."""
    network = create_vision_model(partial(_architecture, backbone), batches.c, cut=_whole)
    learner = Learner(batches, network, splitter=default_split, cbs=NoValidation())
    learner.freeze()
    return learner


def _architecture(backbone: Backbone, pretrained: bool = True) -> Backbone:
    return backbone


def _whole(backbone: Backbone) -> Backbone:
    return backbone
