"""What runs inside the sandboxed process; every module here uses the standard library alone.

Starting costs the processor time of its imports, so these are few: json, socket, signal, ast, traceback,
linecache, base64 and importlib.util together would triple it, because enum and re come with them.

The parent compiles these modules and sends them over a pipe, so that no file of the project has to be
readable inside the sandbox.
"""
