"""Every error a user may see: one line with what is wrong, the value found, what to do."""


class HomezooError(Exception):
    """Base of all errors that the command line shows as one line, without a traceback."""


class GGUFError(HomezooError):
    """A file is not a sound GGUF file; names the key or tensor and the value found."""


class UnsupportedError(HomezooError):
    """A sound file or option that this version cannot run; lists what it can."""


class AdapterError(HomezooError):
    """A file that is no sound adapter, or an adapter of another base; names what differs."""


class CheckpointError(HomezooError):
    """A Hugging Face folder that is damaged, incomplete, or contradicts itself."""


class TokenizerError(HomezooError):
    """A vocabulary that cannot be built, or text and ids that it cannot map."""


class TemplateError(HomezooError):
    """A chat template that is missing, broken, hostile, or refuses the conversation."""


class ContextError(HomezooError):
    """A prompt or answer that does not fit the context; gives both numbers."""


class OptionError(HomezooError):
    """An option out of its range, or options that exclude each other."""


class ConstraintError(HomezooError):
    """A JSON schema, regular expression or grammar that cannot be compiled or followed."""


class HubError(HomezooError):
    """A model hub that refuses, is not reached, or sends something else than it promised."""


class FactError(HomezooError):
    """Facts that cannot be read, contradict each other, or name no one thing; says where."""


class EditError(HomezooError):
    """An edit that must not be made: another base, too many facts, or what a check found broken."""


class DataError(HomezooError):
    """Training data that cannot be used; says where and why."""


class TrainingError(HomezooError):
    """Training that came apart; says at which step and what to try."""


class DocumentError(HomezooError):
    """A document that is damaged, hostile, too large, or of a kind that cannot be read."""


class IndexFileError(HomezooError):
    """An index that is missing or damaged, or asked for what it was not made with."""
