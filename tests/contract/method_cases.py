"""What each public method and property of a Keras model gives, as something to compare."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import keras
import numpy as np
from pairs import HELD_X, HELD_Y, X, Y, fitted


def tensor(values):
    return keras.ops.convert_to_tensor(values)


def text(value):
    return str(value)


def names(variables):
    return [(variable.name, list(variable.shape), variable.trainable) for variable in variables]


def own_weight(model):
    count = len(model.weights)
    added = model.add_weight(shape=(2,), initializer="ones", name="own")
    return added.numpy() if hasattr(added, "numpy") else np.ones(2), len(model.weights) - count


def weights_in_a_file(model):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.weights.h5"
        fitted(model)
        before = model.get_weights()
        model.save_weights(file)
        fitted(model)
        model.load_weights(file)
        return all(map(np.array_equal, before, model.get_weights())), before


def a_whole_file(model):
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "a.keras")
        return [file.suffix for file in Path(folder).iterdir()]


def stateless_call(model):
    trainable = [v.value for v in model.trainable_variables]
    others = [v.value for v in model.non_trainable_variables]
    outputs, _ = model.stateless_call(trainable, others, tensor(X), training=False)
    return outputs


def state_tree(model):
    before = model.get_weights()
    tree = model.get_state_tree(value_format="numpy_array")
    copied = keras.tree.map_structure(np.array, tree)
    fitted(model)
    model.set_state_tree(copied)
    return sorted(tree), all(map(np.array_equal, before, model.get_weights()))


def summary(model):
    lines = []
    model.summary(print_fn=lambda line: lines.append(line))
    return [line.split("(")[0] for line in "\n".join(lines).splitlines() if "params" in line]


def set_weights(model):
    before = model.get_weights()
    fitted(model)
    model.set_weights(before)
    return model.get_weights()


def step(method):
    def run(model):
        fitted(model, epochs=1)
        model.reset_metrics()
        return getattr(model, method)((tensor(X), tensor(Y)))

    return run


def made(method, name):
    def run(model):
        getattr(model, method)()
        return callable(getattr(model, name)), getattr(model, name) is not None

    return run


def computed_loss(model):
    fitted(model, epochs=1)
    predictions = model(X)
    return (
        model.compute_loss(x=X, y=tensor(Y), y_pred=predictions),
        model.compute_metrics(X, tensor(Y), predictions),
        model.get_metrics_result(),
    )


def trainable_off(model):
    model.trainable = False
    count = len(model.trainable_variables)
    model.trainable = True
    return count, len(model.trainable_variables)


def quantized(model):
    # A model of its own: quantizing cannot be taken back.
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        twin.quantize("int8", filters="head")
        type(model).quantize(twin, "int8")
    return twin.predict(HELD_X, verbose=0)


def layer_of_each_kind(model):
    by_name, by_index = model.get_layer("stem"), model.get_layer(index=1)
    return by_name.name, by_index.name


def evaluated(model):
    return fitted(model), model.evaluate(HELD_X, HELD_Y, verbose=0), model.predict(X, verbose=0)


def stateless_loss(model):
    trainable = [v.value for v in model.trainable_variables]
    others = [v.value for v in model.non_trainable_variables]
    arguments = (trainable, others, [v.value for v in model.metrics_variables])
    return model.stateless_compute_loss(
        *arguments, x=tensor(X), y=tensor(Y), y_pred=model(X), training=False
    )[0]


def prefix_of_kinds(kinds):
    return [type(each).__name__ for each in kinds]


HELD = {
    "add_loss": lambda model: model.add_loss(1.0),
    "add_metric": lambda model: model.add_metric(1.0),
    "add_variable": lambda model: model.add_variable((2,), "zeros").shape,
    "add_weight": own_weight,
    "build": lambda model: model.build(None),
    "build_from_config": lambda model: model.build_from_config({"input_shape": None}),
    "call": lambda model: model.call(tensor(X), training=False),
    "compile": lambda model: fitted(model),
    "compute_dtype": lambda model: model.compute_dtype,
    "compute_loss": computed_loss,
    "compute_mask": lambda model: model.compute_mask(tensor(X), None),
    "compute_metrics": computed_loss,
    "compute_output_shape": lambda model: list(model.compute_output_shape((5, 8, 8, 3))),
    "compute_output_spec": lambda model: text(
        model.compute_output_spec(keras.KerasTensor((5, 8, 8, 3))).shape
    ),
    "count_params": lambda model: float(model.count_params()),
    "dtype": lambda model: model.dtype,
    "dtype_policy": lambda model: model.dtype_policy.name,
    "evaluate": evaluated,
    "fit": evaluated,
    "get_layer": layer_of_each_kind,
    "get_metrics_result": computed_loss,
    "get_quantization_layer_structure": lambda model: model.get_quantization_layer_structure(),
    "get_state_tree": state_tree,
    "get_weights": lambda model: model.get_weights(),
    "input": lambda model: text((model.input.shape, model.input.dtype, model.input.name)),
    "input_dtype": lambda model: model.input_dtype,
    "input_shape": lambda model: text(model.input_shape),
    "input_spec": lambda model: text(model.input_spec),
    "inputs": lambda model: text([each.shape for each in model.inputs]),
    "jit_compile": lambda model: model.jit_compile,
    "layers": lambda model: [layer.name for layer in model.layers],
    "load_own_variables": lambda model: model.load_own_variables({}),
    "load_weights": weights_in_a_file,
    "losses": lambda model: model.losses,
    "make_predict_function": made("make_predict_function", "predict_function"),
    "make_test_function": made("make_test_function", "test_function"),
    "make_train_function": made("make_train_function", "train_function"),
    "metrics": lambda model: prefix_of_kinds(model.metrics),
    "metrics_names": lambda model: model.metrics_names,
    "metrics_variables": lambda model: (fitted(model), names(model.metrics_variables))[1],
    "non_trainable_variables": lambda model: names(model.non_trainable_variables),
    "non_trainable_weights": lambda model: names(model.non_trainable_weights),
    "operations": lambda model: [each.name for each in model.operations],
    "output": lambda model: text((model.output.shape, model.output.dtype)),
    "output_shape": lambda model: text(model.output_shape),
    "outputs": lambda model: text([each.shape for each in model.outputs]),
    "path": lambda model: model.path,
    "predict": evaluated,
    "predict_on_batch": lambda model: model.predict_on_batch(X),
    "predict_step": step("predict_step"),
    "quantization_mode": lambda model: model.quantization_mode,
    "quantize": quantized,
    "quantized_build": lambda model: model.quantized_build(None, "int8"),
    "quantized_call": lambda model: model.quantized_call(tensor(X)),
    "rematerialized_call": lambda model: model.rematerialized_call(model.call)(tensor(X)),
    "reset_metrics": lambda model: (fitted(model), model.reset_metrics(), evaluated(model))[2],
    "run_eagerly": lambda model: model.run_eagerly,
    "save": a_whole_file,
    "save_own_variables": lambda model: (store := {}, model.save_own_variables(store), len(store))[
        2
    ],
    "save_weights": weights_in_a_file,
    "set_state_tree": state_tree,
    "set_weights": set_weights,
    "stateless_call": stateless_call,
    "stateless_compute_loss": stateless_loss,
    "summary": summary,
    "supports_masking": lambda model: model.supports_masking,
    "symbolic_call": lambda model: text(model.symbolic_call(keras.Input((8, 8, 3))).shape),
    "test_on_batch": lambda model: model.test_on_batch(X, Y),
    "test_step": step("test_step"),
    "train_on_batch": lambda model: model.train_on_batch(X, Y),
    "train_step": step("train_step"),
    "trainable": trainable_off,
    "trainable_variables": lambda model: names(model.trainable_variables),
    "trainable_weights": lambda model: names(model.trainable_weights),
    "variable_dtype": lambda model: model.variable_dtype,
    "variables": lambda model: names(model.variables),
    "weights": lambda model: names(model.weights),
}
# On the torch backend only, where a Keras model is a torch module too.
TORCH_ONLY = {
    "forward": lambda model: model.forward(tensor(X), training=False),
    "named_parameters": lambda model: [list(p.shape) for _, p in model.named_parameters()],
    "torch_params": lambda model: sorted(list(p.shape) for p in model.torch_params.values()),
}
NOT_HELD = {
    "get_config": "It has the arguments of `ImageClassifier` and not a graph of layers: a file "
    "names the backbone's spec, and opens on every backend.",
    "from_config": "It takes what `get_config` gives, and makes an `ImageClassifier`.",
    "to_json": "It is `get_config` as text.",
    "get_build_config": "The size of the images is among the arguments in `get_config`.",
    "get_compile_config": "It has the rate of each block beside the optimizer's configuration, "
    "where plain Keras passes it by.",
    "compile_from_config": "It takes what `get_compile_config` gives, the rates too.",
    "export": "kerastl.export_model writes the formats that a classifier is used in, with its "
    "preprocessing and a check of the file; Keras's own `export` is not tested.",
}
