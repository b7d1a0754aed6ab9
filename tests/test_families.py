"""Every kind of network, trained twice with all that chance decides: the same file, to the byte."""

import keras
import pytest
from conftest import scan, write_shards
from test_augment import OFF
from test_training import SETTINGS, STATE, fresh, train

from heldout import shards

FAMILIES = {
    "cnn": {"attention": "cbam", "batch_norm": True, "dropout": 0.5, "l2": 0.001},
    "resnet": {"attention": "se", "depth": 8, "width": 2, "stem": "large"},
    "EfficientNetB0": {"pooling": "average"},
    "MobileNetV2": {"pooling": "average", "dropout": 0.5},
    "ResNet50": {"dropout": 0.5},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "precision"),
    [*[(name, "float32") for name in FAMILIES], ("resnet", "mixed_bfloat16"), ("MobileNetV2", "mixed_bfloat16")],
)
def test_every_family_gives_the_same_file_again(photos, tmp_path, family, precision):
    """With augmentation, mixing, dropout and, for pretrained networks, a second phase."""
    write_shards(scan(), "data/large", image_size=[32, 32])
    images = shards.Images("data/large")
    settings = SETTINGS | {"epochs": 2, "precision": precision}
    settings |= {"fine_tune_epochs": 1, "fine_tune_rate": 0.01} if family not in ("cnn", "resnet") else {}
    mixing = OFF | {"mixup": 0.3, "rotation": 20, "rand_augment": 2, "magnitude": 9, "fill": "nearest"}
    written = []
    keras.config.set_dtype_policy(precision)
    for name in ("one", "two"):
        keras.backend.clear_session()  # Keras counts on in the names that it gives, some of which the file holds
        model = fresh(images, family=family, weights="none", **FAMILIES[family])
        STATE.unlink(missing_ok=True)
        history = train(model, images, mixing, **settings)
        model.save_weights(tmp_path / f"{name}.weights.h5")
        written.append((tmp_path / f"{name}.weights.h5").read_bytes())
    keras.config.set_dtype_policy("float32")
    assert written[0] == written[1]
    assert len(history) == settings["epochs"] + settings["fine_tune_epochs"]
