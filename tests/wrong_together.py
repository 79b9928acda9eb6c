"""What several processes cannot do, one case after the other; each says what it was told.

python tests/wrong_together.py CASE...
"""

import os
import signal
import sys

from trained_together import IMAGES, LABELS, classifier, compiled, keras, np, torch

from kerastl.processes.group import alone, start

RANK = int(os.environ.get("RANK", "0"))


def model_of_the_head():
    model = classifier()
    model.freeze()
    return compiled(model)


def fit(model, x=IMAGES, y=LABELS, **options):
    return model.fit(x, y, **{"batch_size": 12, "verbose": 0, **options})


def other_labels():
    fit(model_of_the_head(), y=(LABELS + RANK) % 4)


def other_images():
    images = IMAGES.copy()
    images[-1] += RANK
    fit(model_of_the_head(), images)


def other_options():
    fit(model_of_the_head(), epochs=1 + RANK)


def small_batch():
    fit(model_of_the_head(), batch_size=1)


def few_images():
    fit(model_of_the_head(), IMAGES[:1], LABELS[:1])


def own_sampler():
    dataset = torch.utils.data.TensorDataset(torch.tensor(IMAGES), torch.tensor(LABELS))
    sampler = torch.utils.data.DistributedSampler(dataset, 2, RANK)
    fit(model_of_the_head(), torch.utils.data.DataLoader(dataset, 6, sampler=sampler), None)


def generator():
    model_of_the_head().fit(((IMAGES, LABELS) for _ in range(2)), verbose=0)


def own_metric():
    class Largest(keras.metrics.Metric):
        def update_state(self, y_true, y_pred, sample_weight=None):
            pass

        def result(self):
            return 0.0

    model = classifier()
    model.compile(metrics=[Largest(name="largest")])
    fit(model)


def own_loop():
    model_of_the_head().train_on_batch(IMAGES, LABELS)


def sum_of_losses():
    model = classifier()
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(reduction="sum"))
    fit(model)


def sharded():
    from torch.distributed.fsdp import fully_shard

    model = classifier("keras:MobileNet?alpha=0.25", weights=None, image_size=32)
    start()
    fully_shard(compiled(model))
    fit(model)


def unfrozen_on_one():
    class Unfreeze(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if RANK == 1 and batch == 1:
                self.model.unfreeze("layer4", learning_rate=0.1)

    fit(model_of_the_head(), callbacks=[Unfreeze()])


def weights_that_parted():
    model = model_of_the_head()
    fit(model)
    if RANK == 1:
        model.set_weights([weight + 1 for weight in model.get_weights()])
    fit(model)


def other_calls():
    model = model_of_the_head()
    fit(model) if RANK else model.evaluate(IMAGES, LABELS, verbose=0)


def broken_on_one():
    class Fail(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if RANK == 1 and batch == 1:
                raise OSError(28, "No space left on device")

    fit(model_of_the_head(), callbacks=[Fail()])


def killed():
    class Die(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if RANK == 1 and batch == 1:
                os.kill(os.getpid(), signal.SIGKILL)

    fit(model_of_the_head(), callbacks=[Die()])


def evaluated_on_one():
    model = model_of_the_head()
    fit(model)
    if RANK == 0:
        model.evaluate(IMAGES, LABELS, verbose=0)


def evaluated_by_itself():
    """Process 0 evaluates alone, as it may."""
    model = model_of_the_head()
    fit(model)
    together = model.evaluate(IMAGES, LABELS, verbose=0)
    with alone():
        apart = model.evaluate(IMAGES, LABELS, verbose=0) if RANK == 0 else together
    np.testing.assert_allclose(apart, together, rtol=1e-6)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        try:
            globals()[name]()
        except (ValueError, RuntimeError, OSError) as error:
            print(f"{name}: {type(error).__name__}: {error}", flush=True)
        else:
            print(f"{name}: nothing was said", flush=True)
