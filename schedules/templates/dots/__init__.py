"""Products of few rows with a matrix that lies in columns, as dot products."""
