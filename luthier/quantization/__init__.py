"""Models in fewer bits: another library's quantiser, and what keeps it accurate."""
