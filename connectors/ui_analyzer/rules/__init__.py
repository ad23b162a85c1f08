"""The rules of the UI analyzer, one module per subject; `connectors.ui_analyzer.catalogue` lists them."""
