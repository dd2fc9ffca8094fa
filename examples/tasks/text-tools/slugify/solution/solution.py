import re
import unicodedata


def slugify(title: str, max_length: int = 60) -> str:
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)
    slug = "-".join(words)
    if len(slug) <= max_length:
        return slug
    kept = words[0][:max_length]
    for word in words[1:]:
        if len(kept) + 1 + len(word) > max_length:
            break
        kept = f"{kept}-{word}"
    return kept
