"""Train the network on the training images, watched on the validation images.

$ python -m stages.train data/processed/train data/processed/val data/classes.txt pretrained \\
    models metrics/train.json metrics/history.csv
"""

import sys

from heldout import atomic, augment, control, devices, manifest, models, params, resuming, shards, training
from heldout.normalization import BatchNormalization
from heldout.pretrained import identity


def main(
    train: str, val: str, classes_txt: str, pretrained_folder: str, folder: str, train_json: str, history_csv: str
) -> None:
    """Write the best epoch's weights, what is needed to build the network again, and how training went."""
    params.installed("tensorflow", "keras", "numpy", "opencv-python-headless")
    seed = params.scalar("seed")
    augmentation = params.section("augment", augment.batch)
    architecture = params.section("model", models.build)
    weights = identity(architecture["weights"], pretrained_folder)
    settings = params.section("train", training.fit)
    same_again = devices.same_again(settings)
    devices.prepare(seed, precision=settings["precision"], **same_again)
    hardware = devices.strategy(settings["strategy"])
    class_names = manifest.read_class_names(classes_txt)
    images, watched = shards.Images(train), shards.Images(val)
    with hardware.scope():
        model = models.build(images.image_shape, len(class_names), BatchNormalization, **architecture)
    ran = devices.description(hardware, **same_again)
    print(
        f"train: {model.count_params():,} parameters, {len(images)} images, "
        f"{ran['replicas']} x {ran['device']}, {ran['threads']} threads",
        flush=True,
    )
    inputs = (seed, augmentation, architecture, weights, settings, class_names, images.digest(), watched.digest())
    state = resuming.State(resuming.place(*inputs, ran))
    history = training.fit(model, images, watched, class_names, augmentation, seed, state, hardware, **settings)
    if not devices.is_chief(hardware):
        print("train: ended well; the first worker writes the result")
        return
    with atomic.replacing(f"{folder}/model.weights.h5") as partial:
        model.save_weights(partial)
    description = {"class_names": class_names, "image_shape": images.image_shape, "model": architecture}
    atomic.write_json(f"{folder}/model.json", description | {"trained_on": ran})
    manifest.write(history.round(6), history_csv)
    state.path.unlink(missing_ok=True)  # it ended well
    summary = training.summary(history, model.count_params())
    atomic.write_json(train_json, summary)
    print(f"train: best in epoch {summary['best_epoch']} of {summary['epochs']}, ", end="")
    print(f"validation accuracy {summary['val_accuracy']:.4f}")
    for words in control.diagnosis(history, settings["epochs"], len(class_names)):
        print(f"train: {words}")


if __name__ == "__main__":
    main(*sys.argv[1:])
