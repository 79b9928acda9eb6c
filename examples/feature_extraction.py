"""Feature extraction: the whole backbone frozen, a new head solved on its features."""

import kerastl


def main(image_size: int = 64) -> float:
    data = kerastl.load_data("digits", image_size=image_size, seed=0)
    model = kerastl.ImageClassifier(
        "bundled:efficientnet_lite0", num_classes=data.num_classes, image_size=image_size
    )
    model.freeze()
    model.compile()
    solved = model.solve_head(data.train)
    print(f"out of fold: {solved.evaluation(data.class_names).accuracy:.3f}")
    return model.evaluate(data.test, return_dict=True)["accuracy"]


if __name__ == "__main__":
    print(f"test accuracy: {main():.3f}")
