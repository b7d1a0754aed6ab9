"""Temperature scaling, the expected calibration error and the reliability table: by hand, and degenerate ones."""

import numpy as np
import pytest
from scipy import optimize, special

from heldout.evaluation import calibration


def draw(n: int, temperature: float, num_classes: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities whose calibrated ones are at that temperature, float32, and labels drawn by those."""
    generator = np.random.default_rng(seed)
    logits = 2 * generator.standard_normal((n, num_classes))
    calibrated = special.softmax(logits, axis=1)
    labels = (generator.random(n)[:, None] > calibrated.cumsum(axis=1)).sum(axis=1).clip(max=num_classes - 1)
    return special.softmax(logits * temperature, axis=1).astype(np.float32), labels


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return float(-np.log(probabilities[np.arange(len(labels)), labels]).mean())


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_is_found_again(temperature):
    probabilities, labels = draw(20_000, temperature)
    fitted, note = calibration.fit_temperature(probabilities, labels)
    assert fitted == pytest.approx(temperature, rel=0.05) and note == ""
    best = optimize.minimize_scalar(
        lambda value: log_loss(calibration.rescale(probabilities, value), labels), bounds=(0.1, 10), method="bounded"
    )
    assert fitted == pytest.approx(best.x, rel=1e-3)


def test_chunks_give_the_same_temperature():
    probabilities, labels = draw(500, 2.0)
    temperature, _ = calibration.fit_temperature(probabilities, labels)
    copies = 1000
    assert probabilities.size * copies > calibration.CHUNK
    again, _ = calibration.fit_temperature(np.tile(probabilities, (copies, 1)), np.tile(labels, copies))
    assert again == pytest.approx(temperature, abs=2e-6)


def test_rescaled_probabilities():
    rescaled = calibration.rescale(np.array([[0.8, 0.2]], np.float32), 2.0)
    assert rescaled == pytest.approx(np.array([[2 / 3, 1 / 3]]), rel=1e-6)  # the roots of .8 and .2 are as 2 to 1
    sure = calibration.rescale(np.array([[1.0, 0.0, 0.0]], np.float32), 2.0)
    assert sure.sum() == 1 and (sure > 0).all() and sure[0, 1] < 1e-20
    values = np.array([[0.3, 0.7]], np.float32)
    assert (calibration.rescale(values, 1.0) == values).all()


def test_val_that_cannot_tell_leaves_the_temperature():
    probabilities, labels = draw(29, 2.0)
    assert calibration.fit_temperature(probabilities, labels) == (
        1.0,
        "temperature 1: val has 29 images, 30 are needed to fit it",
    )
    probabilities, _ = draw(100, 2.0)
    without_mistake = calibration.fit_temperature(probabilities, probabilities.argmax(axis=1))
    assert without_mistake == (1.0, "temperature 1: val has no mistake to fit it by")


def test_zeros_and_ones_have_a_temperature():
    labels = np.arange(100) % 2
    probabilities = np.eye(2, dtype=np.float32)[np.where(np.arange(100) < 10, 1 - labels, labels)]
    temperature, note = calibration.fit_temperature(probabilities, labels)
    assert temperature == 20 and "the end of its range" in note  # a tenth is wrong for certain: none is enough
    assert np.isfinite(calibration.rescale(probabilities, temperature)).all()


def test_val_of_one_class():
    probabilities, _ = draw(200, 1.0, num_classes=2)
    temperature, note = calibration.fit_temperature(probabilities, np.zeros(200, int))
    assert temperature > 1 and np.isfinite(temperature), note  # half of it is wrong


def test_a_classifier_that_is_worse_than_chance():
    probabilities = np.tile(np.array([[0.9, 0.1]], np.float32), (50, 1))
    temperature, note = calibration.fit_temperature(probabilities, np.ones(50, int))
    assert temperature == 20 and note.startswith("temperature 20: the end of its range")


def test_the_calibration_error_is_kumars_where_confidences_are_equal():
    confidence = np.repeat([0.6, 0.9], 50)
    correct = np.concatenate([np.arange(50) < 25, np.arange(50) < 48])
    error = calibration.calibration_error(confidence, correct, np.arange(100))
    squares = [(0.5 - 0.6) ** 2 - 0.25 / 49, (0.96 - 0.9) ** 2 - 0.96 * 0.04 / 49]
    assert error.value == pytest.approx(np.mean(squares) ** 0.5)
    assert error.low < error.value < error.high < 0.25


@pytest.mark.parametrize("n", [30, 300, 3000])
def test_the_calibration_error_of_perfect_probabilities_is_near_zero(n):
    squares = []
    for seed in range(100):
        probabilities, labels = draw(n, 1.0, seed=seed)
        correct = probabilities.argmax(axis=1) == labels
        error = calibration.calibration_error(probabilities.max(axis=1), correct, np.arange(n))
        squares.append(error.value**2)
        assert error.low < 0.1
    assert np.mean(squares) ** 0.5 < 0.8 / n**0.5


def test_the_order_of_equal_confidences_does_not_matter():
    generator = np.random.default_rng(0)
    confidence = generator.choice([0.5, 0.7, 1.0], 200)
    correct = generator.random(200) < confidence
    order = generator.permutation(200)
    error = calibration.calibration_error(confidence, correct, np.arange(200))
    again = calibration.calibration_error(confidence[order], correct[order], np.arange(200))
    assert again == pytest.approx(error)
    table = calibration.reliability(confidence, correct, np.arange(200))
    assert table["confidence"].tolist() == [0.5, 0.7, 1.0] and table["images"].sum() == 200
    assert table["bin"].tolist() == [1, 2, 3]
    at_half = correct[confidence == 0.5]
    assert table["accuracy"][0] == pytest.approx(at_half.mean(), abs=1e-6)
    assert (table["accuracy_low"] <= table["accuracy"]).all() and (table["accuracy"] <= table["accuracy_high"]).all()


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("groups", ["alone", "together"])
def test_a_few_images(n, groups):
    numbers = np.arange(n) if groups == "alone" else np.zeros(n, int)
    for correct in (np.ones(n, bool), np.zeros(n, bool)):
        error = calibration.calibration_error(np.full(n, 0.9), correct, numbers)
        assert 0 <= error.low <= error.value <= error.high <= 1
        assert len(calibration.reliability(np.full(n, 0.9), correct, numbers)) == 1
