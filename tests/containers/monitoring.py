"""The alerts and the jobs of the shipped Prometheus."""

from pathlib import Path
from typing import Final

import yaml

from tests.containers.composition import ROOT, mapping

PROMETHEUS: Final = ROOT / "ops" / "prometheus"


def loaded(path: Path) -> dict[str, object]:
    return mapping(yaml.safe_load(path.read_text(encoding="utf-8")))


def alerts() -> dict[str, dict[str, object]]:
    groups = loaded(PROMETHEUS / "alerts.yml")["groups"]
    assert isinstance(groups, list)
    rules = [mapping(rule) for group in groups for rule in group["rules"]]
    by_name = {str(rule["alert"]): rule for rule in rules}
    assert len(by_name) == len(rules), "two alerts have one name"
    return by_name


def jobs() -> dict[str, dict[str, object]]:
    configs = loaded(PROMETHEUS / "prometheus.yml")["scrape_configs"]
    assert isinstance(configs, list)
    return {str(config["job_name"]): mapping(config) for config in configs}
