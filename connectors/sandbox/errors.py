"""What the sandbox raises: whose fault it is decides the type."""

from __future__ import annotations


class SandboxError(Exception):
    """Base of everything that this package raises on purpose."""


class RequestInvalid(SandboxError):
    """The caller's fault: a bound is broken, or a package is not approved. Never retried."""


class SandboxUnavailable(SandboxError):
    """No tier that the configuration accepts holds on this machine; the code was not run."""


class SandboxBusy(SandboxError):
    """Too many runs wait already, or this one has waited too long; nothing was run. Worth a retry."""
