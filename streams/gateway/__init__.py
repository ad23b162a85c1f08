"""The front door: HTTP, WebSocket and OpenAI's API in front of the topics."""
