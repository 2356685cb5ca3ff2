"""How well each architecture agrees: quantised with F32, and homezoo with llama.cpp.

    PYTHONPATH=tests python bench/architectures.py                # the table of docs/models.md
    PYTHONPATH=tests python bench/architectures.py --converted    # folders converted by homezoo

The models are random, of two to six layers with rows of 256 values (tests/zoo_quantised.py). The
second form converts Hugging Face folders of every architecture (tests/zoo_folders.py) and lets
llama.cpp open what came out: it must give the same tokens for text, and the same logits. The exit
status is 1 when it does not.
"""

import argparse
import tempfile
from pathlib import Path

import hf_folders
import numpy as np
from peer_environment import DEFAULT_ENVIRONMENT, find_peer
from peers import probe_model
from worker import Worker, WorkerError
from zoo_folders import CONVERTED, write_checkpoint
from zoo_quantised import ROWS, TOKENS, computed, cosine, divergence, same_choice, write_row

from homezoo.formats.gguf_read import GGUFFile
from homezoo.text.tokenizer import Tokenizer
from homezoo.zoo.convert import convert
from homezoo.zoo.quantize import quantize_file

MIXES = ("Q8_0", "Q4_K_M")
TOLERANCE = 0.02  # of logits that reach 8; keys and values are float16 on both sides
# What llama.cpp computes otherwise than transformers and homezoo, so that logits must differ; see
# docs/models.md.
DIFFERENT = ("mistral", "phi3_window", "gpt_oss")


def their_values(theirs: Worker, path: Path, tokens: list[int], encoder: bool) -> np.ndarray | str:
    """llama.cpp's logits (an encoder's states), or why there are none."""
    out = path.with_suffix(".npy")
    try:
        theirs.ask("open", path=str(path), threads=1, context=len(tokens) + 64, states=encoder)
        theirs.ask("states" if encoder else "logits", tokens=tokens, path=str(out))
    except WorkerError as error:
        return str(error).splitlines()[0][:120]
    return np.load(out)


def compared(ours: np.ndarray, theirs: np.ndarray | str, encoder: bool) -> str:
    """Of a table's cell."""
    if isinstance(theirs, str):
        return f"cannot run it ({theirs})"
    difference = f"{np.abs(ours - theirs).max():.0e}"
    if encoder:
        return f"cosine {cosine(ours, theirs):.6f}, {difference}"
    return f"{same_choice(theirs, ours):.1%}, {difference}"


def show_rows(theirs: Worker, folder: Path) -> None:
    """A line for each row: both mixes, then llama.cpp with the F32 file."""
    print(f"{'row':16} {'Q8_0':>22} {'Q4_K_M':>22}  llama.cpp: same choice, largest difference")
    for name in ROWS:
        path, encoder = write_row(name, folder / f"{name}.gguf"), name == "bert"
        whole, cells = computed(path), []
        for mix in MIXES:
            out = folder / f"{name}-{mix}.gguf"
            with GGUFFile.open(path) as file:
                quantize_file(file, out, mix)
            found = computed(out)
            cells.append(
                f"cosine {cosine(whole, found):.5f}"
                if encoder
                else f"{same_choice(whole, found):.1%}, KL {divergence(whole, found):.5f}"
            )
        peer = compared(whole, their_values(theirs, path, TOKENS, encoder), encoder)
        print(f"{name:16} {cells[0]:>22} {cells[1]:>22}  {peer}", flush=True)


def check_converted(theirs: Worker, folder: Path) -> int:
    """Prints what llama.cpp makes of converted folders; the number of those that differ."""
    wrong = 0
    tokens = [token % 290 for token in TOKENS[:90]]
    for number, name in enumerate(CONVERTED):
        # The folder names the model, and llama.cpp expects real Phi-3's tokens of one so named.
        write_checkpoint(name, folder / str(number))
        path = folder / f"{name}.gguf"
        convert(folder / str(number), path)
        found = their_values(theirs, path, tokens, name == "bert")
        if isinstance(found, str):
            wrong += name != "gptj"  # llama.cpp has no GPT-J
            print(f"{name:16} {found}")
            continue
        ours = computed(path, tokens)
        difference = float(np.abs(ours - found).max())
        same = same_tokens(theirs, path)
        kept = same and (difference < TOLERANCE or name in DIFFERENT)
        wrong += not kept
        said = "ok" if kept else "NOT KEPT"
        print(
            f"{name:16} logits differ by {difference:.1e}, same choice "
            f"{same_choice(found, ours):.1%}, same tokens: {same}  {said}",
            flush=True,
        )
    return wrong


def same_tokens(theirs: Worker, path: Path) -> bool:
    """Whether both cut texts into the same tokens, with what the file puts around them.

    Of BERT's only two: llama.cpp takes other marks from Hindi letters than BERT's own tokenizer.
    """
    with GGUFFile.open(path) as file:
        mine = Tokenizer.from_metadata(file.metadata)
        bert = file.metadata["tokenizer.ggml.model"] == "bert"
        for text in hf_folders.CORPUS[: 2 if bert else None]:
            found = theirs.ask("tokenize", text=text)
            if bert:  # llama.cpp puts [CLS] and [SEP] around it always
                found = found[1:-1]
            if found != mine.encode(text, bos=mine.adds_bos and not bert):
                print(f"  {text[:30]!r}: {found[:12]} and {mine.encode(text)[:12]}")
                return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--converted", action="store_true", help="check converted folders")
    parser.add_argument("--env", type=Path, default=DEFAULT_ENVIRONMENT / "llama-cpp-python")
    options = parser.parse_args()
    peer = find_peer(options.env, probe_model(options.env))
    with tempfile.TemporaryDirectory() as place, peer.worker() as theirs:
        if options.converted:
            raise SystemExit(int(check_converted(theirs, Path(place)) > 0))
        show_rows(theirs, Path(place))


if __name__ == "__main__":
    main()
