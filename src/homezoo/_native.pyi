"""homezoo's kernels. ops/ is their only user."""

from typing import Annotated

import numpy
from numpy.typing import NDArray

class Threads:
    """A pool of threads that programs share; one program runs at a time."""

    def __init__(self, count: int) -> None: ...
    @property
    def count(self) -> int: ...

class Program:
    """
    A recorded forward pass; values are numbered in the order they are made.
    """

    def __init__(self, threads: Threads) -> None: ...
    def embed(
        self,
        table: Annotated[
            NDArray[numpy.uint8], dict(shape=(None, None), order="C", device="cpu", writable=False)
        ],
        type: int,
        width: int,
    ) -> int: ...
    def embed_positions(
        self,
        table: Annotated[
            NDArray[numpy.uint8], dict(shape=(None, None), order="C", device="cpu", writable=False)
        ],
        type: int,
        width: int,
    ) -> int: ...
    def matmul(
        self,
        x: int,
        weight: Annotated[
            NDArray[numpy.uint8], dict(shape=(None, None), order="C", device="cpu", writable=False)
        ],
        type: int,
        width: int,
    ) -> int: ...
    def matmul_float(
        self,
        x: int,
        weight: Annotated[
            NDArray[numpy.float32],
            dict(shape=(None, None), order="C", device="cpu", writable=False),
        ],
    ) -> int: ...
    def rms_norm(
        self,
        x: int,
        weight: Annotated[
            NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu", writable=False)
        ],
        eps: float,
    ) -> int: ...
    def layer_norm(
        self,
        x: int,
        weight: Annotated[
            NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu", writable=False)
        ],
        bias: Annotated[
            NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu", writable=False)
        ],
        eps: float,
    ) -> int: ...
    def add(self, x: int, y: int, scale: float = 1.0) -> int: ...
    def add_bias(
        self,
        x: int,
        bias: Annotated[
            NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu", writable=False)
        ],
    ) -> int: ...
    def silu_mul(self, gate: int, up: int) -> int: ...
    def gelu(self, x: int, exact: bool = False) -> int: ...
    def scale(self, x: int, factor: float) -> int: ...
    def multiply(self, x: int, y: int) -> int: ...
    def columns(self, x: int, start: int, stop: int) -> int: ...
    def soft_cap(self, x: int, cap: float) -> int: ...
    def clamped_swiglu(self, gate: int, up: int, alpha: float, limit: float) -> int: ...
    def rope(
        self,
        x: int,
        frequencies: Annotated[
            NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu", writable=False)
        ],
        head_width: int,
        halves: bool,
        magnitude: float,
    ) -> int: ...
    def attention(
        self,
        q: int,
        k: int,
        v: int,
        keys: Annotated[
            NDArray[numpy.uint8], dict(shape=(None, None, None, None), order="C", device="cpu")
        ],
        values: Annotated[
            NDArray[numpy.uint8], dict(shape=(None, None, None, None), order="C", device="cpu")
        ],
        head_width: int,
        q8: bool,
        scale: float,
        window: int,
        cap: float = 0.0,
        causal: bool = True,
        slopes: Annotated[
            NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu", writable=False)
        ]
        | None = None,
        sinks: Annotated[
            NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu", writable=False)
        ]
        | None = None,
    ) -> int: ...
    def select(self, x: int) -> int: ...
    def finish(self, output: int) -> None: ...
    def width(self, value: int) -> int: ...
    def buffer_bytes(self, tokens: int, rows: int) -> int: ...
    @property
    def memory_bytes(self) -> int: ...
    def run(
        self,
        tokens: Annotated[
            NDArray[numpy.int32], dict(shape=(None,), order="C", device="cpu", writable=False)
        ],
        positions: Annotated[
            NDArray[numpy.int32], dict(shape=(None,), order="C", device="cpu", writable=False)
        ],
        sequences: Annotated[
            NDArray[numpy.int32], dict(shape=(None,), order="C", device="cpu", writable=False)
        ],
        blocks: Annotated[
            NDArray[numpy.int32], dict(shape=(None, None), order="C", device="cpu", writable=False)
        ],
        rows: Annotated[
            NDArray[numpy.int32], dict(shape=(None,), order="C", device="cpu", writable=False)
        ],
        strengths: Annotated[
            NDArray[numpy.float32],
            dict(shape=(None, None), order="C", device="cpu", writable=False),
        ]
        | None = None,
    ) -> Annotated[NDArray[numpy.float32], dict(shape=(None, None))]:
        """The output for a batch: float32 [rows or tokens, width]."""

    def low_rank(
        self,
        x: int,
        y: int,
        a: Annotated[
            NDArray[numpy.float32],
            dict(shape=(None, None), order="C", device="cpu", writable=False),
        ],
        b: Annotated[
            NDArray[numpy.float32],
            dict(shape=(None, None), order="C", device="cpu", writable=False),
        ],
        scale: float,
        adapter: int,
    ) -> int: ...
    def route(self, scores: int, slots: int) -> int: ...
    def expert_matmul(
        self,
        x: int,
        routing: int,
        weight: Annotated[
            NDArray[numpy.uint8], dict(shape=(None, None), order="C", device="cpu", writable=False)
        ],
        type: int,
        width: int,
        experts: int,
    ) -> int: ...
    def expert_bias(
        self,
        x: int,
        routing: int,
        bias: Annotated[
            NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu", writable=False)
        ],
        experts: int,
    ) -> int: ...
    def expert_sum(self, x: int, routing: int) -> int: ...

