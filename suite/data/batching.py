"""Batches from examples on the device or, if they do not fit there, on the host. In neither case
does the host wait for the device."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from suite.data.augment import augment
from suite.data.encode import Examples
from suite.data.transfer import to_device
from suite.registry.schema import BackboneEntry, Recipe

BUCKET_BATCHES = 16
GPU_MULTIPLE = 16
FEATURES = "features"
"""The only input of a batch for which the backbone need not be run."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples of one task.

    `inputs` are the backbone's keyword tensors, first dimension B; `targets` are class indices
    int64 [B], numbers float32 [B], or 0 and 1 [B, labels]; `target_ids` the same as tokens int64
    [B, M] (-100 is padding) for a text-to-text backbone.
    """

    task: str
    inputs: Mapping[str, Tensor]
    targets: Tensor
    target_ids: Tensor | None

    def unanswered(self) -> "Batch":
        """The same examples with their answers blanked out."""
        ids = None if self.target_ids is None else torch.zeros_like(self.target_ids)
        return replace(self, targets=torch.zeros_like(self.targets), target_ids=ids)

    def first(self, count: int) -> "Batch":
        """The first examples of the batch."""
        inputs = {name: values[:count] for name, values in self.inputs.items()}
        ids = None if self.target_ids is None else self.target_ids[:count]
        return replace(self, inputs=inputs, targets=self.targets[:count], target_ids=ids)


class Batches:
    """Makes batches of one split of one task, for one backbone."""

    def __init__(
        self,
        task: str,
        examples: Examples,
        backbone: BackboneEntry,
        device: torch.device | None = None,
    ) -> None:
        """`device` is where batches are wanted, by default where the examples are."""
        self.task = task
        self.examples = examples
        self.backbone = backbone
        self.device = device = device or examples.targets.device
        self.resident = examples.targets.device.type == device.type
        self.multiple = GPU_MULTIPLE if device.type == "cuda" else 1
        """Texts of a training batch are padded to a multiple of so many tokens, if there are so
        many: a GPU replays the steps of batches of one shape."""
        if backbone.modality == "image":
            mean = torch.tensor(backbone.mean, device=device).view(1, 3, 1, 1)
            std = torch.tensor(backbone.std, device=device).view(1, 3, 1, 1)
            # One fused multiply-add per batch: x / 255 normalised by mean and std.
            self.scale, self.shift = 1 / (255 * std), -mean / std

    def training(self, recipe: Recipe, seed: int) -> Iterator[Batch]:
        """Endless shuffled batches; texts are bucketed by length within a window of
        `BUCKET_BATCHES` batches. Every batch is full, unless the split is smaller than one: the
        examples left over at the end of an epoch's shuffle are not used in that epoch."""
        rng = np.random.Generator(np.random.PCG64(seed))
        size = min(recipe.batch_size, len(self.examples))
        while True:
            order = rng.permutation(len(self.examples))
            order = order[: len(order) // size * size]
            batches: list[np.ndarray] = []
            for window in np.split(
                order, range(size * BUCKET_BATCHES, len(order), size * BUCKET_BATCHES)
            ):
                # Neighbours in length share a batch, so that little of it is padding; the order of
                # the batches is drawn again below, or every window would run from short to long.
                by_length = window[np.argsort(self.examples.lengths[window], kind="stable")]
                batches.extend(by_length.reshape(-1, size))
            batches = [batches[number] for number in rng.permutation(len(batches))]
            on_device = self._index(np.concatenate(batches))
            for rows, index in zip(batches, on_device.split(size), strict=True):
                yield _augmented(self._batch(rows, index, self._padded(rows)), recipe, rng)

    def evaluation(self, size: int) -> Iterator[tuple[np.ndarray, Batch]]:
        """Every example once, shortest first: (row numbers, batch)."""
        order = np.argsort(self.examples.lengths, kind="stable")
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            yield rows, self._batch(rows, self._index(rows))

    def rows(self, rows: np.ndarray, longest: int) -> Batch:
        """The examples with these numbers, texts cut or padded to `longest` tokens."""
        return self._batch(rows, self._index(rows), longest)

    def _index(self, rows: np.ndarray) -> Tensor:
        """Row numbers where the examples are."""
        return to_device(torch.from_numpy(rows), self.examples.targets.device)

    def _padded(self, rows: np.ndarray) -> int:
        """The length of these texts in training."""
        longest = -(-int(self.examples.lengths[rows].max()) // self.multiple) * self.multiple
        return min(longest, *(values.shape[1] for values in self.examples.inputs.values()))

    def _rows(self, values: Tensor, index: Tensor) -> Tensor:
        """Rows of the examples, on the device."""
        return values[index] if self.resident else to_device(values[index], self.device)

    def _batch(self, rows: np.ndarray, index: Tensor, longest: int = 0) -> Batch:
        """The batch of `rows`, texts as long as their longest or `longest`; `index` is `rows` where
        the examples are."""
        examples = self.examples
        if "image" in examples.inputs:
            image = self._rows(examples.inputs["image"], index).float()
            inputs = {"image": torch.addcmul(self.shift, image, self.scale)}
        else:
            longest = longest or int(examples.lengths[rows].max())
            inputs = {
                name: self._rows(values[:, :longest], index).long()
                for name, values in examples.inputs.items()
            }
            missing = longest - inputs["input_ids"].shape[1]
            if missing > 0:
                # Any token id will do here: the mask is padded with zeros as well.
                inputs = {name: F.pad(values, (0, missing)) for name, values in inputs.items()}
        return Batch(self.task, inputs, self._rows(examples.targets, index), self._answers(index))

    def _answers(self, index: Tensor) -> Tensor | None:
        ids = self.examples.target_ids
        return None if ids is None else self._rows(ids, index).long()


class FeatureBatches(Batches):
    """The same batches with `FEATURES` [B, width] as inputs, computed once for each example.

    `compute` gives the features of a batch, which must be the same at every call.
    """

    def __init__(self, batches: Batches, width: int, compute: Callable[[Batch], Tensor]) -> None:
        super().__init__(batches.task, batches.examples, batches.backbone, batches.device)
        self.compute = compute
        self.features = torch.empty(len(self.examples), width, device=self.device)
        self.known = np.zeros(len(self.examples), bool)

    def _batch(self, rows: np.ndarray, index: Tensor, longest: int = 0) -> Batch:
        place = index if self.resident else to_device(index, self.device)
        if not self.known[rows].all():
            self.features[place] = self.compute(super()._batch(rows, index)).float()
            self.known[rows] = True
        inputs = {FEATURES: self.features[place]}
        return Batch(
            self.task, inputs, self._rows(self.examples.targets, index), self._answers(index)
        )


def task_chances(sizes: Sequence[int], temperature: float) -> list[float]:
    """How often to draw tasks of these sizes: in proportion to size^(1/temperature) (Karimi
    Mahabadi et al. 2021, section 3)."""
    weights = np.array(sizes, float) ** (1 / temperature)
    return (weights / weights.sum()).tolist()


MixedBatch = tuple[Batch, ...]
"""Rows of several tasks: one batch of each, texts of the same length."""


def mixed_batches(
    batches: Mapping[str, Batches], chances: Sequence[float], recipe: Recipe, seed: int
) -> Iterator[MixedBatch]:
    """Endless batches of `recipe.batch_size` rows, the task of each row drawn with its chance.

    Each task's rows come in an order that is shuffled anew for every epoch; they are not bucketed
    by length.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    orders = {
        task: _shuffled(len(own.examples), np.random.Generator(np.random.PCG64([seed, number])))
        for number, (task, own) in enumerate(batches.items())
    }
    while True:
        counts = rng.multinomial(recipe.batch_size, chances)
        drawn = {
            task: np.fromiter(islice(orders[task], int(count)), np.int64)
            for task, count in zip(batches, counts, strict=True)
            if count
        }
        longest = max(
            int(batches[task].examples.lengths[rows].max()) for task, rows in drawn.items()
        )
        yield tuple(
            _augmented(batches[task].rows(rows, longest), recipe, rng)
            for task, rows in drawn.items()
        )


def _shuffled(count: int, rng: np.random.Generator) -> Iterator[int]:
    while True:
        yield from rng.permutation(count)


def _augmented(batch: Batch, recipe: Recipe, rng: np.random.Generator) -> Batch:
    kind = recipe.augmentation_of(batch.task)
    if kind == "none":
        return batch
    image = augment(batch.inputs["image"], kind, rng)
    return Batch(batch.task, {"image": image}, batch.targets, batch.target_ids)
