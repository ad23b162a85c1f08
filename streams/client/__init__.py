"""What a program that talks to the pipeline uses."""
