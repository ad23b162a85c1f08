"""Which element of HTML a component is, where a library, its name or its file says so."""

import re
from typing import Final

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.libraries import (
    DRAWING_FILE,
    ELEMENTS_BY_TAG,
    ELEMENTS_OF_LIBRARIES,
    ICON_LIBRARIES,
    ICON_TAGS,
)
from connectors.ui_analyzer.markup import Element
from connectors.ui_analyzer.script import Import

_CONTROL_MODULES: Final = re.compile(
    r"^(?:@mui/material(?:/.*)?|@mui/joy(?:/.*)?|@material-ui/core(?:/.*)?|antd(?:/.*)?|@chakra-ui/react|@mantine/core|"
    r"react-aria-components(?:/.*)?|@headlessui/react|@base-ui(?:-components)?/react(?:/.*)?|@radix-ui/themes|react-bootstrap(?:/.*)?|"
    r"@fluentui/react-components|@heroui/.*|@nextui-org/.*|@arco-design/.*|@blueprintjs/core|rsuite|primereact/button|"
    r"naive-ui|element-plus|ant-design-vue|flowbite-react|flowbite-svelte|@ariakit/react|@geist-ui/core|grommet|evergreen-ui)$"
)
_BUTTONS: Final = re.compile(
    r"^(?:Button|IconButton|ActionIcon|Fab|ToggleButton|CloseButton|UnstyledButton|LoadingButton|ElButton|NButton|AButton)$"
)
_BUTTON_TAGS: Final = frozenset(
    {"el-button", "v-btn", "n-button", "a-button", "q-btn", "b-button", "UButton", "van-button", "t-button"}
)
_LINK_MODULES: Final = re.compile(
    r"^(?:next/link|react-router(?:-dom)?|@remix-run/react|@tanstack/react-router|gatsby|wouter|@inertiajs/.*|preact-router)$"
)
_LINKS: Final = frozenset({"Link", "NavLink"})
LINK_TAGS: Final = frozenset({"router-link", "RouterLink", "NuxtLink", "nuxt-link", "NavLink", "Link"})
"""Components that are links wherever they come from, when they have a destination."""


def rendered_tag(element: Element, document: Document) -> str:
    """The HTML element that is rendered, lower case; "" when that is not known."""
    if element.native:
        return element.tag
    if element.tag in ICON_TAGS or _ICON_OF_SET.fullmatch(element.tag) or _named_icon(element):
        return "svg"
    entry = imported(element, document)
    if entry is None:
        return ELEMENTS_BY_TAG.get(element.tag, _styled(element, document))
    if ICON_LIBRARIES.match(entry.module) or DRAWING_FILE.search(entry.module):
        return "svg"
    if element.has("component", "as", "aschild"):
        return ""
    for module, name, tag in ELEMENTS_OF_LIBRARIES:
        match = name.match(element.tag) if module.match(entry.module) else None
        if match:
            return tag or match.group(1)
    return (
        ELEMENTS_BY_TAG.get(element.tag, "") if entry.module.startswith(("element-plus", "naive-ui")) else ""
    )


_ICON_OF_SET: Final = re.compile(
    r"(?!(?:svg|xlink|xml|v|slot):)[a-z][a-z0-9-]*:[a-z0-9-]+|i-[a-z0-9]+-[a-z0-9-]+"
)
"""Tags that unplugin-icons turns into a drawing: `<mdi:pencil />`, `<i-mdi-pencil />`."""


def _named_icon(element: Element) -> bool:
    """Whether it is the component of Iconify or Nuxt, which draws what its name says: `<Icon name="mdi:pencil" />`."""
    return element.tag in ("Icon", "UIcon", "NuxtIcon", "SvgIcon", "svg-icon") and any(
        re.fullmatch(r"[a-z][a-z0-9-]*(?::[a-z0-9-]+)?", element.get(name) or "") is not None
        for name in ("name", "icon")
    )


def library_control(element: Element, document: Document) -> str:
    """`button` or `link` for components of libraries that are one; "" otherwise."""
    if element.tag in _BUTTON_TAGS:
        return "link" if element.has("href", "to") else "button"
    entry = imported(element, document)
    if entry is None:
        return "link" if element.tag in LINK_TAGS and element.has("to", "href") else ""
    name = element.tag.rsplit(".", 1)[-1]
    if _CONTROL_MODULES.match(entry.module) and _BUTTONS.match(name):
        return "link" if element.has("href") else "button"
    if _LINK_MODULES.match(entry.module) and name in _LINKS:
        return "link"
    return ""


def imported(element: Element, document: Document) -> Import | None:
    """The import that a component's name comes from."""
    root = element.tag.split(".")[0]
    for script in document.scripts:
        entry = script.imported.get(root)
        if entry is not None:
            return entry
    return None


def is_icon(element: Element, document: Document) -> bool:
    """Whether a component certainly draws an icon: it comes from a library of icons, or from an SVG file."""
    return not element.native and rendered_tag(element, document) == "svg"


def _styled(element: Element, document: Document) -> str:
    """The element behind ``const Row = styled.div`…` ``."""
    if not re.fullmatch(r"[A-Z]\w*", element.tag) or document.language in ("vue", "svelte", "html"):
        return ""
    for script in document.scripts:
        if "styled" in script.code_text:
            match = re.search(
                rf"\b{re.escape(element.tag)}\s*=\s*styled(?:\.(\w+)|\(\s*['\"](\w+)['\"]\s*\))",
                script.code_text,
            )
            if match:
                return match.group(1) or match.group(2)
    return ""
