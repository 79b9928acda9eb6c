"""`ImageClassifier`: backbone, head, `compile` and `fit`, and the file it is saved in."""
