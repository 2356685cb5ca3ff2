"""Damaged and hostile files: each raises one clear GGUFError that names the place and the value."""

import os
from collections.abc import Callable
from pathlib import Path
from struct import pack

import pytest

from homezoo.errors import GGUFError
from homezoo.formats.gguf_read import GGUFFile

Save = Callable[..., Path]
MAX = 2**64 - 1


def refused(path: Path, *parts: str) -> str:
    """The one-line error of opening `path`, which must hold all the parts."""
    with pytest.raises(GGUFError) as caught:
        GGUFFile.open(path)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.isprintable()
    assert len(message) < 400 + len(str(path))
    for part in (str(path), *parts):
        assert part in message, message
    return message


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"<!DOCTYPE html><html>", "web page"),
        (b"\xef\xbb\xbf\n <HTML lang=en>", "web page"),
        (b'{"error": "Repository not found"}', "JSON"),
        (b"PK\x03\x04\x00\x00", "zip archive"),
        (pack("<Q", 300) + b'{"__metadata__":', "safetensors"),
        (b"\x80\x02}q\x00.", "pickle"),
        (b"lmgg\x00\x00\x00\x00", "old GGML"),
        (b"fmgg\x01\x00\x00\x00", "old GGMF"),
        (b"tjgg\x03\x00\x00\x00", "old GGJT"),
        (b"FUGG\x00\x00\x00\x03", "big-endian"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (bytes(64), "not finished"),
        (b"hello, world", "b'hell'"),
        (b"GG", "b'GG'"),
    ],
)
def test_other_kind_of_file_is_named(save: Save, head: bytes, words: str) -> None:
    refused(save(head), words)


def test_empty_file(save: Save) -> None:
    refused(save(b""), "is empty")


def test_folder(tmp_path: Path) -> None:
    refused(tmp_path, "is a folder")


def test_missing_file(tmp_path: Path) -> None:
    refused(tmp_path / "none.gguf", "does not exist")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_named_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "not a regular file")


def test_path_with_a_zero_byte() -> None:
    with pytest.raises(GGUFError):
        GGUFFile.open("a\0b")


@pytest.mark.parametrize("version", [0, 1, 4, 2**31])
def test_version_we_cannot_read(save: Save, raw, version: int) -> None:
    words = "big-endian" if version == 2**31 else f"version {version}"
    refused(save(raw.file(version=version)), words)


def test_big_endian_version(save: Save, raw) -> None:
    refused(save(raw.file(version=3 << 24)), "big-endian")


@pytest.mark.parametrize("count", [1, 1000, 2**63, MAX])
def test_key_count_that_lies(save: Save, raw, count: int) -> None:
    refused(save(raw.file(key_count=count)), f"claims {count} keys")


@pytest.mark.parametrize("count", [1000, 2**63, MAX])
def test_tensor_count_that_lies(save: Save, raw, count: int) -> None:
    refused(save(raw.file(tensor_count=count)), f"claims {count} tensors")


@pytest.mark.parametrize("length", [0, 70_000, 2**63, MAX])
def test_key_length_that_lies(save: Save, raw, length: int) -> None:
    data = raw.file([(b"k", raw.U8, b"\0")])
    refused(save(data.replace(pack("<Q", 1) + b"k", pack("<Q", length) + b"k")), f" {length} bytes")


@pytest.mark.parametrize("length", [200, 5000, 2**63, MAX])
def test_string_length_that_lies(save: Save, raw, length: int) -> None:
    refused(
        save(raw.file([(b"name", raw.STRING, raw.string(b"abc", length))])), "'name'", f"{length}"
    )


@pytest.mark.parametrize("length", [200, 2**63 - 1, 2**63, MAX])
def test_token_length_that_lies(save: Save, raw, length: int) -> None:
    items = raw.string(b"one") + raw.string(b"two", length)
    value = raw.array(raw.STRING, items, 2)
    refused(save(raw.file([(b"tokens", raw.ARRAY, value)])), "item 1", "'tokens'", str(length))


@pytest.mark.parametrize("kind", range(13))
@pytest.mark.parametrize("count", [10_000, 2**61, 2**63, MAX])
def test_array_count_that_lies(save: Save, raw, kind: int, count: int) -> None:
    value = raw.array(kind, bytes(80), count)
    refused(save(raw.file([(b"list", raw.ARRAY, value)])), "'list'", str(count))


