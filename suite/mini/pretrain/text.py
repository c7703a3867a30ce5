"""Pretrain a mini text backbone and write it in the transformers layout to `mini/weights/`.

    python -m suite.mini.pretrain.text bert_mini
    python -m suite.mini.pretrain.text t5_mini

Deterministic, on one CPU thread, up to ten minutes each. Both read one generated corpus, which
shares no sentence with any task (`corpus.documents`), and learn three things from it:

- to restore hidden words: masked language modelling (Devlin et al. 2019) for BERT, span corruption
  (Raffel et al. 2020) for T5;
- to tell original from replaced words (Clark et al. 2020, ELECTRA, equation 2, with replacements of
  the same kind of word or at random, and swapped neighbours, instead of a generator's);
- whether a second sentence belongs to the first, as in BERT's next sentence prediction, and which
  of a batch's second sentences belongs to each first one (InfoNCE, van den Oord et al. 2018,
  equation 4); BERT learns this only in the first two fifths of the steps.

T5 also answers with digits, as in its supervised mixture: whether two sentences belong together,
how many words were replaced, and a number to copy.

The extra heads are discarded. The script prints losses as it trains: the first line is that of the
untrained network, the last that of the network it writes (as float16).
"""

import argparse
from pathlib import Path

import torch

from suite.mini import WEIGHTS
from suite.mini.pretrain.bert import pretrain_bert
from suite.mini.pretrain.t5 import pretrain_t5

BACKBONES = {"bert_mini": pretrain_bert, "t5_mini": pretrain_t5}
STEPS = {"bert_mini": 8000, "t5_mini": 8000}


def main() -> None:
    """The command line: the backbone's name and, for a trial, the number of steps and a folder."""
    parser = argparse.ArgumentParser(description="Pretrain a mini text backbone.")
    parser.add_argument("name", choices=BACKBONES)
    parser.add_argument("--steps", type=int, help="default: as shipped")
    parser.add_argument("--folder", type=Path, default=WEIGHTS, help="write to FOLDER/NAME")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, tokenizer = BACKBONES[arguments.name](arguments.steps or STEPS[arguments.name])
    target = arguments.folder / arguments.name
    # float32 in the config and float16 in the file: half the bytes, loaded at full precision.
    weights = {name: parameter.half() for name, parameter in model.named_parameters()}
    model.save_pretrained(target, state_dict=weights)
    tokenizer.save_pretrained(target)


if __name__ == "__main__":
    main()
