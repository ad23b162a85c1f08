"""Others, each as a script of its own that runs in their environment, `.venv-bench`."""
