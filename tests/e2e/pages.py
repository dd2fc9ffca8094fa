"""Pages that write down what is done to them, each event a line of the log that the page shows."""

from __future__ import annotations

from environments.browser.web.messages import Response
from tests.load.own_pages import Pages

LOG = """<!doctype html><pre id=log></pre>
<style>#log { position: fixed; right: 0; top: 0; margin: 0; pointer-events: none; }</style>
<script>
  var log = (...said) => { document.getElementById("log").textContent += said.map(String).join(" ") + "\\n"; };
  const hear = (id, ...kinds) => kinds.forEach((kind) => document.getElementById(id).addEventListener(kind, (event) => {
    const held = ["shiftKey", "altKey", "ctrlKey"].filter((name) => event[name]).map((name) => name.slice(0, -3));
    const where = event instanceof MouseEvent ? [event.clientX, event.clientY] : [];
    log(kind, id, event.key || event.button, ...held, ...where);
  }));
</script>"""

POINTER = (
    LOG
    + """<title>Pointer</title>
<style>
  body { margin: 0; } button, #pad, #dot { position: absolute; }
  #press { left: 20px; top: 20px; width: 100px; height: 40px; }
  #pad { left: 20px; top: 100px; width: 200px; height: 200px; background: #ddd; }
  #dot { left: 20px; top: 320px; width: 40px; height: 40px; background: red; }
</style>
<button id=press oncontextmenu="return false">Press</button><div id=pad role=img aria-label=Pad></div>
<div id=dot role=img aria-label=Dot draggable=true></div>
<script>
  hear("press", "click", "dblclick", "contextmenu", "auxclick", "mouseover");
  hear("pad", "mousemove", "mousedown", "mouseup");
  const dot = document.getElementById("dot"), pad = document.getElementById("pad");
  dot.ondragstart = (event) => event.dataTransfer.setData("text/plain", "the dot");
  pad.ondragover = (event) => event.preventDefault();
  pad.ondrop = (event) => log("drop", event.dataTransfer.getData("text/plain"), event.clientX, event.clientY);
</script>"""
)

FORM = (
    LOG
    + """<title>Form</title>
<form onsubmit="log('submit', document.getElementById('name').value); return false">
  <label>Name <input id=name value="old"></label><label>Notes <textarea id=notes></textarea></label>
  <label>Colour <select id=colour><option value=r>Red</option><option value=g>Green</option></select></label>
  <label>Fruits
    <select id=fruits multiple><option>Apple</option><option>Pear</option><option>Plum</option></select></label>
  <label><input type=checkbox id=agree>Agree</label>
  <label><input type=radio name=size id=small>Small</label><label><input type=radio name=size id=large>Large</label>
  <input type=range id=volume aria-label=Volume min=0 max=10 value=5><input id=locked aria-label=Locked disabled>
  <button>Send</button>
</form>
<script>
  for (const id of ["colour", "fruits"])
    document.getElementById(id).onchange = (event) =>
      log("chose", id, [...event.target.selectedOptions].map((option) => option.value));
  for (const id of ["agree", "small", "large"])
    document.getElementById(id).onchange = (event) => log("checked", id, event.target.checked);
  document.getElementById("volume").oninput = (event) => log("volume", event.target.value);
  let since = 0;
  document.addEventListener("keydown", (event) => {
    if (event.key === "F8" && !event.repeat) since = performance.now();
  });
  document.addEventListener("keyup", (event) => {
    if (event.key === "F8") log("held", performance.now() - since > 300 ? "long" : "shortly");
  });
</script>"""
)

FAR = """<title>Far</title><body style="margin: 0"><h1>Top</h1>
<div style="height: 80px; overflow: auto" tabindex=0 role=region aria-label=Box id=box>
  <div style="height: 1000px">Inside</div></div>
<p id=inner>0</p><div style="height: 3000px"></div><button>Bottom</button>
<script>
  const box = document.getElementById("box");
  box.onscroll = () => { document.getElementById("inner").textContent = "inner " + Math.round(box.scrollTop); };
</script>"""

