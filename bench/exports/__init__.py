"""Models as people export them, besides the architectures of ``bench.models``: recurrent ones,
detectors with what follows them, encoders and decoders with caches, tables.
"""
