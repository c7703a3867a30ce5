"""The names a closed-form cost may use, and what they mean."""

BACKBONE_NAMES = {
    "P": "parameters of the backbone, tied ones once, without any task head",
    "T": "tasks of the cell",
    "d": "width of the features",
    "norm": "affine parameters of all norm sites",
    "gated": "weights, without biases, of all conv and linear sites",
    "bias": "biases of all conv, linear, patch-embedding and head sites",
    "head": "parameters of the backbone's own head sites",
    "positions": "learned position embeddings of a ViT; 0 on other families",
    "layers_encoder": "blocks of the encoder stack",
    "layers_decoder": "blocks of the decoder stack",
    "blocks": "blocks of the whole network",
}
SITE_NAMES = {
    "w": "width of the site: output features or channels",
    "i": "input features or channels of a conv or linear site",
    "o": "output features or channels of a conv or linear site",
    "k": "kernel area of a conv site, 1 for a linear one",
    "g": "groups of a conv site, 1 for a linear one",
    "b": "biases of a conv or linear site",
    "size": "parameters of the site's own module",
    "part": "what a linear site does: query, key, value, qkv, attention_output, ff_hidden, "
    "ff_output; or a conv site of a ResNet: shortcut, block_output (the last beside the shortcut); "
    "or what a keys site attends to: self, cross",
    "depth": "block of the network the site belongs to, from 0; -1 before the first",
}