FILES = (
    LOG
    + """<title>Files</title>
<label>Upload <input type=file id=field multiple></label>
<input type=file id=hidden style="display: none">
<button onclick="document.getElementById('hidden').click()">Choose</button>
<a href="/table.csv">Table</a> <a id=made download="made.txt">Made</a> <a href="/next">Next</a>
<a href="/above">Above</a>
<script>
  for (const id of ["field", "hidden"])
    document.getElementById(id).onchange = async (event) => {
      for (const file of event.target.files) log("file", id, file.name, file.type, await file.text());
      if (!event.target.files.length) log("file", id, "none");
    };
  document.getElementById("made").href = URL.createObjectURL(new Blob(["made here"]));
</script>"""
)
TABLE = Response(
    200,
    (("content-type", "text/csv"), ("content-disposition", 'attachment; filename="table.csv"')),
    b"a,b\n1,2\n",
)

ABOVE = Response(200, (("content-disposition", 'attachment; filename="../../above"'),), b"above")

TABS = """<title>Tabs</title><h1>Tabs</h1><a href="/next" target=_blank>Beside</a> <a href="/next">Next</a>
<a href="/later">Later</a> <a href="#part">Part</a><button onclick="window.open('/next')">Open</button>
<button onclick="onbeforeunload = (event) => event.preventDefault()">Stay</button>"""
NEXT = "<title>Next</title><h1>Next</h1><p id=count></p><script>document.title += ' ' + history.length</script>"

ASKING = (
    LOG
    + """<title>Asking</title>
<button onclick="alert('Well'); log('alert is over')">Alert</button>
<button onclick="log('confirm', confirm('Sure?'))">Confirm</button>
<button onclick="log('prompt', prompt('Name?', 'nobody'))">Prompt</button>
<button onclick="log('both', confirm('One?'), confirm('Two?'))">Both</button>
<button onclick="for (;;) confirm('Again?')">Endless</button>
<button onclick="inWindow()">Window</button><button onclick="logIn()">Log in</button>
<script>
  const inWindow = () => { const one = open("about:blank"); log("window", one.confirm("From there?")); one.close(); };
  const logIn = () => {
    open("/logging-in");
    addEventListener("message", (event) => log("logged in as", event.data));
  };
</script>"""
)

LOGGING_IN = """<title>Log in</title><script>
  opener.postMessage("user", "*");
  close();
</script>"""

FRAMES = (
    LOG
    + """<title>Frames</title>
<iframe src="/inner" title=Same></iframe><iframe src="http://other.test/inner" title=Other></iframe>
<iframe srcdoc="<button onclick=&quot;parent.log('written')&quot;>Written</button>" title=Written></iframe>
<div id=host></div>
<script>
  addEventListener("message", (event) => log(event.data, event.origin));
  const root = document.getElementById("host").attachShadow({ mode: "open" });
  root.innerHTML = "<button>Shadow</button><slot></slot>";
  root.firstChild.onclick = () => log("shadow");
</script>"""
)
INNER = """<title>Inner</title><button onclick="top.postMessage('inner', '*')">Inner</button>
<iframe srcdoc="<button onclick=&quot;top.postMessage('nested', '*')&quot;>Nested</button>" title=Nested></iframe>"""

PERMISSIONS = (
    LOG
    + """<title>Permissions</title>
<button onclick="ask()">Ask</button>
<script>
  const denied = (name, work) => work.then((said) => log(name, said), (error) => log(name, error.name || error.code));
  async function ask() {
    await denied("place", new Promise((given, refused) =>
      navigator.geolocation.getCurrentPosition(() => given("given"), refused)));
    await denied("notify", Notification.requestPermission());
    await denied("camera", navigator.mediaDevices.getUserMedia({ video: true }).then(() => "given"));
    await denied("microphone", navigator.mediaDevices.getUserMedia({ audio: true }).then(() => "given"));
    await denied("clipboard", navigator.clipboard.readText());
    await denied("midi", navigator.requestMIDIAccess({ sysex: true }).then(() => "given"));
    log("asked for all");
  }
</script>"""
)

CHANGING = (
    LOG
    + """<title>Changing</title>
<p id=state>Nothing yet</p><button onclick="later()">Later</button>
<button id=once onclick="this.remove()">Once</button>
<button onclick="console.error('it broke'); missing()">Break</button>
<button onclick="location.hash = 'there'">Hash</button>
<div role=list id=items></div>
<script>
  for (let n = 0; n < 400; n++) document.getElementById("items").innerHTML += `<div role=listitem>Item ${n}</div>`;
  function later() { setTimeout(() => { document.getElementById("state").textContent = "Come at last"; }, 300); }
</script>"""
)

