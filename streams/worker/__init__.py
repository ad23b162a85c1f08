"""The processes: what is built, started and run together; only the command line may import it."""
