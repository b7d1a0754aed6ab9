"""The formats that a model ships in: each module writes a file or folder with the same bytes again, and loads it.

A module has FILE, its name in export/; IS_QUANTIZED, whether it is held to `max_accuracy_drop` and not to `tolerance`;
RUNTIME, the distributions that it needs; `write(model, path, sources)`, of a calibrated Keras model; and `load(path)`,
which runs nothing that a file holds, and gives a function from the model's inputs to probabilities. What only one
format needs, TensorFlow above all, is imported inside these functions, so that `heldout predict` does without the rest.
"""
