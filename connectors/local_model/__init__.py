"""A local server that speaks the OpenAI API and answers by rules: the same request has the same bytes.

It is not a language model: it splits, searches, ranks and quotes what it is given, and says so.
"""
