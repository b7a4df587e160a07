"""Random models against references: ``python -m tests.fuzz --minutes 2``.

``grow`` makes valid graphs of every operator that the frontend knows (``operators``), and graphs
as exporters write them (``idioms``). ``reference`` computes them node by node in ONNX Runtime,
``noise`` says how exact that is, ``ours`` computes them as a user's library does, ``judge``
compares. All of it runs in workers (``worker``) that may crash or hang; ``search`` keeps them busy
and counts, and ``minimise`` makes what they find small.
"""
