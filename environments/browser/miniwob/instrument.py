"""What the server adds to the end of `core.js`, which is the first script of every page.

All that it needs it takes before another script has run, and keeps it where no script, attribute or picture shows it:
the token that makes a report valid is in the source of this one script alone, which is sent once.
"""

from __future__ import annotations

import json
from string import Template

_ADDED = Template("""
;((token, seed, address) => {
  "use strict";
  const {apply, defineProperty} = Reflect, {stringify} = JSON, Request = XMLHttpRequest;
  const math = Math, {seedrandom} = math;
  const {open, setRequestHeader, send} = Request.prototype;
  const end = core.endEpisode, begin = core.startEpisodeReal, show = core.createDisplay;
  let state = "loaded";

  // Waited for, so that nothing else of the page goes on before the server knows.
  const report = (what) => {
    const request = new Request();
    apply(open, request, ["POST", address, false]);
    apply(setRequestHeader, request, ["content-type", "application/json"]);
    apply(send, request, [stringify({__proto__: null, token, ...what})]);
  };
  const goal = () => {
    const said = core.getUtterance();  // some pages say it with its parts
    return String(said && typeof said === "object" ? said.utterance : said);
  };
  const fix = (object, name, value) => defineProperty(object, name, {value, writable: false, configurable: false});

  // The page begins as soon as it calls for its START button, which is made, and never shown.
  fix(core, "startEpisode", () => {
    if (state !== "loaded") return;
    state = "started";
    apply(show, core, []);
    for (const id of ["reward-display", "click-canvas"]) document.getElementById(id).style.display = "none";
    core.cover_div = document.createElement("div");
    apply(seedrandom, math, [seed]);
    apply(begin, core, []);
    report({event: "started", goal: goal()});
  });
  fix(core, "startEpisodeReal", () => {});
  fix(core, "endEpisode", function (reward) {
    if (state !== "started") return;
    state = "ended";
    try {
      apply(end, core, arguments);
    } finally {
      report({event: "ended", reward, page_reward: WOB_RAW_REWARD_GLOBAL, page_done: WOB_DONE_GLOBAL});
    }
  });

  // The episode has a clock of its own; a page's would run while a policy thinks.
  fix(core, "countdownTimer", () => {});
  defineProperty(core, "EPISODE_MAX_TIME", {get: () => 1e9, set: () => {}, configurable: false});
  fix(window, "core", core);
  apply(seedrandom, math, [seed + " before the page begins"]);
})($token, $seed, $address);
""")


def instrumented(core: bytes, token: str, seed: int, address: str) -> bytes:
    """`address` is where reports go."""
    added = _ADDED.substitute(token=json.dumps(token), seed=json.dumps(str(seed)), address=json.dumps(address))
    return core + added.encode()
