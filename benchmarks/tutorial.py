"""The tutorial's code, as one would type it: what benchmarks/recipe.py compares the recipe for photos with.

$ python benchmarks/tutorial.py FOLDER

FOLDER holds train/CLASS/..., validation/CLASS/... and test/CLASS/.... Keras's ImageDataGenerator with its six
augmentations, the CNN, Adam, batches of 32, 10 epochs. The last line is the test accuracy.
"""

import sys
from pathlib import Path

from tensorflow import keras
from tensorflow.keras import layers
from tensorflow.keras.preprocessing.image import ImageDataGenerator

EPOCHS = 10
BATCH_SIZE, SIDE = 32, 150


def main(folder: Path) -> None:
    train_generator = ImageDataGenerator(
        rescale=1 / 255, rotation_range=20, width_shift_range=0.2, height_shift_range=0.2,
        shear_range=0.2, zoom_range=0.2, horizontal_flip=True,
    )  # fmt: skip
    eval_generator = ImageDataGenerator(rescale=1 / 255)
    options = {"target_size": (SIDE, SIDE), "batch_size": BATCH_SIZE, "class_mode": "categorical"}
    train = train_generator.flow_from_directory(folder / "train", **options)
    validation = eval_generator.flow_from_directory(folder / "validation", **options)
    test = eval_generator.flow_from_directory(folder / "test", **options)
    model = keras.Sequential([
        layers.Input((SIDE, SIDE, 3)),
        layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(2),
        layers.Conv2D(128, 3, activation="relu"), layers.MaxPooling2D(2),
        layers.Flatten(), layers.Dense(512, activation="relu"), layers.Dropout(0.5),
        layers.Dense(train.num_classes, activation="softmax"),
    ])  # fmt: skip
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    model.fit(train, epochs=EPOCHS, validation_data=validation, verbose=2)
    print(float(model.evaluate(test, verbose=0)[1]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
