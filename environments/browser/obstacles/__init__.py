"""What stands in a visitor's way on real sites, for any web: each kind can be chosen, and does the same for the
same seed.
"""

from __future__ import annotations

from environments.browser.obstacles.options import Obstacles, parse_obstacles

__all__ = ["Obstacles", "parse_obstacles"]
