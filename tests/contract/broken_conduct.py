"""More broken methods, as in `broken_methods.py`: they cheat, or spoil what others measure."""

JOINT = """
from dataclasses import dataclass

from suite.method import Method, adapted, context_of


@dataclass(frozen=True)
class Joint(Method):
    def adapt(self, backbone, tasks):
        context = context_of(tasks)
        backbone.unfreeze(backbone.of_kind("norm"))
        seen = []

        def shift(module, args, out):
            seen.append(context.active)
            return out + 0.5 * (WHEN == "blues")

        backbone.register_forward_hook(shift)
        return adapted(backbone, tasks, context)
"""

GROUPS = """
    def parameter_groups(self, model, parameters, recipe):
        from suite.method import ParameterGroup
        rate = RATE
        return (ParameterGroup(parameters, rate, 0.0),)
"""

CONDUCT = {
    "reads the answers while it predicts": (
        {"adapt": "model.predict = lambda batch: batch.targets"},
        "does not hold the answers",
    ),
    "learns while it is scored": (
        {
            "adapt": """
        predict = model.predict
        def learn(batch):
            model.heads.by_task['reds'].bias.data.add_(0.1)
            return predict(batch)
        model.predict = learn"""
        },
        "predict() changes heads",
    ),
    "compares the examples of a batch where it predicts": (
        {
            "adapt": """
        def predict(batch):
            out = model(batch.inputs).detach()
            return out[:, 0] - out[:, 0].mean()
        model.predict = predict"""
        },
        "a prediction depends on the other examples",
    ),
    "changes the images": (
        {
            "adapt": "backbone.register_forward_pre_hook("
            "lambda module, args: (args[0]['image'].mul_(0.5), None)[1])"
        },
        "in place: image",
    ),
    "shares its parameters with its copies": (
        {
            "adapt": "own = type(model)\n"
            "        copied = {'__deepcopy__': lambda self, memo: self}\n"
            "        model.__class__ = type('Shared', (own,), copied)"
        },
        "what changes in a deep copy of the model changes its answers",
    ),
    "answers in place of its copies": (
        {"adapt": "answer = model.forward\n        model.forward = lambda *given: answer(*given)"},
        "answers from parameters that are not its own",
    ),
    "keeps what it learned in its class": (
        {
            "more": """
    KEPT = {}

    def penalty(self, model, progress):
        (head,) = model.heads.by_task.values()
        self.KEPT['shift'] = head.weight.detach()[0].clone()
""",
            "adapt": "backbone.register_forward_hook("
            "lambda module, args, out: out + self.KEPT.get('shift', 0.0))",
        },
        "kept outside the model",
    ),
    "starts from the task that was trained before": (
        {
            "more": """
    KEPT = {}

    def penalty(self, model, progress):
        self.KEPT.update(dict.fromkeys(model.tasks, 0.5))
""",
            "adapt": """
        for name in self.KEPT.keys() - {tasks[0].name}:
            model.heads.by_task[tasks[0].name].bias.data.add_(self.KEPT[name])""",
        },
        "depends on whether blues was trained before",
    ),
    "puts more than a linear layer into its head": (
        {
            "adapt": "model.heads.by_task[tasks[0].name] = nn.Sequential("
            "nn.Linear(backbone.width, 32), nn.ReLU(), nn.Linear(32, 2))"
        },
        "the head of reds stores",
    ),
    "stores numbers as statistics of a norm that never runs": (
        {"adapt": "model.spare = nn.BatchNorm2d(4096, affine=False)"},
        "spare.running_mean is stored as a statistic",
    ),
    "stores the shape of an empty tensor": (
        {"adapt": "model.spare = nn.Parameter(torch.empty(0, 7), requires_grad=False)"},
        "spare has no elements",
    ),
    "stores numbers of a type that is not counted": (
        {
            "adapt": "model.spare = nn.Parameter("
            "torch.zeros(3).to(torch.float8_e4m3fn), requires_grad=False)"
        },
        "of the type F8_E4M3",
    ),
    "takes sixty phases of a thousandth": (
        {
            "more": """
    def phases(self, model):
        from suite.method import Phase
        return tuple(Phase(tuple(model.tasks), share=0.001) for _ in range(60))
"""
        },
        "take 60 steps where the recipe has 10",
    ),
    "steps in a term of its loss": (
        {"penalty": "model.heads.by_task['reds'].bias.data.sub_(0.01)"},
        "a penalty changes heads.by_task.reds.bias",
    ),
    "trains what it calls frozen": (
        {
            "adapt": "model.extra = nn.Parameter(torch.zeros(3), requires_grad=False)",
            "penalty": "model.extra.data.add_(0.1)",
            "cost": "norm + 3",
        },
        "extra requires no gradient, and training changes it",
    ),
    "is another method the more it is evaluated": (
        {
            "adapt": """
        evaluated = []
        def count(module, args, out):
            if module.training:
                return out * (1 + 0.1 * len(evaluated))
            evaluated.append(1)
        backbone.register_forward_hook(count)"""
        },
        "how often the model was evaluated",
    ),
    "has a rate for a task by name": (
        {"more": GROUPS.replace("RATE", "0.02 if 'reds' in model.tasks else 0.01")},
        "under another name",
    ),
    "has a rate of its own": (
        {"more": GROUPS.replace("RATE", "0.005")},
        "a third of the learning rate changes nothing",
    ),
    "changes its recipe": (
        {
            "more": """
    def parameter_groups(self, model, parameters, recipe):
        object.__setattr__(recipe, 'batch_size', 8)
        return super().parameter_groups(model, parameters, recipe)
"""
        },
        "changes its recipe",
    ),
    "asks where the examples are": (
        {"adapt": "tasks[0].sources.mini.python"},
        "'NoneType' object has no attribute 'python'",
    ),
    "changes a setting of torch": (
        {"adapt": "torch.backends.cudnn.benchmark = True"},
        "changes torch's cuDNN",
    ),
    "changes a class of torch": (
        {"adapt": "nn.ReLU.forward = lambda self, x: nn.functional.leaky_relu(x)"},
        "how an unadapted backbone computes",
    ),
    "answers all tasks as the one asked first": (
        {"regime": "joint", "python": JOINT.replace("WHEN", "not module.training and seen[0]")},
        "depend on whether reds was asked before",
    ),
    "takes a mixed batch for one of the active task": (
        {"regime": "joint", "python": JOINT.replace("WHEN", "context.active")},
        "in a batch of both tasks the loss is",
    ),
}
