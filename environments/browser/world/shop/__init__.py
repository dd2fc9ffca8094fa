"""`shop.test`: goods, carts, orders and accounts."""
