"""Which coupon saves most."""
