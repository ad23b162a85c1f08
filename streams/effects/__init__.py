"""The protocol of a shell that acts on the world. It knows neither Faust nor the protocol of state."""
