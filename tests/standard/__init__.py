"""The standard's own tests: all cases that come with onnx, as they are.

Each is built into a library and runs, or stands in ``left.txt`` with the reason why it does not.
``python -m tests.standard`` runs them and counts by operator; ``--write`` makes the list anew.
"""
