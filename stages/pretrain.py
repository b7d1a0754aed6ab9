"""Pretrain the network's encoder without labels, on training images and those without a label.

$ python -m stages.pretrain data/processed/train data/splits/train.csv data/splits/unlabelled.csv \\
    models/encoder metrics/pretrain.json metrics/pretrain.csv
"""

import sys

from heldout.augmentation import views
from heldout.core import atomic, code, params
from heldout.data import components, images, manifest, preprocess, shards
from heldout.networks import build, devices, encoder
from heldout.networks.batch_norm import BatchNormalization
from heldout.training.checkpoint import Checkpoint, checkpoint_path
from heldout.training.contrastive import pool, pretrain


def main(train: str, train_csv: str, unlabelled_csv: str, folder: str, pretrain_json: str, history_csv: str) -> None:
    """Write the encoder's weights, what they fit and were made of, and how pretraining went."""
    digest = code.check(__file__)
    params.check_versions("tensorflow", "keras", "numpy", "opencv-python-headless", "pillow")
    seed = params.scalar("seed")
    settings = params.section("pretrain", pretrain.pretrain)
    view_settings = params.section("views", views.view_batch)
    architecture = params.section("model", build.build)
    decoding = params.section("preprocess", images.decode_and_resize)
    hardware = params.section("hardware", devices.configure_tensorflow)
    strategy = devices.configure_tensorflow(seed, **hardware)
    train_images = shards.Images(train)
    with strategy.scope():
        network = encoder.encoder(build.build(train_images.image_shape, 2, BatchNormalization, **architecture))
    environment = devices.environment(strategy, **devices.determinism_settings(hardware))
    with preprocess.temporary_shards(manifest.read(unlabelled_csv), decoding) as unlabelled:
        images_of_pool = pool.Pool([train_images, *([shards.Images(unlabelled)] if unlabelled else [])])
        pool_digest, count = images_of_pool.digest(), len(images_of_pool)
        print(f"pretrain: {network.count_params():,} parameters, {count:,} images, ", end="")
        print(f"{count - len(train_images):,} of them without a label", flush=True)
        inputs = (digest, seed, settings, view_settings, architecture, hardware, environment, pool_digest)
        checkpoint = Checkpoint(checkpoint_path(*inputs), "pretrain")
        folds = components.of_images(manifest.read(train_csv), train_images.ids)
        history = pretrain.pretrain(
            network, images_of_pool, train_images.labels, folds, view_settings, seed, strategy, checkpoint, **settings
        )
    if not devices.is_chief(strategy):
        print("pretrain: done; results are written by the chief worker")
        return
    encoder.save(network, architecture, folder, pool=pool_digest, images=count, environment=environment)
    manifest.write(history.round(6), history_csv)
    checkpoint.path.unlink(missing_ok=True)  # pretraining is done
    summary = pretrain.summarize(history, count, len(train_images))
    atomic.write_metrics(pretrain_json, summary)
    print(f"pretrain: neighbor_accuracy {summary['neighbor_accuracy']:.4f} of training images")


if __name__ == "__main__":
    main(*sys.argv[1:])
