"""The attack suite, shared by the start-up canary, the doctor and the tests.

An attack on the isolation is a Python function that is sent into the sandbox as source text and tries to do
what must not be possible; it returns what it achieved, or nothing. Whether something really happened to the
host is also asked of the host (`witness`), since inside a refusal may look like a success.
"""
