"""TAPS equals a plain straight-through reference: its gradients, and whole trainings step by step.

The reference knows nothing of gates or layers: it computes W0 + 1[s >= threshold] * change in the
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
from suite.engine.loop import train
from suite.engine.training_data import TaskBatches
from suite.method import ParameterSet
from suite.nn.gated import GatedChange, gates
from suite.registry.schema import Recipe

STEPS = 50
THRESHOLD = 0.1
PENALTY = 0.3
SCORE_RATE = 0.02
NEAR = {"rtol": 1e-4, "atol": 1e-5}


def gated_changes(model):
    """(gate score, change) of every gated layer, by the layer's name in the pristine network."""
    return {
        layer_name(name, "transforms"): (module.gate_score, module.change)
        for name, module in model.named_modules()
        if isinstance(module, GatedChange)
    }


@pytest.mark.parametrize("family", ["resnet", "densenet", "vit", "bert"])
def test_a_step_follows_the_derivatives_by_gate_and_by_change(family):
    """With plain SGD at a rate of one a step is the negative gradient. It is held against central
    differences of the loss as a function of weights that are free to move."""
    method, model = adapted_model("taps", family, score_learning_rate=1.0, gate_warmup=1.0)
    weights, inputs = pristine_weights(family), inputs_of(family)
    torch.manual_seed(1)
    gate = {}
    with torch.no_grad():
        for number, (name, (score, change)) in enumerate(gated_changes(model).items()):
            gate[name] = float(number % 2)
            score.fill_(THRESHOLD + (0.01 if number % 2 else -0.01))
            change.normal_(std=0.05)
    before = {
        name: (score.detach().clone(), change.detach().clone())
        for name, (score, change) in gated_changes(model).items()
    }
    recipe = Recipe(optimizer="sgd", momentum=0.0, learning_rate=1.0, clip_norm=None)
    parameters = ParameterSet(p for p in model.parameters() if p.requires_grad)
    stepper = method.stepper(model, parameters, recipe)
    output = model.backbone(inputs)
    direction = torch.randn_like(output)

    def loss(name, factor=0.0, noise=0.0):
        """With `factor` added to one layer's gate and `noise` to its change."""
        used = {}
        for layer, (_, own) in before.items():
            open_by = gate[layer] + (factor if layer == name else 0.0)
            moved = own + (noise if layer == name else 0.0)
            used[f"{layer}.weight"] = weights[f"{layer}.weight"] + open_by * moved
        return float((features(family, weights | used, inputs) * direction).sum())

    (output * direction).sum().backward()
    assert float((output * direction).sum().detach()) == pytest.approx(loss(""), rel=1e-9)
    stepper.prepare(1.0, 0.5)
    stepper.step(None)
    step = 1e-7
    for name, (score, change) in gated_changes(model).items():
        by_gate, by_change = before[name][0] - score.detach(), before[name][1] - change.detach()
        slope = (loss(name, factor=step) - loss(name, factor=-step)) / (2 * step)
        assert float(by_gate) == pytest.approx(slope, rel=1e-5, abs=1e-6), name
        noise = torch.randn_like(change)
        slope = (loss(name, noise=step * noise) - loss(name, noise=-step * noise)) / (2 * step)
        assert float((by_change * noise).sum()) == pytest.approx(slope, rel=1e-5, abs=1e-6), name
        assert (by_change == 0).all() == (gate[name] == 0), name


class Reference:
    """One task's TAPS on a pristine network, in the open."""

    def __init__(self, family, model):
        self.family = family
        state = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        self.frozen = pristine_weights(family)
        self.score = {
            n: s.detach().clone().requires_grad_() for n, (s, _) in gated_changes(model).items()
        }
        self.change = {
            n: d.detach().clone().requires_grad_() for n, (_, d) in gated_changes(model).items()
        }
        self.norm, self.statistics = {}, {}
        for name, tensor in state.items():
            if "backbone" in name and ".by_task.a." in name and ".transforms." not in name:
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
        for name, change in self.change.items():
            score = self.score[name]
            step = torch.where(score.detach() >= THRESHOLD, 1.0, 0.0).double()
            gate = step + score - score.detach()
            used[f"{name}.weight"] = self.frozen[f"{name}.weight"] + gate * change
        tensors = self.frozen | used | self.norm | self.statistics
        inputs = {"image": batch.inputs["image"].double()}
        output = features(self.family, tensors, inputs, training=True)
        loss = F.cross_entropy(F.linear(output, **self.head).float(), batch.targets)
        scores = torch.stack(list(self.score.values()))
        return loss + (PENALTY * scores.abs().mean() if penalty else 0.0)

    def train(self, batches, recipe, warmup):
        """Losses and gate states of every step."""
        plain = [*self.change.values(), *self.norm.values(), *self.head.values()]
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
        trace.append([bool(gate.gate_score >= THRESHOLD) for gate in gates(model, "a")])

    model.loss = recorded
    train(model, method, data(family), recipe, seed=0, progress=record)
    assert len(seen) == STEPS

    expected = reference.train(seen, recipe, warmup=0.1)
    flips = np.diff(np.array(trace, dtype=int), axis=0).astype(bool).sum()
    assert flips >= 10
    assert trace == expected
    for name, (score, change) in gated_changes(model).items():
        torch.testing.assert_close(score.detach(), reference.score[name].detach(), msg=name, **NEAR)
        torch.testing.assert_close(
            change.detach(), reference.change[name].detach(), msg=name, **NEAR
        )
    state = model.state_dict()
    for name, tensor in (reference.norm | reference.statistics).items():
        layer, _, end = name.rpartition(".")
        own = state[f"backbone.network.{layer}.by_task.a.{end}"]
        torch.testing.assert_close(own, tensor.detach(), msg=name, **NEAR)