def test_string_count_that_lies_by_little(save: Save, raw) -> None:
    value = raw.array(raw.STRING, raw.string(b"x" * 80), 3)
    refused(save(raw.file([(b"list", raw.ARRAY, value)], alignment=1)), "item 1", "'list'")


def test_nested_array(save: Save, raw) -> None:
    inner = raw.array(raw.U8, b"\1", 1)
    value = raw.array(raw.ARRAY, inner, 1)
    refused(save(raw.file([(b"list", raw.ARRAY, value)])), "'list'", "nested")


def test_deeply_nested_array(save: Save, raw) -> None:
    value = raw.array(raw.ARRAY, b"", 1) * 100_000
    refused(save(raw.file([(b"list", raw.ARRAY, value)])), "'list'", "nested")


@pytest.mark.parametrize("kind", [13, 255, 2**32 - 1])
def test_unknown_value_type(save: Save, raw, kind: int) -> None:
    refused(save(raw.file([(b"key", kind, bytes(64))])), "'key'", str(kind))


@pytest.mark.parametrize("kind", [13, 2**32 - 1])
def test_unknown_item_type(save: Save, raw, kind: int) -> None:
    value = raw.array(kind, bytes(8), 1)
    refused(save(raw.file([(b"key", raw.ARRAY, value)])), "'key'", str(kind))


def test_key_twice(save: Save, raw) -> None:
    refused(save(raw.file([(b"key", raw.U8, b"\1"), (b"key", raw.U8, b"\1")])), "'key'", "twice")


def test_bool_that_is_neither(save: Save, raw) -> None:
    refused(save(raw.file([(b"key", raw.BOOL, b"\2")])), "'key'", "2")


def test_bool_in_array_that_is_neither(save: Save, raw) -> None:
    value = raw.array(raw.BOOL, b"\0\1\xff", 3)
    refused(save(raw.file([(b"key", raw.ARRAY, value)])), "'key'", "item 2", "255")


def test_bad_utf8_in_key(save: Save, raw) -> None:
    refused(save(raw.file([(b"ke\xff", raw.U8, b"\1")])), "key 0", "UTF-8", r"b'\xff'")


def test_bad_utf8_in_string(save: Save, raw) -> None:
    refused(save(raw.file([(b"key", raw.STRING, raw.string(b"a\xc0\x80"))])), "'key'", "UTF-8")


@pytest.mark.parametrize("size", [5_000, 3_000_000])
def test_bad_utf8_in_long_string(save: Save, raw, size: int) -> None:
    text = b"x" * size + "é".encode() * size + b"\xed\xa0\x80"  # a lone surrogate
    message = refused(save(raw.file([(b"key", raw.STRING, raw.string(text))])), "'key'", "UTF-8")
    assert r"b'\xed\xa0\x80" in message


def test_bad_utf8_in_token_names_its_index(save: Save, raw) -> None:
    value = raw.strings(b"one", "zwölf".encode(), b"", b"\xfe", b"end")
    refused(save(raw.file([(b"tokens", raw.ARRAY, value)])), "item 3", "'tokens'", r"b'\xfe'")


def test_character_may_not_continue_in_the_next_token(save: Save, raw) -> None:
    # A length of 0xa9 would complete the character begun by 0xc3 if lengths were taken for text.
    value = raw.strings(b"abc\xc3", b"x" * 0xA9)
    refused(save(raw.file([(b"tokens", raw.ARRAY, value)])), "item 0", "'tokens'")


def test_bad_utf8_in_tensor_name(save: Save, raw) -> None:
    refused(save(raw.file((), [(b"\xff", [1], 0, 0)], bytes(4))), "tensor 0", "UTF-8")


def test_control_characters_of_a_name_are_not_printed(save: Save, raw) -> None:
    key = "\x1b[31m\n\u202e".encode() * 2000
    message = refused(save(raw.file([(key, 99, b"\0")])), "unknown value type 99")
    assert "\\x1b" in message


@pytest.mark.parametrize("alignment", [0, 3, 33, 2**31])
def test_alignment_that_is_no_power_of_two_or_absurd(save: Save, raw, alignment: int) -> None:
    data = raw.file([(b"general.alignment", raw.U32, pack("<I", alignment))])
    refused(save(data), "general.alignment", str(alignment))


