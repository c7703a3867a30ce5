"""Makes the helpers in this folder (`tiny.py`) importable from every test."""

import torch

torch.set_num_threads(1)
