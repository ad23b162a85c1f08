"""Static and live analysis of a web front-end against ten metrics of UI effectiveness (`analyze-ui`)."""
