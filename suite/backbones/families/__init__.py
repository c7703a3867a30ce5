"""Families of networks, a file each: `suite.backbones.family` says what one consists of."""
