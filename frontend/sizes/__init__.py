"""Programs for sizes that are known only at run time, found from programs of fixed sizes."""
