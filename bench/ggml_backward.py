"""llama.cpp's gradient of a product with respect to its input, by its Python package's libraries.

The gradient of mul_mat with respect to src1 is out_prod(src0, transpose(gradient)) (ggml.c,
ggml_compute_backward). Only functions of ggml's public headers are called.
"""

import ctypes
from pathlib import Path

import numpy as np

from homezoo.formats.block_types import BlockType

F32 = 0


class InitParams(ctypes.Structure):
    """ggml_init_params of ggml.h."""

    _fields_ = (("bytes", ctypes.c_size_t), ("buffer", ctypes.c_void_p), ("bare", ctypes.c_bool))


def ggml_folder(environment: Path) -> Path | None:
    """Where an environment with llama-cpp-python has its libraries; None when it has not."""
    found = sorted(environment.glob("**/llama_cpp/lib/libggml-base.*"))
    return found[0].parent if found else None


class OutProduct:
    """dx = dy W for one quantised weight, ready to be computed again and again."""

    def __init__(
        self, folder: Path, type: BlockType, data: np.ndarray, dy: np.ndarray, threads: int
    ) -> None:
        """data: uint8 [N, row bytes]; dy: float32 [T, N]. Raises OSError without the libraries."""
        self._base = self._load(folder, "libggml-base")
        self._cpu = self._load(folder, "libggml-cpu")
        self._threads = threads
        tokens, rows = dy.shape
        width = data.shape[1] // type.block_bytes * type.block_size
        room = data.nbytes + 2 * dy.nbytes + 8 * tokens * width + (64 << 20)
        init = self._function(self._base, "ggml_init", InitParams)
        self._context = init(InitParams(room, None, False))
        weight = self._tensor(int(type), width, rows, data)
        gradient = self._tensor(F32, rows, tokens, dy)
        unary = self._function(self._base, "ggml_transpose", ctypes.c_void_p, ctypes.c_void_p)
        turned = unary(self._context, gradient)
        pair = (ctypes.c_void_p,) * 3
        self._result = self._function(self._base, "ggml_out_prod", *pair)(
            self._context, weight, turned
        )
        self._graph = self._function(self._base, "ggml_new_graph", ctypes.c_void_p)(self._context)
        expand = self._function(self._base, "ggml_build_forward_expand", *pair[:2])
        expand(self._graph, self._result)
        self._compute = self._cpu.ggml_graph_compute_with_ctx
        self._compute.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)
        self._shape = (tokens, width)

    def run(self) -> None:
        """Computes once; the context's work buffer is freed with it, so room is limited."""
        self._compute(self._context, self._graph, self._threads)

    def values(self) -> np.ndarray:
        """What was computed: float32 [T, K]."""
        pointer = self._function(self._base, "ggml_get_data", ctypes.c_void_p)(self._result)
        count = self._shape[0] * self._shape[1]
        array = (ctypes.c_float * count).from_address(pointer)
        return np.frombuffer(array, np.float32).reshape(self._shape).copy()

    @staticmethod
    def _load(folder: Path, name: str) -> ctypes.CDLL:
        return ctypes.CDLL(str(next(iter(sorted(folder.glob(f"{name}.*"))))), ctypes.RTLD_GLOBAL)

    @staticmethod
    def _function(library: ctypes.CDLL, name: str, *arguments: type) -> "ctypes._FuncPointer":
        function = library[name]  # one of its own, so that types are not shared
        function.argtypes = arguments
        function.restype = ctypes.c_void_p
        return function

    def _tensor(self, type: int, width: int, rows: int, data: np.ndarray) -> int:
        kinds = (ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
        made = self._function(self._base, "ggml_new_tensor_2d", *kinds)
        tensor: int = made(self._context, type, width, rows)
        pointer = self._function(self._base, "ggml_get_data", ctypes.c_void_p)(tensor)
        ctypes.memmove(pointer, np.ascontiguousarray(data).ctypes.data, data.nbytes)
        return tensor
