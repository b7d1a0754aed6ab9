"""Pretrain in a process of its own: so many devices, one that is killed.

$ python pretrain_process.py SETTINGS.json RESULT.npz

SETTINGS: logical_cpus, pause, checkpoint, architecture, views, hardware and pretrain. Prints `step N` at each step.
"""

import json
import sys
from pathlib import Path

import keras
import numpy as np
from processes import print_steps, use_logical_cpus

from heldout.data.shards import Images
from heldout.networks import build, devices, encoder
from heldout.networks.batch_norm import BatchNormalization
from heldout.training.checkpoint import Checkpoint
from heldout.training.contrastive import pretrain
from heldout.training.contrastive.pool import Pool


def main(settings_json: str, result_npz: str) -> None:
    settings = json.loads(Path(settings_json).read_text(encoding="utf-8"))
    use_logical_cpus(settings["logical_cpus"])
    strategy = devices.configure_tensorflow(0, **settings["hardware"])
    images = Images("data/train")
    with strategy.scope():
        model = build.build(images.image_shape, 2, BatchNormalization, **settings["architecture"])
        network = encoder.encoder(model)
    print_steps(settings["pause"])
    history = pretrain.pretrain(
        network, Pool([images]), images.labels, np.arange(len(images)), settings["views"], 0, strategy,
        Checkpoint(Path(settings["checkpoint"])), **settings["pretrain"],
    )  # fmt: skip
    weights = {f"weight{number}": value for number, value in enumerate(network.get_weights())}
    np.savez(result_npz, replicas=strategy.num_replicas_in_sync, history=history.to_numpy(float), **weights)
    keras.backend.clear_session()


if __name__ == "__main__":
    main(*sys.argv[1:])