CLOBBERED = """<title>Clobbered</title>
<img name=title><img name=body><img name=querySelector><img name=activeElement><img name=scrollingElement>
<form tabindex=0 autofocus><input name=tagName></form><p>Still there</p>"""

UNREADABLE = """<title>Unreadable</title><form><input name=getAttribute></form>"""

REPLACED = """<title>Replaced</title><p>Still there</p><div style="height: 3000px"></div>
<script>
  var scrollX = {}, scrollY = () => 1;
  Math.round = () => NaN;
  Object.defineProperty(document, "title", { get: () => 5 });
  Storage.prototype.getItem = () => ({ toString: () => "no text" });
  localStorage.one = "1";
  const focused = document.createElement("x-" + "long".repeat(300_000));
  focused.tabIndex = 0;
  document.body.append(focused);
  focused.focus({ preventScroll: true });
</script>"""

LYING = """<title>Lying</title><p>Still there</p>
<script>JSON.stringify = () => new Date(8.64e15); Reflect.get = () => ({ slice: () => 5n });</script>"""

HALVES = """<p id=half></p><button onclick="console.error('error \\ud83d'); confirm('confirm \\ud83d')">Ask</button>
<script>
  document.title = "title \\ud83d";
  document.getElementById("half").textContent = "text \\ud83d and \\ud83d\\ude00";
  sessionStorage["\\ude00"] = "\\ud83d";
</script>"""

POLLING = """<title>Polling</title><p>Still there</p>
<script>(async () => { for (;;) { try { await fetch("/next"); } catch { /* it goes on */ } } })();</script>"""

LATE = """<title>Late</title><button onclick="busy()">Busy</button>
<script>
  function busy() {
    for (const since = performance.now(); performance.now() - since < 2000;);
    alert("At last");
  }
</script>"""

NOISE = """<title>Noise</title><body style="margin: 0"><canvas width=2560 height=1600></canvas>
<script>
  const context = document.querySelector("canvas").getContext("2d");
  const data = context.createImageData(2560, 1600);
  const words = new Uint32Array(data.data.buffer);
  for (let at = 0, word = 1; at < words.length; at++) {
    word ^= word << 13; word ^= word >>> 17; word ^= word << 5;
    words[at] = word | 0xff000000;
  }
  context.putImageData(data, 0, 0);
</script>"""

PLACE = (
    LOG
    + """<title>Place</title><p>Plain words</p><button>Press</button>
<script>log(navigator.language, navigator.languages, Intl.DateTimeFormat().resolvedOptions().timeZone);</script>"""
)

LOGIN = """<title>Login</title><form method=post action="/next">
<label>User name <input name=user placeholder="As in mail"></label>
<label>Password <input type=password name=password></label><button>Sign in <b>here</b></button>
<a href="/next" id=forgotten>Forgotten?</a><input name=code placeholder="Code"><input name=bare>
<input id=labels aria-label="Said so"></form>"""

LATER = Response(200, (("content-type", "text/html"),), b"<title>Later</title><p>Come at last</p>", delay_s=8.0)
SLOW = Response(200, (("content-type", "text/html"),), b"<title>Slow</title><p>Slow</p>", delay_s=20.0)
WAITING = "<title>Waiting</title><p>Here already</p><img src=/slow alt=Slow>"

PAGES: Pages = {
    "/": POINTER, "/form": FORM, "/far": FAR, "/files": FILES, "/table.csv": TABLE, "/above": ABOVE, "/tabs": TABS,
    "/next": NEXT, "/asking": ASKING, "/logging-in": LOGGING_IN, "/frames": FRAMES, "/inner": INNER,
    "/permissions": PERMISSIONS,
    "/changing": CHANGING, "/slow": SLOW, "/waiting": WAITING, "/clobbered": CLOBBERED, "/replaced": REPLACED,
    "/lying": LYING, "/unreadable": UNREADABLE, "/halves": HALVES, "/polling": POLLING, "/late": LATE, "/noise": NOISE,
    "/place": PLACE, "/later": LATER, "/login": LOGIN,
}  # fmt: skip
