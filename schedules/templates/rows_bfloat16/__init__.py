"""Products of few rows with a matrix that memory holds in bfloat16."""
