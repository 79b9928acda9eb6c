"""Lightning's `Trainer` on the same network and loader."""

from __future__ import annotations

from collections.abc import Callable

import lightning
import torch
from torch import nn

from benchmarks.contestants import TrainingOutcome
from benchmarks.images import tensor_loader
from benchmarks.jobs import Job
from benchmarks.networks import build_network, freeze


class Classifier(lightning.LightningModule):
    """A network with cross-entropy; loss and accuracy are logged per epoch.

    Args:
        network: Gives logits, `(batch, classes)`.
        trained: The parameters that train.
    """

    def __init__(self, network: nn.Module, trained: list[nn.Parameter]) -> None:
        super().__init__()
        self.network = network
        self._trained = trained

    def training_step(
        self, batch: tuple[torch.Tensor, torch.Tensor], batch_index: int
    ) -> torch.Tensor:
        """The loss of a batch."""
        images, labels = batch
        logits = self.network(images)
        loss = nn.functional.cross_entropy(logits, labels)
        accuracy = (logits.argmax(dim=1) == labels).float().mean()
        self.log_dict({"loss": loss, "accuracy": accuracy}, on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """SGD on what trains."""
        return torch.optim.SGD(self._trained, lr=0.001, momentum=0.9)


def prepare(job: Job) -> Callable[[], TrainingOutcome]:
    """Build module, loader and trainer; what is returned calls `fit`."""
    network = build_network(job)
    classifier = Classifier(network, freeze(network, job))
    loader = tensor_loader(job)
    trainer = lightning.Trainer(
        accelerator="auto",
        devices=1,
        precision="bf16-mixed" if job.is_mixed else "32-true",
        max_epochs=job.epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )

    def train() -> TrainingOutcome:
        trainer.fit(classifier, loader)
        return TrainingOutcome(float(trainer.callback_metrics["loss"]))

    return train
