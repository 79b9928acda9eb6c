"""Partial fine-tuning from the solved head: early blocks frozen, later ones at a rate each."""

import kerastl


def main(image_size: int = 64, epochs: int = 5) -> float:
    data = kerastl.load_data("digits", image_size=image_size, seed=0)
    model = kerastl.ImageClassifier(
        "bundled:efficientnet_lite0",
        num_classes=data.num_classes,
        image_size=image_size,
        batch_norm="frozen",
    )
    model.solve_head(data.train)
    model.freeze(through="stage4")
    rates = dict.fromkeys(model.trainable_blocks, 3e-4) | {"head": 1e-4}
    model.compile(learning_rate=rates)
    model.fit(data.train, validation_data=data.validation, epochs=epochs)
    return model.evaluate(data.test, return_dict=True)["accuracy"]


if __name__ == "__main__":
    print(f"test accuracy: {main():.3f}")
