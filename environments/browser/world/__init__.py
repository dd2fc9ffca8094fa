"""A small world on five sites that know of each other: a shop, an encyclopaedia, a forum, webmail, a ticket desk."""
