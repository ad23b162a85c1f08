"""All rules, and the sources of the facts that project rules need."""

from connectors.ui_analyzer.following import component_facts
from connectors.ui_analyzer.model import RuleInfo
from connectors.ui_analyzer.nets import net_facts
from connectors.ui_analyzer.rule import FactSource, FileRule, ProjectRule
from connectors.ui_analyzer.rules import (
    accessible_names,
    agents,
    aria_use,
    components,
    effects,
    failures,
    focus_style,
    form_labels,
    interaction,
    landmarks,
    list_keys,
    loading,
    media,
    mock_data,
    palette_contrast,
    performance,
    pointing,
    promises,
    races,
    raw_html,
    reactivity,
    realtime,
    request_outcomes,
    responsive,
    state,
    structure,
    style_access,
    theme,
    tokens,
    wanted_agents,
    websocket,
    websocket_traffic,
)
from connectors.ui_analyzer.scoping import page_facts

_MODULES = (
    accessible_names,
    form_labels,
    pointing,
    interaction,
    structure,
    landmarks,
    aria_use,
    media,
    focus_style,
    style_access,
    palette_contrast,
    theme,
    tokens,
    responsive,
    performance,
    loading,
    list_keys,
    components,
    raw_html,
    state,
    effects,
    races,
    reactivity,
    failures,
    request_outcomes,
    promises,
    mock_data,
    realtime,
    websocket,
    websocket_traffic,
    agents,
    wanted_agents,
)
_ALL: tuple[FileRule | ProjectRule, ...] = tuple(rule for module in _MODULES for rule in module.RULES)
FILE_RULES: tuple[FileRule, ...] = tuple(rule for rule in _ALL if isinstance(rule, FileRule))
PROJECT_RULES: tuple[ProjectRule, ...] = tuple(rule for rule in _ALL if isinstance(rule, ProjectRule))
RULES: tuple[RuleInfo, ...] = tuple(rule.info for rule in _ALL)
"""Every rule of the static part, in the order of the documentation."""

FACT_SOURCES: tuple[FactSource, ...] = (
    component_facts,
    page_facts,
    landmarks.landmark_facts,
    net_facts,
    raw_html.loader_facts,
    landmarks.heading_facts,
    form_labels.hiding_facts,
    style_access.motion_facts,
    focus_style.focus_facts,
    palette_contrast.palette_facts,
    theme.theme_facts,
    responsive.responsive_facts,
    performance.image_facts,
    failures.boundary_facts,
    promises.failure_facts,
    realtime.live_facts,
    agents.agent_facts,
)
