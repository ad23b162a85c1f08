"""The protocol of a shell with state. It knows neither Faust nor the protocol of effects."""
