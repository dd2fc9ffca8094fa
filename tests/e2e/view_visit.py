"""Runs in a container that has a browser: opens a page from a file, uses it, and tells what there was to see, as JSON.

Standard input is `{"page": its HTML, "keys": [...], "clicks": [...]}`: keys are pressed, then elements clicked.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Dialog, Page, sync_playwright

PAGE = Path("/tmp/page.html")
CHROMIUM = "/usr/lib/chromium/chromium"
LISTEN = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => violations.push(event.violatedDirective));
"""
STATE = """() => {
  const image = document.querySelector("main img");
  return {
    title: document.title,
    where: document.getElementById("where").textContent,
    text: document.querySelector("main").innerText,
    about: document.querySelector("header").innerText,
    picture: image && image.complete ? [image.naturalWidth, image.naturalHeight] : null,
    cells: document.getElementById("timeline").children.length,
    current: [...document.getElementById("timeline").children].findIndex((cell) => cell.hasAttribute("aria-current")),
    scripts: document.scripts.length,
    violations,
  };
}"""


def state(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate(STATE)
    if found["picture"]:
        found["drawn"] = base64.b64encode(page.locator("main img").first.screenshot()).decode()
    return found


def visit(asked: dict[str, Any]) -> dict[str, Any]:
    PAGE.write_text(asked["page"], encoding="utf-8")
    said: dict[str, list[str]] = {"requests": [], "dialogs": [], "errors": []}

    def dismiss(dialog: Dialog) -> None:
        said["dialogs"].append(dialog.message)
        dialog.dismiss()

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1500, "height": 1000})
        page.on("request", lambda request: said["requests"].append(request.url))
        page.on("dialog", dismiss)
        page.on("pageerror", lambda error: said["errors"].append(str(error)))
        page.on("console", lambda message: said["errors"].append(f"{message.type}: {message.text}"))
        page.on("popup", lambda popup: said["errors"].append(f"popup: {popup.url}"))
        page.add_init_script(LISTEN)
        page.goto(PAGE.as_uri())
        states = [state(page)]
        for key in asked.get("keys", []):
            page.keyboard.press(key)
            states.append(state(page))
        for selector in asked.get("clicks", []):
            page.click(selector, timeout=5000)
            states.append(state(page))
        browser.close()
    return {**said, "states": states}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(visit(json.load(sys.stdin))))
