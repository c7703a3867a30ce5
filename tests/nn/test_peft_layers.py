import torch
from peft import LoraConfig
from peft.tuners.lora import LoraLayer
from tiny import tiny_backbone, tiny_batch

from suite.nn.peft_layers import exactly, inject


def adapted_layers(family, sites):
    backbone = tiny_backbone(family).eval()
    chosen = [site for site in backbone.sites if site.name in sites]
    inject(backbone, LoraConfig(r=2, lora_alpha=6, target_modules=exactly(chosen)))
    return backbone, {
        name: module
        for name, module in backbone.network.named_modules()
        if isinstance(module, LoraLayer)
    }


def test_only_the_named_layer_is_adapted_not_those_whose_names_end_like_it():
    _, layers = adapted_layers("resnet", ["conv1"])
    assert list(layers) == ["conv1"]


def test_only_the_low_rank_factors_train():
    backbone, _ = adapted_layers("bert", ["encoder.layer.0.attention.self.query"])
    trained = [name for name, p in backbone.network.named_parameters() if p.requires_grad]
    assert trained == [
        "encoder.layer.0.attention.self.query.lora_A.default.weight",
        "encoder.layer.0.attention.self.query.lora_B.default.weight",
    ]


def test_a_kernel_to_few_channels_and_a_pointwise_one_are_a_change_of_the_kernel():
    backbone, layers = adapted_layers("resnet", ["layer2.0.conv1"])
    layer = layers["layer2.0.conv1"]
    down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    torch.nn.init.normal_(up)
    batch = tiny_batch("resnet", "a")
    with torch.no_grad():
        features = backbone(batch.inputs)
        plain = tiny_backbone("resnet").eval()
        change = torch.einsum("or,rikl->oikl", up[:, :, 0, 0], down)
        plain.network.layer2[0].conv1.weight += 6 / 2 * change
        torch.testing.assert_close(features, plain(batch.inputs), rtol=1e-3, atol=1e-4)
