"""The commands of ``luthier``, one a file, each a thin call of the function of the same name."""
