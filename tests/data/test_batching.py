"""Batches: every example once an epoch, bucketed by length, the same for the same seed."""

from itertools import islice

import numpy as np
import torch
from tiny import tiny_backbone

from suite.data.augment import augment
from suite.data.batching import Batches, mixed_batches
from suite.data.encode import Examples
from suite.registry.schema import Recipe


def texts(count, seed=0, width=30):
    lengths = np.random.Generator(np.random.PCG64(seed)).integers(3, width, count)
    ids = torch.zeros(count, width, dtype=torch.int64)
    for row, length in enumerate(lengths):
        ids[row, :length] = row + 1
    mask = (ids != 0).long()
    return Examples({"input_ids": ids, "attention_mask": mask}, torch.arange(count), None, lengths)


def images(count):
    pixels = torch.arange(count).view(-1, 1, 1, 1).expand(count, 3, 16, 16).to(torch.uint8)
    return Examples({"image": pixels}, torch.arange(count), None, np.ones(count, np.int64))


def epoch(batches, recipe, seed, count):
    return list(islice(batches.training(recipe, seed), count))


def test_an_epoch_sees_every_example_once():
    batches = Batches("t", texts(70), tiny_backbone("bert").entry)
    seen = torch.cat([b.targets for b in epoch(batches, Recipe(batch_size=10), 0, 7)])
    assert sorted(seen.tolist()) == list(range(70))


def test_batches_hold_no_more_padding_than_their_longest_text():
    examples = texts(64)
    for batch in epoch(
        Batches("t", examples, tiny_backbone("bert").entry), Recipe(batch_size=8), 0, 8
    ):
        longest = examples.lengths[batch.targets.numpy()].max()
        assert batch.inputs["input_ids"].shape == (8, longest)
        assert batch.inputs["attention_mask"].sum(1).max() == longest


def test_buckets_pad_less_than_random_batches():
    examples = texts(512)
    batches = epoch(
        Batches("t", examples, tiny_backbone("bert").entry), Recipe(batch_size=16), 0, 32
    )
    bucketed = sum(batch.inputs["input_ids"].numel() for batch in batches)
    shuffled = np.random.Generator(np.random.PCG64(1)).permutation(examples.lengths)
    padded = sum(16 * row.max() for row in shuffled.reshape(-1, 16))
    assert bucketed < 0.75 * padded


def test_the_same_seed_gives_the_same_batches_and_another_seed_others():
    batches = Batches("t", texts(64), tiny_backbone("bert").entry)
    first, again, other = (
        [b.targets.tolist() for b in epoch(batches, Recipe(batch_size=8), seed, 16)]
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_a_split_smaller_than_a_batch_is_one_batch():
    batches = epoch(
        Batches("t", texts(5), tiny_backbone("bert").entry), Recipe(batch_size=32), 0, 3
    )
    assert [sorted(b.targets.tolist()) for b in batches] == [list(range(5))] * 3


def test_evaluation_covers_every_row_in_known_order():
    examples = texts(37)
    rows, targets = zip(
        *(
            (index, batch.targets)
            for index, batch in Batches("t", examples, tiny_backbone("bert").entry).evaluation(8)
        ),
        strict=True,
    )
    assert np.concatenate(rows).tolist() == torch.cat(targets).tolist()
    assert sorted(np.concatenate(rows)) == list(range(37))


def test_images_are_normalised_by_mean_and_deviation():
    entry = tiny_backbone("vit").entry
    (_, batch), *_ = Batches("t", images(3), entry).evaluation(3)
    expected = (torch.arange(3) / 255 - entry.mean[0]) / entry.std[0]
    torch.testing.assert_close(batch.inputs["image"][:, 0, 0, 0], expected)


def test_flips_and_crops_move_pixels_and_keep_the_shape():
    rng = np.random.Generator(np.random.PCG64(0))
    image = torch.arange(16.0).expand(64, 3, 16, 16).contiguous()
    flipped = augment(image, "flip", rng)
    kinds = {tuple(row.tolist()) for row in flipped[:, 0, 0]}
    assert kinds == {tuple(range(16)), tuple(range(15, -1, -1))}
    cropped = augment(image + 1, "crop", rng)
    assert cropped.shape == image.shape
    shifts = {int(row[8]) - 9 for row in cropped[:, 0, 8]}
    assert shifts == {-2, -1, 0, 1, 2}


def mixed(count, seed=0):
    entry = tiny_backbone("bert").entry
    tasks = {"a": Batches("a", texts(70), entry), "b": Batches("b", texts(40, 1, width=20), entry)}
    stream = mixed_batches(tasks, (0.75, 0.25), Recipe(batch_size=10), seed)
    return list(islice(stream, count))


def test_rows_of_mixed_batches_are_drawn_by_the_chances_of_their_tasks():
    batches = mixed(200)
    assert all(sum(len(part.targets) for part in parts) == 10 for parts in batches)
    share = sum(len(part.targets) for parts in batches for part in parts if part.task == "a") / 2000
    assert 0.7 < share < 0.8


def test_mixed_batches_see_every_example_of_a_task_before_one_comes_again():
    batches = mixed(60)
    seen = torch.cat([part.targets for parts in batches for part in parts if part.task == "b"])
    for epoch in seen[:80].split(40):
        assert sorted(epoch.tolist()) == list(range(40))


def test_the_texts_of_a_mixed_batch_have_one_length():
    for parts in mixed(5):
        lengths = {part.inputs["input_ids"].shape[1] for part in parts}
        longest = max(int(part.inputs["attention_mask"].sum(1).max()) for part in parts)
        assert lengths == {longest}
        for part in parts:
            ids, mask = part.inputs["input_ids"], part.inputs["attention_mask"]
            assert torch.equal(ids != 0, mask.bool())
            assert (ids.amax(1) == part.targets + 1).all()


def test_the_same_seed_gives_the_same_mixed_batches():
    first, again, other = mixed(5), mixed(5), mixed(5, seed=1)
    rows = [
        [part.targets.tolist() for parts in found for part in parts] for found in (first, again)
    ]
    assert rows[0] == rows[1]
    assert rows[0] != [part.targets.tolist() for parts in other for part in parts]


def test_each_task_of_a_joint_method_has_its_own_augmentation():
    backbone = tiny_backbone("resnet").entry
    pixels = torch.arange(16 * 16).view(1, 1, 16, 16).expand(40, 3, 16, 16).to(torch.uint8)
    examples = Examples({"image": pixels}, torch.arange(40), None, np.ones(40, np.int64))
    recipe = Recipe(batch_size=40, augmentations={"a": "none", "b": "flip"})

    def different(batch):
        return len(batch.inputs["image"].unique(dim=0))

    of = {task: Batches(task, examples, backbone) for task in "ab"}
    alone = {task: different(next(of[task].training(recipe, 0))) for task in "ab"}
    mixed = {b.task: different(b) for b in next(mixed_batches(of, [0.5, 0.5], recipe, 0))}
    assert alone == mixed == {"a": 1, "b": 2}
