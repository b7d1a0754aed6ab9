"""Batches: every image once a pass, whatever divides them among replicas, and made ahead in order."""

import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from training_runs import CLASS_NAMES

from heldout.augmentation import augment
from heldout.training import batches, steps


@pytest.mark.parametrize(("replicas", "microbatches"), [(1, 1), (2, 1), (3, 1), (1, 2), (2, 3)])
def test_a_pass_holds_every_image_once_in_an_order_of_its_own(images, replicas, microbatches):
    labels, weights = np.arange(24), np.arange(24, dtype=np.float32)
    source = batches.train_batches(images, labels, weights, augment.OFF, 0, batch_size=7, microbatches=microbatches)
    assert source.steps == -(-24 // (7 * microbatches))
    orders = []
    for first in (0, source.steps):
        order = []
        for step in range(first, first + source.steps):
            parts = [source.batch(step, replica, replicas) for replica in range(replicas)]
            assert len({part.inputs[0].shape for part in parts}) == 1
            assert {len(part.inputs[0]) for part in parts} == {microbatches}
            count = sum(part.mask.sum() for part in parts)
            assert {float(part.step_size) for part in parts} == {count}
            for part in parts:
                numbers = part.targets.argmax(axis=-1)
                assert np.array_equal(part.inputs[0], images[numbers.ravel()].reshape(part.inputs[0].shape))
                assert np.array_equal(part.weights, numbers * part.mask)
                order += numbers[part.mask == 1].tolist()
        assert sorted(order) == list(range(24))
        orders.append(order)
    assert orders[0] != orders[1]
    undivided = batches.train_batches(images, labels, weights, augment.OFF, 0, batch_size=7 * microbatches)
    alone = [undivided.batch(step, 0, 1).targets[0].argmax(axis=-1) for step in range(undivided.steps)]
    assert np.concatenate(alone).tolist() == orders[0]  # the same images a step, whatever divides them


@pytest.mark.parametrize("microbatches", [1, 2])
def test_tf_data_hands_over_what_numpy_has_made(images, microbatches):
    """The operations are tested on arrays (test_augment.py); here, that a step gets these very pixels and targets."""
    chosen = ("horizontal_flip", "vertical_flip", "rand_augment_ops", *augment.MODIFIERS)
    all_on = {name: 0.3 for name in augment.OFF if name not in chosen}
    settings = augment.OFF | all_on | {"horizontal_flip": True, "rand_augment_ops": 2, "fill_mode": "reflect"}
    labels, weights = images.class_numbers(CLASS_NAMES), np.array([1, 2, 3], np.float32)
    source = batches.train_batches(images, labels, weights, settings, 0, batch_size=7, microbatches=microbatches)
    iterator = iter(batches.distribute(source, tf.distribute.get_strategy(), first_step=2))
    for step in range(2, 2 + 2 * source.steps):
        made = source.batch(step, 0, 1)
        for tensor, array in zip(tf.nest.flatten(next(iterator)), tf.nest.flatten(made), strict=True):
            assert tensor.numpy().dtype == array.dtype and np.array_equal(tensor.numpy(), array)
        rows = np.random.default_rng([0, step // source.steps, 1]).permutation(24)
        size = 7 * microbatches
        rows = rows[step % source.steps * size :][:size]
        draws = augment.draws(24, 0, step // source.steps)
        pixels, targets = augment.augment_batch(images, labels, 3, rows, draws, **settings)
        mask = made.mask == 1
        assert np.array_equal(made.inputs[0][mask], pixels) and np.array_equal(made.targets[mask], targets)


def test_a_second_input_reaches_the_model(images):
    """A network of pixels and a number of each image learns from the number alone, on every replica its own rows."""
    labels, images_of = images.class_numbers(CLASS_NAMES), batches.pixels_spec(images)

    def batch(step: int, replica: int, replicas: int) -> batches.ReplicaBatch:
        rows, mask = batches.rows_of_replica(np.arange(24), replica, replicas, 2)
        targets = augment.one_hot(labels[rows], 3)
        return batches.replica_batch((images[rows], targets), targets, mask, mask, 2, 24)

    number = tf.TensorSpec((3,), tf.float32)
    source = batches.BatchSource(batch, 1, 24, 2, (images_of, number), 3)
    pixels, numbers = keras.Input(images.image_shape), keras.Input((3,))
    seen = keras.layers.Rescaling(0.0)(keras.layers.Flatten()(pixels))
    outputs = keras.layers.Dense(3, "softmax")(keras.layers.Concatenate()([seen, numbers]))
    model = keras.Model([pixels, numbers], outputs)
    model.compile(keras.optimizers.Adam(0.1))
    strategy = tf.distribute.get_strategy()
    loss = keras.losses.CategoricalCrossentropy(reduction=None)
    step = steps.make_train_step(model, strategy, steps.classification(loss), reduce_first=False, xla=False)
    iterator = iter(batches.distribute(source, strategy, first_step=0))
    assert [step(iterator).numpy() for _ in range(30)][-1][1] == 24


def test_batches_are_made_before_they_are_asked_for_and_come_in_order():
    made = [threading.Event() for _ in range(40)]

    def make(number: int) -> int:
        made[number].set()
        return number

    prefetcher = batches.Prefetcher(make, first=3, count=4)
    assert prefetcher(3) == 3
    assert made[7].wait(60) and not made[0].is_set()
    assert [prefetcher(number) for number in range(4, 20)] == list(range(4, 20))


def test_evaluation_sees_the_images_as_they_are(images, monkeypatch):
    monkeypatch.setattr(batches, "BATCH", 10)
    source = batches.eval_batches(images, images.class_numbers(CLASS_NAMES), 3)
    assert source.steps == 3
    parts = [source.batch(step, 0, 1) for step in range(6)]
    pixels = np.concatenate([part.inputs[0][0] for part in parts[:3]])
    assert np.array_equal(pixels, images[np.arange(24)])
    predicted = np.concatenate([part.targets[0] for part in parts[3:]]).argmax(axis=1)
    assert np.array_equal(predicted, images.class_numbers(CLASS_NAMES))
    assert all((part.weights == 1).all() for part in parts)


def test_rows_of_replicas_are_equally_many_and_cover_the_step():
    for count in range(1, 20):
        rows = np.arange(100, 100 + count)
        for replicas in (1, 2, 3, 8):
            for microbatches in (1, 2, 3):
                divided = [
                    batches.rows_of_replica(rows, replica, replicas, microbatches) for replica in range(replicas)
                ]
                assert len({len(chosen) for chosen, _ in divided}) == 1
                assert all(len(chosen) % microbatches == 0 and len(chosen) > 0 for chosen, _ in divided)
                kept = np.concatenate([chosen[mask == 1] for chosen, mask in divided])
                assert kept.tolist() == rows.tolist()
