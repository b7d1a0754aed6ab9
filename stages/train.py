"""Train the network on the training images, watched on the validation images.

$ python -m stages.train data/processed/train data/processed/val data/classes.txt pretrained \\
    models metrics/train.json metrics/history.csv
"""

import sys

from heldout.augmentation import augment
from heldout.core import atomic, code, params
from heldout.data import manifest, shards
from heldout.evaluation import diagnosis
from heldout.networks import build, devices, encoder, pretrained, tokenizer
from heldout.networks.batch_norm import BatchNormalization
from heldout.training import fit, modality_dropout, optimization
from heldout.training.checkpoint import Checkpoint, checkpoint_path


def main(train: str, val: str, classes_txt: str, start: str, folder: str, train_json: str, history_csv: str) -> None:
    """Write the best epoch's weights, what is needed to build the network again, and how training went."""
    digest = code.check(__file__)
    params.check_versions("tensorflow", "keras", "numpy", "opencv-python-headless")
    settings = params.section("train", fit.fit)
    if settings["head"] == "logistic":
        params.check_versions("scikit-learn", "scipy")
    seed = params.scalar("seed")
    sections = {
        "augment": params.section("augment", augment.augment_batch),
        "optimizer": params.section("optimizer", optimization.make_optimizer),
        "schedule": params.section("schedule", optimization.make_schedule),
        "fine_tune": params.section("fine_tune", fit.fine_tune_phase),
        "text": params.section("text", tokenizer.tokenize),
        "modality_dropout": params.section("modality_dropout", modality_dropout.drop),
        "model": params.section("model", build.build),
        "hardware": params.section("hardware", devices.configure_tensorflow),
    }
    text = tokenizer.section(sections["text"])
    architecture = sections["model"]
    transfer = params.section("transfer", encoder.transfer)
    hardware = sections["hardware"]
    strategy = devices.configure_tensorflow(seed, **hardware)
    class_names = manifest.read_class_names(classes_txt)
    train_images, val_images = shards.Images(train), shards.Images(val)
    with strategy.scope():
        model = build.build(train_images.image_shape, len(class_names), BatchNormalization, text, **architecture)
        weights = encoder.transfer(model, architecture, start, **transfer)
    weights = weights or pretrained.weights_id(architecture["weights"], start)
    environment = devices.environment(strategy, **devices.determinism_settings(hardware))
    print(
        f"train: {model.count_params():,} parameters, {len(train_images):,} images, {environment['replicas']} x "
        f"{environment['device']}, {environment['intra_op_threads']} intra-op threads",
        flush=True,
    )
    data = (class_names, train_images.digest(), val_images.digest())
    checkpoint = Checkpoint(checkpoint_path(digest, seed, settings, sections, transfer, weights, environment, *data))
    history = fit.fit(model, train_images, val_images, class_names, sections, seed, strategy, checkpoint, **settings)
    if not devices.is_chief(strategy):
        print("train: done; results are written by the chief worker")
        return
    with atomic.replacing(f"{folder}/model.weights.h5") as partial:
        model.save_weights(partial)
    description = {"class_names": class_names, "image_shape": train_images.image_shape, "model": architecture}
    description |= {"environment": environment} | ({"text": text} if text else {})
    atomic.write_json(f"{folder}/model.json", description)
    manifest.write(history.round(6), history_csv)
    checkpoint.path.unlink(missing_ok=True)  # training is done
    summary = fit.summarize(history, model.count_params())
    atomic.write_metrics(train_json, summary)
    print(f"train: best epoch {summary['best_epoch']} of {summary['epochs']}, ", end="")
    print(f"val_accuracy {summary['val_accuracy']:.4f}")
    for line in diagnosis.diagnose(history, settings["epochs"], len(class_names)):
        print(f"train: {line}")


if __name__ == "__main__":
    main(*sys.argv[1:])
