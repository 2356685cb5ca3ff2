"""Training of a Hugging Face model by TRL, PEFT and accelerate, for GPUs and clusters.

The same rows, templates and settings as our own trainer; what comes back is a PEFT folder, or a
whole model with `full`. Under `accelerate launch` it runs as its configuration says.
"""

import math
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from homezoo.errors import DataError, OptionError, UnsupportedError
from homezoo.train.data_files import BadRow, Data
from homezoo.train.options import DEFAULT_EPOCHS, TrainingOptions
from homezoo.train.rows import Text
from homezoo.train.templates import CHAT, default_template, make_example, make_messages

# Settings of our own trainer that TRL has no counterpart of.
_OWN_ONLY = ("layers", "scratch", "patience", "memory")
_TARGETS = {"all": "all-linear", "attention": ["q_proj", "k_proj", "v_proj", "o_proj"],
            "qv": ["q_proj", "v_proj"]}  # fmt: skip


@dataclass(frozen=True)
class TrlOutcome:
    """How a run ended."""

    folder: str
    steps: int
    loss: float
    seconds: float
    template: str
    device: str


def make_columns(data: Data, template: str) -> tuple[list[dict[str, Any]], list[BadRow]]:
    """Rows as TRL takes them, one for each answer, and the rows that gave none.

    Texts are a column of their own, so that they cannot stand beside examples: DataError.
    """
    found: list[dict[str, Any]] = []
    bad: list[BadRow] = []
    texts = sum(isinstance(placed.row, Text) for placed in data.rows)
    if texts and texts < len(data.rows):
        raise DataError(
            f"{texts} of {len(data.rows)} rows are plain text; TRL takes them apart from examples"
        )
    for placed in data.rows:
        try:
            if isinstance(placed.row, Text):
                found.append({"text": placed.row.text})
            elif template == CHAT:
                messages = make_messages(placed.row)
                found.extend(
                    {"prompt": list(messages[:number]), "completion": [message]}
                    for number, message in enumerate(messages)
                    if message["role"] == "assistant"
                )
            else:
                example = make_example(template, placed.row)
                found.append({"prompt": example.prompt, "completion": example.answer})
        except DataError as error:
            bad.append(BadRow(placed.place, str(error)))
    if not found:
        raise DataError(
            f"none of {len(data.rows)} rows can be used; {bad[0].place} {bad[0].reason}"
        )
    return found, bad


def train_with_trl(
    base: Path, data: Data, options: TrainingOptions, out: Path, nf4: bool = False
) -> tuple[TrlOutcome, list[BadRow]]:
    """Trains the model in the folder `base` and saves what was learned in the folder `out`.

    `nf4` keeps the base in 4 bit (QLoRA). bfloat16 is used on GPUs that have it and never on a CPU,
    where it can be hundreds of times slower. Raises UnsupportedError when TRL is not installed,
    OptionError for settings that TRL has no counterpart of.
    """
    _check(options, nf4)
    try:
        import datasets
        import torch
        import transformers
        import trl
    except ImportError as error:
        raise UnsupportedError(
            f"--engine trl needs {error.name}: pip install 'homezoo[gpu]'"
        ) from None
    library: Any = transformers  # half of it has types
    tokenizer = library.AutoTokenizer.from_pretrained(base)
    rows = [placed.row for placed in data.rows]
    template = options.template or default_template(rows, bool(tokenizer.chat_template))
    columns, bad = make_columns(data, template)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    cuda = torch.cuda.is_available()
    halves = cuda and torch.cuda.is_bf16_supported()
    settings: dict[str, Any] = {"dtype": torch.bfloat16 if halves else torch.float32}
    if nf4:
        settings["quantization_config"] = library.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=settings["dtype"],
        )
    model = library.AutoModelForCausalLM.from_pretrained(base, **settings)
    trainer = trl.SFTTrainer(
        model=model,
        args=trl.SFTConfig(**_arguments(trl.SFTConfig, options, out, cuda, halves)),
        train_dataset=datasets.Dataset.from_list(columns),
        processing_class=tokenizer,
        peft_config=None if options.full else _lora(options),
    )
    started = time.perf_counter()
    result = trainer.train()
    seconds = time.perf_counter() - started
    if not math.isfinite(result.training_loss):
        raise DataError(f"the loss is {result.training_loss}; try a smaller --lr")
    trainer.save_model(str(out))
    device = torch.cuda.get_device_name() if cuda else "cpu"
    return TrlOutcome(
        str(out), result.global_step, result.training_loss, seconds, template, device
    ), bad


def _check(options: TrainingOptions, nf4: bool) -> None:
    default = TrainingOptions()
    changed = [name for name in _OWN_ONLY if getattr(options, name) != getattr(default, name)]
    if changed or options.optimizer != "adamw":
        names = ", ".join(changed or ["optimizer"])
        raise OptionError(f"--engine trl has no counterpart of {names}; leave it out")
    if nf4 and options.full:
        raise OptionError("a base in 4 bit cannot be taught as a whole; leave out --full or --nf4")


def _lora(options: TrainingOptions) -> Any:
    from peft import LoraConfig

    return LoraConfig(
        r=options.rank,
        lora_alpha=2 * options.rank if options.alpha is None else options.alpha,
        lora_dropout=0.0,
        target_modules=_TARGETS.get(options.targets) or options.targets.split(","),
        use_rslora=options.rslora,
        task_type="CAUSAL_LM",
    )


def _arguments(
    config: type, options: TrainingOptions, out: Path, cuda: bool, halves: bool
) -> dict[str, Any]:
    """Arguments of SFTConfig, of which some have other names in other versions."""
    known = {option.name for option in fields(config)}
    wanted: dict[str, Any] = {
        "output_dir": str(out),
        "max_steps": options.steps or -1,
        "num_train_epochs": options.epochs or DEFAULT_EPOCHS,
        "learning_rate": options.peak,
        "lr_scheduler_type": options.schedule,
        "max_grad_norm": options.clip,
        "weight_decay": options.weight_decay,
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": options.batch,
        "max_length": options.length,
        "packing": True,
        "packing_strategy": "bfd",  # whole documents that do not see each other
        "bf16": halves,
        "fp16": False,
        "use_cpu": not cuda,
        "seed": options.seed,
        "logging_steps": 1,
        "report_to": [],
        "save_strategy": "no",
        "disable_tqdm": True,
    }
    # a share in older versions of transformers, and newer ones take a share as steps below 1
    wanted["warmup_ratio" if "warmup_ratio" in known else "warmup_steps"] = options.warmup
    wanted[_first(known, "activation_checkpointing", "gradient_checkpointing")] = True
    return wanted


def _first(known: set[str], *names: str) -> str:
    return next(name for name in names if name in known)
