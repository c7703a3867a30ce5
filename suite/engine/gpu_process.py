"""How a process that trains on a GPU is set up, and what it does between two trainings."""

import contextlib
import gc

import torch


def settle_on(device: str) -> None:
    """Make `device` (`cuda:0`) that of this process."""
    torch.cuda.set_device(device)
    # Images of a task have one size, so that cuDNN's trials for each shape pay off.
    torch.backends.cudnn.benchmark = True
    # Cycles of garbage may hold CUDA graphs, and one that ends while another is captured, or while
    # others of its stream are replayed, takes these down: `free` collects them where none are.
    gc.disable()


def free() -> None:
    """Give back, between two trainings, memory that other processes may need."""
    gc.collect()
    with contextlib.suppress(RuntimeError):  # of a fault of the device, which the training told
        torch.cuda.empty_cache()
