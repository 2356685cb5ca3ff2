"""Reads a SentencePiece tokenizer.model: a protobuf message, of which a few fields matter.

Source: sentencepiece_model.proto of github.com/google/sentencepiece; the encoding is protobuf's.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from homezoo.errors import CheckpointError, UnsupportedError

# Fields of ModelProto, SentencePiece, TrainerSpec and NormalizerSpec.
_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3
_TEXT, _SCORE, _TYPE = 1, 2, 3
_MODEL_TYPE, _UNK, _BOS, _EOS = 3, 40, 41, 42
_DUMMY_PREFIX = 3
_BPE = 2  # TrainerSpec.ModelType; 1 is Unigram
_MOST_PIECES = 1 << 22  # 16 times the largest vocabulary in use


@dataclass(frozen=True)
class SentencePieceModel:
    """Pieces in order of their ids; `types` are numbered as in GGUF. V pieces."""

    texts: list[str]  # [V]
    scores: list[float]  # [V]
    types: list[int]  # [V]
    unk_id: int | None
    bos_id: int | None
    eos_id: int | None
    adds_prefix: bool


def parse(data: bytes) -> SentencePieceModel:
    """CheckpointError for bytes that are no such message, UnsupportedError for a Unigram model."""
    texts: list[str] = []
    scores: list[float] = []
    types: list[int] = []
    trainer: dict[int, int] = {}
    normalizer: dict[int, int] = {}
    for number, value in _fields(data):
        if number == _PIECES and isinstance(value, bytes):
            piece = dict(_fields(value))
            texts.append(_text(piece.get(_TEXT), len(texts)))
            scores.append(_float(piece.get(_SCORE, b"\0\0\0\0")))
            types.append(_integer(piece.get(_TYPE, 1)))
        elif number in (_TRAINER, _NORMALIZER) and isinstance(value, bytes):
            numbers = {key: n for key, n in _fields(value) if isinstance(n, int)}
            (trainer if number == _TRAINER else normalizer).update(numbers)
        if len(texts) > _MOST_PIECES:
            raise CheckpointError(f"tokenizer.model has more than {_MOST_PIECES:,} pieces")
    if not texts:
        raise CheckpointError("tokenizer.model has no pieces; download it again")
    if trainer.get(_MODEL_TYPE, 1) != _BPE:
        raise UnsupportedError(
            "tokenizer.model is of SentencePiece's kind "
            f"{trainer.get(_MODEL_TYPE, 1)} (1 is Unigram); only BPE (2) can be converted"
        )
    ids = [_id(trainer.get(field, default)) for field, default in ((_UNK, 0), (_BOS, 1), (_EOS, 2))]
    return SentencePieceModel(
        texts, scores, types, ids[0], ids[1], ids[2], bool(normalizer.get(_DUMMY_PREFIX, 1))
    )


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Numbers and values of a message: integers, or the bytes of all else."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire not in (1, 2, 5):
            raise CheckpointError(f"tokenizer.model: wire type {wire} at byte {at}; is it whole?")
        size = {1: 8, 5: 4}.get(wire, 0)
        if wire == 2:
            size, at = _varint(data, at)
        if at + size > len(data):
            raise CheckpointError("tokenizer.model is cut short; download it again")
        yield number, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of 7 bits to a byte, lowest first, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise CheckpointError("tokenizer.model is cut short; download it again")
        value |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return value & (1 << 64) - 1, at
    raise CheckpointError(f"tokenizer.model: a number at byte {at} never ends")


def _text(value: int | bytes | None, id: int) -> str:
    try:
        return value.decode("utf-8") if isinstance(value, bytes) else ""
    except UnicodeDecodeError:
        raise CheckpointError(f"tokenizer.model: piece {id} is not UTF-8: {value!r:.40}") from None


def _float(value: int | bytes) -> float:
    if not isinstance(value, bytes) or len(value) != 4:
        raise CheckpointError(f"tokenizer.model: {value!r:.40} is no score")
    return float(struct.unpack("<f", value)[0])


def _integer(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise CheckpointError(f"tokenizer.model: {value!r:.40} is no number")
    return value


def _id(value: int) -> int | None:
    """Ids are 32-bit and -1 where there is none; negative ones are stored in 64 bits."""
    return None if value >= 1 << 31 else value
