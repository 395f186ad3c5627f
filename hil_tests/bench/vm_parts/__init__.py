"""Parts of `machine` that both kinds of emulated board read when a program first asks for them."""
