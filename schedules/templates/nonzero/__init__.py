"""Where elements are not zero."""
