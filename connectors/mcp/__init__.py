"""Tools of others, by the Model Context Protocol: servers, connections, and what a person accepted."""
