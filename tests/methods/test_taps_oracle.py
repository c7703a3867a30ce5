"""TAPS equals a plain straight-through reference: its gradients, and whole trainings step by step.

The reference knows nothing of gates or layers: it computes W0 + 1[s >= threshold] * delta in the
open and puts it into the pristine network.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from reference import adapted_model, features, inputs_of, layer_name, pristine_weights
from tiny import tiny_backbone

from suite.data.batching import Batches
from suite.data.encode import Examples
from suite.engine.loop import TaskBatches, train
from suite.nn.gated import gates
from suite.registry.schema import Recipe

STEPS = 50
THRESHOLD = 0.1
PENALTY = 0.3
SCORE_RATE = 0.02
NEAR = {"rtol": 1e-4, "atol": 1e-5}


def residuals(model):
    """(score, delta) of every gated layer, by the layer's name in the pristine network."""
    found = {}
    for name, parameter in model.named_parameters():
        if ".residuals." in name:
            found.setdefault(layer_name(name, "residuals"), {})[name.rpartition(".")[2]] = parameter
    return {name: (pair["score"], pair["delta"]) for name, pair in found.items()}


@pytest.mark.parametrize("family", ["resnet", "densenet", "vit", "bert"])
def test_gradients_are_the_derivatives_by_gate_and_by_change(family):
    """Against central differences of the loss as a function of weights that are free to move."""
    _, model = adapted_model("taps", family)
    weights, inputs = pristine_weights(family), inputs_of(family)
    torch.manual_seed(1)
    gate = {}
    with torch.no_grad():
        for number, (name, (score, delta)) in enumerate(residuals(model).items()):
            gate[name] = float(number % 2)
            score.fill_(THRESHOLD + (0.01 if number % 2 else -0.01))
            delta.normal_(std=0.05)
    change = {name: delta.detach() for name, (_, delta) in residuals(model).items()}
    output = model.backbone(inputs)
    direction = torch.randn_like(output)

    def loss(name, factor=0.0, noise=0.0):
        """With `factor` added to one layer's gate and `noise` to its change."""
        used = {}
        for layer, own in change.items():
            open_by = gate[layer] + (factor if layer == name else 0.0)
            moved = own + (noise if layer == name else 0.0)
            used[f"{layer}.weight"] = weights[f"{layer}.weight"] + open_by * moved
        return float((features(family, weights | used, inputs) * direction).sum())

    (output * direction).sum().backward()
    assert float((output * direction).sum().detach()) == pytest.approx(loss(""), rel=1e-9)
    step = 1e-7
    for name, (score, delta) in residuals(model).items():
        slope = (loss(name, factor=step) - loss(name, factor=-step)) / (2 * step)
        assert float(score.grad) == pytest.approx(slope, rel=1e-5, abs=1e-6), name
        noise = torch.randn_like(delta)
        slope = (loss(name, noise=step * noise) - loss(name, noise=-step * noise)) / (2 * step)
        assert float((delta.grad * noise).sum()) == pytest.approx(slope, rel=1e-5, abs=1e-6), name
        assert (delta.grad == 0).all() == (gate[name] == 0), name


