"""Small integers packed into bytes, in the one order that all GGUF block formats share.

The bytes are taken in runs. The lowest bits of a run's bytes hold the first `run` numbers, the next
bits the next `run`, and so on; with 4 bits and a run of 16, byte j holds numbers j and j + 16.
"""

import numpy as np


def unpack_bits(packed: np.ndarray, bits: int, run: int) -> np.ndarray:
    """Numbers of 1, 2 or 4 bits: uint8 [..., bytes] to uint8 [..., bytes * 8 / bits]."""
    lead, size = packed.shape[:-1], packed.shape[-1]
    shifts = np.arange(0, 8, bits, dtype=np.uint8)[:, None]  # [8 / bits, 1]
    fields = packed.reshape(*lead, size // run, 1, run) >> shifts
    fields &= np.uint8((1 << bits) - 1)
    return fields.reshape(*lead, size * 8 // bits)


def pack_bits(fields: np.ndarray, bits: int, run: int) -> np.ndarray:
    """The inverse of `unpack_bits`: uint8 [..., n] to uint8 [..., n * bits / 8]."""
    lead, count = fields.shape[:-1], fields.shape[-1]
    per_byte = 8 // bits
    parts = fields.reshape(*lead, count // (per_byte * run), per_byte, run)
    packed = parts[..., 0, :].copy()
    for i in range(1, per_byte):
        packed |= parts[..., i, :] << np.uint8(i * bits)
    return packed.reshape(*lead, count // per_byte)
