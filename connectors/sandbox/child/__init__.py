"""What runs inside the sandboxed process; every module here uses the standard library alone.

The parent compiles these modules and sends them over a pipe, so that no file of the project has to be
readable inside the sandbox.
"""
