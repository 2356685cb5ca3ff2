"""Sound files: real ones against the gguf package, version 2, odd tensor types, lazy values."""

from collections.abc import Callable
from pathlib import Path
from struct import pack

import gguf
import numpy as np
import pytest

from homezoo.formats.block_types import BlockType
from homezoo.formats.gguf_read import GGUFFile
from homezoo.formats.gguf_types import TENSOR_LAYOUTS
from homezoo.formats.gguf_values import StringArray


@pytest.mark.parametrize(
    "vocabulary",
    [
        "llama-spm",
        pytest.param("gpt-2", marks=pytest.mark.slow),
        pytest.param("falcon", marks=pytest.mark.slow),
        pytest.param("qwen2", marks=pytest.mark.slow),
        pytest.param("llama-bpe", marks=pytest.mark.slow),  # takes the gguf package 17 s
    ],
)
def test_vocabulary_equals_the_gguf_package(shared_data: Path, vocabulary: str) -> None:
    path = shared_data / "vocab" / f"ggml-vocab-{vocabulary}.gguf"
    reader = gguf.GGUFReader(path)
    with GGUFFile.open(path) as file:
        fields = {key: f for key, f in reader.fields.items() if not key.startswith("GGUF.")}
        assert list(fields) == list(file.metadata)
        for key, field in fields.items():
            found = file.metadata[key]
            if isinstance(found, np.ndarray):
                np.testing.assert_array_equal(found, field.contents())
            else:
                assert found == field.contents(), key


def test_real_model_equals_the_gguf_package(stories_path: Path) -> None:
    reader = gguf.GGUFReader(stories_path)
    with GGUFFile.open(stories_path) as file:
        assert len(file.tensors) == len(reader.tensors) == 47 and not file.unsupported
        for theirs in reader.tensors:
            ours = file.tensors[theirs.name]
            assert ours.shape == theirs.data.shape and ours.type is BlockType.F32
            values = ours.data.view("<f4").reshape(ours.shape)
            np.testing.assert_array_equal(values, theirs.data)


def test_tables_of_types_equal_the_gguf_package() -> None:
    for type, (block_size, block_bytes) in gguf.GGML_QUANT_SIZES.items():
        assert TENSOR_LAYOUTS[int(type)] == (type.name, block_size, block_bytes)
    for block in BlockType:
        layout = TENSOR_LAYOUTS[block]
        assert layout == (block.name, block.block_size, block.block_bytes)


def test_version_2(save: Callable[..., Path], raw) -> None:
    data = raw.file(
        [(b"n", raw.U32, pack("<I", 7))], [(b"w", [2], 0, 0)], pack("<2f", 1, 2), version=2
    )
    with GGUFFile.open(save(data)) as file:
        assert file.version == 2 and file.metadata["n"] == 7
        assert file.tensors["w"].data.view("<f4").tolist() == [[1, 2]]


def test_shape_is_the_reverse_of_the_file_order(save: Callable[..., Path], raw) -> None:
    data = raw.file((), [(b"w", [4, 3, 2], 1, 0)], bytes(48))
    with GGUFFile.open(save(data)) as file:
        tensor = file.tensors["w"]
        assert tensor.shape == (2, 3, 4) and tensor.width == 4
        assert tensor.rows == 6 and tensor.data.shape == (6, 8)


@pytest.mark.parametrize("type", sorted(set(TENSOR_LAYOUTS) - set(BlockType)))
def test_types_we_cannot_compute_are_listed_not_refused(
    save: Callable[..., Path], raw, type: int
) -> None:
    name, block_size, block_bytes = TENSOR_LAYOUTS[type]
    lines = [(b"odd", [block_size, 2], type, 0), (b"w", [1], 0, -(-2 * block_bytes // 32) * 32)]
    data = bytes(lines[1][3] + 4)
    with GGUFFile.open(save(raw.file((), lines, data))) as file:
        assert dict(file.unsupported) == {"odd": name}
        assert list(file.tensors) == ["w"]


def test_file_without_keys_and_tensors(save: Callable[..., Path], raw) -> None:
    with GGUFFile.open(save(raw.file())) as file:
        assert not file.metadata and not file.tensors and not file.unsupported


def test_space_between_tensors_and_after_them_is_allowed(save: Callable[..., Path], raw) -> None:
    lines = [(b"a", [1], 0, 64), (b"b", [1], 0, 0)]
    data = pack("<f60xf96x", 1, 2)
    with GGUFFile.open(save(raw.file((), lines, data))) as file:
        assert file.tensors["a"].data.view("<f4")[0, 0] == 2
        assert file.tensors["b"].data.view("<f4")[0, 0] == 1


def test_string_array_is_like_the_list_it_stands_for(save: Callable[..., Path], raw) -> None:
    texts = ["", "a", "é", "日本", "\0", "x" * 1000]
    value = raw.strings(*(text.encode() for text in texts))
    with GGUFFile.open(save(raw.file([(b"tokens", raw.ARRAY, value)]))) as file:
        tokens = file.metadata["tokens"]
        assert isinstance(tokens, StringArray) and tokens == texts and texts == tokens
        assert tokens != texts[:-1] and tokens != [*texts[:-1], "y"] and tokens != 5
        assert tokens == tokens[:] and tokens[-6:2] == ["", "a"] and tokens[::-1] == texts[::-1]
        assert [tokens[i] for i in range(-6, 6)] == texts + texts
        assert "日本" in tokens and tokens.index("é") == 2 and list(reversed(tokens)) == texts[::-1]
        for index in (6, -7):
            with pytest.raises(IndexError):
                tokens[index]
        assert repr(tokens) == "['', 'a', 'é', ... 6 strings]"
        with pytest.raises(TypeError):
            hash(tokens)


@pytest.mark.parametrize("count", [0, 3, 5000])
def test_number_arrays_are_read_only(save: Callable[..., Path], raw, count: int) -> None:
    items = np.arange(count, dtype="<f4")
    value = raw.array(raw.F32, items.tobytes(), count)
    with GGUFFile.open(save(raw.file([(b"scores", raw.ARRAY, value)]))) as file:
        scores = file.metadata["scores"]
        np.testing.assert_array_equal(scores, items)
        assert scores.dtype == np.float32 and not scores.flags.writeable


@pytest.mark.parametrize("size", [4096, 4097, 1_500_000, 2_500_000])
def test_long_strings(save: Callable[..., Path], raw, size: int) -> None:
    text = ("é日x😀" * size)[:size]
    with GGUFFile.open(save(raw.file([(b"t", raw.STRING, raw.string(text.encode()))]))) as file:
        assert file.metadata["t"] == text
