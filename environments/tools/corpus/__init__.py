"""An offline corpus that tools search: pages on countries, cities and elements, written from packages' data."""

from __future__ import annotations

from environments.tools.corpus.index import Corpus, Hit, Page, corpus

__all__ = ["Corpus", "Hit", "Page", "corpus"]
