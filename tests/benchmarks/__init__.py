"""What the pipeline costs, side by side with others: `python -m tests.benchmarks`."""