class Reference:
    """One task's TAPS on a pristine network, in the open."""

    def __init__(self, family, model):
        self.family = family
        state = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        self.frozen = pristine_weights(family)
        self.score = {
            n: s.detach().clone().requires_grad_() for n, (s, _) in residuals(model).items()
        }
        self.delta = {
            n: d.detach().clone().requires_grad_() for n, (_, d) in residuals(model).items()
        }
        self.norm, self.statistics = {}, {}
        for name, tensor in state.items():
            if "backbone" in name and ".by_task.a." in name and ".residuals." not in name:
                plain = name.replace(".by_task.a.", ".").removeprefix("backbone.network.")
                trains = plain.endswith(("weight", "bias"))
                (self.norm if trains else self.statistics)[plain] = tensor.requires_grad_(trains)
        self.head = {
            end: state[f"heads.by_task.a.{end}"].requires_grad_() for end in ("weight", "bias")
        }

    def gate_states(self):
        return [bool(score >= THRESHOLD) for score in self.score.values()]

    def loss(self, batch, penalty):
        used = {}
        for name, delta in self.delta.items():
            score = self.score[name]
            step = torch.where(score.detach() >= THRESHOLD, 1.0, 0.0).double()
            gate = step + score - score.detach()
            used[f"{name}.weight"] = self.frozen[f"{name}.weight"] + gate * delta
        tensors = self.frozen | used | self.norm | self.statistics
        inputs = {"image": batch.inputs["image"].double()}
        output = features(self.family, tensors, inputs, training=True)
        loss = F.cross_entropy(F.linear(output, **self.head).float(), batch.targets)
        scores = torch.stack(list(self.score.values()))
        return loss + (PENALTY * scores.abs().mean() if penalty else 0.0)

    def train(self, batches, recipe, warmup):
        """Losses and gate states of every step."""
        plain = [*self.delta.values(), *self.norm.values(), *self.head.values()]
        scores = list(self.score.values())
        groups = [
            {"params": plain, "lr": recipe.learning_rate, "weight_decay": recipe.weight_decay},
            {"params": scores, "lr": SCORE_RATE, "weight_decay": 0.0},
        ]
        if recipe.optimizer == "adamw":
            optimizer = torch.optim.AdamW(groups)
        else:
            optimizer = torch.optim.SGD(groups, momentum=recipe.momentum)
        trace = []
        for number, batch in enumerate(batches):
            self.loss(batch, penalty=number / len(batches) >= warmup).backward()
            torch.nn.utils.clip_grad_norm_([*plain, *scores], recipe.clip_norm)
            optimizer.step()
            optimizer.zero_grad()
            trace.append(self.gate_states())
        return trace


def data(family):
    generator = torch.Generator().manual_seed(3)
    targets = torch.arange(48) % 3
    image = torch.randint(0, 128, (48, 3, 16, 16), generator=generator, dtype=torch.uint8)
    image[torch.arange(48), targets] += 60
    examples = Examples({"image": image}, targets, None, np.ones(48, int))
    batches = Batches("a", examples, tiny_backbone(family).entry)
    return {"a": TaskBatches(batches, batches)}


@pytest.mark.parametrize(
    ("family", "optimizer"), [("resnet", "adamw"), ("densenet", "sgd"), ("vit", "adamw")]
)
def test_fifty_steps_with_flipping_gates_equal_the_reference(family, optimizer):
    method, model = adapted_model(
        "taps",
        family,
        initial_score=0.12,
        threshold=THRESHOLD,
        gate_penalty=PENALTY,
        gate_warmup=0.1,
        score_learning_rate=SCORE_RATE,
    )
    recipe = Recipe(
        optimizer=optimizer,
        steps=STEPS,
        batch_size=8,
        evaluations=1,
        learning_rate=5e-3,
        weight_decay=0.01,
        schedule="constant",
        warmup=0.0,
    )
    reference = Reference(family, model)
    model.backbone.network.register_forward_pre_hook(lambda module, args: (args[0].double(),))
    seen, trace = [], []
    loss = model.loss

    def recorded(batch, smoothing=0.0):
        if model.training:
            seen.append(batch)
        return loss(batch, smoothing)

    def record(step, steps):
        trace.append([bool(gate.score >= THRESHOLD) for gate in gates(model, "a")])

    model.loss = recorded
    train(model, method, data(family), recipe, seed=0, progress=record)
    assert len(seen) == STEPS

    expected = reference.train(seen, recipe, warmup=0.1)
    flips = np.diff(np.array(trace, dtype=int), axis=0).astype(bool).sum()
    assert flips >= 10
    assert trace == expected
    for name, (score, delta) in residuals(model).items():
        torch.testing.assert_close(score.detach(), reference.score[name].detach(), msg=name, **NEAR)
        torch.testing.assert_close(delta.detach(), reference.delta[name].detach(), msg=name, **NEAR)
    state = model.state_dict()
    for name, tensor in (reference.norm | reference.statistics).items():
        layer, _, end = name.rpartition(".")
        own = state[f"backbone.network.{layer}.by_task.a.{end}"]
        torch.testing.assert_close(own, tensor.detach(), msg=name, **NEAR)
