"""Every kind of network, trained twice with all that chance decides: the same file, to the byte."""

import keras
import pytest
from conftest import scan, write_shards
from training_runs import CHECKPOINT, merged, train, untrained

from heldout.data import shards

ARCHITECTURES = {
    "cnn": {"attention": "cbam", "batch_norm": True, "dropout": 0.5, "l2": 0.001},
    "resnet": {"attention": "se", "depth": 8, "width": 2, "stem": "large"},
    "EfficientNetB0": {"pooling": "average"},
    "MobileNetV2": {"pooling": "average", "dropout": 0.5},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "precision"),
    [*[(name, "float32") for name in ARCHITECTURES], ("resnet", "mixed_bfloat16"), ("MobileNetV2", "mixed_bfloat16")],
)
def test_every_architecture_gives_the_same_file_again(photos, tmp_path, architecture, precision):
    """With augmentation, mixing, dropout and, for pretrained networks, a second phase."""
    write_shards(scan(), "data/large", image_size=[32, 32])
    images = shards.Images("data/large")
    pretrained = architecture not in ("cnn", "resnet")
    mixing = {"mixup": 0.3, "rotation": 20, "rand_augment_ops": 2}
    sections = merged(
        {"hardware": {"precision": precision}, "augment": mixing},
        {"fine_tune": {"epochs": 1, "learning_rate": 0.01}} if pretrained else {},
    )
    files = []
    keras.config.set_dtype_policy(precision)
    for name in ("first", "second"):
        keras.backend.clear_session()  # Keras counts on in the names that it gives, some of which the file holds
        model = untrained(images, architecture=architecture, weights="none", **ARCHITECTURES[architecture])
        CHECKPOINT.unlink(missing_ok=True)
        history = train(model, images, sections)
        model.save_weights(tmp_path / f"{name}.weights.h5")
        files.append((tmp_path / f"{name}.weights.h5").read_bytes())
    keras.config.set_dtype_policy("float32")
    assert files[0] == files[1]
    assert len(history) == 2 + pretrained
