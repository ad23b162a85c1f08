"""What can go wrong with the embedded stack, in words that an operator can act on."""


class EmbeddedError(Exception):
    """Base of every failure of the embedded stack."""


class ArtifactError(EmbeddedError):
    """An artifact could not be had, or is not what the lock file says."""


class ServerError(EmbeddedError):
    """A server did not start, did not answer in time, or did not stop. The message names its log."""
