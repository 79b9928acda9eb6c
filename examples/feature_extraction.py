"""Feature extraction: the whole backbone frozen, a new head trained."""

import kerastl


def main(image_size: int = 64, epochs: int = 5) -> float:
    data = kerastl.load_data("digits", image_size=image_size, seed=0)
    model = kerastl.ImageClassifier(
        "bundled:efficientnet_lite0", num_classes=data.num_classes, image_size=image_size
    )
    model.freeze()
    model.compile(learning_rate=3e-3)
    model.fit(data.train, validation_data=data.validation, epochs=epochs)
    return model.evaluate(data.test, return_dict=True)["accuracy"]


if __name__ == "__main__":
    print(f"test accuracy: {main():.3f}")
