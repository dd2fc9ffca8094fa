"""What the shop knows, and what may be done with an order."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from fractions import Fraction

from environments.browser.world.clock import TODAY

HOST = "shop.test"
ORIGIN = f"http://{HOST}"
PROCESSING, SHIPPED, DELIVERED, CANCELLED = "Processing", "Shipped", "Delivered", "Cancelled"
RETURN_DAYS = 30
FREE_FROM_CENTS = 8000
"""Standard shipping costs nothing from there on."""
RETURN_REASONS = ("Damaged on arrival", "Not as described", "Wrong size", "Changed my mind")
MAX_QUANTITY = 20


@dataclass(frozen=True)
class Feature:
    """A number that all goods of a category have: a capacity, a weight."""

    name: str
    unit: str
    values: tuple[int, ...]


@dataclass(frozen=True)
class Category:
    slug: str
    title: str
    noun: str
    """What each of its goods is called."""
    features: tuple[Feature, Feature]
    price_euros: tuple[int, int]


@dataclass(frozen=True)
class Review:
    author: str
    """A handle."""
    stars: int
    title: str
    text: str
    day: date


@dataclass
class Product:
    slug: str
    title: str
    category: str
    maker: str
    price_cents: int
    colour: str
    features: dict[str, int]
    stock: int
    added: date
    reviews: list[Review] = field(default_factory=list)

    @property
    def rating(self) -> Fraction:
        """The mean of all stars to one decimal, as it is shown; 0 without any review."""
        if not self.reviews:
            return Fraction(0)
        tenths = Fraction(10 * sum(review.stars for review in self.reviews), len(self.reviews))
        return Fraction(int(tenths + Fraction(1, 2)), 10)

    @property
    def url(self) -> str:
        return f"{ORIGIN}/product/{self.slug}"


@dataclass(frozen=True)
class Address:
    label: str
    name: str
    street: str
    postcode: str
    town: str

    @property
    def lines(self) -> str:
        return f"{self.name}, {self.street}, {self.postcode} {self.town}"


@dataclass(frozen=True)
class Shipping:
    key: str
    title: str
    cents: int
    free_from_cents: int | None = None

    def price(self, goods_cents: int) -> int:
        return 0 if self.free_from_cents is not None and goods_cents >= self.free_from_cents else self.cents


SHIPPINGS = {
    each.key: each
    for each in (
        Shipping("standard", "Standard (3 to 5 days)", 490, FREE_FROM_CENTS),
        Shipping("express", "Express (next day)", 1290),
        Shipping("pickup", "Pick-up point", 250),
    )
}


@dataclass(frozen=True)
class Line:
    product: str
    """Its slug."""
    title: str
    quantity: int
    price_cents: int
    """Of one, as it was when it was ordered."""


@dataclass
class Order:
    number: str
    customer: str
    """A handle."""
    placed: datetime
    lines: tuple[Line, ...]
    address: Address
    shipping: str
    shipping_cents: int
    state: str
    delivered: date | None = None
    returned: dict[str, str] = field(default_factory=dict)
    """By slug, the reason why it was asked to be taken back."""
    refunded_cents: int = 0

    @property
    def goods_cents(self) -> int:
        return sum(line.quantity * line.price_cents for line in self.lines)

    @property
    def total_cents(self) -> int:
        return self.goods_cents + self.shipping_cents

    @property
    def can_be_cancelled(self) -> bool:
        return self.state == PROCESSING

    @property
    def takes_returns(self) -> bool:
        return self.state == DELIVERED and self.delivered is not None and (TODAY - self.delivered).days <= RETURN_DAYS

    def line_of(self, slug: str) -> Line | None:
        return next((line for line in self.lines if line.product == slug), None)


@dataclass
class Draft:
    """An order on its way: what has been chosen at the checkout."""

    address: Address
    shipping: str


@dataclass
class ShopData:
    categories: dict[str, Category]
    products: dict[str, Product]
    orders: dict[str, Order]
    addresses: dict[str, list[Address]]
    """By handle."""
    carts: dict[str, dict[str, int]] = field(default_factory=dict)
    """By visitor, how many of which product."""
    drafts: dict[str, Draft] = field(default_factory=dict)
    """By handle."""
    last_order: int = 0

    def orders_of(self, handle: str) -> list[Order]:
        """The newest first."""
        own = [order for order in self.orders.values() if order.customer == handle]
        return sorted(own, key=lambda order: (order.placed, order.number), reverse=True)

    def next_number(self) -> str:
        self.last_order += 1
        return f"S-{self.last_order}"
