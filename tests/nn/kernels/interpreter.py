"""What Triton's interpreter needs to run the kernels as a GPU would."""

import numpy as np
import triton.language as tl
from triton.runtime import interpreter

_builder = interpreter.InterpreterBuilder
_dot, _cast = _builder.create_dot, _builder.cast_impl


def support_bfloat16() -> None:
    """Let the interpreter multiply bfloat16 and round to it.

    It keeps bfloat16 as bit patterns in uint16, multiplies these in `tl.dot` as if they were
    numbers, and truncates float32 to bfloat16 where a GPU rounds to nearest even.
    """
    _builder.create_dot = _create_dot
    _builder.cast_impl = _cast_impl
    for name in ("create_fp_ext", "create_fp_trunc"):
        setattr(_builder, name, lambda self, source, kind: self.cast_impl(source, kind))


def _widen(handle: interpreter.TensorHandle) -> interpreter.TensorHandle:
    if handle.dtype.scalar != tl.bfloat16:
        return handle
    bits = handle.data.astype(np.uint32) << 16
    return interpreter.TensorHandle(bits.view(np.float32), tl.float32)


def _create_dot(self, a, b, *rest):
    if tl.bfloat16 in (a.dtype.scalar, b.dtype.scalar):
        a, b = _widen(a), _widen(b)
    return _dot(self, a, b, *rest)


def _cast_impl(self, source, kind):
    if (source.dtype.scalar, kind.scalar) != (tl.float32, tl.bfloat16):
        return _cast(self, source, kind)
    bits = np.ascontiguousarray(source.data).view(np.uint32).astype(np.uint64)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    rounded = np.where(np.isnan(source.data), np.uint16(0x7FC0), rounded)
    return interpreter.TensorHandle(rounded, tl.bfloat16)
