"""Errors that a user can meet, one class for each kind of cause.

Each message is one line: what was wrong (found and expected) and what to do. The command line prints the message
without a traceback and leaves with exit code 2; a caller in Python can catch :class:`JaxicmError` or a subclass.
"""


class JaxicmError(Exception):
    """Base of every error that jaxicm raises on purpose."""


class InputError(JaxicmError):
    """Report an input that cannot be read: missing, a directory, not a picture, empty, of absurd size or dtype."""


class OptionError(JaxicmError):
    """Report an option out of its range, or options that exclude each other."""


class TargetError(JaxicmError):
    """Report a rate or quality that cannot be reached; the message says what is reachable."""


class OutputError(JaxicmError):
    """Report an output that cannot be written: disk full, no permission, no such folder."""


class ConfigError(JaxicmError):
    """Report a training or model configuration that contradicts itself or holds an unknown key."""


class TrainingError(JaxicmError):
    """Report a training run that cannot go on, for instance after a loss that is not a number."""


class ExactnessError(JaxicmError):
    """Report an exact network whose overflow proof fails, so that its integers might not be exact."""


class MissingDependency(JaxicmError):  # noqa: N818
    """Report an optional package that is not installed; the message names the command that installs it."""


class FileFormatError(JaxicmError):
    """Report a compressed file that cannot be decoded; the subclasses name the cause."""


class ForeignFile(FileFormatError):  # noqa: N818
    """Report a file that does not begin with the magic bytes of jaxicm."""


class NewerVersion(FileFormatError):  # noqa: N818
    """Report a file of a format version newer than this program reads."""


class CorruptFile(FileFormatError):  # noqa: N818
    """Report a file whose contents were altered: a checksum, a range or a length does not hold."""


class TruncatedFile(FileFormatError):  # noqa: N818
    """Report a file that ends before its contents do."""


class UnknownWeights(FileFormatError):  # noqa: N818
    """Report a file made with weights that are not installed here."""
