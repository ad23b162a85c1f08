"""Renderers of an analysis: text, JSON, SARIF 2.1.0 and a self-contained HTML page. All are pure."""
