"""The optimizer beside plain Keras on this backend: a compiled fit, and rows of the table."""

import keras
import optimizer_table
import plain_keras
import pytest
from test_optimizer_table import TOLERANCE, worst_of

o = keras.optimizers
X, Y = plain_keras.images(), plain_keras.labels()


def test_a_compiled_fit_is_plain_keras():
    def make():
        options = {"use_ema": True, "ema_momentum": 0.5, "gradient_accumulation_steps": 2}
        return o.AdamW(1e-2, global_clipnorm=0.1, **options)

    results = []
    for is_plain in (False, True):
        model = plain_keras.classifier()
        trained = plain_keras.plain_twin(model, make()) if is_plain else model
        if not is_plain:
            model.compile(make())
        trained.fit(X, Y, batch_size=4, epochs=2, shuffle=False, verbose=0)
        results.append(plain_keras.numbers(model.weights))
    assert plain_keras.difference(*results) <= TOLERANCE


@pytest.mark.slow
def test_every_optimizer_is_plain_keras():
    rows = worst_of(optimizer_table.some_rows())
    assert [row for row in rows if not row[0] <= TOLERANCE] == []
