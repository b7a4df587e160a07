"""Regular expressions, made into automata over the bytes of UTF-8 while a model is built."""
