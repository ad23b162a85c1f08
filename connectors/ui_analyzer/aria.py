"""Facts of WAI-ARIA 1.2 and HTML that rules look up. Names only; nothing here decides."""

ROLES = frozenset(
    "alert alertdialog application article banner blockquote button caption cell checkbox code columnheader combobox "
    "comment complementary contentinfo definition deletion dialog directory document emphasis feed figure form generic "
    "graphics-document graphics-object graphics-symbol grid gridcell group heading img image insertion link list "
    "listbox listitem log main mark marquee math menu menubar menuitem menuitemcheckbox menuitemradio meter "
    "navigation none note option paragraph presentation progressbar radio radiogroup region row rowgroup rowheader "
    "scrollbar search searchbox sectionfooter sectionheader separator slider spinbutton status strong subscript "
    "suggestion superscript switch tab table tablist tabpanel term text textbox time timer toolbar tooltip tree "
    "treegrid treeitem doc-abstract doc-acknowledgments doc-afterword doc-appendix doc-backlink doc-biblioentry "
    "doc-bibliography doc-biblioref doc-chapter doc-colophon doc-conclusion doc-cover doc-credit doc-credits "
    "doc-dedication doc-endnote doc-endnotes doc-epigraph doc-epilogue doc-errata doc-example doc-footnote "
    "doc-foreword doc-glossary doc-glossref doc-index doc-introduction doc-noteref doc-notice doc-pagebreak "
    "doc-pagefooter doc-pageheader doc-pagelist doc-part doc-preface doc-prologue doc-pullquote doc-qna "
    "doc-subtitle doc-tip doc-toc".split()
)
ATTRIBUTES = frozenset(
    "activedescendant atomic autocomplete braillelabel brailleroledescription busy checked colcount colindex "
    "colindextext colspan controls current describedby description details disabled dropeffect errormessage expanded "
    "flowto grabbed haspopup hidden invalid keyshortcuts label labelledby level live modal multiline "
    "multiselectable orientation owns placeholder posinset pressed readonly relevant required roledescription "
    "rowcount rowindex rowindextext rowspan selected setsize sort valuemax valuemin valuenow valuetext".split()
)
_BOOLEAN = frozenset({"true", "false"})
_TRISTATE = frozenset({"true", "false", "mixed", "undefined"})
VALUES = {
    "atomic": _BOOLEAN,
    "busy": _BOOLEAN,
    "disabled": _BOOLEAN,
    "modal": _BOOLEAN,
    "multiline": _BOOLEAN,
    "multiselectable": _BOOLEAN,
    "readonly": _BOOLEAN,
    "required": _BOOLEAN,
    "checked": _TRISTATE,
    "pressed": _TRISTATE,
    "expanded": _BOOLEAN | {"undefined"},
    "hidden": _BOOLEAN | {"undefined"},
    "selected": _BOOLEAN | {"undefined"},
    "grabbed": _BOOLEAN | {"undefined"},
    "autocomplete": frozenset({"inline", "list", "both", "none"}),
    "current": frozenset({"page", "step", "location", "date", "time", "true", "false"}),
    "haspopup": frozenset({"true", "false", "menu", "listbox", "tree", "grid", "dialog"}),
    "invalid": frozenset({"true", "false", "grammar", "spelling"}),
    "live": frozenset({"assertive", "polite", "off"}),
    "orientation": frozenset({"horizontal", "vertical", "undefined"}),
    "sort": frozenset({"ascending", "descending", "none", "other"}),
}
REQUIRED = {
    "checkbox": ("checked",),
    "combobox": ("expanded",),
    "heading": ("level",),
    "menuitemcheckbox": ("checked",),
    "menuitemradio": ("checked",),
    "meter": ("valuenow",),
    "radio": ("checked",),
    "scrollbar": ("controls", "valuenow"),
    "slider": ("valuenow",),
    "switch": ("checked",),
}
WIDGET_ROLES = frozenset(
    "button checkbox combobox link listbox menuitem menuitemcheckbox menuitemradio option radio searchbox slider "
    "spinbutton switch tab textbox treeitem".split()
)
NATIVE_CONTROLS = frozenset({"button", "input", "select", "textarea", "summary", "option", "audio", "video"})
AUTOCOMPLETE = frozenset(
    "off on name honorific-prefix given-name additional-name family-name honorific-suffix nickname email username "
    "new-password current-password one-time-code organization-title organization street-address address-line1 "
    "address-line2 address-line3 address-level4 address-level3 address-level2 address-level1 country country-name "
    "postal-code cc-name cc-given-name cc-additional-name cc-family-name cc-number cc-exp cc-exp-month cc-exp-year "
    "cc-csc cc-type transaction-currency transaction-amount language bday bday-day bday-month bday-year sex tel "
    "tel-country-code tel-national tel-area-code tel-local tel-local-prefix tel-local-suffix tel-extension impp url "
    "photo home work mobile fax pager billing shipping webauthn".split()
)
