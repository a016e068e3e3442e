"""linen-summary: see what a Linen model is made of."""
