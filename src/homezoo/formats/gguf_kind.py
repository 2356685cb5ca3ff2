"""Says what a file is that should have been a GGUF file and is not, and what to do about it."""

_ADVICE = "get the .gguf file itself"

# First bytes of kinds of files that people take for models.
_KINDS: tuple[tuple[bytes, str, str], ...] = (
    (b"FUGG", "a big-endian GGUF file", "get the little-endian one"),
    (b"lmgg", "an old GGML file (before August 2023)", "get or convert to a GGUF file"),
    (b"fmgg", "an old GGMF file (before August 2023)", "get or convert to a GGUF file"),
    (b"tjgg", "an old GGJT file (before August 2023)", "get or convert to a GGUF file"),
    (b"algg", "an old GGLA adapter", "convert it with llama.cpp"),
    (b"version https://git-lfs", "a Git LFS pointer, not the model", "run `git lfs pull`"),
    (b"PK\x03\x04", "a zip archive, such as a PyTorch checkpoint", _ADVICE),
    (b"\x1f\x8b", "a gzip archive", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", "unpack it first"),
    (b"\xfd7zXZ\x00", "an xz archive", "unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it first"),
    (b"BZh", "a bzip2 archive", "unpack it first"),
    (b"\x89HDF", "an HDF5 file", _ADVICE),
    (b"%PDF", "a PDF document", _ADVICE),
)


def describe_kind(head: bytes) -> str:
    """What a file is whose first bytes (64 at best) are not GGUF's, and what to do: one line."""
    for magic, kind, advice in _KINDS:
        if head.startswith(magic):
            return f"is {kind}; {advice}"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "is a web page, not a model; download the file itself"
    if text.startswith((b"{", b"[")):
        return f"is JSON text, not a model; {_ADVICE}"
    if head[8:10] == b'{"' and int.from_bytes(head[:8], "little") < 100 << 20:
        return "is a safetensors file; convert it to GGUF first"
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return f"is a Python pickle, such as an old PyTorch checkpoint; {_ADVICE}"
    if head and not any(head):
        return "begins with zeros: a download that was not finished; download it again"
    return f"is not a GGUF file: it begins with {head[:4]!r} instead of b'GGUF'; {_ADVICE}"
