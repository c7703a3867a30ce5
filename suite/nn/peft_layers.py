"""Layers of the `peft` library at the sites of a backbone."""

import re
from collections.abc import Iterable

from peft import PeftConfig, inject_adapter_in_model

from suite.backbones.base import Backbone
from suite.backbones.sites import Site


def inject(backbone: Backbone, config: PeftConfig) -> None:
    """Put `peft`'s layers where `config.target_modules` says; only what they add trains.

    peft also freezes or unfreezes the rest of the network; here the rest is frozen already.
    """
    inject_adapter_in_model(config, backbone.network)


def exactly(sites: Iterable[Site]) -> str:
    """The pattern by which `peft` finds these sites and no others.

    A list of names would match too much: peft also takes any longer name that ends in one of them.
    """
    return "|".join(re.escape(site.name) for site in sites) or "(?!)"
