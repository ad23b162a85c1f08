"""The isolation tiers, from the strongest to none at all."""

from __future__ import annotations

from enum import StrEnum


class Tier(StrEnum):
    """How foreign code is kept away from the machine."""

    NS = "ns"
    """Namespaces of its own (bubblewrap), and inside them everything that LSM has."""
    LSM = "lsm"
    """The runner alone: Landlock, system call filter, resource limits; a user of its own instead of root."""
    WASM = "wasm"
    """CPython on WebAssembly in a wasmtime process, which is itself confined as far as the kernel allows."""
    REFUSE = "refuse"
    """No code is run."""


class TierDemand(StrEnum):
    """What the configuration accepts; a tier that is not met is never replaced by a weaker one."""

    AUTO = "auto"
    """The first of ns, lsm and wasm that withstands the canary attack on this machine."""
    NS = "ns"
    LSM = "lsm"
    WASM = "wasm"
    REFUSE = "refuse"
    """Run nothing: the switch for an operator who wants no foreign code at all."""


def candidates(demand: TierDemand) -> tuple[Tier, ...]:
    """Return the tiers that `demand` accepts, in the order in which they are tried."""
    if demand is TierDemand.AUTO:
        return (Tier.NS, Tier.LSM, Tier.WASM)
    if demand is TierDemand.REFUSE:
        return ()
    return (Tier(demand.value),)
