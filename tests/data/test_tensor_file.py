"""The cache's files: in the format of safetensors, whole or not there."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from suite.data.tensor_file import TensorFile, read

ARRAYS = {
    "image": np.arange(60, dtype=np.uint8).reshape(5, 3, 2, 2),
    "ids": np.arange(10, dtype=np.int16).reshape(5, 2) - 3,
    "label": np.linspace(0, 1, 5, dtype=np.float32),
}


def write(path, note="a note"):
    file = TensorFile(path, {name: (a.dtype, a.shape) for name, a in ARRAYS.items()}, note)
    for name, array in ARRAYS.items():
        file.arrays[name][:2] = array[:2]
        file.arrays[name][2:] = array[2:]
    file.close()


def test_what_is_written_in_parts_is_read_whole_also_by_the_librarys_own_reader(tmp_path):
    path = tmp_path / "folder" / "x.safetensors"
    write(path)
    tensors, note = read(path)
    theirs = load_file(path)
    assert note == "a note"
    assert tensors.keys() == ARRAYS.keys() == theirs.keys()
    for name, array in ARRAYS.items():
        assert tensors[name].numpy().dtype == array.dtype
        assert np.array_equal(tensors[name].numpy(), array)
        assert np.array_equal(theirs[name], array)


@pytest.mark.parametrize("place", [0.02, 0.3, 0.6, 0.8, 0.999])
def test_one_changed_byte_anywhere_is_noticed(tmp_path, place):
    path = tmp_path / "x.safetensors"
    write(path)
    damaged = bytearray(path.read_bytes())
    damaged[int(place * len(damaged))] ^= 1
    path.write_bytes(damaged)
    assert read(path) is None


def test_a_file_cut_short_or_absent_is_none(tmp_path):
    path = tmp_path / "x.safetensors"
    assert read(path) is None
    write(path)
    path.write_bytes(path.read_bytes()[:-1])
    assert read(path) is None
    path.write_bytes(b"")
    assert read(path) is None


def test_until_it_is_closed_there_is_no_file(tmp_path):
    path = tmp_path / "x.safetensors"
    layout = {"a": (np.dtype(np.uint8), (4,))}
    TensorFile(path, layout, "").discard()
    assert list(tmp_path.iterdir()) == []
    TensorFile(path, layout, "")
    assert not path.exists()
