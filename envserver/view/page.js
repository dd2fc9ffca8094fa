"use strict";
// Draws what the data say, as text. The data are hostile: nothing here makes markup, addresses or styles of them, but
// for the address of a picture, whose parts are checked once more.
(() => {
  const element = document.getElementById("data");
  const data = JSON.parse(element.textContent);
  element.remove(); // a large text, no longer needed

  const frames = [data.begin, ...data.steps, ...(data.grade ? [data.grade] : [])];
  const marks = new Map(Object.entries(data.marks));
  const opened = new Map(); // which folds are open, by their titles, from one step to the next
  let shown = frames; // those that pass the filter
  let place = 0; // in `shown`
  let timer = null;

  const byId = (id) => document.getElementById(id);

  function make(tag, text, ...classes) {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (classes.length) made.className = classes.filter(Boolean).join(" ");
    return made;
  }

  function nameOf(frame) {
    return { begin: "beginning", grade: "grade" }[frame.name] || "step " + frame.name;
  }

  function whereIs(frame) {
    return nameOf(frame) + (frame.name in { begin: 1, grade: 1 } ? ", " + data.steps.length + " steps" : " of " + data.steps.length);
  }

  // Frames

  function facts(pairs) {
    const list = make("dl");
    for (const [name, text] of pairs) {
      const pair = make("div");
      pair.append(make("dt", name), make("dd", text));
      list.append(pair);
    }
    return list;
  }

  function picture(section) {
    const fits = ["png", "jpeg", "webp"].includes(section.format) && /^[A-Za-z0-9+/]+={0,2}$/.test(section.data);
    if (!fits) return make("p", "no picture", "note");
    const image = make("img");
    image.alt = section.title;
    image.width = section.width;
    image.height = section.height;
    image.addEventListener("error", () => image.replaceWith(make("p", section.title + ": it cannot be drawn", "note")));
    image.src = "data:image/" + section.format + ";base64," + section.data;
    return image;
  }

  function fold(title, content) {
    const made = make("details");
    made.open = opened.get(title) === true;
    made.addEventListener("toggle", () => opened.set(title, made.open));
    made.append(make("summary", title), content);
    return made;
  }

  function drawSection(section) {
    const made = make("section");
    if (section.kind === "folded") {
      made.append(fold(section.title, make("pre", section.text, "json")));
      return made;
    }
    if (section.title) made.append(make("h4", section.title));
    made.append(section.kind === "picture" ? picture(section) : make("pre", section.text, section.kind));
    return made;
  }

  function drawGroups(groups) {
    const all = make("div", undefined, "groups");
    for (const [heading, sections] of groups) {
      const group = make("section", undefined, "group");
      group.append(make("h3", heading), ...sections.map(drawSection));
      all.append(group);
    }
    return all;
  }

  function drawFrame(frame) {
    const heading = make("h2", nameOf(frame));
    if (frame.badge) heading.append(make("span", frame.badge, "badge", frame.failed ? "bad" : "good"));
    if (frame.name !== "begin") heading.append(make("span", frame.summary, "summary"));
    const all = [heading, facts(frame.facts)];
    if (frame.cut) all.push(make("p", "Something of this step is not in the page.", "note"));
    all.push(drawGroups(frame.groups));
    for (const text of marks.get(frame.name) || []) all.push(make("p", text, "note"));
    byId("frame").replaceChildren(...all);
  }

  // Moving through them

  function go(to) {
    place = Math.max(0, Math.min(to, shown.length - 1));
    const frame = shown[place];
    byId("slider").value = String(place);
    byId("where").textContent = frame ? whereIs(frame) : "no such step";
    byId("first").disabled = byId("back").disabled = place <= 0;
    byId("last").disabled = byId("next").disabled = place >= shown.length - 1;
    for (const current of byId("timeline").querySelectorAll("[aria-current]")) current.removeAttribute("aria-current");
    const cell = byId("timeline").children[place];
    if (!frame) {
      byId("frame").replaceChildren(make("p", "No step passes this filter.", "note"));
      return;
    }
    cell.setAttribute("aria-current", "step");
    cell.scrollIntoView({ block: "nearest" });
    drawFrame(frame);
    history.replaceState(null, "", "#" + encodeURIComponent(frame.name));
  }

  function drawTimeline() {
    const cells = shown.map((frame, index) => {
      const reward = frame.reward > 0 ? "reward" : frame.reward < 0 ? "loss" : "";
      const cell = make("button", undefined, reward, frame.failed && "failed", marks.has(frame.name) && "marked");
      cell.type = "button";
      cell.tabIndex = -1;
      cell.title = [nameOf(frame), frame.badge, frame.reward ? "reward " + frame.reward : "", frame.summary]
        .filter(Boolean).join(" · ");
      cell.addEventListener("click", () => { pause(); go(index); });
      return cell;
    });
    byId("timeline").replaceChildren(...cells);
    byId("slider").max = String(Math.max(0, shown.length - 1));
  }

  const filters = {
    all: () => true,
    reward: (frame) => Boolean(frame.reward),
    errors: (frame) => frame.failed,
    pictures: (frame) => frame.groups.some(([, sections]) => sections.some((each) => each.kind === "picture")),
  };

  function filter(name) {
    const current = frames.indexOf(shown[place]);
    shown = frames.filter(filters[name]);
    drawTimeline();
    const next = shown.findIndex((frame) => frames.indexOf(frame) >= current);
    go(next < 0 ? shown.length - 1 : next);
  }

  // Playing

  function pause() {
    clearInterval(timer);
    timer = null;
    byId("play").textContent = "▶ play";
  }

  function play() {
    if (place >= shown.length - 1) go(0);
    byId("play").textContent = "⏸ pause";
    clearInterval(timer);
    timer = setInterval(() => {
      go(place + 1);
      if (place >= shown.length - 1) pause();
    }, Number(byId("speed").value));
  }

  const moves = {
    ArrowLeft: () => go(place - 1),
    ArrowRight: () => go(place + 1),
    Home: () => go(0),
    End: () => go(shown.length - 1),
  };

  function onKey(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || /^(INPUT|SELECT)$/.test(event.target.tagName)) return;
    if (event.key === " ") {
      if (/^(BUTTON|SUMMARY)$/.test(event.target.tagName)) return; // it has its own meaning there
      timer === null ? play() : pause();
    } else if (Object.hasOwn(moves, event.key)) {
      pause();
      moves[event.key]();
    } else {
      return;
    }
    event.preventDefault();
  }

  // The page

  function drawHead() {
    document.title = data.title;
    byId("title").textContent = data.title;
    const notes = [];
    if (data.cuts.length) notes.push("Left out of this page: " + data.cuts.join("; ") + ".");
    if (!data.complete) notes.push("The record has lost steps: there were more than are shown.");
    byId("notes").replaceChildren(...notes.map((text) => make("p", text, "note")));
    byId("about").append(facts(data.overview), drawGroups(data.settings));
  }

  function listen() {
    for (const [id, key] of [["first", "Home"], ["back", "ArrowLeft"], ["next", "ArrowRight"], ["last", "End"]]) {
      byId(id).addEventListener("click", () => { pause(); moves[key](); });
    }
    byId("play").addEventListener("click", () => (timer === null ? play() : pause()));
    byId("slider").addEventListener("input", () => { pause(); go(Number(byId("slider").value)); });
    byId("filter").addEventListener("change", () => { pause(); filter(byId("filter").value); });
    byId("speed").addEventListener("change", () => { if (timer !== null) play(); });
    byId("theme").addEventListener("click", () => {
      const dark = matchMedia("(prefers-color-scheme: dark)").matches;
      const root = document.documentElement;
      const isDark = root.classList.contains("dark") || (dark && !root.classList.contains("light"));
      root.className = isDark ? "light" : "dark";
    });
    document.addEventListener("keydown", onKey);
    addEventListener("hashchange", () => openNamed());
  }

  function openNamed() {
    const named = shown.findIndex((frame) => "#" + encodeURIComponent(frame.name) === location.hash);
    go(named < 0 ? 0 : named);
  }

  drawHead();
  drawTimeline();
  listen();
  openNamed();
})();
