"""What is known of libraries: the icons, elements, helpers and conventions that source alone does not show.

Data only. A library that is missing here is unknown, and what is unknown is never called wrong.
"""

import re
from typing import Final

ICON_LIBRARIES: Final = re.compile(
    r"^(?:lucide(?:-(?:react|vue-next|svelte|solid|preact))?(?:/.*)?|@lucide/\w+(?:/.*)?|react-icons(?:/.*)?|@heroicons/.*|"
    r"@tabler/icons.*|@radix-ui/react-icons|@mui/icons-material.*|@material-ui/icons.*|@phosphor-icons/.*|phosphor-.*|"
    r"react-feather|@ant-design/icons.*|@fortawesome/.*|~icons/.*|\$?~?virtual:icons/.*|@iconify/.*|@iconify-prerendered/.*|"
    r"svelte-feather-icons|heroicons.*|vue-feather.*|@primer/octicons-react|@remixicon/.*|@element-plus/icons-vue|"
    r"@vicons/.*|@carbon/icons-react|@chakra-ui/icons|@fluentui/react-icons|@hugeicons/.*|react-bootstrap-icons|"
    r"ionicons/icons|@ionic/.*icons|@mdi/react|@mdi/light-js|@nuxt/icon|@blueprintjs/icons|grommet-icons|"
    r"@elastic/eui/.*icon.*|react-ionicons|bootstrap-icons-vue|@untitledui/icons.*|iconoir-react|pixelarticons/.*|"
    r"svelte-radix|radix-icons-svelte|svelte-awesome.*|svelte-fa|@steeze-ui/.*icons?|@icons-pack/.*|flowbite-.*-icons.*|"
    r"@solar-icons/.*|lucide-static.*|@web3icons/.*|@lobehub/icons|eva-icons.*)$"
)
"""Modules whose components draw an icon, without a name unless a prop gives one."""
ICON_TAGS: Final = frozenset(
    {
        "FontAwesomeIcon",
        "font-awesome-icon",
        "iconify-icon",
        "v-icon",
        "VIcon",
        "b-icon",
        "BIcon",
        "q-icon",
        "QIcon",
    }
)
"""Components that draw an icon wherever they are registered."""
DRAWING_FILE: Final = re.compile(r"\.svg(?:\?(?:react|component|url|raw|inline|c))?$", re.I)
"""Files that bundlers turn into a component that is an `<svg>`."""
NAMING_PROPS: Final = (
    "title",
    "label",
    "alt",
    "aria-label",
    "aria-labelledby",
    "arialabel",
    "titleaccess",
    "name:",
)
"""Props by which a component that draws an icon may be given a name."""

ELEMENTS_OF_LIBRARIES: Final[tuple[tuple[re.Pattern[str], re.Pattern[str], str], ...]] = (
    (re.compile(r"^next/(?:legacy/)?image$|^@unpic/\w+$|^gatsby-plugin-image$|^react-lazy-load-image-component$"),
     re.compile(r"^(?:Image|GatsbyImage|StaticImage|LazyLoadImage)$"), "img"),
    (re.compile(r"^(?:framer-motion|motion/.*|motion)$"), re.compile(r"^(?:motion|m)\.(\w+)$"), ""),
    (re.compile(r"^(?:@react-spring/.*|react-spring)$"), re.compile(r"^(?:animated|a)\.(\w+)$"), ""),
    (re.compile(r"^(?:@mui/(?:material|system|joy)|@material-ui/core)(?:/.*)?$"), re.compile(r"^(?:Box|Stack|Grid2?|Paper|Card|CardContent|Typography)$"), "div"),
    (re.compile(r"^@chakra-ui/react$"), re.compile(r"^(?:Box|Flex|Stack|HStack|VStack|Grid|GridItem|Center|Text|Card)$"), "div"),
    (re.compile(r"^@mantine/core$"), re.compile(r"^(?:Box|Flex|Stack|Group|Grid|Center|Text|Paper|Card)$"), "div"),
    (re.compile(r"^@radix-ui/themes$"), re.compile(r"^(?:Box|Flex|Grid|Text|Card|Container|Section)$"), "div"),
    (re.compile(r"^antd(?:/.*)?$"), re.compile(r"^(?:Flex|Space|Card|Tag|Avatar|Row|Col|Typography\.(?:Text|Paragraph|Title))$"), "div"),
)  # fmt: skip
"""Modules, names and the HTML element that such a component is; "" takes the group of the name."""
ELEMENTS_BY_TAG: Final = {
    "el-icon": "i",
    "ElIcon": "i",
    "n-icon": "i",
    "NIcon": "i",
    "el-image": "img",
    "el-avatar": "span",
    "el-tag": "span",
    "el-text": "span",
    "el-card": "div",
    "el-row": "div",
    "el-col": "div",
    "NuxtImg": "img",
    "nuxt-img": "img",
    "NuxtPicture": "img",
    "font-awesome-icon": "svg",
    "FontAwesomeIcon": "svg",
    "svg-icon": "svg",
    "iconify-icon": "svg",
}
"""Components that are registered by name and render one element, onto which their listeners fall."""

