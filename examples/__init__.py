"""Towns a user can start from: small files, or generators of them."""
