from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cifar100.dataset.augment_batch import BatchAugmentation, crop_and_flip
from cifar100.dataset.augment_image import make_generator, to_input
from cifar100.dataset.cifar import MEAN, STD, Images
from cifar100.dataset.loader import TrainingLoader
from cifar100.recipes import SMOKE

CPU = torch.device("cpu")


def test_input_is_normalised_and_scaled():
    images = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    inputs = to_input(images)
    expected = (images.double() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    torch.testing.assert_close(inputs, expected.permute(0, 3, 1, 2).float(), rtol=1e-5, atol=1e-5)
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    small = to_input(images, 20)
    assert small.shape == (4, 3, 20, 20)
    assert small.std() < 0.8 * inputs.std()  # antialiasing averages noise away


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("down, right", [(0, 0), (2, -1), (-2, 2), (1, 0)])
def test_crop_equals_reflecting_padding_and_cutting(down, right, flip):
    images = torch.randint(0, 256, (1, 32, 32, 3), dtype=torch.uint8)
    padded = F.pad(images.permute(0, 3, 1, 2).float(), (2, 2, 2, 2), mode="reflect")
    # The window moves in the image as the flip leaves it: mirrored columns run from the other side.
    window = padded[:, :, 2 + down : 34 + down, 2 + right : 34 + right]
    expected = (window.flip(3) if flip else window).permute(0, 2, 3, 1).byte()
    assert torch.equal(crop_and_flip(images, torch.tensor([[down, right]]), torch.tensor([flip])), expected)


def test_generators_of_different_keys_differ():
    keys = ((1,), (1, 0), (1, 0, 0), (0, 1), (2,))
    assert len({torch.rand(1, generator=make_generator(*key)).item() for key in keys}) == len(keys)
    assert torch.equal(torch.rand(3, generator=make_generator(1, 2)), torch.rand(3, generator=make_generator(1, 2)))


def test_alternating_flips_show_both_sides_in_two_epochs():
    augmentation = BatchAugmentation(replace(SMOKE.augmentation, crop_padding=0, flip="alternating"), 0, 1000)
    images = torch.arange(32).byte().view(1, 1, 32, 1).expand(1000, 32, 32, 3)
    mirrored = []
    for epoch in (1, 2, 3):
        augmentation.start_epoch(epoch, CPU)
        mirrored.append(augmentation.augment(images, torch.arange(1000))[:, 0, 0, 0] == 31)
    assert torch.equal(mirrored[0], ~mirrored[1]) and torch.equal(mirrored[0], mirrored[2])
    assert 400 < mirrored[0].sum() < 600


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_are_the_same_for_any_number_of_workers(workers):
    images = np.arange(10 * 32 * 32 * 3, dtype=np.uint32).astype(np.uint8).reshape(10, 32, 32, 3)
    data = Images(images, np.arange(10), np.zeros(10, np.int64))
    recipe = replace(SMOKE, batch_size=4)
    loader = TrainingLoader(data, recipe, CPU, workers)
    reference = TrainingLoader(data, recipe, CPU, 0)
    epochs = [list(loader.epoch(epoch)) for epoch in (1, 2)]
    assert [len(batch[1]) for batch in epochs[0]] == [4, 4, 2] and len(loader) == 3
    for epoch, batches in enumerate(epochs, start=1):
        for ours, theirs in zip(batches, reference.epoch(epoch), strict=True):
            assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
            assert torch.equal(ours[0], torch.from_numpy(images)[ours[2]]) and torch.equal(ours[1], ours[2])
    orders = [torch.cat([batch[2] for batch in batches]) for batches in epochs]
    assert sorted(orders[0].tolist()) == list(range(10)) and not torch.equal(*orders)