FIELDS_OF_LIBRARIES: Final[tuple[tuple[re.Pattern[str], re.Pattern[str]], ...]] = (
    (re.compile(r"^antd(?:/.*)?$"), re.compile(r"^(?:Input(?:\.(?:Search|TextArea|Password))?|InputNumber|Select|AutoComplete)$")),
    (re.compile(r"^(?:@mui/(?:material|joy)|@material-ui/core)(?:/.*)?$"), re.compile(r"^(?:TextField|OutlinedInput|InputBase|FilledInput|Input)$")),
    (re.compile(r"^@chakra-ui/react$"), re.compile(r"^(?:Input|Textarea|NumberInput)$")),
    (re.compile(r"^@mantine/core$"), re.compile(r"^(?:TextInput|Textarea|NumberInput|PasswordInput)$")),
    (re.compile(r"^(?:react-bootstrap)(?:/.*)?$"), re.compile(r"^(?:Form\.Control|FormControl|Form\.Select)$")),
    (re.compile(r"^(?:flowbite-react|flowbite-svelte)$"), re.compile(r"^(?:TextInput|Input|Textarea|Search)$")),
)  # fmt: skip
"""Components that are a text field without a name of their own; `aria-label` and `id` reach the field."""
FIELD_TAGS: Final = frozenset(
    {"el-input", "a-input", "a-input-search", "a-textarea", "n-input", "v-text-field", "v-textarea", "q-input", "InputText"}
)  # fmt: skip
"""The same, of libraries of Vue, where components are registered by name."""

MERGING_PROPS: Final = frozenset(
    [
        "render",
        "components",
        "as",
        "component",
        "element",
        "trigger",
        "anchor",
        "target",
        "child",
        "root",
        "tag",
        "renderroot",
        "slot",
        "activator",
        "reference",
        "control",
        "wrapper",
        "container",
        "triggerelement",
        "triggercomponent",
        "labelelement",
        "iconelement",
    ]
)
"""Attributes whose element becomes that of the component: it gets the component's attributes and children."""
MERGING_COMPONENTS: Final = frozenset(
    [
        "Slot",
        "Slottable",
        "Pressable",
        "Focusable",
        "Focusable.Item",
        "FocusRing",
        "TooltipTrigger",
        "DialogTrigger",
        "MenuTrigger",
        "Trigger",
        "Clone",
        "CloneElement",
        "Composite",
        "CompositeItem",
        "Dropzone",
        "Upload",
        "el-tooltip",
        "el-popover",
        "el-dropdown",
        "el-popconfirm",
        "Popconfirm",
        "Dropdown",
        "Popover",
        "Tooltip",
        "Whisper",
        "OverlayTrigger",
        "Reference",
        "Ariakit.MenuButton",
        "ReactToPrint",
        "CopyToClipboard",
        "FileTrigger",
        "a-tooltip",
        "a-dropdown",
        "a-popover",
        "n-tooltip",
        "n-popover",
        "n-dropdown",
        "VDropdown",
        "v-menu",
        "v-tooltip",
    ]
)
"""Components that add attributes (focus, keys, names) to the one element inside them."""
LABELLING_COMPONENTS: Final = re.compile(
    r"(?:^|\.|-)(?:Label|FormItem|FormControlLabel|FormControl|FormField|FormGroup|FormLabel|InputLabel|Field|FieldLabel|"
    r"TextField|NumberField|SearchField|Fieldset|Checkbox|CheckboxField|Radio|RadioGroup|Switch|SwitchField|form-item|"
    r"form-group|form-control|form-field|label|field|checkbox|radio|switch)$|Field$|Label$|FormItem$|FormGroup$|FormControl$"
)
"""Components around a control that give it a name, or may."""

# What a spread can bring, by how it is written. What matches nothing can bring anything.
NAME, FOCUS, KEYS, ROLE, ID = "name", "focus", "keys", "role", "id"
SPREADS: Final[tuple[tuple[re.Pattern[str], frozenset[str]], ...]] = (
    # react-beautiful-dnd and its heirs: data attributes, style and transition handlers.
    (re.compile(r"(?:^|\.)draggableProps$|(?:^|\.)droppableProps$"), frozenset()),
    # The handle can be focused and has a role; its keys move it, they do not press it.
    (re.compile(r"(?:^|\.)dragHandleProps$"), frozenset({FOCUS, ROLE})),
    # react-hook-form: name, ref, onChange, onBlur.
    (re.compile(r"(?:^|\.)(?:register|registerField)\("), frozenset()),
    # dnd-kit: listeners move, attributes make it focusable.
    (re.compile(r"^listeners$|\.listeners$"), frozenset()),
)  # fmt: skip

RUNTIME_TOKENS: Final = re.compile(
    r"--(?:radix-|reka-|bits-|kb-|headlessui-|swiper-|anchor-|available-|transform-origin|positioner-|toast-|toastify-|sonner-|"
    r"collapsible-|accordion-|popover-|popup-|tabs-|vaul-|drawer-|nested-|sidebar-width|scroll-area-|cell-size|rdp-|"
    r"trigger-|page-width|visual-viewport|vh$|app-height|fd-|shiki-|sh-|tw-|un-|mantine-|chakra-|mui-|ant-|el-|van-|n-|"
    r"v-theme-|va-|v-|p-|bs-|ck-|fc-|leaflet-|monaco-|vscode-|w-e-|xy-|rsbs-|plyr-|docsearch-|ifm-|vp-|wp-|sl-|ion-|mdc-|"
    r"color-mode|highcharts-|data-|animate-|zoom-)"
)
"""Custom properties that libraries define while they run, or in style sheets of their own."""
