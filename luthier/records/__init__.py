"""Where records come from: one's own log, packs and what ships with Luthier; and their proof."""