def test_alignment_of_wrong_type(save: Save, raw) -> None:
    data = raw.file([(b"general.alignment", raw.STRING, raw.string(b"32"))])
    refused(save(data), "general.alignment", "STRING")


@pytest.mark.parametrize("count", [0, 5, 2**32 - 1])
def test_number_of_dimensions(save: Save, raw, count: int) -> None:
    data = raw.file((), [(b"weight", [4], 0, 0)], bytes(64))
    data = data.replace(b"weight" + pack("<I", 1), b"weight" + pack("<I", count))
    refused(save(data), "'weight'", f"{count} dimensions")


@pytest.mark.parametrize("shape", [[0], [4, 0], [0, 2**63, MAX, MAX]])
def test_dimension_of_zero(save: Save, raw, shape: list[int]) -> None:
    refused(save(raw.file((), [(b"weight", shape, 0, 0)], bytes(64))), "'weight'", "0")


@pytest.mark.parametrize(
    "shape", [[17], [MAX], [2**32, 2**32], [2**62, 4], [2**63, 2], [MAX - 3] * 4]
)
def test_huge_dimensions_do_not_overflow(save: Save, raw, shape: list[int]) -> None:
    refused(save(raw.file((), [(b"weight", shape, 0, 0)], bytes(64))), "'weight'", str(shape[-1]))


@pytest.mark.parametrize("kind", [4, 5, 42, 255, 2**32 - 1])
def test_unknown_tensor_type(save: Save, raw, kind: int) -> None:
    data = raw.file((), [(b"weight", [256], kind, 0)], bytes(4096))
    refused(save(data), "'weight'", str(kind))


def test_row_that_is_no_whole_number_of_blocks(save: Save, raw) -> None:
    data = raw.file((), [(b"weight", [48, 2], 2, 0)], bytes(4096))
    refused(save(data), "'weight'", "48", "Q4_0", "32")


@pytest.mark.parametrize("offset", [32, 64, 2**40, MAX - 31])
def test_offset_outside_the_file(save: Save, raw, offset: int) -> None:
    data = raw.file((), [(b"weight", [16], 0, offset)], bytes(64))
    refused(save(data), "'weight'", str(offset))


@pytest.mark.parametrize("offset", [1, 16, 33, MAX])
def test_misaligned_offset(save: Save, raw, offset: int) -> None:
    data = raw.file((), [(b"weight", [4], 0, offset)], bytes(640))
    refused(save(data), "'weight'", str(offset), "32")


@pytest.mark.parametrize("second", [0, 32])
def test_overlapping_tensors(save: Save, raw, second: int) -> None:
    lines = [(b"first", [16], 0, 0), (b"second", [8], 0, second)]
    refused(save(raw.file((), lines, bytes(128))), "'first'", "'second'", "overlap")


def test_overlap_is_found_in_any_order(save: Save, raw) -> None:
    lines = [(b"c", [8], 0, 64), (b"a", [16], 0, 0), (b"b", [8], 0, 32)]
    refused(save(raw.file((), lines, bytes(128))), "'a'", "'b'", "overlap")


def test_tensor_name_twice(save: Save, raw) -> None:
    lines = [(b"weight", [8], 0, 0), (b"weight", [8], 0, 32)]
    refused(save(raw.file((), lines, bytes(64))), "'weight'", "twice")


def test_tensor_name_too_long(save: Save, raw) -> None:
    refused(save(raw.file((), [(b"n" * 256, [8], 0, 0)], bytes(64))), "256")


def test_file_cut_at_every_byte(save: Save, raw) -> None:
    keys = [
        (b"general.name", raw.STRING, raw.string("née".encode())),
        (b"n", raw.U32, pack("<I", 5)),
        (b"tokens", raw.ARRAY, raw.strings(b"a", b"bc", b"")),
        (b"scores", raw.ARRAY, raw.array(raw.F32, pack("<3f", 0, 1, 2), 3)),
    ]
    lines = [(b"first", [3, 2], 0, 0), (b"second", [32], 8, 32)]
    data = raw.file(keys, lines, bytes(32 + 34))
    GGUFFile.open(save(data)).close()
    for size in range(len(data)):
        refused(save(data[:size], f"{size}.gguf"))