def matmul(
    x: Annotated[
        NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)
    ],
    weight: Annotated[
        NDArray[numpy.uint8], dict(shape=(None, None), order="C", device="cpu", writable=False)
    ],
    type: int,
    width: int,
    threads: Threads,
    exact: bool = False,
) -> Annotated[NDArray[numpy.float32], dict(shape=(None, None))]:
    """
    x [T, K] times rows of blocks [N, row bytes], transposed; exact: x is not rounded.
    """

def input_gradient(
    dy: Annotated[
        NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)
    ],
    weight: Annotated[
        NDArray[numpy.uint8], dict(shape=(None, None), order="C", device="cpu", writable=False)
    ],
    type: int,
    width: int,
    threads: Threads,
    int8: bool = False,
) -> Annotated[NDArray[numpy.float32], dict(shape=(None, None))]:
    """dy [T, N] times rows of blocks [N, row bytes]; int8: both are rounded."""

def multiply(
    a: Annotated[
        NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)
    ],
    b: Annotated[
        NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)
    ],
    threads: Threads,
    a_turned: bool = False,
    b_turned: bool = False,
    into: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu")]
    | None = None,
) -> Annotated[NDArray[numpy.float32], dict(shape=(None, None))] | None:
    """
    Float matrices a [M, R] (turned: [R, M]) times b [R, N] (turned: [N, R]).
    """

def rms_norm(
    x: Annotated[
        NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)
    ],
    weight: Annotated[
        NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu", writable=False)
    ],
    eps: float,
    threads: Threads,
    dy: Annotated[
        NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)
    ]
    | None = None,
) -> Annotated[NDArray[numpy.float32], dict(shape=(None, None))]:
    """Rows of x normed, or with dy the gradient for x."""

def silu_mul(
    gate: Annotated[
        NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)
    ],
    up: Annotated[
        NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)
    ],
    threads: Threads,
) -> Annotated[NDArray[numpy.float32], dict(shape=(None, None))]:
    """silu(gate) * up."""

def silu_mul_gradient(
    dy: Annotated[
        NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)
    ],
    gate: Annotated[
        NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)
    ],
    up: Annotated[
        NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)
    ],
    threads: Threads,
) -> tuple[
    Annotated[NDArray[numpy.float32], dict(shape=(None, None))],
    Annotated[NDArray[numpy.float32], dict(shape=(None, None))],
]:
    """Its gradients for gate and up."""

def rotate(
    x: Annotated[
        NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)
    ],
    cosine: Annotated[
        NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)
    ],
    sine: Annotated[
        NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)
    ],
    head_width: int,
    halves: bool,
    back: bool,
    threads: Threads,
) -> Annotated[NDArray[numpy.float32], dict(shape=(None, None))]:
    """
    Pairs of each head of x [T, width] turned by the token's angles [T, pairs], or back.
    """

def attention(
    q: Annotated[
        NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)
    ],
    k: Annotated[
        NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)
    ],
    v: Annotated[
        NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)
    ],
    starts: Annotated[
        NDArray[numpy.int32], dict(shape=(None,), order="C", device="cpu", writable=False)
    ],
    head_width: int,
    scale: float,
    window: int,
    threads: Threads,
    slopes: Annotated[
        NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu", writable=False)
    ]
    | None = None,
) -> tuple[
    Annotated[NDArray[numpy.float32], dict(shape=(None, None))],
    Annotated[NDArray[numpy.float32], dict(shape=(None, None))],
]:
    """
    q [T, H E] in whole sequences that begin at starts: values [T, H E] and statistics [T, 2 H].
    """

def attention_gradient(
    dy: Annotated[
        NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)
    ],
    q: Annotated[
        NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)
    ],
    k: Annotated[
        NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)
    ],
    v: Annotated[
        NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)
    ],
    y: Annotated[
        NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)
    ],
    statistics: Annotated[
        NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)
    ],
    starts: Annotated[
        NDArray[numpy.int32], dict(shape=(None,), order="C", device="cpu", writable=False)
    ],
    head_width: int,
    scale: float,
    window: int,
    threads: Threads,
    slopes: Annotated[
        NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu", writable=False)
    ]
    | None = None,
) -> list[Annotated[NDArray[numpy.float32], dict(shape=(None, None))]]:
    """
    Its gradients for q, k and v, of k and v for each query head: [T, H E] each.
    """

def keep_freed_memory(keep: bool) -> None:
    """
    Whether freed memory stays with this process, to be used again (glibc only).
    """

def dequantize(
    rows: Annotated[
        NDArray[numpy.uint8], dict(shape=(None, None), order="C", device="cpu", writable=False)
    ],
    type: int,
    width: int,
) -> Annotated[NDArray[numpy.float32], dict(shape=(None, None))]:
    """Rows of blocks [N, row bytes] as floats [N, width]."""

def section() -> str:
    """The kernels in use on this CPU."""

def sections() -> list[str]:
    """All kernels that this CPU can execute, plain first."""

def use_section(name: str) -> None:
    """Chooses kernels by name for programs made from now on."""

def limits(threads: Threads, seconds: float = 1.0) -> list[float]:
    """
    Bytes read, int8 and fp32 multiply-adds per second: the best of several runs.
    """

def section_notice() -> str:
    """Why faster kernels stepped aside, or an empty string."""
